"""taskiq: coroutines, from a list (what a dead worker had is lost) or from a stream (it is not)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers.queues import AT_ONCE, KEEPS_RESULTS, PROCESSES, URL, VARIANT
from benchmarks.peers.queues.marks import mark

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = {"list": ListQueueBroker, "stream": RedisStreamBroker}

PACKAGES = ("taskiq", "taskiq-redis")
CONFIGURATION = (
    "two processes of 100 coroutines, uvloop; no result backend for no-ops; 50 submitted at once;"
    " asked for results each ms (200)"
)
WORKERS = (
    ("-m", "taskiq", "worker", "benchmarks.peers.queues.taskiq:broker", "--workers", f"{PROCESSES}",
     "--log-level", "ERROR"),
)  # fmt: skip

broker = KINDS[VARIANT or "list"](URL)
if KEEPS_RESULTS:
    broker = broker.with_result_backend(RedisAsyncResultBackend(URL, result_ex_time=60))


@broker.task
async def no_op(number: int) -> None:
    mark(number)


@broker.task
async def says_when() -> float:
    return time.time()


async def begin() -> None:
    await broker.startup()


async def submit_many(numbers: Sequence[int]) -> None:
    for first in range(0, len(numbers), AT_ONCE):
        await asyncio.gather(*(no_op.kiq(number) for number in numbers[first : first + AT_ONCE]))


async def ask() -> float:
    task = await says_when.kiq()
    return (await task.wait_result(check_interval=0.001, timeout=60)).return_value
