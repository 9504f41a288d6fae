"""The jobs of a soak: jobkit worker tests.soak.jobs:kit. All are kept for seconds only: the store may be flat."""

from __future__ import annotations

import random
import time

from jobkit import ALL, Every, JobKit, Progress, ProgressJob, PublicError

KEPT = 10.0
"""Seconds."""


class Add(ProgressJob[int]):
    one: int
    other: int

    keep_for = KEPT

    def perform(self, progress: Progress) -> int:
        for _ in progress.track(range(20)):
            time.sleep(0.0005)
        return self.one + self.other


class AddOnALoop(ProgressJob[int]):
    one: int
    other: int

    keep_for = KEPT

    async def perform(self, progress: Progress) -> int:
        progress.message = "adding"
        return self.one + self.other


class Remembered(Add):
    cache_key = ALL
    cache_ttl = KEPT / 2
    tags = ("remembered",)


class Limited(Add):
    max_running = 1
    rate = "10/s"


class Flaky(Add):
    """Fails half of the time."""

    max_attempts = 1_000
    backoff = (0.02, 0.05)

    def perform(self, progress: Progress) -> int:
        if random.random() < 0.5:
            raise ConnectionError("half of the time")
        return super().perform(progress)


class Resumed(Add):
    def perform(self, progress: Progress) -> int:
        for _ in progress.resume(range(20), state=lambda: {"one": self.one}):
            time.sleep(0.005)
        return self.one + self.other


class Fails(ProgressJob[None]):
    keep_for = KEPT

    def perform(self, progress: Progress) -> None:
        progress.message = "failing"
        raise PublicError("This one always fails.")


class Endless(ProgressJob[None]):
    keep_for = KEPT

    def perform(self, progress: Progress) -> None:
        while True:
            progress.advance()
            time.sleep(0.01)


class Overlong(Endless):
    time_limit = 0.1


class Tick(ProgressJob[None]):
    schedule = Every(seconds=1)
    keep_for = KEPT

    def perform(self, progress: Progress) -> None: ...


kit = JobKit(jobs=[Add, AddOnALoop, Remembered, Limited, Flaky, Resumed, Fails, Endless, Overlong, Tick])
