"""Heartbeat: what a worker does in the store for as long as it lives, whatever its children are doing.

Three things: renew the leases of all its slots, in one call a server; sweep a little; hear what is to be stopped. Stops
come twice: pushed, for speed, and in the answer to the next renewal, since a push may be lost. A store that is away
stops nothing: it is asked again until it answers.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from jobkit.decision import StopReason
from jobkit.errors import StoreError
from jobkit.incident import Account, IncidentKind
from jobkit.store.operations import failure_head
from jobkit.store.replies import Verdict
from jobkit.worker.guard import boot_time
from jobkit.worker.vitals import Pulse

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from jobkit.store.async_client import AsyncStore
    from jobkit.store.operations import Operation

    Step = Callable[[Sequence[int]], Coroutine[Any, Any, None]]
    """Something to be done in these partitions."""

T = TypeVar("T")

LONGEST_RENEWAL = 5.0
LONGEST_SWEEP = 1.0
PATIENCE = 1.0
"""Seconds that a step tries to reach a server, before it leaves that to the next step."""
AFTER_TROUBLE = 1.0
LOST_WORKER = "The worker that performed this was lost."
"""What is said of a run whose crash budget is spent."""

_LOST = Account(
    kind=IncidentKind.LOST,
    message="The worker that performed this fell silent: it did not renew its lease in time.",
)

_log = logging.getLogger("jobkit.worker")


class Heartbeat:
    """The heartbeat of one worker.

    `slots` says which serve now; `stop` is told (slot, run, token, reason); `recount` is called when the store has lost
    data, and so may know nothing of what is being performed; `confirmed` is told the token of a lease that was renewed,
    and when that was asked (boot time).
    """

    def __init__(
        self,
        store: AsyncStore,
        worker: str,
        queues: Sequence[str],
        slots: Callable[[], Sequence[str]],
        stop: Callable[[str, str, str, StopReason], None],
        recount: Callable[[], None],
        confirmed: Callable[[str, float], None],
    ) -> None:
        self.queues = queues
        """The queues it is counted as serving; none while it shuts down."""
        self._store = store
        self._worker = worker
        self._slots = slots
        self._stop = stop
        self._recount = recount
        self._confirmed = confirmed
        self._incarnations: dict[int, str] = {}
        self.pulse = Pulse()
        self._changed = asyncio.Event()

    async def beat(self) -> None:
        """For ever."""
        partitions = range(await self._store.partitions())
        self.pulse.expect(partitions)
        await self._store.find(partitions)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._for_ever(self._renew, partitions, lambda: self._interval(3, LONGEST_RENEWAL)))
            tasks.create_task(self._for_ever(self._sweep, partitions, lambda: self._interval(6, LONGEST_SWEEP)))
            for partition in partitions:
                tasks.create_task(self._listen(partition))

    def allow_for(self, lease: float) -> None:
        """Beat fast enough for leases of so many seconds."""
        if lease < self.pulse.shortest_lease:
            self.pulse.shortest_lease = lease
            self.hurry()

    def hurry(self) -> None:
        """Beat now."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _interval(self, times: int, longest: float) -> float:
        """Seconds between steps of which there are so many a lease."""
        return min(self.pulse.shortest_lease / times, longest, AFTER_TROUBLE if self.pulse.troubled else longest)

    async def _for_ever(self, step: Step, partitions: Sequence[int], interval: Callable[[], float]) -> None:
        """Take a step in all partitions again and again, one call a server.

        Servers do not wait for each other: where the last step is not answered yet, the next one is left out.
        """
        busy: set[int] = set()
        async with asyncio.TaskGroup() as tasks:
            while True:
                changed = self._changed
                for group in self._store.by_server([partition for partition in partitions if partition not in busy]):
                    busy.update(group)
                    tasks.create_task(step(group)).add_done_callback(partial(_no_longer, busy, group))
                with suppress(TimeoutError):
                    async with asyncio.timeout(interval()):
                        await changed.wait()

    async def _renew(self, partitions: Sequence[int]) -> None:
        renew, slots = self._store.operations.renew, self._slots()
        queues = self.queues if slots else ()  # a worker none of whose children serves will perform nothing
        asked = [renew(self._worker, queues, slots, partition) for partition in partitions]
        asked_at = boot_time()
        for partition, renewals in (await self._answers(asked)).items():
            self.pulse.renewed(partition, renewals.slots)
            self._meet(partition, renewals.incarnation)
            for row in renewals.slots:
                if row.verdict in (Verdict.OK, Verdict.CANCEL):
                    self._confirmed(row.token, asked_at)
                match row.verdict:
                    case Verdict.CANCEL:
                        self._stop(row.slot, row.run_id, row.token, StopReason.CANCELLED)
                    case Verdict.ENDED | Verdict.LOST:
                        self._stop(row.slot, row.run_id, row.token, StopReason.LOST)

    def _meet(self, partition: int, incarnation: str) -> None:
        """Who meets a partition for the first time cannot know whether it is the one that its children took runs of."""
        before = self._incarnations.get(partition)
        if before == incarnation:
            return
        self._incarnations[partition] = incarnation
        if before is not None:
            _log.warning("The store has lost data: what is being performed is asserted anew.")
        self._recount()

    async def _sweep(self, partitions: Sequence[int]) -> None:
        interval, failure = self._interval(6, LONGEST_SWEEP), failure_head(LOST_WORKER)
        sweep = partial(self._store.operations.sweep, interval, failure, incident=_LOST.to_json())
        while partitions:
            answers = await self._answers([sweep(partition=partition) for partition in partitions])
            partitions = [partition for partition, swept in answers.items() if swept.more]

    async def _answers(self, operations: Sequence[Operation[T]]) -> dict[int, T]:
        """Of those partitions that answer; the others are asked again by the next step."""
        answers: dict[int, T] = {}
        errors: set[str] = set()
        values = await self._store.execute_each(operations, PATIENCE)
        for operation, value in zip(operations, values, strict=True):
            if not isinstance(value, StoreError):
                answers[operation.partition] = value
                self.pulse.troubled.discard(operation.partition)
                continue
            self.pulse.errors += 1
            if operation.partition not in self.pulse.troubled:
                errors.add(str(value))
                self.pulse.troubled.add(operation.partition)
        for error in errors:
            _log.error("%s (Trying again.)", error)
        return answers

    async def _listen(self, partition: int) -> None:
        channel = self._store.operations.worker_channel(self._worker, partition)
        while True:
            try:
                await self._store.subscriptions.subscribe(channel, self._hear)
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


def _no_longer(busy: set[int], group: Sequence[int], _step: asyncio.Task[None]) -> None:
    busy.difference_update(group)
