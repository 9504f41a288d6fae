"""Interruption: how another thread stops what the main thread does, be it a job or waiting for one.

A signal makes the main thread's handler run, between two steps of Python or out of a blocking call. The handler raises
only while that is wanted: in a job only between arming and disarming, only for the very start (token) that is to
stop, and only once, so that the job's own cleaning up is left alone. A job on an event loop is cancelled through the
loop instead, at its next await.

Nothing here needs a lock: each start has a `_Current` of its own, so a thread that still holds an old one stops
nothing.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from jobkit.execution import StopReason
from jobkit.progress import Cancelled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from jobkit.progress import Progress

SIGNAL = signal.SIGUSR2


class Drained(BaseException):
    """Raised in the waiting main thread: there is nothing more to wait for."""


class _Current:
    """One start that is being performed."""

    def __init__(self, token: str, progress: Progress) -> None:
        self.token = token
        self.progress = progress
        self.stopped: StopReason | None = None
        self.armed = False
        self.cancel_task: Callable[[], object] | None = None


class Interruption:
    """Made in the main thread of a child; `stop` and `drain` are for its other threads."""

    def __init__(self) -> None:
        self._main = threading.get_ident()
        self._process = os.getpid()
        self._current: _Current | None = None
        self._early: tuple[str, StopReason] | None = None
        self._waiting = False
        self.draining = False
        signal.signal(SIGNAL, self._handle)

    # From other threads -----------------------------------------------------------------------------------------------

    def stop(self, token: str, reason: StopReason) -> None:
        """Stop the start with this token, or, with an empty one, whatever is being performed."""
        self._early = (token, reason)  # its lease may be on the way to us just now
        current = self._current
        if current is not None and token in ("", current.token):
            self._stop(current, reason)

    def drain(self) -> None:
        """End the waiting. A job that is being performed goes on, but for one that can be gone on with elsewhere."""
        self.draining = True
        if (current := self._current) is not None:
            current.progress.interrupt(StopReason.HANDED_BACK)
        signal.pthread_kill(self._main, SIGNAL)

    def _stop(self, current: _Current, reason: StopReason) -> None:
        if current.stopped is None:
            current.stopped = reason
            current.progress.stop(reason)
            self._interrupt(current)

    def _interrupt(self, current: _Current) -> None:
        cancel = current.cancel_task
        if cancel is None:
            signal.pthread_kill(self._main, SIGNAL)
        else:
            with suppress(RuntimeError):  # the loop has just closed: the job has ended
                cancel()

    # In the main thread -----------------------------------------------------------------------------------------------

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """What is done inside ends with `Drained` as soon as there is nothing more to wait for."""
        try:
            self._waiting = True
            if self.draining:
                raise Drained
            yield
        finally:
            self._waiting = False

    def perform(self, token: str, progress: Progress, call: Callable[[], object]) -> object:
        """What `call` returns, or, if that is a coroutine, what it comes to.

        Raises:
            Cancelled: it was stopped, whatever it made of that.
        """
        signal.signal(SIGNAL, self._handle)  # anew each time: a job may have taken it, or blocked it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (SIGNAL,))
        current = self._current = _Current(token, progress)
        try:
            if self.draining:
                progress.interrupt(StopReason.HANDED_BACK)
            if self._early is not None and self._early[0] == token:
                self._stop(current, self._early[1])
            value = self._armed(current, call)
            return asyncio.run(self._awaited(current, value)) if inspect.isawaitable(value) else value
        except Cancelled:
            raise
        except BaseException as error:
            if current.stopped is not None:
                raise Cancelled(current.stopped) from error
            raise
        finally:
            self._current = None
            if os.getpid() != self._process:
                os._exit(0)  # a fork made by the job came back from it: the run is the parent's

    def _armed(self, current: _Current, call: Callable[[], object]) -> object:
        try:
            current.armed = True
            if current.stopped is not None:
                raise Cancelled(current.stopped)
            return call()
        finally:
            current.armed = False

    async def _awaited(self, current: _Current, value: Awaitable[object]) -> object:
        task = asyncio.ensure_future(value)
        loop = asyncio.get_running_loop()
        current.cancel_task = lambda: loop.call_soon_threadsafe(task.cancel)
        if current.stopped is not None:
            task.cancel()
        return await task

    def _handle(self, _number: int, _frame: object) -> None:
        if os.getpid() != self._process:
            return
        current = self._current
        if current is not None and current.armed and current.stopped is not None:
            current.armed = False
            raise Cancelled(current.stopped)
        if self._waiting and self.draining:
            self._waiting = False
            raise Drained
