"""jobkit, in each of its pools: a worker with two processes (or four), or two workers with threads or an event loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.peers.queues import AT_ONCE, PROCESSES, URL, VARIANT
from benchmarks.peers.queues.marks import mark
from jobkit import JobKit, Progress, ProgressJob

if TYPE_CHECKING:
    from collections.abc import Sequence

POOL, _, NUMBER = (VARIANT or "process").partition("-")
CONCURRENCY = int(NUMBER or {"process": PROCESSES, "thread": 10, "asyncio": 100}[POOL])

PACKAGES = ("jobkit-progress",)
CONFIGURATION = f"{POOL} pool, {CONCURRENCY} at a time; results are kept; 50 submitted at once"
WORKERS = (
    ("-m", "jobkit.cli", "worker", "benchmarks.peers.queues.ours:kit", "--pool", POOL,
     "--concurrency", f"{CONCURRENCY}", "--log-level", "WARNING"),
) * (1 if POOL == "process" else PROCESSES)  # fmt: skip


class NoOp(ProgressJob[None]):
    job_name = "throughput.NoOp"
    number: int

    def perform(self, progress: Progress) -> None:  # noqa: ARG002
        mark(self.number)


class NoOpOnALoop(ProgressJob[None]):
    job_name = "throughput.NoOpOnALoop"
    number: int

    async def perform(self, progress: Progress) -> None:  # noqa: ARG002
        mark(self.number)


class SaysWhen(ProgressJob[float]):
    job_name = "throughput.SaysWhen"

    def perform(self, progress: Progress) -> float:  # noqa: ARG002
        return time.time()


class SaysWhenOnALoop(ProgressJob[float]):
    job_name = "throughput.SaysWhenOnALoop"

    async def perform(self, progress: Progress) -> float:  # noqa: ARG002
        return time.time()


kit = JobKit(URL or None, jobs=[NoOp, NoOpOnALoop, SaysWhen, SaysWhenOnALoop])


def begin() -> None: ...


def submit_many(numbers: Sequence[int]) -> None:
    job = NoOpOnALoop if POOL == "asyncio" else NoOp
    for first in range(0, len(numbers), AT_ONCE):
        kit.submit_many([job(number=number) for number in numbers[first : first + AT_ONCE]])


def ask() -> float:
    job = SaysWhenOnALoop if POOL == "asyncio" else SaysWhen
    return kit.submit(job()).result(timeout=60)
