"""huey: processes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import redis
from huey import RedisHuey

from benchmarks.peers.queues import PROCESSES, URL
from benchmarks.peers.queues.marks import mark

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGES = ("huey", "redis")
CONFIGURATION = "two worker processes; told of results (notify_result); a no-op's result (None) is not kept"
WORKERS = (
    ("-m", "huey.bin.huey_consumer", "benchmarks.peers.queues.huey.huey", "--workers", f"{PROCESSES}",
     "--worker-type", "process", "--quiet"),
)  # fmt: skip

huey = RedisHuey("bench", notify_result=True, connection_pool=redis.ConnectionPool.from_url(URL) if URL else None)


@huey.task()
def no_op(number: int) -> None:
    mark(number)


@huey.task()
def says_when() -> float:
    return time.time()


def begin() -> None: ...


def submit_many(numbers: Sequence[int]) -> None:
    for number in numbers:
        no_op(number)


def ask() -> float:
    return says_when().get(blocking=True, timeout=60)  # type: ignore[no-any-return]
