"""A pool of connections for threads: each is used by one thread at a time, and a thread that finds none waits for one.

Smaller than the client library's own, whose bookkeeping costs a short command a fifth of its time. The connection
used last is used first, so a program with one thread has one connection.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from jobkit.store.connections import as_redis_error, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Pool:
    """At most `size` connections; `connect` makes one, `patience` (s) is how long a thread waits for its turn."""

    def __init__(self, connect: Callable[[], Any], size: int, patience: float) -> None:
        self._connect = connect
        self._size = size
        self._patience = patience
        self._idle: list[Any] = []
        self._all: list[Any] = []
        self._freed = threading.Condition()
        self._waiting = 0

    def exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any] | Exception:
        """The replies to these commands, in one round trip; or the error that broke it."""
        try:
            connection = self.acquire()
        except (RedisError, OSError) as error:
            return as_redis_error(error)
        whole = False
        try:
            connection.send_packed_command([packed(commands)])
            replies = [_reply(connection) for _ in commands]
            whole = True
        except (RedisError, OSError) as error:
            return as_redis_error(error)
        else:
            return replies
        finally:
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
        if self._waiting:  # raised before the last look of whoever waits, so nobody is overlooked
            with self._freed:
                self._freed.notify()

    def _made_or_awaited(self) -> Any:
        with self._freed:
            if len(self._all) < self._size:
                connection = self._connect()
                self._all.append(connection)
                return connection
            self._waiting += 1
            try:
                give_up = time.monotonic() + self._patience
                while True:
                    with suppress(IndexError):
                        return self._idle.pop()
                    if not self._freed.wait(give_up - time.monotonic()):
                        raise RedisConnectionError(f"all {self._size} connections of this process were busy")
            finally:
                self._waiting -= 1

    def disconnect(self) -> None:
        """Cut all connections, those in use too; one that is used again connects again."""
        for connection in tuple(self._all):
            connection.disconnect()


def _reply(connection: Any) -> Any:
    """One reply; a refusal by the server is a reply too, a broken connection is not."""
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
