"""Handback: what a child held when it ended goes back to the store, and what does not stop is ended.

The store decides: a slot is declared dead there first, on condition of the very start that is to end, and only then is
its process killed. So nothing else is ever hit, and nothing is given back twice.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from jobkit.decision import StopReason
from jobkit.errors import StoreError
from jobkit.incident import size
from jobkit.store.conversation import backoff
from jobkit.store.operations import Mark, partition_of
from jobkit.store.replies import Verdict
from jobkit.worker.link import USUAL_GRACE, GiveUp, Stop
from jobkit.worker.memory import KernelCounts
from jobkit.worker.release import HANDED_BACK, crashed, out_of_memory, unstoppable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from jobkit.store.async_client import AsyncStore
    from jobkit.worker.children import Children
    from jobkit.worker.link import Guarded
    from jobkit.worker.process import ChildProcess
    from jobkit.worker.release import Release

MARK_PATIENCE = 1.0
"""Seconds in which what is seen of a start is told, or not at all."""

_log = logging.getLogger("jobkit.worker")


class Limits(Protocol):
    """What is known of guarded starts; `Guards` fits."""

    def limits_of(self, token: str) -> Guarded | None: ...


class Handback:
    """Of one worker. `store` is None until it is known; before that nothing is held. `spawn` begins a task."""

    def __init__(
        self, children: Children, limits: Limits, spawn: Callable[[Coroutine[object, object, None]], asyncio.Task[None]]
    ) -> None:
        self.store: AsyncStore | None = None
        self._children = children
        self._limits = limits
        self._spawn = spawn
        self._releases: set[asyncio.Task[None]] = set()
        self._kernel = KernelCounts()

    # A start is to stop -----------------------------------------------------------------------------------------------

    def stop(self, slot: str, run_id: str, token: str, reason: StopReason) -> None:
        """Tell the job, and end it when it does not stop within its grace."""
        child = self._children.of_slot(slot)
        if child is None:
            return
        child.say(Stop(token=token, reason=reason))
        if child.stopping.get(slot) != token:
            child.stopping[slot] = token
            _log.info("Run %s is to stop (%s).", run_id, reason)
            self._spawn(self._end_unless_stopped(child, slot, run_id, token, reason))

    def kill_for_memory(self, child: ChildProcess, start: Guarded | None, limit: int, used: int) -> None:
        """At once: memory that one process takes is soon missing elsewhere."""
        if child.doom is not None or child.gone.done():
            return
        _log.error("Child %d is killed: it uses %s of memory, of its %s.", child.pid, size(used), size(limit))
        release = out_of_memory(limit, used, start.retry_after if start else None, child.lines())
        if start is None and len(child.slots) > 1:  # which of its runs took the memory, nobody knows
            release = replace(release, failed=False, crashed=True)
        _kill(child, (start, release))

    async def mark(self, run_id: str, token: str, what: Mark, incident: bytes) -> None:
        """For people to see; so when the store is away, nobody waits for it."""
        if self.store is not None:
            operation = self.store.operations.mark(run_id, token, what, incident)
            await self.store.execute_each([operation], MARK_PATIENCE)

    # A child has ended ------------------------------------------------------------------------------------------------

    def give_back(self, child: ChildProcess, code: int, *, pardoned: bool) -> None:
        """What it held, whatever it last told anybody."""
        release = self._spawn(self._give_back(child, code, pardoned=pardoned))
        self._releases.add(release)
        release.add_done_callback(self._releases.discard)

    async def done(self) -> None:
        """Return when everything is given back."""
        await asyncio.gather(*self._releases)

    # Within -----------------------------------------------------------------------------------------------------------

    async def _end_unless_stopped(
        self, child: ChildProcess, slot: str, run_id: str, token: str, reason: StopReason
    ) -> None:
        """Where the matter is that the store does not confirm the lease, nobody waits for what it says."""
        limits, grace = self._limits.limits_of(token), child.cancel_grace(slot, token, USUAL_GRACE)
        await asyncio.sleep(grace)
        if child.gone.done() or child.says_it_leaves or (limits is not None and self._limits.limits_of(token) is None):
            return
        release = unstoppable(reason, grace, limits, child.lines(), await child.where())
        if reason is StopReason.UNCONFIRMED and len(child.slots) == 1:
            _kill(child, (limits, release))
            return
        await self.mark(run_id, token, Mark.KILLING, b"")
        ((verdict, _),) = await self._release({slot}, release, partition_of(run_id), token)
        if verdict is not Verdict.IDLE:
            self._end(child, slot, run_id)

    def _end(self, child: ChildProcess, slot: str, run_id: str) -> None:
        """A thread cannot be killed: its process takes nothing more, and ends when the other runs in it have."""
        if len(child.slots) == 1:
            _log.warning("Run %s has not stopped in time: its process %d is killed.", run_id, child.pid)
            _kill(child, child.doom)
            return
        _log.warning(
            "Run %s has not stopped in time: its process %d ends when what else it performs has.", run_id, child.pid
        )
        child.slots.discard(slot)
        child.say(GiveUp(slot=slot))
        self._children.let_go(child)

    async def _give_back(self, child: ChildProcess, code: int, *, pardoned: bool) -> None:
        """What is held against one start is, and whatever else its process held is handed back."""
        if child.doom is not None:
            start, release = child.doom
            if start is not None:
                await self._release({start.slot}, release, partition_of(start.run_id), start.token)
                release = HANDED_BACK
        else:
            release = HANDED_BACK if pardoned else crashed(await child.death(code, self._kernel.risen()))
        why = f": {release.message}" if release.account else ", as its process ends."
        for verdict, run_id in await self._release(child.slots, release):
            if verdict is Verdict.OK:
                _log.warning("Run %s was given back%s", run_id, why)

    async def _release(
        self, slots: Collection[str], release: Release, partition: int | None = None, token: str = ""
    ) -> list[tuple[Verdict, str]]:
        """Ask until there is an answer: in all partitions, for the slots must take nothing more from any; or in one."""
        store = self.store
        assert store is not None, "a slot is given after the store is known"
        ask = partial(store.operations.release, token=token, **release.words())
        for pause in backoff():
            try:
                partitions = range(await store.partitions()) if partition is None else (partition,)
                return await store.execute_all([ask(slot, partition=each) for each in partitions for slot in slots])
            except StoreError as error:
                _log.error("%s (Trying again.)", error)
                await asyncio.sleep(pause)
        raise AssertionError("backoff never ends")


def _kill(child: ChildProcess, doom: tuple[Guarded | None, Release] | None) -> None:
    """Its end is our doing."""
    child.pardoned, child.doom = True, doom
    child.kill()
