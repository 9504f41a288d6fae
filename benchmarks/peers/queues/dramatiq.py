"""dramatiq: threads, with Redis as broker and for results."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.peers.queues import PROCESSES, URL
from benchmarks.peers.queues.marks import mark

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGES = ("dramatiq", "redis")
CONFIGURATION = "two processes of 8 threads; a no-op's result is not kept"
WORKERS = (("-m", "dramatiq", "benchmarks.peers.queues.dramatiq", "--processes", f"{PROCESSES}"),)

broker = RedisBroker(url=URL) if URL else None
if broker:
    broker.add_middleware(Results(backend=RedisBackend(url=URL)))
    dramatiq.set_broker(broker)


@dramatiq.actor
def no_op(number: int) -> None:
    mark(number)


@dramatiq.actor(store_results=True)
def says_when() -> float:
    return time.time()


def begin() -> None: ...


def submit_many(numbers: Sequence[int]) -> None:
    for number in numbers:
        no_op.send(number)


def ask() -> float:
    return says_when.send().get_result(block=True, timeout=60_000)  # type: ignore[no-any-return]
