"""Listening for blocking callers: one background event loop hears for all threads of a process.

However many threads wait, there is one connection and one thread more. Both end with `close`, for good: it may come at
any moment and from any thread, and whoever waits then is told so.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from jobkit.errors import StoreError, StoreUnavailable
from jobkit.store.conversation import backoff
from jobkit.store.subscriptions import closed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from concurrent.futures import Future

    from jobkit.store.async_client import AsyncStore
    from jobkit.store.subscriptions import Listener


class ThreadFeed:
    """One thread's place: the newest publication only, since each replaces the one before."""

    def __init__(self) -> None:
        self._newest: bytes | None = None
        self._news = threading.Event()
        self._closed = False

    def put(self, payload: bytes | None) -> None:
        self._newest = payload
        self._news.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._news.set()

    def next(self, patience: float) -> bytes | None:
        """The newest publication not yet read; None after a gap, or when none came for `patience` seconds.

        Raises:
            StoreUnavailable: it was closed.
        """
        self._news.wait(patience)
        self._news.clear()
        if self._closed:
            raise closed()
        newest, self._newest = self._newest, None
        return newest


class _Running(NamedTuple):
    loop: asyncio.AbstractEventLoop
    store: AsyncStore
    over: asyncio.Event


class Listening:
    """The background loop, started at the first feed. Thread-safe."""

    def __init__(self, new_store: Callable[[], AsyncStore]) -> None:
        self._new_store = new_store
        self._lock = threading.RLock()  # a generator that the collector ends, in any thread, leaves its feed
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._running: _Running | None = None
        self._feeds: set[ThreadFeed] = set()
        self._closed = False

    @contextmanager
    def feed(self, channel: str, patience: float | None = None) -> Iterator[ThreadFeed]:
        """Hear a channel; it is subscribed when the block begins.

        Raises:
            StoreUnavailable: the store did not acknowledge it within `patience` seconds, or this was closed.
        """
        feed = ThreadFeed()
        self._feeds.add(feed)
        try:
            with self.subscribed(channel, feed.put, patience):
                yield feed
        finally:
            self._feeds.discard(feed)

    @contextmanager
    def subscribed(self, channel: str, listener: Listener, patience: float | None = None) -> Iterator[None]:
        """Have all that is published while the block lasts heard, in the listening thread.

        Raises:
            StoreUnavailable: as `feed`.
        """
        try:
            self._wait_for(lambda store: store.subscriptions.subscribe(channel, listener, patience))
            yield
        finally:
            self._leave(channel, listener)

    def hear(self, channel: str, listener: Listener) -> Callable[[], bool]:
        """Hear a channel from some moment on, in the listening thread; does not wait for that.

        Returns what tells whether it is heard now.
        """
        try:
            running, _ = self._begin(lambda store: _subscribed(store, channel, listener))
        except StoreUnavailable:
            return _never
        return partial(running.store.subscriptions.hears, channel)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            running, thread = self._running, self._thread
            if running is None or thread is None:
                return
            if thread.is_alive():  # what was begun before this is heard of by the loop before it
                running.loop.call_soon_threadsafe(running.over.set)
        for feed in tuple(self._feeds):
            feed.close()
        if thread is not threading.current_thread():
            thread.join()

    def _wait_for(self, what: Callable[[AsyncStore], Coroutine[Any, Any, None]]) -> None:
        try:
            self._begin(what)[1].result()
        except CancelledError:
            raise closed() from None

    def _begin(self, what: Callable[[AsyncStore], Coroutine[Any, Any, None]]) -> tuple[_Running, Future[None]]:
        with self._lock:
            if self._closed:
                raise closed()
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="jobkit listening", daemon=True)
                thread.start()
                self._thread = thread
            self._started.wait()
            assert self._running is not None
            return self._running, asyncio.run_coroutine_threadsafe(what(self._running.store), self._running.loop)

    def _leave(self, channel: str, listener: Listener) -> None:
        with self._lock:
            if self._running is not None and not self._closed:
                self._running.loop.call_soon_threadsafe(
                    self._running.store.subscriptions.unsubscribe, channel, listener
                )

    def _run(self) -> None:
        asyncio.run(self._listen())

    async def _listen(self) -> None:
        store, over = self._new_store(), asyncio.Event()
        self._running = _Running(asyncio.get_running_loop(), store, over)
        self._started.set()
        try:
            await over.wait()
        finally:
            await store.close()


async def _subscribed(store: AsyncStore, channel: str, listener: Listener) -> None:
    """However long that takes; once it is, it stays so over reconnects."""
    for pause in backoff():
        try:
            await store.subscriptions.subscribe(channel, listener)
        except StoreError:
            await asyncio.sleep(pause)
        else:
            return


def _never() -> bool:
    return False
