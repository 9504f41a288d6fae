"""rq: a pool of workers that perform in their own process; by default each job is a fork, which costs milliseconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import redis
import rq

from benchmarks.peers.queues import AT_ONCE, PROCESSES, URL
from benchmarks.peers.queues.marks import mark

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGES = ("rq",)
CONFIGURATION = "worker-pool of SimpleWorkers (no fork a job); a no-op's result is not kept; enqueue_many"
WORKERS = (
    ("-m", "rq.cli", "worker-pool", "--num-workers", f"{PROCESSES}", "--worker-class", "rq.worker.SimpleWorker",
     "--url", URL, "--quiet", "default"),
)  # fmt: skip


def no_op(number: int) -> None:
    mark(number)


def says_when() -> float:
    return time.time()


queue = rq.Queue(connection=redis.Redis.from_url(URL)) if URL else None


def begin() -> None: ...


def submit_many(numbers: Sequence[int]) -> None:
    for first in range(0, len(numbers), AT_ONCE):
        queue.enqueue_many(
            [queue.prepare_data(no_op, (number,), result_ttl=0) for number in numbers[first : first + AT_ONCE]]
        )


def ask() -> float:
    return queue.enqueue(says_when).latest_result(timeout=60).return_value  # type: ignore[no-any-return]
