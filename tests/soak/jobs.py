"""The jobs of a soak: jobkit worker tests.soak.jobs:kit. All are kept for seconds only: the store may be flat."""

from __future__ import annotations

import time

from jobkit import ALL, JobKit, Progress, ProgressJob, PublicError

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


kit = JobKit(jobs=[Add, AddOnALoop, Remembered, Limited, Fails, Endless])
