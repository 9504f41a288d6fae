"""jobkit: a worker with two slots, in each of its pools."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.peers.queues import AT_ONCE, PROCESSES, URL, VARIANT
from benchmarks.peers.queues.marks import mark
from jobkit import JobKit, Progress, ProgressJob

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGES = ("jobkit-progress",)
CONFIGURATION = "results are kept; 50 submitted at once"
WORKERS = (
    ("-m", "jobkit.cli", "worker", "benchmarks.peers.queues.ours:kit", "--concurrency", f"{PROCESSES}",
     "--log-level", "WARNING"),
)  # fmt: skip


class NoOp(ProgressJob[None]):
    job_name = "throughput.NoOp"
    number: int

    def perform(self, progress: Progress) -> None:  # noqa: ARG002
        mark(self.number)


class SaysWhen(ProgressJob[float]):
    job_name = "throughput.SaysWhen"

    def perform(self, progress: Progress) -> float:  # noqa: ARG002
        return time.time()


kit = JobKit(URL or None, jobs=[NoOp, SaysWhen])


def begin() -> None: ...


def submit_many(numbers: Sequence[int]) -> None:
    for first in range(0, len(numbers), AT_ONCE):
        kit.submit_many([NoOp(number=number) for number in numbers[first : first + AT_ONCE]])


def ask() -> float:
    return kit.submit(SaysWhen()).result(timeout=60)
