"""Listening for blocking callers: one background event loop hears for all threads of a process.

However many threads wait, there is one connection and one thread more; both end with `close`.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from jobkit.errors import StoreError
from jobkit.store.conversation import backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobkit.store.async_client import AsyncStore
    from jobkit.store.subscriptions import Listener


class ThreadFeed:
    """One thread's place: the newest publication only, since each replaces the one before."""

    def __init__(self) -> None:
        self._newest: bytes | None = None
        self._news = threading.Event()

    def put(self, payload: bytes | None) -> None:
        self._newest = payload
        self._news.set()

    def next(self, patience: float) -> bytes | None:
        """The newest publication not yet read; None after a gap, or when none came for `patience` seconds."""
        self._news.wait(patience)
        self._news.clear()
        newest, self._newest = self._newest, None
        return newest


class Listening:
    """The background loop, started at the first feed. Thread-safe."""

    def __init__(self, new_store: Callable[[], AsyncStore]) -> None:
        self._new_store = new_store
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._store: AsyncStore | None = None

    @contextmanager
    def feed(self, channel: str) -> Iterator[ThreadFeed]:
        """Hear a channel; it is subscribed when the block begins.

        Raises:
            StoreUnavailable: the store did not acknowledge.
        """
        loop, store = self._running()
        feed = ThreadFeed()
        asyncio.run_coroutine_threadsafe(store.subscriptions.subscribe(channel, feed.put), loop).result()
        try:
            yield feed
        finally:
            loop.call_soon_threadsafe(store.subscriptions.unsubscribe, channel, feed.put)

    def hear(self, channel: str, listener: Listener) -> Callable[[], bool]:
        """Hear a channel from some moment on, in the listening thread; does not wait for that.

        Returns what tells whether it is heard now.
        """
        loop, store = self._running()
        asyncio.run_coroutine_threadsafe(_subscribed(store, channel, listener), loop)
        return partial(store.subscriptions.hears, channel)

    def close(self) -> None:
        with self._starting:
            loop, self._loop = self._loop, None
            if loop is None or self._store is None or self._thread is None:
                return
            asyncio.run_coroutine_threadsafe(self._store.close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    def _running(self) -> tuple[asyncio.AbstractEventLoop, AsyncStore]:
        with self._starting:
            if self._loop is None or self._store is None:
                self._loop = asyncio.new_event_loop()
                self._store = self._new_store()
                self._thread = threading.Thread(target=self._loop.run_forever, name="jobkit listening", daemon=True)
                self._thread.start()
            return self._loop, self._store


async def _subscribed(store: AsyncStore, channel: str, listener: Listener) -> None:
    """However long that takes; once it is, it stays so over reconnects."""
    for pause in backoff():
        try:
            await store.subscriptions.subscribe(channel, listener)
        except StoreError:
            await asyncio.sleep(pause)
        else:
            return
