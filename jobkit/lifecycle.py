"""The life of a run: its states, and the only moves between them.

A run is *scheduled* until its time comes, *queued* until a worker takes it, *running* while a worker holds its
lease, and then it has ended: *succeeded*, *failed* or *cancelled*. Ended states absorb: nothing leaves them.

Everything that can happen to a run is a `Move`. `MOVES` says what each does in each state; a pair that is not in the
table cannot happen. The store's scripts carry this very table (`as_lua`), and change a state through it alone, so a
transition that is not drawn here is refused by the server itself.

Moves that bring a run back, and how they differ in what they leave behind:

* *expire*: the lease ran out. The crash is counted, but the token stays good until another worker takes the run, so
  a holder that was only cut off can *resume* (which takes the crash back).
* *release*: the holder gave the run back, or its supervisor saw it die. The token is void at once.
* *postpone*: as release, but not before a given time.
* *retry*: this attempt failed, and another one is to come after its wait. The token is void at once.
* *reassert*: the store lost the run, or went back to an older copy of it, and its holder says so: it is running.

*give up* ends a run that has not begun in the time that its class allows for that.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(StrEnum):
    """Where a run is in its life."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether the run has ended; an ended run never changes again."""
        return self in ENDED


class Outcome(StrEnum):
    """How a start ended, as its worker settles it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"


class Move(StrEnum):
    """What can happen to a run."""

    ADMIT = "admit"
    DEFER = "defer"
    DUE = "due"
    TAKE = "take"
    EXPIRE = "expire"
    RESUME = "resume"
    RELEASE = "release"
    POSTPONE = "postpone"
    RETRY = "retry"
    REASSERT = "reassert"
    SUCCEED = "succeed"
    FAIL = "fail"
    GIVE_UP = "give_up"
    CANCEL = "cancel"


ENDED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

# The state a run is in before the store knows it.
UNKNOWN = "unknown"

MOVES: Mapping[tuple[State | None, Move], State] = MappingProxyType(
    {
        (None, Move.ADMIT): State.QUEUED,
        (None, Move.DEFER): State.SCHEDULED,
        (None, Move.REASSERT): State.RUNNING,
        (State.SCHEDULED, Move.DUE): State.QUEUED,
        (State.SCHEDULED, Move.CANCEL): State.CANCELLED,
        (State.SCHEDULED, Move.GIVE_UP): State.FAILED,
        (State.SCHEDULED, Move.REASSERT): State.RUNNING,
        (State.QUEUED, Move.TAKE): State.RUNNING,
        (State.QUEUED, Move.RESUME): State.RUNNING,
        (State.QUEUED, Move.CANCEL): State.CANCELLED,
        (State.QUEUED, Move.GIVE_UP): State.FAILED,
        (State.QUEUED, Move.REASSERT): State.RUNNING,
        (State.RUNNING, Move.EXPIRE): State.QUEUED,
        (State.RUNNING, Move.RELEASE): State.QUEUED,
        (State.RUNNING, Move.POSTPONE): State.SCHEDULED,
        (State.RUNNING, Move.RETRY): State.SCHEDULED,
        (State.RUNNING, Move.REASSERT): State.RUNNING,
        (State.RUNNING, Move.SUCCEED): State.SUCCEEDED,
        (State.RUNNING, Move.FAIL): State.FAILED,
        (State.RUNNING, Move.CANCEL): State.CANCELLED,
    }
)


def as_lua() -> str:
    """The table as Lua functions: `next_state(state, move)`, nil for no such move; `ended(state)`; `states()`, a list.

    (Functions, for a script that makes tables each time it is called pays for them each time.)
    """
    moves: dict[str, list[str]] = {}
    for (origin, move), target in MOVES.items():
        moves.setdefault(origin or UNKNOWN, []).append(f"move == '{move}' and '{target}'")
    rows = [
        f"  if state == '{origin}' then return {' or '.join(targets)} or nil end\n" for origin, targets in moves.items()
    ]
    over = " or ".join(f"state == '{state}'" for state in sorted(ENDED))
    names = ", ".join(f"'{state}'" for state in State)
    return (
        f"local function ended(state) return {over} end\n"
        f"local function next_state(state, move)\n{''.join(rows)}end\n"
        f"local function states() return {{{names}}} end\n"
    )


def as_mermaid() -> str:
    """The table as a Mermaid state diagram, for the docs."""
    rows = [f"    {origin or '[*]'} --> {target}: {move}" for (origin, move), target in MOVES.items()]
    ends = [f"    {state} --> [*]" for state in State if state.terminal]
    return "\n".join(["stateDiagram-v2", *rows, *ends])
