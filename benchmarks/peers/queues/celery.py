"""celery: Redis as broker and for results."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from celery import Celery

from benchmarks.peers.queues import PROCESSES, URL
from benchmarks.peers.queues.marks import mark

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGES = ("celery", "kombu")
CONFIGURATION = "prefork, prefetches 64 a process, no gossip, mingle or heartbeat; a no-op's result is ignored"
WORKERS = (
    ("-m", "celery", "-A", "benchmarks.peers.queues.celery", "worker", "--pool", "prefork", "--concurrency",
     f"{PROCESSES}", "--prefetch-multiplier", "64", "--without-gossip", "--without-mingle", "--without-heartbeat",
     "--loglevel", "ERROR"),
)  # fmt: skip

app = Celery("bench", broker=URL, backend=URL)
app.conf.update(broker_connection_retry_on_startup=True)


@app.task(ignore_result=True)
def no_op(number: int) -> None:
    mark(number)


@app.task
def says_when() -> float:
    return time.time()


def begin() -> None: ...


def submit_many(numbers: Sequence[int]) -> None:
    with app.producer_or_acquire() as producer:
        for number in numbers:
            no_op.apply_async((number,), producer=producer)


def ask() -> float:
    return says_when.delay().get(timeout=60)  # type: ignore[no-any-return]
