"""Jobs that misbehave, each in its own way: jobkit worker tests.life.guarded_jobs:kit."""
# ruff: noqa: ARG002  (a job need not use its progress)

from __future__ import annotations

import ctypes
import itertools
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from jobkit import JobKit, Progress, ProgressJob
from jobkit.progress import Cancelled

A_WHILE = 60.0
MB = 1024 * 1024


class Works(ProgressJob[int]):
    def perform(self, progress: Progress) -> int:
        return os.getpid()


class AllocatesWithoutEnd(ProgressJob[None]):
    memory_limit = "200 MB"

    def perform(self, progress: Progress) -> None:
        progress.message = "Filling"
        kept = []
        while True:
            kept.append(bytearray(8 * MB))
            time.sleep(0.01)


class StartsProgramsThatAllocate(ProgressJob[None]):
    """It stays small itself, and so do its children on their own."""

    memory_limit = "250 MB"

    def perform(self, progress: Progress) -> None:
        greedy = f"import time; kept = bytearray({60 * MB}); time.sleep({A_WHILE})"
        programs = [subprocess.Popen([sys.executable, "-c", greedy]) for _ in range(4)]
        for program in programs:
            program.wait()


class Grows(ProgressJob[None]):
    leak_warning = "30 MB"

    def perform(self, progress: Progress) -> None:
        _leaked.append(bytearray(60 * MB))


_leaked: list[bytearray] = []


class SleepsForEver(ProgressJob[None]):
    """Cleans up when it is told to stop."""

    folder: str
    time_limit = 0.5

    def perform(self, progress: Progress) -> None:
        progress.update(3, total=10, message="Sleeping")
        time.sleep(0.3)  # so that this is seen
        try:
            time.sleep(A_WHILE)
        finally:
            Path(self.folder, "cleaned").touch()


class WillNotHear(ProgressJob[None]):
    """Told or not, it goes on."""

    time_limit = 0.3
    cancel_grace = 0.3

    def perform(self, progress: Progress) -> None:
        while True:
            try:
                time.sleep(A_WHILE)
            except Cancelled:
                continue


class HoldsTheInterpreter(ProgressJob[None]):
    """Nothing else runs in its process."""

    stall_limit = 0.4
    cancel_grace = 0.3

    def perform(self, progress: Progress) -> None:
        progress.message = "Holding"
        time.sleep(0.3)
        sum(itertools.repeat(0, 10**12))  # in C, which neither gives way nor looks at signals


class StallsForAWhile(ProgressJob[str]):
    folder: str
    stall_limit = 1.0

    def perform(self, progress: Progress) -> str:
        progress.advance()
        self.wait_in_vain(Path(self.folder, "go"))
        for _ in range(5):
            progress.advance()
            time.sleep(0.1)
        return "done"

    def wait_in_vain(self, go: Path) -> None:
        while not go.exists():
            time.sleep(0.01)


class ExitsAtOnce(ProgressJob[None]):
    max_crashes = 0

    def perform(self, progress: Progress) -> None:
        logging.getLogger("reports").warning("About to leave")
        progress.update(7, total=9, message="Leaving")
        time.sleep(0.3)
        os._exit(3)


class Segfaults(ProgressJob[None]):
    max_crashes = 0

    def perform(self, progress: Progress) -> None:
        self.touch_what_is_not_there()

    def touch_what_is_not_there(self) -> None:
        ctypes.string_at(0)


class IgnoresCancel(ProgressJob[None]):
    folder: str
    cancel_grace = 0.3

    def perform(self, progress: Progress) -> None:
        Path(self.folder, "starts").write_text(f"{os.getpid()}\n")
        self.turn_a_deaf_ear()

    def turn_a_deaf_ear(self) -> None:
        while True:
            try:
                time.sleep(A_WHILE)
            except Cancelled:
                continue


class ForksChildren(ProgressJob[list[int]]):
    """They live on when it has ended, and when it dies."""

    dies: bool
    folder: str
    max_crashes = 0

    def perform(self, progress: Progress) -> list[int]:
        children = [self._forked() for _ in range(3)]
        Path(self.folder, "forks").write_text(" ".join(map(str, children)))
        if self.dies:
            os.abort()
        return children

    def _forked(self) -> int:
        child = os.fork()
        if not child:
            time.sleep(A_WHILE)
            os._exit(0)
        return child


class WritesMuch(ProgressJob[str]):
    """A gigabyte, or as many MB as it is told, to stderr."""

    megabytes: int

    def perform(self, progress: Progress) -> str:
        block = (b"x" * 1023 + b"\n") * 1024
        for _ in range(self.megabytes):
            os.write(2, block)
        return "written"


class ReturnsAThread(ProgressJob[object]):
    def perform(self, progress: Progress) -> object:
        return threading.current_thread()


class StrictSleeper(ProgressJob[str]):
    folder: str
    strict_lease = True
    lease = 1.0

    def perform(self, progress: Progress) -> str:
        with Path(self.folder, "starts").open("a") as starts:
            starts.write(f"{os.getpid()}\n")
        while not Path(self.folder, "go").exists():
            time.sleep(0.01)
        return "done"


kit = JobKit(
    jobs=[
        AllocatesWithoutEnd,
        ExitsAtOnce,
        ForksChildren,
        Grows,
        HoldsTheInterpreter,
        IgnoresCancel,
        ReturnsAThread,
        Segfaults,
        SleepsForEver,
        StallsForAWhile,
        StartsProgramsThatAllocate,
        StrictSleeper,
        WillNotHear,
        Works,
        WritesMuch,
    ]
)
