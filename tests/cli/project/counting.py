"""A kit for the tests of the command line; its jobs end when a test says so, by a file."""

import logging
import os
import time
from datetime import date
from pathlib import Path
from typing import Literal

from jobkit import ALL, File, JobKit, Progress, ProgressJob, PublicError


class Count(ProgressJob[int]):
    """Counts, and waits at the half for the file `gate`, if one is named."""

    to: int
    gate: str = ""
    region: Literal["EU", "US"] = "EU"
    day: date | None = None
    labels: tuple[str, ...] = ()
    cache_key = ALL
    cache_ttl = 60

    def perform(self, progress: Progress) -> int:
        progress.unit = "numbers"
        for number in progress.track(range(self.to), message="Counting"):
            while self.gate and number >= self.to // 2 and not Path(self.gate).exists():
                time.sleep(0.01)
        return self.to


class Write(ProgressJob[File]):
    folder: str

    def perform(self, progress: Progress) -> File:
        path = Path(self.folder, "hello.txt")
        path.write_text(f"hello {progress.done}")
        return File(path)


class Refuse(ProgressJob[None]):
    public: bool = True

    def perform(self, progress: Progress) -> None:
        progress.message = "Looking"
        if self.public:
            raise PublicError("There is no such month.")
        raise ZeroDivisionError("a secret\x1b]0;title\x07")


class Die(ProgressJob[None]):
    max_crashes = 0

    def perform(self, progress: Progress) -> None:
        progress.message = "Dying"
        logging.getLogger("counting").warning("It was nice\x1b[2J")
        os._exit(7)


class Trick(ProgressJob[str]):
    """Returns what acts on a terminal."""

    def perform(self, progress: Progress) -> str:
        progress.advance()
        return "\x1b[31m\x9b31m\u202etxt.exe é"


class Elsewhere(ProgressJob[None]):
    queue = "nobody-serves-this"

    def perform(self, progress: Progress) -> None:
        progress.advance()


kit = JobKit(jobs=[Count, Die, Write, Refuse, Trick, Elsewhere])
not_a_kit = 3
