"""Bells: waits for the first of several, each over a connection of its own.

Keys of different slots cannot share a command, so on a cluster there is a connection to wait on for every partition.
"""

from __future__ import annotations

import selectors
import time
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobkit.store.connections import as_redis_error, packed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.store.pool import Pool

Call = tuple[Any, ...]

GRACE = 2.0
"""Seconds that a server may be late."""


def first_ring(calls: Sequence[tuple[Pool, Call]], timeout: float) -> list[Any] | Exception | None:
    """What the first of these BLPOPs that gets something gets; None when none does; or the error that broke one.

    `timeout` (s) is that of the calls.
    """
    if len(calls) == 1:
        ((pool, call),) = calls
        replies = pool.exchange([call])
        only: list[Any] | Exception | None = replies if isinstance(replies, Exception) else replies[0]
        return only
    waiting: dict[Any, Pool] = {}
    try:
        for pool, call in calls:
            connection = pool.acquire()
            waiting[connection] = pool
            connection.send_packed_command([packed([call])])
        return _first_answer(waiting, time.monotonic() + timeout + GRACE)
    except (RedisError, OSError) as error:
        return as_redis_error(error)
    finally:
        # Cut, so that they pop no marker for nobody. One popped just now is lost, and costs a worker's longest wait.
        for connection, pool in waiting.items():
            connection.disconnect()
            pool.release(connection)


def _first_answer(waiting: dict[Any, Pool], give_up_at: float) -> list[Any] | None:
    """Who has answered is no longer `waiting`."""
    with selectors.DefaultSelector() as selector:
        for connection in waiting:
            selector.register(connection._sock, selectors.EVENT_READ, connection)
        while waiting:
            ready = selector.select(give_up_at - time.monotonic())
            if not ready:
                raise RedisTimeoutError("a server does not answer")
            for key, _ in ready:
                answer: list[Any] | None = key.data.read_response()
                selector.unregister(key.fileobj)
                waiting.pop(key.data).release(key.data)
                if answer is not None:
                    return answer
        return None
