"""The jobs that the browser suite watches: jobkit worker tests.browser.jobs:kit.

What they wait for is in a folder that the test names: they count up to the number in its file `reach`, write a line
into `starts` at each start, and end when they are at 100.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

from jobkit import File, JobKit, Progress, ProgressJob, PublicError

LEASE = 1.0
SECRET = "password=hunter2"


class Counts(ProgressJob[dict[str, int]]):
    """Goes as far as it is told; its result is the number of its starts."""

    folder: str
    cache_key = ("folder",)
    cache_ttl = timedelta(minutes=5)
    lease = LEASE

    def perform(self, progress: Progress) -> dict[str, int]:
        count(self.folder, progress)
        return {"starts": len(Path(self.folder, "starts").read_text().splitlines())}


class MakesFile(ProgressJob[File]):
    folder: str
    lease = LEASE

    def perform(self, progress: Progress) -> File:
        count(self.folder, progress)
        path = Path(self.folder, "report.csv")
        path.write_text("sku,amount\nA-1,3\n")
        return File(path, "report-2026.csv", "text/csv")


class Says(ProgressJob[str]):
    """Shows a message while it counts; its ending is to return it, to raise it for everybody, or to break."""

    folder: str
    message: str = ""
    ending: str = "return"
    lease = LEASE

    def perform(self, progress: Progress) -> str:
        count(self.folder, progress, self.message)
        if self.ending == "raise":
            raise PublicError(self.message)
        if self.ending == "break":
            raise ValueError(f"cannot log in to the database with {SECRET}")
        return self.message


def count(folder: str, progress: Progress, message: str = "Counting") -> None:
    with Path(folder, "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    progress.total, progress.unit, progress.message = 100, "steps", message
    while progress.done < 100:
        if progress.done < reach_of(folder):
            progress.advance()
        else:
            progress.check()
            time.sleep(0.005)


def reach_of(folder: str) -> int:
    path = Path(folder, "reach")
    return int(path.read_text()) if path.exists() else 0


kit = JobKit(jobs=[Counts, MakesFile, Says])
