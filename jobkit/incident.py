"""Responsible for incidents: what befell a start of a run that did not succeed, kept with the run for its authors.

Whoever sees a start go wrong (the child that performed it, its supervisor, the sweep of another worker) tells an
`Account`; the store adds when it was, which start, in which slot and how far it was. Never shown to browsers: log
lines, stacks and tracebacks hold what end users must not see.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import msgspec

from jobkit.snapshot import ProgressView
from jobkit.text import one_line
from jobkit.tracebacks import shortened

MOST_LINES: Final = 20
"""How many of the last lines that a process wrote are kept."""
LONGEST_LINE: Final = 300
LONGEST_DETAIL: Final = 16 * 1024
"""Bytes of stacks, and of a traceback, that are kept with each incident."""


class IncidentKind(StrEnum):
    """What befell it."""

    FAILED = "failed"
    """`perform` raised, or what it returned could not be kept."""
    CRASHED = "crashed"
    """Its process ended by itself, or by a fault in native code."""
    KILLED = "killed"
    """Its process was killed: from outside, or by its worker as the job did not stop."""
    OUT_OF_MEMORY = "out of memory"
    """Its process was killed for what memory it used."""
    TIMED_OUT = "timed out"
    """It took longer than its `time_limit`."""
    STALLED = "stalled"
    """It made no progress for its `stall_limit`; it may have gone on after that."""
    LOST = "lost worker"
    """Its whole worker fell silent, or was lost."""


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What those who saw it know; what is not known is left out."""

    kind: IncidentKind
    message: str
    """In plain words; one line."""
    signal: int | None = None
    exit_code: int | None = None
    memory: int | None = None
    """The most bytes of memory that its process was seen to use."""
    lines: tuple[str, ...] = ()
    """The last lines that its process wrote to stderr, its log included."""
    stacks: str = ""
    """Where every thread of its process was."""
    traceback: str = ""

    def to_json(self) -> bytes:
        """Within the bounds of what is kept."""
        return _ENCODER.encode(
            msgspec.structs.replace(
                self,
                message=one_line(self.message),
                lines=tuple([one_line(line, LONGEST_LINE) for line in self.lines[-MOST_LINES:]]),
                stacks=shortened(self.stacks, LONGEST_DETAIL),
                traceback=shortened(self.traceback, LONGEST_DETAIL),
            )
        )


class Incident(Account, frozen=True, kw_only=True):
    """An account as it is kept: `at` is epoch seconds, `progress` the last that the run had told.

    `checkpoint_at` is how far it was at its last checkpoint, None where another start has none to go on from.
    """

    at: float
    start: int
    attempt: int = 1
    slot: str = ""
    progress: ProgressView = ProgressView()
    checkpoint_at: ProgressView | None = None

    @classmethod
    def from_json(cls, data: bytes) -> Incident:
        return _DECODER.decode(data)

    def to_text(self) -> str:
        """All of it, for a terminal or a log."""
        when = datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        where = f", in {self.slot}" if self.slot else ""
        parts = [
            f"Start {self.start} (attempt {self.attempt}) {self.kind}, {when}{where}",
            f"  {self.message}",
            f"  Progress: {_progress(self.progress)}",
        ]
        if self.checkpoint_at is not None:
            parts.append(f"  Checkpoint: {_progress(self.checkpoint_at)}")
        if self.memory is not None:
            parts.append(f"  Memory: {size(self.memory)} at the most")
        parts += _section("It wrote last", self.lines)
        parts += _section("Its threads were here", self.stacks.splitlines())
        parts += _section("It raised", self.traceback.splitlines())
        return "\n".join(_printable(part) for part in parts)


def size(number: float) -> str:
    """A number of bytes for people; a KB is 1024 of them."""
    for unit in ("bytes", "KB", "MB"):
        if number < 999.5:
            return f"{number:.0f} {unit}" if unit != "MB" or number >= 10 else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GB"


def _progress(view: ProgressView) -> str:
    counted = f"{view.done:,}" + (f" of {view.total:,}" if view.total is not None else "")
    told = " ".join(part for part in (counted, view.unit) if part)
    return f"{told} · {view.message}" if view.message else told


def _section(title: str, lines: tuple[str, ...] | list[str]) -> list[str]:
    return [f"  {title}:", *(f"    {line}" for line in lines)] if lines else []


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Incident)
