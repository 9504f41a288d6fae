"""The jobs that campaigns have performed: jobkit worker tests.chaos.jobs:kit.

Each writes its beginnings and ends into the journal, reports its token as its message, and returns it with the answer:
so every snapshot and every result tells which start wrote it, and a stale write that was accepted shows itself.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from jobkit import ALL, Every, JobKit, Progress, ProgressJob, PublicError
from tests.chaos.journal import Event, write

if TYPE_CHECKING:
    from collections.abc import Callable

LEASE = 1.0
"""Seconds; of all jobs but `Report`."""
FAILURE = "This one always fails."
BACKOFF = (0.3, 0.6)
"""Seconds, a fifth more or less, that `Flaky` waits after its first failure, and after its second."""
TIME_LIMIT = 0.3
RESUMED_STEPS = 60

SCHEDULE = "ticks"
CLOCKED = "JOBKIT_CHAOS_TICKS"
"""The variable that names the journal of `Tick`: then it is scheduled."""

Answer = tuple[int, str]
"""What was asked for, and the token of the start that answers."""


class Fuse(StrEnum):
    """What a job does to its process, or to its whole worker, about when its outcome is being settled. Once."""

    NONE = "none"
    KILL_CHILD = "kill child"
    KILL_WORKER = "kill worker"
    FREEZE_WORKER = "freeze worker"


class Count(ProgressJob[Answer]):
    """Counts `steps`, `pause` seconds each."""

    number: int
    steps: int
    pause: float
    journal: str
    fuse: Fuse = Fuse.NONE
    burns: float = 0.0
    """Seconds from the end of `perform` until the fuse goes off."""

    lease = LEASE
    cancel_grace = 0.5
    max_crashes = 1_000

    def perform(self, progress: Progress) -> Answer:
        return self._performed(progress, self._count)

    def _performed(self, progress: Progress, work: Callable[[Progress], None]) -> Answer:
        self._write(Event.BEGAN, progress)
        progress.message = progress.token
        work(progress)
        self._write(Event.ENDED, progress)
        if self.fuse is not Fuse.NONE:
            self._light_once(progress)
        return answer(self.number), progress.token

    def _count(self, progress: Progress) -> None:
        for _ in progress.track(range(self.steps)):
            time.sleep(self.pause)

    def _write(self, event: Event, progress: Progress) -> None:
        write(self.journal, event, self.number, progress.token)

    def _light_once(self, progress: Progress) -> None:
        if _is_first(f"{self.journal}-fuse-{self.number}"):
            threading.Thread(target=self._strike, args=(progress,), daemon=True).start()

    def _strike(self, progress: Progress) -> None:
        time.sleep(self.burns)
        self._write(Event.STRUCK, progress)
        match self.fuse:
            case Fuse.KILL_CHILD:
                os.kill(os.getpid(), signal.SIGKILL)
            case Fuse.KILL_WORKER:
                os.kill(os.getppid(), signal.SIGKILL)
            case Fuse.FREEZE_WORKER:
                os.kill(os.getppid(), signal.SIGSTOP)
                os.kill(os.getpid(), signal.SIGSTOP)


class CountOnALoop(Count):
    async def perform(self, progress: Progress) -> Answer:  # type: ignore[override]
        self._write(Event.BEGAN, progress)
        progress.message = progress.token
        for _ in range(self.steps):
            progress.advance()
            await asyncio.sleep(self.pause)
        self._write(Event.ENDED, progress)
        return answer(self.number), progress.token


class Shared(Count):
    """Equal ones are one run, remembered."""

    cache_key = ("number",)
    cache_ttl = 3600


class Dated(Count):
    """Equal when they have one subject, whatever their numbers; remembered until it is invalidated."""

    subject: int

    cache_key = ("subject",)
    cache_ttl = 3600


class Limited(Count):
    """One at a time, whoever performs it."""

    max_running = 1


class Paced(Count):
    """So many starts a second, whoever performs it."""

    rate = "5/s"


class Silent(Count):
    """Says nothing while it works, so its lease rests on the heartbeat alone."""

    def _count(self, progress: Progress) -> None:  # noqa: ARG002
        time.sleep(self.steps * self.pause)


class Deaf(Count):
    """Holds the interpreter while it works, so no thread of its process hears or says anything."""

    def _count(self, progress: Progress) -> None:  # noqa: ARG002
        ctypes.PyDLL(None).usleep(int(self.steps * self.pause * 1e6))


class Fails(Count):
    def _count(self, progress: Progress) -> None:
        super()._count(progress)
        raise PublicError(FAILURE)


class Flaky(Count):
    """Fails twice, then succeeds."""

    max_attempts = 3
    backoff = BACKOFF

    def _count(self, progress: Progress) -> None:
        super()._count(progress)
        for number in (1, 2):
            if _is_first(f"{self.journal}-failure-{number}-of-{self.number}"):
                raise ConnectionError(f"failure {number}")


class Resumed(Count):
    """Long, and goes on where it was."""

    def _count(self, progress: Progress) -> None:
        for step in progress.resume(range(RESUMED_STEPS)):
            time.sleep(max(self.pause, 0.02))
            write(self.journal, Event.STEPPED, self.number, progress.token, step)


class Overlong(Count):
    """Never ends by itself."""

    time_limit = TIME_LIMIT

    def _count(self, progress: Progress) -> None:
        while True:
            progress.advance()
            time.sleep(0.02)


class Fragile(Count):
    """Must not be begun a third time."""

    max_crashes = 1


class Report(ProgressJob[int]):
    """What the storm submits: one of so many keys, remembered; its performing is written down."""

    number: int
    journal: str

    cache_key = ALL
    cache_ttl = 3600

    def perform(self, progress: Progress) -> int:
        write(self.journal, Event.BEGAN, self.number, progress.token)
        return answer(self.number)


class Tick(ProgressJob[int]):
    """Ordered by the clock, once a second, where the environment says so. Returns its tick, in seconds."""

    journal: str

    lease = LEASE
    max_crashes = 1_000

    def perform(self, progress: Progress) -> int:
        assert progress.scheduled_for, "only the clock orders it"
        tick = round(progress.scheduled_for.timestamp())
        write(self.journal, Event.BEGAN, tick, progress.token)
        return tick


def answer(number: int) -> int:
    return number * number + 1


def _is_first(path: str) -> bool:
    """Nobody has asked for this before, in any process."""
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


kit = JobKit(
    jobs=[
        Count, CountOnALoop, Shared, Dated, Limited, Paced, Silent, Deaf, Fails, Flaky, Resumed, Overlong, Fragile,
        Report, Tick,
    ]
)  # fmt: skip
if CLOCKED in os.environ:
    kit.schedule(SCHEDULE, Tick(journal=os.environ[CLOCKED]), Every(seconds=1, missed="all"))
