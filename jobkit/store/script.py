"""Scripts: the Lua that the server runs, put together from `scripts/` into one library of functions.

A script is one transition, `scripts/NAME.lua`. What several share stands in `scripts/shared/PART.lua`, once, and what
Python knows too (the transition table, some constants) is put before them. A server function library is compiled once,
when it is loaded: a plain script would define all that it shares anew at every call, which is most of what it costs.

The library's name carries its digest, so versions of jobkit live side by side on one server, each with its own. Servers
keep libraries, over restarts and failovers too; where one is missing it is loaded when it is first called.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING

from jobkit.lifecycle import as_lua
from jobkit.snapshot import LARGEST_INLINE_RESULT, ProgressView

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED = (
    "clock", "alarm", "record", "stamps", "pointer", "bell", "snapshot", "slots", "limits", "expiry", "moves", "leases",
    "due", "interests", "incidents", "schedules",
)  # fmt: skip
"""In this order: each relies on those before it."""

SCRIPTS = (
    "open", "submit", "take", "renew", "report", "settle", "settle_and_take", "release", "mark", "reassert", "retire",
    "cancel", "invalidate", "sweep", "load", "incidents", "recall", "owned", "list",
    "pause", "queues", "limit", "limits", "announce", "workers", "tell",
    "declare", "fire", "run_schedule", "pause_schedule", "schedules",
)  # fmt: skip

_REFUSED_WHEN_FULL = {"submit", "declare", "fire", "run_schedule"}
"""A full server takes no new work; what it has may be performed, and so make room."""


@dataclass(frozen=True, slots=True)
class Library:
    """All scripts as the server loads them: a name, and the source of that name."""

    name: str
    source: str

    def function(self, script: str) -> str:
        """What the server calls a script."""
        return f"{self.name}_{script}"


def read(path: str) -> str:
    """The text of `scripts/PATH`."""
    return files(__package__).joinpath("scripts", path).read_text("utf-8")


def compose(read: Callable[[str], str] = read) -> Library:
    """The library; `read` gives the text of a path in `scripts/`."""
    shared = [read(f"shared/{part}.lua") for part in SHARED]
    scripts = [f"do\n{read(f'{name}.lua')}\nend\n" for name in SCRIPTS]
    body = "".join([as_lua(), _constants(), *shared, "local scripts = {}\n", *scripts])
    name = f"jobkit_{sha1(body.encode(), usedforsecurity=False).hexdigest()[:12]}"
    return Library(name, "".join([f"#!lua name={name}\n", body, *[_registration(name, script) for script in SCRIPTS]]))


def _registration(library: str, script: str) -> str:
    flags = "" if script in _REFUSED_WHEN_FULL else "'allow-oom'"
    call = f"function(KEYS, ARGV) return begin(KEYS[1]) or ended_with(scripts.{script}(ARGV)) end"
    return (
        f"redis.register_function{{function_name = '{library}_{script}', flags = {{{flags}}}, "
        f"callback = {'scripts.open' if script == 'open' else call}}}\n"
    )


def _constants() -> str:
    untouched = ProgressView().to_json().decode()
    return f"local UNTOUCHED = '{untouched}'\nlocal LARGEST_INLINE_RESULT = {LARGEST_INLINE_RESULT}\n"


LIBRARY = compose()
