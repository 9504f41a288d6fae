"""Following: what a reader of one run does next, until it has ended. Without I/O, so once for both kinds of callers.

`following` is a generator: it yields a `Snapshot` to hand on, an `Operation` to execute or how long to `Listen`, and is
sent the answer. A publication is news at once; every `AUDIT` seconds, and after every gap, the run itself is read.

When a run is not there any more, its store may have lost it. That is proven by another incarnation; then the run's
worker has its turn to assert it, and after that whoever submitted it does so again, once, under the same id.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import msgspec

from jobkit.errors import RunNotFound
from jobkit.snapshot import Snapshot
from jobkit.store.operations import Operation, Submission, partition_of

if TYPE_CHECKING:
    from jobkit.store.operations import Operations
    from jobkit.store.replies import Loaded

AUDIT = 15.0
"""Seconds after which a follower reads the run itself, and so says that it still watches."""
HOLDERS_TURN = 8.0
"""Seconds for the worker of a lost run to assert it: a heartbeat, and some more."""
LOOK_AGAIN = 1.0
"""Seconds between looks while it has its turn."""


class Listen(msgspec.Struct, frozen=True):
    """Wait for a publication for so many seconds; answer with it, or with None."""

    seconds: float


class Origin(msgspec.Struct, frozen=True):
    """How a run came to be: what it was submitted with, and to which incarnation of the store."""

    submission: Submission
    incarnation: str


Step = Snapshot | Operation[Any] | Listen
Following = Generator[Step, Any, None]
"""Each operation is answered with its value, or with the RunNotFound that it raises."""


def following(
    operations: Operations, run_id: str, interest: str = "", origin: Origin | None = None, deadline: float | None = None
) -> Following:
    """Snapshots, each newer than the one before, and the steps between them; ends with the last one or at the deadline.

    It reads in the name of `interest`. Without an `origin` a lost run cannot be submitted again.

    Raises:
        RunNotFound: no such run is kept.
    """
    load = operations.load(run_id, watch=2 * AUDIT, interest=interest)
    last: Snapshot | None = None
    heard: bytes | None = None
    read_at = 0.0
    while True:
        if heard is not None and time.monotonic() < read_at:
            newest = Snapshot.from_json(heard)
        else:
            loaded = yield load
            if isinstance(loaded, RunNotFound):
                loaded = yield from _recovered(operations, load, run_id, origin, loaded)
                origin = None
            newest, read_at = loaded.snapshot, time.monotonic() + AUDIT
        if last is None or newest.order > last.order:
            last = newest
            yield newest
        patience = AUDIT if deadline is None else min(AUDIT, deadline - time.monotonic())
        if last.state.terminal or patience <= 0:
            return
        heard = yield Listen(patience)


def _recovered(
    operations: Operations, load: Operation[Loaded], run_id: str, origin: Origin | None, missing: RunNotFound
) -> Generator[Step, Any, Loaded]:
    """The run again, if its store has lost it; else the error."""
    if origin is None or (yield operations.open(partition_of(run_id))).incarnation == origin.incarnation:
        raise missing
    give_up = time.monotonic() + HOLDERS_TURN
    while time.monotonic() < give_up:
        yield Listen(LOOK_AGAIN)
        loaded: Loaded | RunNotFound = yield load
        if not isinstance(loaded, RunNotFound):
            return loaded
    yield operations.submit(msgspec.structs.replace(origin.submission, id=run_id))
    loaded = yield load
    if isinstance(loaded, RunNotFound):
        raise loaded
    return loaded
