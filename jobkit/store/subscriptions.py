"""Subscriptions: everything a process hears from the store, over one connection of its event loop.

A listener is a callable. It gets the bytes of each publication, and None after a gap: the connection was lost and has
come back, so what was published meanwhile is unknown and must be read anew.

`subscribe` returns when the server has acknowledged it. Whoever reads the state after that misses nothing. Who waits
when it is closed is told so, by an error: nothing more will come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.exceptions import RedisError

from jobkit.errors import StoreUnavailable
from jobkit.store.connections import SHORTEST_SILENCE
from jobkit.store.conversation import backoff

Listener = Callable[[bytes | None], None]

LINGER = 10.0
"""Seconds a channel stays subscribed after its last listener: pages are reloaded."""
ACKNOWLEDGEMENT = 10.0
"""Seconds a subscription may take, at the most."""
SILENCE = 15.0
"""Seconds without a word after which the server is asked whether it is there."""

_log = logging.getLogger("jobkit.store")


class _Channel:
    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        self.acknowledged = asyncio.Event()
        self.had_gap = False
        self.closed = False

    def tell(self, payload: bytes | None) -> None:
        for listener in tuple(self.listeners):
            try:
                listener(payload)
            except Exception:  # noqa: BLE001  (one listener's fault must not deafen the others)
                _log.exception("A listener failed; the others are still told.")


class Feed:
    """One reader's place: the newest publication only, since each replaces the one before."""

    def __init__(self) -> None:
        self._newest: bytes | None = None
        self._news = asyncio.Event()
        self._closed = False

    def put(self, payload: bytes | None) -> None:
        self._newest = payload
        self._news.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._news.set()

    async def next(self, patience: float) -> bytes | None:
        """The newest publication not yet read; None after a gap, or when none came for `patience` seconds.

        Raises:
            StoreUnavailable: it was closed.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._news.wait()
        if self._closed:
            raise closed()
        self._news.clear()
        newest, self._newest = self._newest, None
        return newest


class Subscriptions:
    """Reference-counted channels of one connection, which is made at the first and closed after the last.

    `patience` is for how many seconds a subscription is waited for.
    """

    def __init__(self, connect: Callable[[], Awaitable[Any]], patience: float = ACKNOWLEDGEMENT) -> None:
        self._connect = connect
        self._patience = min(ACKNOWLEDGEMENT, max(SHORTEST_SILENCE, patience))
        self._feeds: set[Feed] = set()
        self._channels: dict[str, _Channel] = {}
        self._connection: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None

    async def subscribe(self, name: str, listener: Listener, patience: float | None = None) -> None:
        """Hear a channel, from the moment this returns.

        Raises:
            StoreUnavailable: the server did not acknowledge it in time, or all was closed.
        """
        seconds = self._patience if patience is None else min(self._patience, max(SHORTEST_SILENCE, patience))
        try:
            async with asyncio.timeout(seconds):
                await self._acknowledged(name, listener)
        except BaseException as error:
            self.unsubscribe(name, listener)
            if isinstance(error, TimeoutError):
                raise StoreUnavailable(f"The store did not acknowledge a subscription within {seconds:g} s.") from None
            raise

    def hears(self, name: str) -> bool:
        """Whether what is published on a channel now would be heard. (Callable from any thread.)"""
        channel = self._channels.get(name)
        return channel is not None and channel.acknowledged.is_set()

    @asynccontextmanager
    async def feed(self, name: str, patience: float | None = None) -> AsyncIterator[Feed]:
        """The newest publication of a channel, whenever the reader comes to look.

        Raises:
            StoreUnavailable: as `subscribe`.
        """
        feed = Feed()
        await self.subscribe(name, feed.put, patience)
        self._feeds.add(feed)
        try:
            yield feed
        finally:
            self._feeds.discard(feed)
            self.unsubscribe(name, feed.put)

    def unsubscribe(self, name: str, listener: Listener) -> None:
        channel = self._channels.get(name)
        if channel is None or listener not in channel.listeners:
            return
        channel.listeners.remove(listener)
        if not channel.listeners:
            asyncio.get_running_loop().call_later(LINGER, self._drop_if_unused, name, channel)

    async def close(self) -> None:
        reader, self._reader = self._reader, None
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.closed = True
            channel.acknowledged.set()
        for feed in self._feeds:
            feed.close()
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _acknowledged(self, name: str, listener: Listener) -> None:
        channel = self._channels.get(name)
        is_new = channel is None
        if channel is None:
            channel = self._channels[name] = _Channel()
        channel.listeners.append(listener)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_for_ever(), name="jobkit subscriptions")
        if is_new:
            await self._say("SUBSCRIBE", name)
        await channel.acknowledged.wait()
        if channel.closed:
            raise closed()

    def _drop_if_unused(self, name: str, channel: _Channel) -> None:
        if channel.listeners or self._channels.get(name) is not channel:
            return
        del self._channels[name]
        if self._channels:
            self._leaving = asyncio.ensure_future(self._leave(name))  # the loop itself keeps no task alive
        elif self._reader is not None:
            self._reader.cancel()
            self._reader = None

    async def _leave(self, name: str) -> None:
        if name not in self._channels:  # somebody may have come back before this task began
            await self._say("UNSUBSCRIBE", name)

    async def _say(self, *command: str) -> None:
        """Best effort: what a broken connection swallows is said again when it is back."""
        if self._connection is None:
            return
        try:
            await self._connection.send_command(*command)
        except (RedisError, OSError) as error:
            _log.debug("A subscription command was not sent (%s); it will be after reconnecting.", error)

    async def _read_for_ever(self) -> None:
        pauses = backoff()
        while True:
            try:
                connection = await self._connect()
                pauses = backoff()
                await self._read(connection)
            except (RedisError, OSError, StoreUnavailable) as error:
                _log.info("The subscription connection broke (%s); reconnecting.", error)
            for channel in self._channels.values():
                channel.had_gap = channel.had_gap or channel.acknowledged.is_set()
                channel.acknowledged.clear()
            await asyncio.sleep(next(pauses))

    async def _read(self, connection: Any) -> None:
        try:
            self._connection = connection  # first: who comes while the others are subscribed subscribes by itself
            if self._channels:
                await connection.send_command("SUBSCRIBE", *self._channels)
            asked = False
            while True:
                message = await connection.read_response(timeout=SILENCE)
                if message is not None:
                    asked = False
                    self._hear(message)
                elif asked:
                    raise StoreUnavailable(f"no answer to a ping within {SILENCE:g} s")
                else:
                    asked = True
                    await connection.send_command("PING")
        finally:
            self._connection = None
            await connection.disconnect(nowait=True)

    def _hear(self, message: list[Any]) -> None:
        kind = message[0]
        channel = self._channels.get(message[1].decode()) if kind in (b"message", b"subscribe") else None
        if channel is None:
            return
        if kind == b"message":
            channel.tell(message[2])
            return
        channel.acknowledged.set()
        if channel.had_gap:
            channel.had_gap = False
            channel.tell(None)


def closed() -> StoreUnavailable:
    """What is told to those who wait."""
    return StoreUnavailable("The kit was closed meanwhile. What runs goes on: ask again, and it connects again.")
