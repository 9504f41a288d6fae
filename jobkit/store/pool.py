"""A pool of connections for threads: each is used by one thread at a time, and a thread that finds none waits for one.

Smaller than the client library's own, whose bookkeeping costs a short command a fifth of its time. The connection
used last is used first, so a program with one thread has one connection.

A signal may raise between any two steps of a thread, and the connection that it has then is never given back. So the
pool counts the connections that there are, not those that it has made: one that nobody holds any more is closed by its
end, and another may be made. For the same reason nothing here is kept in order by code that must not be broken off.
"""

from __future__ import annotations

import threading
import time
import weakref
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from jobkit.store.connections import as_redis_error, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOOK = 0.5
"""Seconds after which a waiting thread looks again by itself: nobody tells it of a connection that has ended."""


class Pool:
    """At most `size` connections; `connect` makes one, `patience` (s) is how long a thread waits for its turn."""

    def __init__(self, connect: Callable[[], Any], size: int, patience: float) -> None:
        self._connect = connect
        self._size = size
        self._patience = patience
        self._idle: list[Any] = []
        self._all: weakref.WeakSet[Any] = weakref.WeakSet()
        self._making = threading.Lock()
        self._waiting: set[object] = set()
        self._freed: SimpleQueue[None] = SimpleQueue()
        """Wakes who waits. (A condition can be left locked by a signal; this cannot.)"""
        self._closed = False

    def exchange(self, commands: Sequence[tuple[Any, ...]], silence: float | None = None) -> list[Any] | Exception:
        """The replies to these commands, in one round trip; or the error that broke it.

        `silence` is for how many seconds the server may be silent; None for as long as the connections allow.
        """
        connection, whole = None, False
        try:
            connection = self.acquire()
            replies = _exchanged(connection, commands) if silence is None else _soon(connection, commands, silence)
            whole = True
        except (RedisError, OSError) as error:
            return as_redis_error(error)
        else:
            return replies
        finally:
            if connection is not None:
                if not whole:  # also when a signal broke in: nobody may read the rest of these replies
                    connection.disconnect()
                self.release(connection)

    def acquire(self) -> Any:
        """A connection of the caller's own until it is released; it connects by itself when it is used.

        Raises:
            redis.ConnectionError: all were in use for too long.
        """
        try:
            return self._idle.pop()  # a list's own operations are atomic, so the usual way needs no lock
        except IndexError:
            return self._made_or_awaited()

    def release(self, connection: Any) -> None:
        self._idle.append(connection)
        if self._closed:
            self._drop_idle()
        if self._waiting and self._freed.qsize() < self._size:  # who waits looks once more after it has said so
            self._freed.put(None)

    def close(self) -> None:
        """Close all connections; one that is in use is closed when it is released."""
        self._closed = True
        self._drop_idle()

    def _made_or_awaited(self) -> Any:
        give_up = time.monotonic() + self._patience
        connection, place = self._made(), object()
        try:
            while connection is None:
                self._waiting.add(place)
                connection = self._freed_or_made(min(LOOK, give_up - time.monotonic()))
                if connection is None and time.monotonic() >= give_up:
                    raise RedisConnectionError(f"all {self._size} connections of this process were busy")
            return connection
        finally:
            self._waiting.discard(place)

    def _freed_or_made(self, seconds: float) -> Any:
        """After at most so many seconds, if there is one."""
        with suppress(IndexError):
            return self._idle.pop()
        with suppress(Empty):
            self._freed.get(timeout=max(0.0, seconds))
        with suppress(IndexError):
            return self._idle.pop()
        return self._made()

    def _made(self) -> Any:
        """A new one, if there may be one more."""
        with self._making:
            if len(self._all) >= self._size:
                return None
            connection = self._connect()
            self._all.add(connection)
            return connection

    def _drop_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().disconnect()


def _soon(connection: Any, commands: Sequence[tuple[Any, ...]], silence: float) -> list[Any]:
    """As `_exchanged`, with a timeout of its own."""
    usual, connection.socket_timeout = connection.socket_timeout, silence  # for one that connects now
    if connection._sock is not None:
        connection._sock.settimeout(silence)
    try:
        return _exchanged(connection, commands)
    finally:
        connection.socket_timeout = usual
        if connection._sock is not None:
            connection._sock.settimeout(usual)


def _exchanged(connection: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    connection.send_packed_command([packed(commands)])
    return [_reply(connection) for _ in commands]


def _reply(connection: Any) -> Any:
    """One reply; a refusal by the server is a reply too, a broken connection is not."""
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
