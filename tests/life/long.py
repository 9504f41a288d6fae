"""Long jobs that can be gone on with: jobkit worker tests.life.long:kit.

Each writes a line for every item that it has finished, `START ITEM`, into `items` in a folder that the test names.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from jobkit import JobKit, Progress, ProgressJob
from tests.life.jobs import begin, has

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LEASE = 1.0


class Long(ProgressJob[int]):
    """Goes over `count` items at about 200 a second."""

    folder: str
    count: int
    pace: float = 0.005
    lease = LEASE
    cancel_grace = 0.5
    max_crashes = 9

    def perform(self, progress: Progress) -> int:
        begin(self.folder)
        for item in progress.resume(range(self.count)):
            finish(self.folder, progress, item)
            time.sleep(self.pace)
        return self.count


class LongOnALoop(Long):
    """The same, awaiting, and with a state: the sum of the items."""

    async def perform(self, progress: Progress) -> int:  # type: ignore[override]
        begin(self.folder)
        totals = progress.restored or {"sum": 0}
        async for item in progress.resume(arriving(self.count), total=self.count, state=lambda: totals):
            finish(self.folder, progress, item)
            totals["sum"] += item
            await asyncio.sleep(self.pace)
        return int(totals["sum"])


class Steps(Long):
    """No loop, but a checkpoint after each step."""

    def perform(self, progress: Progress) -> int:
        begin(self.folder)
        progress.total = self.count
        for item in range(progress.restored or 0, self.count):
            finish(self.folder, progress, item)
            time.sleep(self.pace)
            progress.advance()
            progress.checkpoint(item + 1)
        return self.count


class OneStep(Long):
    """One checkpoint; then it holds until it may go. Ends with what it was restored with."""

    def perform(self, progress: Progress) -> int:
        begin(self.folder)
        restored: int = progress.restored or 0
        if not restored:
            progress.checkpoint(7)
        while not has(self.folder, "go"):
            time.sleep(0.005)
        return restored


def finish(folder: str, progress: Progress, item: int) -> None:
    with Path(folder, "items").open("a") as items:
        items.write(f"{progress.token} {item} {os.getpid()}\n")


async def arriving(count: int) -> AsyncIterator[int]:
    for item in range(count):
        yield item


kit = JobKit(jobs=[Long, LongOnALoop, OneStep, Steps])
