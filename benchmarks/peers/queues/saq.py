"""saq: coroutines."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from saq import Queue

from benchmarks.peers.queues import AT_ONCE, PROCESSES, URL
from benchmarks.peers.queues.marks import mark

if TYPE_CHECKING:
    from collections.abc import Sequence

TRIES = 3
"""What a worker takes as another one starts, that one may sweep away."""

PACKAGES = ("saq", "redis")
CONFIGURATION = (
    "two processes of 10 coroutines; a no-op's result is not kept; 50 submitted at once;"
    " asked for results each ms (500)"
)
WORKERS = (("-m", "saq", "benchmarks.peers.queues.saq.settings", "--workers", f"{PROCESSES}", "--quiet"),)


async def no_op(_: Any, *, number: int) -> None:
    mark(number)


async def says_when(_: Any) -> float:
    return time.time()


queue = Queue.from_url(URL) if URL else None
settings = {"queue": queue, "functions": [no_op, says_when], "concurrency": 10}


async def begin() -> None:
    await queue.connect()


async def submit_many(numbers: Sequence[int]) -> None:
    for first in range(0, len(numbers), AT_ONCE):
        await asyncio.gather(
            *(
                queue.enqueue("no_op", number=number, ttl=-1, retries=TRIES)
                for number in numbers[first : first + AT_ONCE]
            )
        )


async def ask() -> float:
    return await queue.apply("says_when", timeout=60, retries=TRIES, poll_interval=0.001)  # type: ignore[no-any-return]
