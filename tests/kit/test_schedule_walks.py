"""Seeded walks of several versions of one schedule, whose workers come, go, miss and repeat what they say.

Whatever happens, a tick is fired once, the schedule stays paused until it is resumed, and all come to rest. The clock
goes back by seconds only: beyond an hour ticks may come again (docs/store-protocol.md).
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobkit import Every, JobKit
from jobkit.store.replies import work_in
from jobkit.testing import Clock
from jobkit.timetable import TAKE_OVER, Timetable
from tests.kit.test_schedules import Report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobkit.timetable import Step

VERSIONS = 4
STEPS = 300
SEEDS = (1, 2, 3, random.randrange(10**9))  # the last one's name tells it


class Worker:
    """Acts as a worker does, over a bad network."""

    def __init__(self, kit: JobKit, chance: random.Random) -> None:
        self._kit, self._chance = kit, chance
        self._timetable = Timetable(kit.operations)
        self._timetable.declare(kit.declarations(1))
        self._sent: list[Step] = []

    def act(self) -> None:
        """One round: the store may not answer, steps are lost, sent twice, or come late once more."""
        if not self._sent or self._chance.random() < 0.9:  # else it goes by what it saw before
            self._look()
        store = self._kit.store()
        for step in self._timetable.plan(("default",))[0]:
            chance = self._chance.random()
            if chance < 0.05:
                continue
            answer = store.execute(step.operation)
            self._sent.append(step)
            if chance < 0.2:
                answer = store.execute(step.operation)
            if chance < 0.9:  # else the reply is lost
                self._timetable.take_in(step, answer)
        if self._sent and self._chance.random() < 0.2:
            store.execute(self._chance.choice(self._sent).operation)

    def come_to_rest(self) -> None:
        for _ in range(100):
            self._look()
            steps, _ = self._timetable.plan(("default",))
            if not steps:
                return
            for step in steps:
                self._timetable.take_in(step, self._kit.store().execute(step.operation))
        raise AssertionError(f"there is still something to be done: {steps}")

    def _look(self) -> None:
        (look,) = self._kit.store().execute_all(self._timetable.looks([0]))
        self._timetable.heed(0, look)


@pytest.fixture
def kits(store_url: str, namespace: str) -> Iterator[list[JobKit]]:
    """Versions of a schedule: what each submits has another argument."""
    kits = [JobKit(store_url, jobs=[Report], namespace=namespace) for _ in range(VERSIONS)]
    for number, kit in enumerate(kits):
        kit.schedule("often", Report(region=f"R{number}"), Every(10, missed="all"), reuse="none")
    yield kits
    for kit in kits:
        kit.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tick_is_fired_once_whoever_comes_and_goes(kits: list[JobKit], seed: int) -> None:
    chance = random.Random(seed)
    clock, workers = Clock(kits[0]), [Worker(kits[0], chance)]
    kit, paused = kits[1], False
    for _ in range(STEPS):
        match chance.choices(("act", "wait", "join", "leave", "pause", "back"), (60, 15, 5, 4, 4, 2))[0]:
            case "act":
                chance.choice(workers).act()
            case "wait":
                clock.advance(chance.choice((1, 5, 10, 10, 25, 40)))
            case "join":
                workers.append(Worker(chance.choice(kits), chance))
            case "leave" if len(workers) > 1:
                workers.pop(chance.randrange(len(workers)))
            case "pause" if kit.schedules():
                (kit.resume_schedule if paused else kit.pause_schedule)("often")
                paused = not paused
            case "back":
                clock._set(clock.ahead - timedelta(seconds=chance.choice((1, 5, 20))))
        assert not paused or all(each.paused for each in kit.schedules())
        _each_tick_once(kit)
    for _ in range(3):
        clock.advance(TAKE_OVER + 1)
        for worker in workers:
            worker.come_to_rest()
    assert len(kit.schedules()) == 1
    _each_tick_once(kit)


def _each_tick_once(kit: JobKit) -> None:
    runs = kit.runs(limit=10_000).snapshots
    kept = kit.store().execute_all([kit.operations.recall(run.id) for run in runs])
    ticks = Counter(work_in(each.work).tick for each in kept)
    assert max(ticks.values(), default=1) == 1, f"fired more than once: {ticks.most_common(3)}"
