"""Link: what supervisor and child say to each other, over the socket pair that the child inherits.

The supervisor tells a child to begin, to stop one start of a run, to drain. A child tells that it is ready, or why it
never will be, what its kit has the clock start, and the terms of a run where they are not the usual ones. Messages are
lines of JSON.

Nothing that must be true rests on this: leases, verdicts and deaths are the store's and the kernel's to tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from jobkit.execution import StopReason  # noqa: TC001  (msgspec reads the annotation)
from jobkit.options import Options
from jobkit.store.operations import Declaration  # noqa: TC001

if TYPE_CHECKING:
    import socket

USUAL_GRACE = Options().cancel_grace


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Take runs from now on, as this slot. `lease` (s) is for jobs that name none."""

    slot: str
    queues: tuple[str, ...]
    lease: float


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Stop the start with this token, if it is still being performed; an empty one means whatever is."""

    token: str
    reason: StopReason


class Drain(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Take nothing more, and end when idle."""


class Recount(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The store has lost data: tell it now what is being performed."""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Everything is imported. `url` says where the kit's store is; `shortest_lease` (s) what its jobs ask for.

    `jobs` are the kit's, each with the queue it names; `queues` are all of these, and `default`.
    """

    url: str
    namespace: str
    jobs: dict[str, str]
    queues: tuple[str, ...]
    shortest_lease: float | None


class Unfit(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The kit cannot be imported, or its store not be used; trying again is no use until somebody changes that.

    The worker ends with `exit_code`, as docs/cli.md tells it.
    """

    message: str
    exit_code: int = 1


class Terms(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How the run that the child performs now departs from the usual: `USUAL_GRACE`, and `Begin.lease` (seconds)."""

    token: str
    cancel_grace: float
    lease: float


class Timetable(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the kit has the clock start; said once a child serves, also when that is nothing."""

    declarations: tuple[Declaration, ...]


ToChild = Begin | Stop | Drain | Recount
ToSupervisor = Ready | Unfit | Terms | Timetable
M = TypeVar("M")

TO_CHILD: msgspec.json.Decoder[ToChild] = msgspec.json.Decoder(ToChild)
TO_SUPERVISOR: msgspec.json.Decoder[ToSupervisor] = msgspec.json.Decoder(ToSupervisor)


class Link:
    """One end of the socket pair."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._rest = b""

    def fileno(self) -> int:
        return self._end.fileno()

    def say(self, message: ToChild | ToSupervisor) -> None:
        """Tell the other end; whether it still lives is not this function's matter."""
        try:
            self._end.sendall(msgspec.json.encode(message) + b"\n")
        except OSError:
            return

    def hear(self, read: msgspec.json.Decoder[M]) -> list[M] | None:
        """The messages that have come; None when the other end is gone."""
        try:
            data = self._end.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [read.decode(line) for line in lines]

    def close(self) -> None:
        self._end.close()
