"""arq: coroutines, found by polling."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar

import arq
from arq.connections import RedisSettings

from benchmarks.peers.queues import AT_ONCE, PROCESSES, URL
from benchmarks.peers.queues.marks import mark

if TYPE_CHECKING:
    from collections.abc import Sequence

POLL = 0.01
"""Seconds; by default it is half of one."""

PACKAGES = ("arq", "redis")
CONFIGURATION = (
    f"two workers of 10 coroutines, poll_delay {POLL * 1000:g} ms (500); a no-op's result is not kept;"
    " asked for results each ms (500)"
)
WORKERS = (("-m", "arq", "benchmarks.peers.queues.arq.WorkerSettings"),) * PROCESSES


async def no_op(_: Any, number: int) -> None:
    mark(number)


async def says_when(_: Any) -> float:
    return time.time()


class WorkerSettings:
    functions: ClassVar = [arq.worker.func(no_op, keep_result=0), says_when]
    redis_settings = RedisSettings.from_dsn(URL) if URL else None
    poll_delay = POLL


pools: list[arq.ArqRedis] = []


async def begin() -> None:
    pools.append(await arq.create_pool(WorkerSettings.redis_settings))


async def submit_many(numbers: Sequence[int]) -> None:
    [pool] = pools
    for first in range(0, len(numbers), AT_ONCE):
        await asyncio.gather(*(pool.enqueue_job("no_op", number) for number in numbers[first : first + AT_ONCE]))


async def ask() -> float:
    [pool] = pools
    job = await pool.enqueue_job("says_when")
    return await job.result(timeout=60, poll_delay=0.001)  # type: ignore[no-any-return]
