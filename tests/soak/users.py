"""Users: a steady load: each submits, watches, joins, leaves, waits and thinks, and counts what came out.

Nothing is kept of what was ordered, so the submitting process is a part of what is measured.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

from jobkit import RunCancelled, RunFailed
from tests.soak import jobs

if TYPE_CHECKING:
    from jobkit import JobKit, ProgressJob

THINKS = 0.1
"""Seconds, on average, between two orders of a user."""
KEYS = 200
"""Different jobs whose results are remembered."""
PATIENCE = 60.0


class Users:
    def __init__(self, kit: JobKit, seed: int, number: int) -> None:
        self.counts: Counter[str] = Counter()
        """What was ordered, and `wrong` for what did not come out as it had to."""
        self.wrong: list[str] = []
        self._kit = kit
        self._dice = random.Random(seed)
        self._number = number
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving = False
        self._habits = {
            self._add: 8,
            self._add_on_a_loop: 2,
            self._add_in_a_thread: 2,
            self._watch: 4,
            self._remember: 4,
            self._limited: 1,
            self._many: 1,
            self._retry: 2,
            self._resume: 1,
            self._fail: 1,
            self._fail_in_time: 0.5,
            self._leave: 1,
            self._invalidate: 0.1,
        }

    def come(self) -> None:
        self._tasks = [asyncio.create_task(self._live()) for _ in range(self._number)]

    async def go(self) -> None:
        """Return when all have what they ordered."""
        self._leaving = True
        await asyncio.gather(*self._tasks)

    async def _live(self) -> None:
        while not self._leaving:
            await asyncio.sleep(self._dice.expovariate(1 / THINKS))
            [habit] = self._dice.choices(list(self._habits), list(self._habits.values()))
            self.counts[habit.__name__.strip("_")] += 1
            try:
                async with asyncio.timeout(PATIENCE):
                    await habit(self._dice.randrange(10**6), self._dice.randrange(10**6))
            except Exception as error:  # noqa: BLE001  whatever it is, it is told
                self.wrong.append(f"{habit.__name__}: {type(error).__name__}: {error}")

    async def _add(self, one: int, other: int) -> None:
        assert await (await self._kit.asubmit(jobs.Add(one=one, other=other))).aresult() == one + other

    async def _add_on_a_loop(self, one: int, other: int) -> None:
        assert await (await self._kit.asubmit(jobs.AddOnALoop(one=one, other=other))).aresult() == one + other

    async def _add_in_a_thread(self, one: int, other: int) -> None:
        job = jobs.Add(one=one, other=other)
        assert await asyncio.to_thread(lambda: self._kit.submit(job).result(timeout=PATIENCE)) == one + other

    async def _watch(self, one: int, other: int) -> None:
        run = await self._kit.asubmit(jobs.Add(one=one, other=other))
        seen = [snapshot async for snapshot in run.awatch()]
        assert seen[-1].state.terminal, f"the last that was seen was {seen[-1]}"

    async def _remember(self, one: int, other: int) -> None:
        job = jobs.Remembered(one=one % KEYS, other=1)
        runs = [await self._kit.asubmit(job, owner=f"user {other % 10}") for _ in range(2)]
        for run in runs:
            assert await run.aresult() == one % KEYS + 1

    async def _limited(self, one: int, other: int) -> None:
        assert await (await self._kit.asubmit(jobs.Limited(one=one, other=other))).aresult() == one + other

    async def _many(self, one: int, other: int) -> None:
        many = [jobs.Add(one=one, other=other + number) for number in range(10)]
        for number, run in enumerate(await self._kit.asubmit_many(many)):
            assert await run.aresult() == one + other + number

    async def _retry(self, one: int, other: int) -> None:
        assert await (await self._kit.asubmit(jobs.Flaky(one=one, other=other))).aresult() == one + other

    async def _resume(self, one: int, other: int) -> None:
        assert await (await self._kit.asubmit(jobs.Resumed(one=one, other=other))).aresult() == one + other

    async def _fail(self, _one: int, _other: int) -> None:
        await self._must_fail(jobs.Fails())

    async def _fail_in_time(self, _one: int, _other: int) -> None:
        await self._must_fail(jobs.Overlong())

    async def _must_fail(self, job: ProgressJob[None]) -> None:
        try:
            await (await self._kit.asubmit(job)).aresult()
        except RunFailed:
            return
        raise AssertionError("it should have failed")

    async def _leave(self, one: int, _other: int) -> None:
        run = await self._kit.asubmit(jobs.Endless())
        await asyncio.sleep(one / 10**6 * THINKS)
        await run.acancel()
        try:
            await run.aresult()
        except RunCancelled:
            return
        raise AssertionError("it should have been cancelled")

    async def _invalidate(self, _one: int, _other: int) -> None:
        await self._kit.ainvalidate(tag="remembered")
