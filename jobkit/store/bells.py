"""Bells: waits for the first of several, each over a connection of its own.

Keys of different slots cannot share a command, so on a cluster there is a connection to wait on for every partition.

A server looks ten times a second whose wait is over, and beside that whenever somebody asks it anything. So when a
short wait is over and there is no answer yet, the servers are asked something: then they answer. They may not, and are
then as late as ever.
"""

from __future__ import annotations

import selectors
import time
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobkit.store.connections import as_redis_error, packed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from jobkit.store.pool import Pool

    Bell = tuple[Pool, Pool, tuple[Any, ...]]
    """The connections to wait on, those to ask on, and the BLPOP."""

GRACE = 2.0
"""Seconds that a server may be late."""
SHORT = 0.25
"""Seconds; in a longer wait a tenth more is nothing."""
TICK = 0.001
"""Seconds: a server counts in milliseconds, and takes a wait to be over in the next one."""


def first_ring(bells: Sequence[Bell], timeout: float) -> list[Any] | Exception | None:
    """What the first of these BLPOPs that gets something gets; None when none does; or the error that broke one.

    `timeout` (s) is that of the calls.
    """
    if len(bells) == 1 and timeout >= SHORT:
        ((pool, _, call),) = bells
        replies = pool.exchange([call])
        only: list[Any] | Exception | None = replies if isinstance(replies, Exception) else replies[0]
        return only
    waiting: dict[Any, Pool] = {}
    try:
        for pool, _, call in bells:
            connection = pool.acquire()
            waiting[connection] = pool
            connection.send_packed_command([packed([call])])
        return _first_answer(waiting, [asking for _, asking, _ in bells], timeout)
    except (RedisError, OSError) as error:
        return as_redis_error(error)
    finally:
        # Cut, so that they pop no marker for nobody. One popped just now is lost, and costs a worker's longest wait.
        for connection, pool in waiting.items():
            connection.disconnect()
            pool.release(connection)


def _first_answer(waiting: dict[Any, Pool], asking: Collection[Pool], timeout: float) -> list[Any] | None:
    """Who has answered is no longer `waiting`."""
    ends_at = time.monotonic() + timeout + TICK
    give_up_at = ends_at + GRACE
    pause = TICK
    with selectors.DefaultSelector() as selector:
        for connection in waiting:
            selector.register(connection._sock, selectors.EVENT_READ, connection)
        while waiting:
            wakes_at = ends_at if timeout < SHORT else give_up_at
            ready = selector.select(wakes_at - time.monotonic())
            if not ready and time.monotonic() >= give_up_at:
                raise RedisTimeoutError("a server does not answer")
            if not ready:
                _make_look(asking)
                ends_at, pause = min(time.monotonic() + pause, give_up_at), pause * 2
            for key, _ in ready:
                answer: list[Any] | None = key.data.read_response()
                selector.unregister(key.fileobj)
                waiting.pop(key.data).release(key.data)
                if answer is not None:
                    return answer
        return None


def _make_look(asking: Collection[Pool]) -> None:
    for pool in asking:
        error = pool.exchange([("PING",)])
        if isinstance(error, Exception):
            raise error
