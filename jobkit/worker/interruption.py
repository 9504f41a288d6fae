"""Interruption: how another thread stops a start that is being performed, or the waiting for one.

A job that runs in the main thread is stopped by a signal, whose handler runs between two steps of Python or out of a
blocking call (`MainThread`). One that runs in any other thread gets an exception set by the interpreter, which comes
between two steps of Python only (`AnyThread`). A job on an event loop is cancelled through the loop, at its next await.

Either way it is raised only while that is wanted: between arming and disarming, only in the very start (token) that is
to stop, and only once, so that the job's own cleaning up is left alone. Each start has an `Interruptible` of its own,
so a thread that still holds an old one stops nothing; who stops waits for others who do, and no job for any of them.
"""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import logging
import os
import signal
import threading
import time
from collections import OrderedDict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from jobkit.decision import StopReason
from jobkit.progress import Cancelled
from jobkit.records import let_go_of_logs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from concurrent.futures import Future

    from jobkit.progress import Progress

SIGNAL = signal.SIGUSR2
MOST_EARLY = 1000
"""Stops that are kept for starts of which nothing is known yet."""
ANSWER_SECONDS = 1.0
"""A loop that does not answer for so long is held up."""

_log = logging.getLogger("jobkit.worker")


class Drained(BaseException):
    """Raised where a slot waits for work: there is nothing more to wait for."""


class Interruptible:
    """A start that is being performed, and how far it is stopped."""

    def __init__(self, token: str, progress: Progress) -> None:
        self.token = token
        self.progress = progress
        self.thread = threading.get_ident()
        self.stopped: StopReason | None = None
        self.armed = False
        self.being_interrupted = False
        self.cancel_task: Callable[[], object] | None = None
        self.awaited: Future[Any] | None = None
        """What its thread waits for, if that is on a loop of others."""


class Interruption:
    """Stops what hears it by itself: at a call of its progress, or at an await. The other two raise it in the job, too.

    `stop` and `drain` are for other threads than those that perform.
    """

    def __init__(self) -> None:
        self.draining = False
        self._process = os.getpid()
        self._stopping = threading.Lock()
        self._starts: dict[str, Interruptible] = {}
        self._early: OrderedDict[str, StopReason] = OrderedDict()

    # From other threads -----------------------------------------------------------------------------------------------

    def stop(self, token: str, reason: StopReason) -> None:
        """Stop the start with this token, or, with an empty one, whatever is being performed."""
        if token:
            self._early[token] = reason  # its lease may be on the way to us just now
            while len(self._early) > MOST_EARLY:
                self._early.popitem(last=False)
        for start in tuple(self._starts.values()):
            if token in ("", start.token):
                self._stop(start, reason)

    def drain(self) -> None:
        """End the waiting. A job that is being performed goes on, but for one that can be gone on with elsewhere."""
        self.draining = True
        for start in tuple(self._starts.values()):
            start.progress.interrupt(StopReason.HANDED_BACK)

    def give_up(self) -> None:
        """A start could not be stopped."""

    # Where jobs are performed -----------------------------------------------------------------------------------------

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """What is done inside ends with `Drained` when there is nothing more to wait for."""
        if self.draining:
            raise Drained
        yield

    def perform(self, token: str, progress: Progress, call: Callable[[], object]) -> object:
        """What `call` returns, or, if that is a coroutine, what it comes to.

        Raises:
            Cancelled: it was stopped, whatever it made of that.
        """
        start = self._starts[token] = Interruptible(token, progress)
        try:
            if self.draining:
                progress.interrupt(StopReason.HANDED_BACK)
            early = self._early.get(token)
            if early is not None:
                self._stop(start, early)
            value = self._armed(start, call)
            return self._come_to(start, value) if inspect.isawaitable(value) else value
        except BaseException as error:
            if start.stopped is None or (isinstance(error, Cancelled) and error.reason == start.stopped):
                raise
            raise Cancelled(start.stopped) from error
        finally:
            self._disarm(start)  # again: the first time may have been broken off by what was on its way
            self._starts.pop(token, None)
            if start.stopped is not None:
                let_go_of_logs()
            if os.getpid() != self._process:
                os._exit(0)  # a fork made by the job came back from it: the run is the parent's

    def _armed(self, start: Interruptible, call: Callable[[], object]) -> object:
        try:
            start.armed = True
            if start.stopped is not None:
                raise Cancelled(start.stopped)
            return call()
        finally:
            self._disarm(start)

    def _stop(self, start: Interruptible, reason: StopReason) -> None:
        with self._stopping:
            if start.stopped is not None:
                return
            start.stopped = reason
            start.progress.stop(reason)
            if start.cancel_task is None:
                self._raise_in(start)
            else:
                with suppress(RuntimeError):  # the loop has just closed: the job has ended
                    start.cancel_task()

    def _come_to(self, start: Interruptible, value: Awaitable[object]) -> object:
        """What is awaited, on a loop of its own."""
        return asyncio.run(self._awaited(start, value))

    async def _awaited(self, start: Interruptible, value: Awaitable[object]) -> object:
        """It can be cancelled through its task from now on."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None, "a coroutine that is awaited is a task's"
        with self._stopping:  # so it is cancelled once: here, or by who stops it
            start.cancel_task = lambda: loop.call_soon_threadsafe(task.cancel)
            stopped = start.stopped is not None
        if stopped:
            task.cancel()
        return await value

    def _raise_in(self, start: Interruptible) -> None:
        """Nothing can be done."""

    def _disarm(self, start: Interruptible) -> None:
        start.armed = False


class MainThread(Interruption):
    """Made in the main thread of a child that performs there, one start at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._main = threading.get_ident()
        self._waiting = False
        signal.signal(SIGNAL, self._handle)

    def drain(self) -> None:
        super().drain()
        signal.pthread_kill(self._main, SIGNAL)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """As it is said above, and as soon as there is nothing more to wait for."""
        try:
            self._waiting = True
            if self.draining:
                raise Drained
            yield
        finally:
            self._waiting = False

    def perform(self, token: str, progress: Progress, call: Callable[[], object]) -> object:
        signal.signal(SIGNAL, self._handle)  # anew each time: a job may have taken it, or blocked it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (SIGNAL,))
        return super().perform(token, progress, call)

    def _raise_in(self, _start: Interruptible) -> None:
        signal.pthread_kill(self._main, SIGNAL)

    def _handle(self, _number: int, _frame: object) -> None:
        if os.getpid() != self._process:
            return
        for start in self._starts.values():
            if start.armed and start.stopped is not None:
                start.armed = False
                raise Cancelled(start.stopped)
        if self._waiting and self.draining:
            self._waiting = False
            raise Drained


class AnyThread(Interruption):
    """For a child whose threads perform, one start each at a time."""

    def _raise_in(self, start: Interruptible) -> None:
        start.being_interrupted = True
        if start.armed:
            _raise_in_thread(start.thread, Cancelled)
        start.being_interrupted = False

    def _disarm(self, start: Interruptible) -> None:
        """When this returns, nothing is raised in this thread any more."""
        start.armed = False
        while start.being_interrupted:
            time.sleep(0)
        if start.stopped is not None:
            _raise_in_thread(start.thread, None)


class OneLoop(AnyThread):
    """As `AnyThread`, but what is awaited all runs on one event loop, in a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run_for_ever, name="jobkit-loop", daemon=True).start()

    def give_up(self) -> None:
        """If it holds up the loop, whatever else is awaited there is handed back."""
        threading.Thread(target=self._hand_back_while_held_up, name="jobkit-held-up", daemon=True).start()

    def _run_for_ever(self) -> None:
        """A job may stop the loop, and what ends a program breaks it off in any task or callback: others are on it."""
        while not self._loop.is_closed():
            try:
                self._loop.run_forever()
            except BaseException as error:  # noqa: BLE001
                _log.warning("A job broke off the event loop of all, which goes on.", exc_info=error)
            else:
                _log.warning("A job stopped the event loop of all, which goes on.")
        _log.critical("A job closed the event loop of all: their process ends.")
        os._exit(1)

    def _hand_back_while_held_up(self) -> None:
        answered = threading.Event()
        self._loop.call_soon_threadsafe(answered.set)
        while not answered.wait(ANSWER_SECONDS):
            for start in tuple(self._starts.values()):
                if start.awaited is not None:
                    self._stop(start, StopReason.HANDED_BACK)
                    start.awaited.cancel()

    def _come_to(self, start: Interruptible, value: Awaitable[object]) -> object:
        """A task in the context of this thread. It never raises: what ends a program would end the loop of all."""
        future = asyncio.run_coroutine_threadsafe(self._settled(start, value), self._loop)
        start.awaited = future
        error, result = future.result()
        if error is not None:
            raise error
        return result

    async def _settled(self, start: Interruptible, value: Awaitable[object]) -> tuple[BaseException | None, object]:
        try:
            return None, await self._awaited(start, value)
        except BaseException as error:  # noqa: BLE001
            return error, None


def _raise_in_thread(thread: int, error: type[BaseException] | None) -> None:
    """Between two steps of Python; None takes back what was not raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error) if error else None)
