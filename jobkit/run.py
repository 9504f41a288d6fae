"""Run: the handle of one admitted run: read it, wait for it, watch it, cancel it.

A handle holds no connection and no state of its own but what its submission said. Every blocking method has an
async twin with the prefix `a`. Both are thin: what they ask is an operation of the store, and what a reader makes of
the snapshots it sees is decided once, in `_value`.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from msgspec import json

from jobkit import asking
from jobkit.codec import mentions_files
from jobkit.errors import RunCancelled, RunError, RunFailed, RunNotFound, RunTimeout, StoreMisconfigured, WorkerLost
from jobkit.following import Listen, Moved, following
from jobkit.lifecycle import State
from jobkit.performing import performed
from jobkit.snapshot import Snapshot
from jobkit.store.operations import Operation
from jobkit.store.replies import Admission, Admitted, Cancelling, Loaded
from jobkit.text import one_line
from jobkit.tracebacks import summary_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator
    from datetime import timedelta

    from jobkit.files import FileStorage
    from jobkit.following import Following, Origin, Step
    from jobkit.incident import Incident
    from jobkit.job import JobSpec
    from jobkit.store.async_client import AsyncStore
    from jobkit.store.client import Store
    from jobkit.store.listening import Listening
    from jobkit.store.operations import Operations

R = TypeVar("R")


class Kit(Protocol):
    """What a run needs of the kit that it came from; `JobKit` fits."""

    operations: Operations

    @property
    def files(self) -> FileStorage: ...
    def store(self) -> Store: ...
    def async_store(self) -> AsyncStore: ...
    def listening(self) -> Listening: ...
    def secret(self) -> bytes: ...
    def awaited(self, queue: str) -> float | None: ...
    async def aawaited(self, queue: str) -> float | None: ...
    def warn_if_blocking(self, method: str) -> None: ...


class Run(Generic[R]):
    """One run of a job. `admission` is what `submit` decided; None for a handle made from an id."""

    __slots__ = ("_answered", "_origin", "_spec", "admission", "id", "interest", "kit", "refresh_id")

    def __init__(
        self,
        run_id: str,
        kit: Kit,
        spec: JobSpec | None = None,
        *,
        admission: Admission | None = None,
        interest: str = "",
        answered: bytes | None = None,
        refresh_id: str | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.id = run_id
        self.admission = admission
        self.refresh_id = refresh_id
        """The run that makes this answer anew, where one does; else None."""
        self.interest = interest
        """The name of this handle's stake in the run; empty for a handle made from an id."""
        self.kit = kit
        self._spec = spec
        self._answered = answered
        self._origin = origin

    def __repr__(self) -> str:
        return f"<Run {self.id}{f' {self.admission}' if self.admission else ''}>"

    # Reading ----------------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The run as it stands now.

        Raises:
            RunNotFound: no such run is kept.
        """
        self.kit.warn_if_blocking("snapshot")
        return self._seen(self.kit.store().execute(self._loading()).snapshot)

    async def asnapshot(self) -> Snapshot:
        return self._seen((await self.kit.async_store().execute(self._loading())).snapshot)

    def watch(self) -> Iterator[Snapshot]:
        """Snapshots, each newer than the one before; the first at once, the last terminal.

        A slow reader misses some in between, never the last.
        """
        self.kit.warn_if_blocking("watch")
        return cast("Iterator[Snapshot]", self._follow(deadline=None))

    def awatch(self) -> AsyncIterator[Snapshot]:
        return cast("AsyncIterator[Snapshot]", self._afollow(deadline=None))

    def result(self, timeout: timedelta | float | None = None) -> R:
        """What `perform` returned; waits for it, for at most `timeout` (a timedelta or seconds).

        A store that does not answer is waited for until then, too, or for the kit's `patience` if that is less; but no
        reply is given up before its second is over, and two may be waited for.

        Raises:
            RunFailed: it failed (WorkerLost when its workers died too often).
            RunCancelled: it was cancelled.
            RunTimeout: it has not ended yet; the run itself goes on.
            RunNotFound: no such run is kept.
            StoreUnavailable: the store does not answer, or the kit was closed.
        """
        if self._answered is not None:
            return self._decoded(self._answered)
        self.kit.warn_if_blocking("result")
        seconds = _seconds(timeout)
        if seconds != 0:
            self._refuse_to_wait()
        last: Snapshot | None = None
        for seen in self._follow(_deadline(seconds), whole=True):
            if isinstance(seen, Loaded):
                return self._value(seen)
            last = seen
        raise self._timeout(seconds, last)

    async def aresult(self, timeout: timedelta | float | None = None) -> R:  # noqa: ASYNC109  (the twin of `result`)
        if self._answered is not None:
            return self._decoded(self._answered)
        seconds = _seconds(timeout)
        if seconds != 0:
            self._refuse_to_wait()
        last: Snapshot | None = None
        async with aclosing(self._afollow(_deadline(seconds), whole=True)) as steps:
            async for seen in steps:
                if isinstance(seen, Loaded):
                    return self._value(seen)
                last = seen
        raise self._timeout(seconds, last)

    def incidents(self) -> tuple[Incident, ...]:
        """What befell its starts that did not succeed, oldest first; the last ten.

        Raises:
            RunNotFound: no such run is kept.
        """
        self.kit.warn_if_blocking("incidents")
        return self.kit.store().execute(self.kit.operations.incidents(self.id))

    async def aincidents(self) -> tuple[Incident, ...]:
        return await self.kit.async_store().execute(self.kit.operations.incidents(self.id))

    # Cancelling and owning --------------------------------------------------------------------------------------------

    def cancel(self, *, force: bool = False) -> bool:
        """Withdraw this handle's interest; the run stops when nobody else waits for it.

        `force` stops it for everybody. Returns whether the run is stopping (True also when it was already cancelled);
        False: others wait and it goes on, this handle holds no interest, or it had ended.
        """
        self.kit.warn_if_blocking("cancel")
        self._origin = None
        operation = self.kit.operations.cancel(self.id, self.interest, force=force)
        return self.kit.store().execute(operation) is Cancelling.STOPPING

    async def acancel(self, *, force: bool = False) -> bool:
        self._origin = None
        operation = self.kit.operations.cancel(self.id, self.interest, force=force)
        return await self.kit.async_store().execute(operation) is Cancelling.STOPPING

    def owned_by(self, owner: str) -> bool:
        """Whether this owner submitted the run, joining and memo hits included."""
        self.kit.warn_if_blocking("owned_by")
        return self.kit.store().execute(self.kit.operations.owned(self.id, asking.owner(owner)))

    async def aowned_by(self, owner: str) -> bool:
        return await self.kit.async_store().execute(self.kit.operations.owned(self.id, asking.owner(owner)))

    # Within -----------------------------------------------------------------------------------------------------------

    @property
    def _channel(self) -> str:
        return self.kit.operations.snapshots_channel(self.id)

    def _loading(self) -> Operation[Loaded]:
        return self.kit.operations.load(self.id, interest=self.interest)

    def _follow(self, deadline: float | None, *, whole: bool = False) -> Iterator[Snapshot | Loaded]:
        """As `following`; only with `whole` what was loaded at the end is the last."""
        run_id = ""
        while run_id != self.id:  # a lost run may go on under another id
            run_id = self.id
            yield from self._follow_here(deadline, whole)

    def _follow_here(self, deadline: float | None, whole: bool) -> Iterator[Snapshot | Loaded]:
        """First subscribed, then read: what is published in between is not missed."""
        steps, store = self._steps(deadline, whole), self.kit.store()
        answer: Any = None
        queue = ""
        with self.kit.listening().feed(self._channel, _left(deadline)) as feed:
            while (step := _next(steps, answer)) is not None:
                answer = None
                match step:
                    case Snapshot():
                        queue = step.queue.name
                        yield self._seen(step)
                    case Loaded():
                        yield step
                    case Listen(seconds):
                        self._refuse_to_wait()
                        answer = feed.next(_at_most(seconds, self.kit.awaited(queue) if queue else None))
                    case Operation():
                        try:
                            answer = store.execute(step, _left(deadline))
                        except RunNotFound as error:
                            answer = error
                    case Moved(admitted):
                        self._move_to(admitted)

    async def _afollow(self, deadline: float | None, *, whole: bool = False) -> AsyncGenerator[Snapshot | Loaded, None]:
        run_id = ""
        while run_id != self.id:
            run_id = self.id
            async with aclosing(self._afollow_here(deadline, whole)) as steps:
                async for step in steps:
                    yield step

    async def _afollow_here(self, deadline: float | None, whole: bool) -> AsyncGenerator[Snapshot | Loaded, None]:
        steps, store = self._steps(deadline, whole), self.kit.async_store()
        answer: Any = None
        queue = ""
        async with store.subscriptions.feed(self._channel, _left(deadline)) as feed:
            while (step := _next(steps, answer)) is not None:
                answer = None
                match step:
                    case Snapshot():
                        queue = step.queue.name
                        yield self._seen(step)
                    case Loaded():
                        yield step
                    case Listen(seconds):
                        self._refuse_to_wait()
                        answer = await feed.next(_at_most(seconds, await self.kit.aawaited(queue) if queue else None))
                    case Operation():
                        try:
                            answer = await store.execute(step, _left(deadline))
                        except RunNotFound as error:
                            answer = error
                    case Moved(admitted):
                        self._move_to(admitted)

    def _seen(self, snapshot: Snapshot) -> Snapshot:
        """What has ended is not submitted again, but for a result that nobody has yet."""
        if snapshot.state.terminal and snapshot.state is not State.SUCCEEDED:
            self._origin = None
        return snapshot

    def _move_to(self, admitted: Admitted) -> None:
        """The store has lost the run, and this one answers in its place."""
        self.id, self.admission = admitted.id, admitted.admission
        if admitted.admission is not Admission.JOINED:
            self.interest, self._origin = "", None

    def _steps(self, deadline: float | None, whole: bool) -> Following:
        return following(self.kit.operations, self.id, self.interest, self._origin, deadline, whole=whole)

    def _refuse_to_wait(self) -> None:
        """A pool whose workers all wait for runs in its queue would wait for ever."""
        within = performed()
        if within is not None:
            raise RunError(
                f"Run {within.run_id} waits for run {self.id} while it is performed, and so keeps a worker from it: "
                "submit it and return, or look without waiting, by snapshot() or result(timeout=0).",
                run_id=self.id,
            )

    def _value(self, loaded: Loaded) -> R:
        self._origin = None
        match loaded.snapshot.state:
            case State.SUCCEEDED:
                return self._decoded(loaded.result or b"null")
            case State.CANCELLED:
                raise RunCancelled(f"Run {self.id} was cancelled; it has no result.", run_id=self.id)
            case _:
                raise self._failure(loaded)

    def _decoded(self, result: bytes) -> R:
        if self._spec is None:
            value: R = json.decode(result)
        else:
            value = self._spec.decode_result(result, storage=self._files if mentions_files(result) else None)
        return value

    @property
    def _files(self) -> FileStorage | None:
        """None where result files have no place; a result that holds one says so when its path is asked for."""
        try:
            return self.kit.files
        except StoreMisconfigured:
            return None

    def _failure(self, loaded: Loaded) -> RunFailed:
        """With the error's own words: who holds a kit may read what browsers may not."""
        error = loaded.snapshot.error
        kind = WorkerLost if loaded.lost_worker else RunFailed
        message = error.message if error else "It failed."
        if error and not error.public and loaded.traceback:
            message = one_line(summary_of(loaded.traceback)) or message
        failure = kind(
            f"Run {self.id} ({loaded.snapshot.job}) failed: {message}",
            run_id=self.id,
            error=error,
            retry_at=loaded.retry_at,
        )
        if loaded.traceback and not loaded.lost_worker:
            failure.add_note(f"In the worker:\n{loaded.traceback}")
        elif loaded.incident:
            failure.add_note(loaded.incident.to_text())
        return failure

    def _timeout(self, seconds: float | None, last: Snapshot | None) -> RunTimeout:
        return RunTimeout(f"Run {self.id} has not ended within {seconds:g} s. {_why_not_yet(last)}", run_id=self.id)


def _why_not_yet(last: Snapshot | None) -> str:
    if last is not None and last.due_at is not None:
        attempt = f", its attempt {last.attempt} of {last.max_attempts}" if last.attempt > 1 else ""
        return f"It is scheduled{attempt}, and may start in {max(0.0, last.due_at - time.time()):.0f} s."
    if last is None or last.state is not State.QUEUED or last.queue.workers != 0:
        return "It goes on: wait again, or cancel it."
    queue = last.queue.name
    option = "" if queue == "default" else f" --queues {queue}"
    return f"It waits, and no worker served the queue {queue!r}: start one with `jobkit worker MODULE:KIT{option}`."


def _seconds(timeout: timedelta | float | None) -> float | None:
    return None if timeout is None else asking.seconds("timeout", timeout)


def _deadline(seconds: float | None) -> float | None:
    """By the monotonic clock."""
    return None if seconds is None else time.monotonic() + seconds


def _left(deadline: float | None) -> float | None:
    """Seconds until it."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _at_most(seconds: float, most: float | None) -> float:
    return seconds if most is None else min(seconds, most)


def _next(steps: Following, answer: Any) -> Step | None:
    try:
        return steps.send(answer)
    except StopIteration:
        return None
