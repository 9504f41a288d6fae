"""Autopsy: from what is known of a process that ended to what is said about it. Pure.

Never a guess stated as a fact: that memory ran out is "likely" only with evidence, which is either the kernel's own
count of processes that it killed for memory, or that the process had taken nearly all there was.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Final

from jobkit.incident import Account, IncidentKind, size

FAULTS: Final = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGSYS, signal.SIGTRAP}
)
"""Signals that a process brings upon itself."""
NEARLY_ALL: Final = 0.9
"""The share of all memory there is that speaks for its having run out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """What is known of a process that ended; `code` is its exit code, or minus its signal.

    `peak` is the most memory (bytes) that it ever had, `room` how much there is for it. `killed_for_memory` tells whose
    count of out-of-memory kills rose while it lived: "cgroup", "machine" or "".
    """

    code: int
    peak: int | None = None
    room: int | None = None
    killed_for_memory: str = ""
    lines: tuple[str, ...] = ()
    stacks: str = ""


def account_of(death: Death) -> Account:
    """What befell the start that this process performed."""
    number = -death.code if death.code < 0 else None
    why = _likely_out_of_memory(death)
    return Account(
        kind=_kind(number, why),
        message=f"The process that performed this {ending(death.code)}{why}.",
        signal=number,
        exit_code=death.code if death.code >= 0 else None,
        memory=death.peak,
        lines=death.lines,
        stacks=death.stacks if number in FAULTS else "",
    )


def ending(code: int) -> str:
    """How a process ended, for people."""
    if code >= 0:
        return f"ended by itself with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    verb = "crashed with" if -code in FAULTS else "was killed by"
    return f"{verb} signal {-code} ({name})"


def _kind(number: int | None, likely: str) -> IncidentKind:
    if likely:
        return IncidentKind.OUT_OF_MEMORY
    return IncidentKind.CRASHED if number is None or number in FAULTS else IncidentKind.KILLED


def _likely_out_of_memory(death: Death) -> str:
    if death.code != -signal.SIGKILL:
        return ""
    nearly_all = death.peak is not None and death.room is not None and death.peak >= NEARLY_ALL * death.room
    if not (death.killed_for_memory or nearly_all):
        return ""
    at = "" if death.peak is None else f" at {size(death.peak)}"
    match death.killed_for_memory:
        case "cgroup":
            evidence = "the kernel killed a process of this worker's cgroup for its memory"
        case "machine":
            evidence = "the kernel killed a process of this machine for its memory"
        case _:
            evidence = f"that is nearly all of the {size(death.room or 0)} that there is"
    return f", likely out of memory{at}: {evidence}"
