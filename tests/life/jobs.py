"""The jobs that the life suite performs: jobkit worker tests.life.jobs:kit.

They tell what happens to them in a folder that the test names: one line in `starts` for each start, and they go on
as soon as the test has put a file `go` there.
"""
# ruff: noqa: ARG002  (a job need not use its progress)

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from jobkit import ALL, File, JobKit, Progress, ProgressJob, PublicError, Retry
from jobkit.progress import Cancelled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LEASE = 1.0
A_WHILE = 60.0


def begin(folder: str) -> None:
    with Path(folder, "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")


def put(folder: str, name: str) -> None:
    Path(folder, name).touch()


def has(folder: str, name: str) -> bool:
    return Path(folder, name).exists()


class Add(ProgressJob[int]):
    a: int
    b: int

    def perform(self, progress: Progress) -> int:
        return self.a + self.b


class Shared(ProgressJob[int]):
    a: int
    cache_key = ALL

    def perform(self, progress: Progress) -> int:
        progress.advance()
        return self.a


class Refusing(ProgressJob[None]):
    cache_key = ALL
    failure_ttl = 3600

    def perform(self, progress: Progress) -> None:
        progress.advance()
        raise PublicError("not today")


class Often(ProgressJob[int]):
    number: int
    rate = "50/s"

    def perform(self, progress: Progress) -> int:
        return self.number


class LessOften(Often):
    rate = "20/s"


class CountUntilGo(ProgressJob[int]):
    """Advances and says its start; ends with the number of its starts."""

    folder: str
    lease = LEASE
    cancel_grace = 0.5

    def perform(self, progress: Progress) -> int:
        begin(self.folder)
        while not has(self.folder, "go"):
            progress.advance()
            time.sleep(0.005)
        return len(Path(self.folder, "starts").read_text().splitlines())


class HoldUntilGo(CountUntilGo):
    """The same without a word of progress."""

    lease = 5.0

    def perform(self, _progress: Progress) -> int:
        begin(self.folder)
        while not has(self.folder, "go"):
            time.sleep(0.005)
        return len(Path(self.folder, "starts").read_text().splitlines())


class Flaky(ProgressJob[int]):
    """Fails in its first starts as it is told, one word for each, and then ends with the number of its starts."""

    folder: str
    hows: tuple[str, ...] = ()
    max_attempts = 4
    backoff = 0.05
    retry_on = (OSError,)
    give_up_on = (FileNotFoundError,)
    lease = LEASE

    def perform(self, progress: Progress) -> int:
        begin(self.folder)
        progress.advance()
        number = len(Path(self.folder, "starts").read_text().splitlines())
        match self.hows[number - 1] if number <= len(self.hows) else "":
            case "connection":
                raise ConnectionError("no route")
            case "missing":
                raise FileNotFoundError("no such file")
            case "later":
                raise Retry(after=3600)
            case "soon":
                raise Retry(after=0.05) from PublicError("The bank does not answer.")
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
        return number


class Hurried(Add):
    """Not wanted any more when it has not begun in a moment."""

    expires = 0.5


class Notes(ProgressJob[None]):
    """Writes a line, so that a test sees in which order runs were performed."""

    folder: str
    line: str

    def perform(self, progress: Progress) -> None:
        with Path(self.folder, "notes").open("a") as notes:
            notes.write(f"{self.line}\n")


class OnlyAdvances(ProgressJob[None]):
    """Never looks whether it is to stop."""

    folder: str

    def perform(self, progress: Progress) -> None:
        begin(self.folder)
        while True:
            progress.advance()


class Sleeps(ProgressJob[None]):
    folder: str

    def perform(self, progress: Progress) -> None:
        begin(self.folder)
        try:
            time.sleep(A_WHILE)
        finally:
            put(self.folder, "cleaned")


class SleepsOnALoop(ProgressJob[str]):
    folder: str

    async def perform(self, progress: Progress) -> str:
        begin(self.folder)
        try:
            await asyncio.sleep(A_WHILE)
        finally:
            put(self.folder, "cleaned")
        return "slept"


class TellsItsLoop(ProgressJob[int]):
    folder: str

    async def perform(self, progress: Progress) -> int:
        begin(self.folder)
        while not has(self.folder, "go"):
            progress.advance()
            await asyncio.sleep(0.005)
        return id(asyncio.get_running_loop())


class AddsOnALoop(ProgressJob[int]):
    a: int

    async def perform(self, progress: Progress) -> int:
        total = 0
        async for n in progress.track(self._numbers(), total=self.a):
            total += n
        return total

    async def _numbers(self) -> AsyncIterator[int]:
        for n in range(self.a):
            await asyncio.sleep(0)
            yield n


class WillNotStop(ProgressJob[None]):
    folder: str
    cancel_grace = 0.3

    def perform(self, progress: Progress) -> None:
        begin(self.folder)
        while True:
            try:
                time.sleep(A_WHILE)
            except Cancelled:
                put(self.folder, "told")


class FinishesAllTheSame(ProgressJob[str]):
    """Takes being stopped for a hint."""

    folder: str

    def perform(self, progress: Progress) -> str:
        begin(self.folder)
        with suppress(Cancelled):
            time.sleep(A_WHILE)
        return "finished"


class HoldsTheInterpreter(ProgressJob[int]):
    folder: str
    seconds: float
    lease = LEASE

    def perform(self, progress: Progress) -> int:
        begin(self.folder)
        ctypes.PyDLL(None).usleep(int(self.seconds * 1e6))
        return 1


class KillsItsProcess(ProgressJob[None]):
    folder: str
    max_crashes = 1

    def perform(self, progress: Progress) -> None:
        begin(self.folder)
        os.kill(os.getpid(), signal.SIGKILL)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")

    def __reduce__(self) -> str:
        raise RuntimeError("nor this")


class Misbehaves(ProgressJob[object]):
    how: str
    max_crashes = 0

    def perform(self, progress: Progress) -> object:
        return getattr(self, f"_{self.how}")()

    def _raise_public(self) -> None:
        raise PublicError("No orders\x1b[31m in\nMay <b>2026</b>. " + "x" * 1000)

    def _raise_secret(self) -> None:
        raise ValueError("password=hunter2")

    def _raise_unprintable(self) -> None:
        raise Unprintable

    def _raise_huge(self) -> None:
        raise ValueError("x" * 10_000_000)

    def _system_exit(self) -> None:
        sys.exit(3)

    def _keyboard_interrupt(self) -> None:
        raise KeyboardInterrupt

    def _generator_exit(self) -> None:
        raise GeneratorExit

    def _endless_recursion(self) -> None:
        self._endless_recursion()

    def _return_unserializable(self) -> object:
        return object()

    def _return_nan(self) -> object:
        return [float("nan")]

    def _exit_at_once(self) -> None:
        os._exit(0)

    def _segmentation_fault(self) -> None:
        ctypes.string_at(0)

    def _come_back_from_a_fork(self) -> object:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        return "parent"

    def _use_a_process_pool(self) -> object:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return sum(pool.map(abs, range(10)))

    def _print_much(self) -> object:
        for _ in range(1000):
            os.write(1, b"." * 100_000)
        return "printed"

    def _take_signals(self) -> object:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, (number,))
        return "taken"


class LeavesAProgramBehind(ProgressJob[None]):
    """Starts a program, and dies."""

    folder: str
    max_crashes = 0

    def perform(self, progress: Progress) -> None:
        program = subprocess.Popen(["sleep", str(A_WHILE)])
        Path(self.folder, "program").write_text(str(program.pid))
        os.kill(os.getpid(), signal.SIGKILL)


class WritesAFile(ProgressJob[File]):
    folder: str

    def perform(self, progress: Progress) -> File:
        path = Path(self.folder, "report.csv")
        path.write_text("a,b\n")
        return File(path)


class CountsFast(ProgressJob[int]):
    """Far more updates than anybody wants to read."""

    seconds: float

    def perform(self, progress: Progress) -> int:
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            progress.advance()
            progress.message = f"at {progress.done}"
        return int(progress.done)


class NotRegistered(ProgressJob[int]):
    undeliverable_after = 1.5

    def perform(self, progress: Progress) -> int:
        return 1


class Grown(ProgressJob[str]):
    region: str = "EU"

    def perform(self, progress: Progress) -> str:
        return self.region


class Versioned(ProgressJob[int]):
    cache_version = 2

    def perform(self, progress: Progress) -> int:
        return 2


kit = JobKit(
    jobs=[
        Add,
        Shared,
        Refusing,
        AddsOnALoop,
        CountUntilGo,
        HoldUntilGo,
        CountsFast,
        FinishesAllTheSame,
        Flaky,
        HoldsTheInterpreter,
        Hurried,
        KillsItsProcess,
        LeavesAProgramBehind,
        LessOften,
        Misbehaves,
        Notes,
        Often,
        OnlyAdvances,
        Sleeps,
        SleepsOnALoop,
        TellsItsLoop,
        Versioned,
        Grown,
        WillNotStop,
        WritesAFile,
    ]
)
