"""Following: what a reader of one run does next, until it has ended. Without I/O, so once for both kinds of callers.

`following` is a generator: it yields a `Snapshot` to hand on, an `Operation` to execute or how long to `Listen`, and is
sent the answer. A publication is news at once; every `AUDIT` seconds, and after every gap, the run itself is read.

When a run is not there any more, its store may have lost it. That is proven when it was seen less than `keep_for` ago,
for so long it would be kept, or by another incarnation. Then the run's worker has its turn to assert it, and after that
whoever submitted it does so again, under the same id. Where another run answers that submission, as somebody else
was faster, it is followed instead (`Moved`).
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import msgspec

from jobkit.errors import RunNotFound
from jobkit.snapshot import Snapshot
from jobkit.store.operations import Operation, Submission, partition_of
from jobkit.store.replies import Admitted, Loaded

if TYPE_CHECKING:
    from jobkit.store.operations import Operations
    from jobkit.store.replies import Opened

AUDIT = 15.0
"""Seconds after which a follower reads the run itself, and so says that it still watches."""
HOLDERS_TURN = 8.0
"""Seconds for the worker of a lost run to assert it: a heartbeat, and some more."""
LOOK_AGAIN = 1.0
"""Seconds between looks while it has its turn."""


class Listen(msgspec.Struct, frozen=True):
    """Wait for a publication for so many seconds; answer with it, or with None."""

    seconds: float


class Moved(msgspec.Struct, frozen=True):
    """The last step: go on with the run that answers now."""

    admitted: Admitted


class Origin(msgspec.Struct, frozen=True):
    """How a run came to be: what it was submitted with, when (s, monotonic), and to which incarnation of the store.

    For a handle with a stake in a run that had not ended then; once it has ended or the stake is withdrawn, nothing is
    to be submitted again.
    """

    submission: Submission
    incarnation: str
    submitted_at: float
    keep_for: float

    def again(self, run_id: str, starts: int) -> Submission:
        """The same under this id, with the same stake, as it may have been joined; to begin after so many starts."""
        conditions = msgspec.structs.replace(
            self.submission.conditions, interest=self.submission.interest, start=self._start(), starts=starts
        )
        return msgspec.structs.replace(self.submission, id=run_id, conditions=conditions)

    def _start(self) -> str:
        """What is left of a time from then."""
        start = self.submission.conditions.start
        if not start.startswith("+"):
            return start
        left = int(start) - int((time.monotonic() - self.submitted_at) * 1000)
        return f"+{left}" if left > 0 else ""


Step = Snapshot | Loaded | Operation[Any] | Listen | Moved
Following = Generator[Step, Any, None]
"""Each operation is answered with its value, or with the RunNotFound that it raises."""


def following(
    operations: Operations,
    run_id: str,
    interest: str = "",
    origin: Origin | None = None,
    deadline: float | None = None,
    *,
    whole: bool = False,
) -> Following:
    """Snapshots, each newer than the one before, and the steps between them.

    Ends with the last one, at the deadline, or when the run has `Moved`. It reads in the name of `interest`. Without an
    `origin` a lost run cannot be submitted again. With `whole` the last step is what was `Loaded` at the end, result
    included: an end that was only heard of may be lost before anybody has its result.

    Raises:
        RunNotFound: no such run is kept.
    """
    load = operations.load(run_id, watch=2 * AUDIT, result=whole, interest=interest)
    last: Snapshot | None = None
    heard: bytes | None = None
    read_at, seen_at = 0.0, origin.submitted_at if origin else 0.0
    while True:
        newest, loaded = Snapshot.from_json(heard) if heard is not None and time.monotonic() < read_at else None, None
        if newest is None or (whole and newest.state.terminal):
            loaded = yield load
            if isinstance(loaded, RunNotFound):
                if origin is None or not (yield from _is_lost(operations, run_id, origin, seen_at)):
                    raise loaded
                again = origin.again(run_id, last.start if last else 0)
                loaded = yield from _recovered(operations, load, again)
                if loaded is None:
                    return
            newest, read_at = loaded.snapshot, time.monotonic() + AUDIT
        seen_at = time.monotonic()
        if last is None or newest.order > last.order or newest.state.terminal:
            last = newest
            yield newest
        if newest.state.terminal:
            if whole and loaded is not None:
                yield loaded
            return
        patience = AUDIT if deadline is None else min(AUDIT, deadline - time.monotonic())
        if patience <= 0:
            return
        heard = yield Listen(patience)


def _is_lost(operations: Operations, run_id: str, origin: Origin, seen_at: float) -> Generator[Step, Any, bool]:
    """Whether the store has lost what is missing now; else it has forgotten it in its time."""
    if time.monotonic() - seen_at < origin.keep_for:
        return True
    opened: Opened = yield operations.open(partition_of(run_id))
    return opened.incarnation != origin.incarnation


def _recovered(
    operations: Operations, load: Operation[Loaded], again: Submission
) -> Generator[Step, Any, Loaded | None]:
    """The run, asserted by its worker or submitted again; None when another one answers."""
    give_up = time.monotonic() + HOLDERS_TURN
    while time.monotonic() < give_up:
        yield Listen(LOOK_AGAIN)
        loaded: Loaded | RunNotFound = yield load
        if not isinstance(loaded, RunNotFound):
            return loaded
    admitted: Admitted = yield operations.submit(again)
    if admitted.id != again.id:
        yield Moved(admitted)
        return None
    loaded = yield load
    if isinstance(loaded, RunNotFound):
        raise loaded
    return loaded
