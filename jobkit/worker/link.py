"""Link: what supervisor and child say to each other, over the socket pair that the child inherits.

The supervisor tells a child to begin, to stop one start of a run, to wait for one no longer, to drain. A child tells
that it is ready, or why it never will be, what its kit has the clock start, the terms of a run where they are not the
usual ones, how one with limits fares, what it has performed when it is asked that, and that it leaves. Messages are
lines of JSON.

Nothing that must be true rests on this: leases, verdicts and deaths are the store's and the kernel's to tell.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import msgspec

from jobkit.decision import StopReason  # noqa: TC001  (msgspec reads the annotation)
from jobkit.fleet import Performing  # noqa: TC001
from jobkit.options import Options
from jobkit.store.operations import Declaration  # noqa: TC001

if TYPE_CHECKING:
    import socket

USUAL_GRACE = Options().cancel_grace


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Take runs from now on, as these slots, of queues with these weights. `lease` (s) is for jobs that name none.

    Leave after `most_runs`, or when a run has left the process with more than `most_memory` bytes; None: never.
    """

    slots: tuple[str, ...]
    queues: dict[str, int]
    lease: float
    most_runs: int | None = None
    most_memory: int | None = None
    counted: bool = False


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Stop the start with this token, if it is still being performed; an empty one means whatever is."""

    token: str
    reason: StopReason


class GiveUp(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Wait no more for what this slot performs: it could not be stopped, and its run is given back."""

    slot: str


class Drain(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Take nothing more, and end when idle."""


class Recount(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The store has lost data: tell it now what is being performed."""


class Serve(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Take from these queues from now on, with these weights."""

    queues: dict[str, int]


class LogFrom(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Log from this level on."""

    level: str


class Tell(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Tell what you have performed (`Told`)."""


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
    """How the run in this slot departs from the usual: `USUAL_GRACE`, and `Begin.lease` (seconds)."""

    slot: str
    token: str
    cancel_grace: float
    lease: float


class Leaving(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The child takes nothing more, and ends when it has settled what it performs: another one is wanted."""

    why: str
    idle: bool
    """Whether it performs nothing already."""


class Guarded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The start that begins now has limits, to be watched from outside: seconds, and bytes of its process' memory.

    `strict_until` (boot time) is when its lease of so many seconds may be over, where it is to be stopped then.
    """

    slot: str
    token: str
    run_id: str
    lease: float
    strict_until: float | None = None
    time_limit: float | None = None
    stall_limit: float | None = None
    memory_limit: int | None = None
    retry_after: float | None = None
    """Seconds until another attempt may follow one that was stopped at a limit; None: that is final."""


class Moved(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A guarded start has made progress."""

    token: str


class Over(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A guarded start is over."""

    token: str


class Counted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A start that has ended, for the metrics. `waited` (s) is for its first start, None for any other."""

    job: str
    outcome: str
    seconds: float
    waited: float | None


class Told(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How many starts this child has performed, how many of these raised, and what it performs now."""

    performed: int
    failed: int
    performing: tuple[Performing, ...] = ()


class Timetable(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the kit has the clock start; said once a child serves, also when that is nothing."""

    declarations: tuple[Declaration, ...]


ToChild = Begin | Stop | GiveUp | Drain | Recount | Serve | LogFrom | Tell
ToSupervisor = Ready | Unfit | Terms | Guarded | Moved | Over | Told | Counted | Leaving | Timetable
M = TypeVar("M")

TO_CHILD: msgspec.json.Decoder[ToChild] = msgspec.json.Decoder(ToChild)
TO_SUPERVISOR: msgspec.json.Decoder[ToSupervisor] = msgspec.json.Decoder(ToSupervisor)


class Link:
    """One end of the socket pair. Any thread may say something; one hears."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._saying = threading.Lock()
        self._rest = b""

    def fileno(self) -> int:
        return self._end.fileno()

    def say(self, message: ToChild | ToSupervisor) -> None:
        """Tell the other end; whether it still lives is not this function's matter."""
        with self._saying, suppress(OSError):
            self._end.sendall(msgspec.json.encode(message) + b"\n")

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
