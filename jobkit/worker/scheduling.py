"""Scheduling: keeps a worker's timetable in the store, and fires what has come due, in the supervisor's loop.

What is to be done is the `Timetable`'s to say. A worker without schedules asks the store nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from jobkit.errors import StoreError
from jobkit.timetable import Timetable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobkit.store.async_client import AsyncStore
    from jobkit.store.operations import Declaration

PATIENCE = 1.0
"""Seconds that a step tries to reach a server, before it leaves that to the next one."""
AFTER_TROUBLE = 0.5
"""Seconds until a store that did not answer is asked again. (The heartbeat says that it is away.)"""


class Serving(Protocol):
    """What says which queues the worker serves now; `Heartbeat` fits."""

    queues: Sequence[str]


class Scheduling:
    """The schedules of one worker."""

    def __init__(self, store: AsyncStore, serving: Serving) -> None:
        self._store = store
        self._serving = serving
        self._timetable = Timetable(store.operations)
        self._changed = asyncio.Event()

    def declare(self, declarations: Iterable[Declaration]) -> None:
        """What the kit has now, as a child tells it."""
        if self._timetable.declare(declarations):
            self._changed.set()

    async def keep(self) -> None:
        """For ever."""
        await self._changed.wait()
        partitions = range(await self._store.partitions())
        while True:
            self._changed.clear()
            trouble = await self._look(partitions)
            seconds = await self._take_steps(partitions)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(seconds, AFTER_TROUBLE) if trouble else seconds):
                    await self._changed.wait()

    async def _look(self, partitions: Sequence[int]) -> bool:
        """Whether one did not answer."""
        if self._timetable.empty:
            return False
        looks = await self._store.execute_each(self._timetable.looks(partitions), PATIENCE)
        for partition, look in zip(partitions, looks, strict=True):
            if not isinstance(look, StoreError):
                self._timetable.heed(partition, look)
        return any(isinstance(look, StoreError) for look in looks)

    async def _take_steps(self, partitions: Sequence[int]) -> float:
        """As long as there are any. Answers in how many seconds there may be more."""
        while True:
            steps, seconds = self._timetable.plan(self._serving.queues)
            if not steps:
                return seconds
            answers = await self._store.execute_each([step.operation for step in steps], PATIENCE)
            trouble = False
            for step, answer in zip(steps, answers, strict=True):
                if isinstance(answer, StoreError):
                    trouble = True
                else:
                    self._timetable.take_in(step, answer)
            if trouble or await self._look(partitions):
                return AFTER_TROUBLE
