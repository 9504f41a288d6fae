"""Heartbeat: what a worker does in the store for as long as it lives, whatever its children are doing.

Three loops: renew the leases of all its slots in one call, sweep a little, and hear what is to be stopped. Stops come
twice: pushed, for speed, and in the answer to the next renewal, since a push may be lost. A store that is away stops
nothing: each question is asked until it is answered.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from jobkit.errors import StoreError
from jobkit.execution import StopReason
from jobkit.store.operations import failure_head
from jobkit.store.replies import Verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from jobkit.store.async_client import AsyncStore

LONGEST_RENEWAL = 5.0
LONGEST_SWEEP = 1.0
AFTER_TROUBLE = 1.0
LOST_WORKER = "The worker that performed this was lost."
"""What is said of a run whose crash budget is spent."""

_log = logging.getLogger("jobkit.worker")


class Heartbeat:
    """The heartbeat of one worker. `slots` says which serve now; `stop` is told (slot, run, token, reason)."""

    def __init__(
        self,
        store: AsyncStore,
        worker: str,
        queues: Sequence[str],
        slots: Callable[[], Sequence[str]],
        stop: Callable[[str, str, str, StopReason], None],
    ) -> None:
        self.queues = queues
        """The queues it is counted as serving; none while it shuts down."""
        self._store = store
        self._worker = worker
        self._slots = slots
        self._stop = stop
        self._shortest_lease = LONGEST_RENEWAL * 3
        self._changed = asyncio.Event()
        self._channel = store.operations.worker_channel(worker)

    async def beat(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._for_ever(self._renew))
            tasks.create_task(self._for_ever(self._sweep))
            tasks.create_task(self._listen())

    def allow_for(self, lease: float) -> None:
        """Beat fast enough for leases of so many seconds."""
        if lease < self._shortest_lease:
            self._shortest_lease = lease
            self.hurry()

    def hurry(self) -> None:
        """Beat now."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _for_ever(self, step: Callable[[], Awaitable[float]]) -> None:
        """Do a step again and again; it says after how many seconds."""
        while True:
            changed = self._changed
            try:
                pause = await step()
            except StoreError as error:
                _log.error("%s (Trying again.)", error)
                pause = AFTER_TROUBLE
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await changed.wait()

    async def _renew(self) -> float:
        renewals = await self._store.execute(self._store.operations.renew(self._worker, self.queues, self._slots()))
        for row in renewals.slots:
            match row.verdict:
                case Verdict.CANCEL:
                    self._stop(row.slot, row.run_id, row.token, StopReason.CANCELLED)
                case Verdict.ENDED | Verdict.LOST:
                    self._stop(row.slot, row.run_id, row.token, StopReason.LOST)
        return min(self._shortest_lease / 3, LONGEST_RENEWAL)

    async def _sweep(self) -> float:
        interval = min(self._shortest_lease / 6, LONGEST_SWEEP)
        swept = await self._store.execute(self._store.operations.sweep(interval, failure_head(LOST_WORKER)))
        return 0.0 if swept.more else interval

    async def _listen(self) -> None:
        while True:
            try:
                await self._store.subscriptions.subscribe(self._channel, self._hear)
            except StoreError as error:
                _log.error("%s (Trying again.)", error)
                await asyncio.sleep(AFTER_TROUBLE)
            else:
                return

    def _hear(self, published: bytes | None) -> None:
        if published is None:
            self.hurry()  # what was pushed in the gap is learned by renewing
            return
        slot, run_id, token = published.decode().split(" ")
        self._stop(slot, run_id, token, StopReason.CANCELLED)
