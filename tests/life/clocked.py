"""A kit that has the clock start something each second: it writes down for when, and when, in the test's folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

from jobkit import Every, JobKit, Progress, ProgressJob

EVERY = 1.0


class Tick(ProgressJob[None]):
    folder: str
    version: str

    def perform(self, progress: Progress) -> None:
        assert progress.scheduled_for is not None
        line = f"{progress.scheduled_for.timestamp():.0f} {self.version} {time.time()}\n"
        with Path(self.folder, "ticks").open("a") as ticks:
            ticks.write(line)


kit = JobKit(jobs=[Tick])
kit.schedule(
    "ticking",
    Tick(folder=os.environ.get("CLOCKED_FOLDER", ""), version=os.environ.get("CLOCKED_VERSION", "1")),
    Every(EVERY, missed="all"),
)
