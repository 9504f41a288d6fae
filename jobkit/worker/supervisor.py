"""Supervisor: keeps children serving, and gives back what the dead ones held.

It never imports the jobs' code; a child tells where the store is. All happens in one event loop of the main thread:

* a child's end is noticed at once: what its slot held goes back into the queue, and a spare child, warm, steps in;
* a stop is handed on to the child; a job that has not stopped when its grace is over is killed, if the store confirms
  that its slot still holds that very start;
* a child that leaves (recycled, or outdated) finishes what it performs, while another serves in its place;
* SIGTERM lets running jobs finish for `grace` seconds and hands back the others; a second signal ends at once;
* SIGUSR1 has all children replaced by fresh ones, which import the code anew.

A slot is a name in the store, `worker/number`, never used again: a child of the process pool has one, one of the other
pools many. Leases are renewed and given back by slot, never by what a child said: it may die between taking a run and
saying so.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import secrets
import signal
import socket
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from jobkit.errors import StoreError, StoreMisconfigured
from jobkit.execution import StopReason
from jobkit.incident import size
from jobkit.options import DEFAULT_QUEUE
from jobkit.store.async_client import AsyncStore
from jobkit.store.conversation import backoff
from jobkit.store.location import parse
from jobkit.store.operations import Mark, Operations, partition_of
from jobkit.store.replies import Verdict
from jobkit.worker.autopsy import ending
from jobkit.worker.control import ControlledWorker
from jobkit.worker.guards import Guards
from jobkit.worker.heartbeat import Heartbeat
from jobkit.worker.link import (
    USUAL_GRACE,
    Begin,
    Drain,
    GiveUp,
    Guarded,
    Leaving,
    LogFrom,
    Moved,
    Over,
    Ready,
    Recount,
    Serve,
    Stop,
    Terms,
    Told,
    ToSupervisor,
    Unfit,
)
from jobkit.worker.memory import KernelCounts
from jobkit.worker.output import Output
from jobkit.worker.process import ChildProcess, Phase
from jobkit.worker.registry import Registry
from jobkit.worker.release import HANDED_BACK, Release, crashed, out_of_memory, unstoppable

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Mapping

HANDBACK_SECONDS = 3.0
"""How long jobs that are handed back may take to stop; then they are killed."""
IMPORT_SECONDS = 5.0
"""How long the import of the kit may take before it is said, and said again."""
QUIET_SECONDS = 2.0
"""How long a worker that starts waits for the store before it says so."""
SILENCE_SECONDS = 10.0
"""And how long until it says so again."""
FAREWELL_SECONDS = 5.0
"""How long the last words to the store may take."""
FILL_SECONDS = 0.02
"""Until a dead child is replaced: starting a process holds up the loop, and giving back what it held goes first."""
MARK_PATIENCE = 1.0
"""Seconds in which what is seen of a start is told, or not at all."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between attempts to start children that end before they are ready."""
MOST_FAILED_STARTS = 5
"""So many children may end before the first one was ready; then there is no use in going on."""

_log = logging.getLogger("jobkit.worker")


class Supervisor:
    """One worker's life; `run` returns its exit code."""

    def __init__(
        self,
        target: str,
        *,
        pool: str,
        concurrency: int,
        queues: Mapping[str, int] | None,
        lease: float,
        grace: float,
        level: str,
        most_runs: int | None,
        most_memory: int | None,
        memory_limit: int | None,
    ) -> None:
        self._target = target
        self._pool = pool
        self.concurrency = concurrency
        self._all_queues = queues is None
        self.queues: Mapping[str, int] = queues or {}
        """What it serves, with weights; where that is what the kit's jobs name, a child tells it."""
        self._lease = lease
        self._grace = grace
        self._level = level
        self._most_runs = most_runs
        self._most_memory = most_memory
        self._worker = _new_worker_name()
        self._slots = count(1)
        self._children: set[ChildProcess] = set()
        self._outdated: set[ChildProcess] = set()
        """Those to be replaced, as soon as there are fresh ones."""
        self._store: AsyncStore | None = None
        self._heartbeat: Heartbeat | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._releases: set[asyncio.Task[None]] = set()
        self._registry = Registry(self._worker, target, self, pool)
        self._guards = Guards(self._stop, self._kill_for_memory, self._mark, memory_limit)
        self._output = Output()
        self._kernel = KernelCounts()
        self._failed_starts = 0
        self._resting = False
        self._leaving = False
        self._ended = asyncio.Event()
        self._code = 0
        self._unusable = False
        """The store refuses us for good: nothing was taken from it, and it is asked no more."""

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in _ending_signals():
            loop.add_signal_handler(number, self._leave)
        loop.add_signal_handler(signal.SIGUSR1, self.replace_children)
        self._fill()
        self._spawn(self._tell_of_a_long_import())
        self._spawn(self._guards.watch())
        try:
            await self._ended.wait()
        finally:
            self._leaving = True
            gone = [child.gone for child in self._children]
            self._kill_all()
            await asyncio.gather(*gone)
        return self._code if await self._farewell() else 1

    # Children ---------------------------------------------------------------------------------------------------------

    def replace_children(self) -> int:
        """Have fresh children serve, which import the code anew; the old ones finish what they perform."""
        if self._leaving:
            return 0
        _log.info("Worker %s replaces its children.", self._worker)
        self._outdated = self._in(Phase.SERVING)
        for child in self._in(Phase.SPARE) | self._in(Phase.STARTING):
            child.pardoned = True
            child.kill()
        self._resting = False
        return len(self._outdated)

    @property
    def _processes(self) -> int:
        """How many children are to serve."""
        return self.concurrency if self._pool == "process" else 1

    @property
    def _slots_each(self) -> int:
        return self.concurrency // self._processes

    def _in(self, *phases: Phase) -> set[ChildProcess]:
        return {child for child in self._children if child.phase in phases}

    def _fill(self) -> None:
        """Start what is missing: children that serve, and once all of them do, a spare one."""
        wanted = self._processes + (len(self._in(Phase.SERVING)) >= self._processes)
        while len(self._children - self._in(Phase.LEAVING)) < wanted and not (self._leaving or self._resting):
            child = ChildProcess(self._target, self._level, self._pool, self._output, self._heed)
            self._children.add(child)
            child.gone.add_done_callback(partial(self._mourn, child))

    def _promote(self) -> None:
        """Let spare children serve where one is missing, or is outdated."""
        for child in self._in(Phase.SPARE):
            if self._leaving:
                return
            if len(self._in(Phase.SERVING)) >= self._processes:
                if not self._outdated:
                    return
                self._let_go(self._registry.idle_first(self._outdated)[0])
            child.phase = Phase.SERVING
            child.slots = {f"{self._worker}/{next(self._slots)}" for _ in range(self._slots_each)}
            child.say(
                Begin(
                    slots=tuple(child.slots),
                    queues=dict(self.queues),
                    lease=self._lease,
                    most_runs=self._most_runs,
                    most_memory=self._most_memory,
                )
            )
            self._guards.serves(child)

    def _let_go(self, child: ChildProcess) -> None:
        """It takes nothing more, and ends when it has settled what it performs."""
        child.phase = Phase.LEAVING
        self._outdated.discard(child)
        child.say(Drain())

    def _heed(self, child: ChildProcess, message: ToSupervisor) -> None:
        match message:
            case Ready():
                child.phase = Phase.SPARE
                _log.debug("Child %d is ready.", child.pid)
                self._failed_starts = 0
                self._begin_once(message)
                self._promote()
                self._fill()
            case Unfit(message=text, exit_code=code):
                _log.error("%s", text)
                if self._store is None:
                    self._end_with(code)
            case Terms():
                child.terms[message.slot] = message
                if self._heartbeat is not None:
                    self._heartbeat.allow_for(message.lease)
            case Guarded() | Moved() | Over():
                self._guards.heed(child, message)
            case Told():
                self._registry.hear(child.pid, message)
            case Leaving(why=why):
                _log.info("Child %d leaves: %s.", child.pid, why)
                self._let_go(child)
                self._promote()
                self._fill()

    def _mourn(self, child: ChildProcess, gone: asyncio.Future[int]) -> None:
        code = gone.result()
        self._guards.gone(child)
        self._children.discard(child)
        self._outdated.discard(child)
        if child.phase in (Phase.SERVING, Phase.LEAVING):
            self._give_back(child, code)
        elif child.phase is Phase.STARTING and not self._leaving and not child.pardoned:
            self._rest_after_failed_start(code)
        self._promote()
        asyncio.get_running_loop().call_later(FILL_SECONDS, self._fill)

    def _rest_after_failed_start(self, code: int) -> None:
        self._failed_starts += 1
        _log.error("A child %s before it was ready.", ending(code))
        if self._store is None and self._failed_starts >= MOST_FAILED_STARTS:
            _log.error("Giving up: %s never came up; what its children wrote above tells why.", self._target)
            self._end_with(1)
            return
        self._resting = True
        pause = min(FIRST_PAUSE * 2 ** min(self._failed_starts - 1, 10), LONGEST_PAUSE)
        asyncio.get_running_loop().call_later(pause, self._rested)

    def _rested(self) -> None:
        self._resting = False
        self._fill()

    async def _tell_of_a_long_import(self) -> None:
        """At twice the time each time."""
        seconds, pause = 0.0, IMPORT_SECONDS
        while self._store is None:
            await asyncio.sleep(pause)
            seconds, pause = seconds + pause, seconds + pause
            if self._store is None and not self._leaving:
                _log.warning("Still importing %s, for %.0f s: nothing is performed before.", self._target, seconds)

    # What slots hold --------------------------------------------------------------------------------------------------

    def _give_back(self, child: ChildProcess, code: int) -> None:
        leaving = self._leaving or child.phase is Phase.LEAVING
        pardoned = child.pardoned or (leaving and code == 0)
        self._registry.bury(child.pid, crashed=not pardoned)
        if not pardoned:
            _log.error("Child %d %s.", child.pid, ending(code))
        if self._unusable:
            return
        release = self._spawn(self._release(child, code, pardoned=pardoned))
        self._releases.add(release)
        release.add_done_callback(self._releases.discard)

    async def _release(self, child: ChildProcess, code: int, *, pardoned: bool) -> None:
        """What is held against one start is, and whatever else its process held is handed back."""
        slots = child.slots
        if child.doom is not None:
            start, release = child.doom
            if start is not None:
                await self._ask_release({start.slot}, release, partition_of(start.run_id), start.token)
                release = HANDED_BACK
        else:
            release = HANDED_BACK if pardoned else crashed(await child.death(code, self._kernel.risen()))
        why = (
            f": {release.message}" if release.account else f", as the {'worker' if self._leaving else 'process'} ends."
        )
        for verdict, run_id in await self._ask_release(slots, release):
            if verdict is Verdict.OK:
                _log.warning("Run %s was given back%s", run_id, why)

    async def _ask_release(
        self, slots: Collection[str], release: Release, partition: int | None = None, token: str = ""
    ) -> list[tuple[Verdict, str]]:
        """Ask until there is an answer: in all partitions, for the slots must take nothing more from any; or in one."""
        store = self._store
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

    def _stop(self, slot: str, run_id: str, token: str, reason: StopReason) -> None:
        child = next((child for child in self._children if slot in child.slots), None)
        if child is None:
            return
        child.say(Stop(token=token, reason=reason))
        if child.stopping.get(slot) != token:
            child.stopping[slot] = token
            _log.info("Run %s is to stop (%s).", run_id, reason)
            self._spawn(self._kill_unless_stopped(child, slot, run_id, token, reason))

    def _recount(self) -> None:
        for child in self.members():
            child.say(Recount())

    async def _kill_unless_stopped(
        self, child: ChildProcess, slot: str, run_id: str, token: str, reason: StopReason
    ) -> None:
        """The store decides: once it has declared the slot dead on condition of the token, nothing else is in it.

        Where the matter is that the store does not confirm the lease, nobody waits for what it says.
        """
        limits, grace = self._guards.limits_of(token), child.cancel_grace(slot, token, USUAL_GRACE)
        await asyncio.sleep(grace)
        if child.gone.done() or (limits is not None and self._guards.limits_of(token) is None):
            return
        release = unstoppable(reason, grace, limits, child.lines(), await child.where())
        if reason is StopReason.UNCONFIRMED and len(child.slots) == 1:
            child.pardoned, child.doom = True, (limits, release)
            child.kill()
            return
        await self._mark(run_id, token, Mark.KILLING, b"")
        ((verdict, _),) = await self._ask_release({slot}, release, partition_of(run_id), token)
        if verdict is Verdict.IDLE:
            return
        if len(child.slots) > 1:
            self._give_up(child, slot, run_id)
        else:
            _log.warning("Run %s has not stopped in time: its process %d is killed.", run_id, child.pid)
            child.pardoned = True
            child.kill()

    def _give_up(self, child: ChildProcess, slot: str, run_id: str) -> None:
        """A thread cannot be killed: its process takes nothing more, and ends when the other runs in it have."""
        _log.warning(
            "Run %s has not stopped in time: its process %d ends when what else it performs has.", run_id, child.pid
        )
        child.slots.discard(slot)
        child.say(GiveUp(slot=slot))
        self._let_go(child)
        self._promote()
        self._fill()

    def _kill_for_memory(self, child: ChildProcess, start: Guarded | None, limit: int, used: int) -> None:
        """At once: memory that one process takes is soon missing elsewhere."""
        if child.doom is not None or child.gone.done():
            return
        _log.error("Child %d is killed: it uses %s of memory, of its %s.", child.pid, size(used), size(limit))
        release = out_of_memory(limit, used, start.retry_after if start else None, child.lines())
        if start is None and len(child.slots) > 1:  # which of its runs took the memory, nobody knows
            release = replace(release, failed=False, crashed=True)
        child.pardoned, child.doom = True, (start, release)
        child.kill()

    async def _mark(self, run_id: str, token: str, what: Mark, incident: bytes) -> None:
        """For people to see; so when the store is away, nobody waits for it."""
        if self._store is not None:
            operation = self._store.operations.mark(run_id, token, what, incident)
            await self._store.execute_each([operation], MARK_PATIENCE)

    # The store --------------------------------------------------------------------------------------------------------

    def _begin_once(self, ready: Ready) -> None:
        """The first child that is ready tells where the store is."""
        if self._store is not None:
            return
        if self._all_queues:
            self.queues = dict.fromkeys(ready.queues, 0)
        location = parse(ready.url)
        self._store = AsyncStore(location, Operations(ready.namespace), patience=math.inf)
        _log.info(
            "Worker %s performs the %s of %s, %d at a time, from %s of the store %s.",
            self._worker, f"{len(ready.jobs)} job{'s' if len(ready.jobs) != 1 else ''}", self._target,
            self.concurrency, _named("queue", tuple(self.queues)), location,
        )  # fmt: skip
        self._warn_of_what_stays(ready)
        self._heartbeat = Heartbeat(
            self._store,
            self._worker,
            tuple(self.queues),
            self._serving_slots,
            self._stop,
            self._recount,
            self._guards.confirmed,
        )
        self._heartbeat.allow_for(min(self._lease, ready.shortest_lease or self._lease))
        self._spawn(self._live(self._store, self._heartbeat))

    def _warn_of_what_stays(self, ready: Ready) -> None:
        """Jobs of the kit that wait for another worker; whoever named several queues, or another one, knows that."""
        if not ready.jobs:
            _log.warning("%s has no jobs, so every run is handed back: name them in JobKit(jobs=[...]).", self._target)
        if tuple(self.queues) != (DEFAULT_QUEUE,):
            return
        for queue in (queue for queue in ready.queues if queue != DEFAULT_QUEUE):
            jobs = sorted(job for job, named in ready.jobs.items() if named == queue)
            _log.warning(
                "This worker does not serve the queue %s, which %s names: add --queues %s, or start another for it.",
                queue, ", ".join(jobs), ",".join(ready.queues),
            )  # fmt: skip

    async def _live(self, store: AsyncStore, heartbeat: Heartbeat) -> None:
        telling = asyncio.ensure_future(_tell_of_silence(store))
        try:
            await store.open()
        except StoreMisconfigured as error:
            _log.error("%s", error)
            self._unusable = True
            self._end_with(1)
        else:
            telling.cancel()
            self._spawn(ControlledWorker(store, self._worker, self, self._registry).obey())
            await heartbeat.beat()
        finally:
            telling.cancel()

    def _serving_slots(self) -> list[str]:
        return [slot for child in self.members() for slot in child.slots]

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        """A worker whose heart has stopped must not look alive."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.critical("Worker %s fails, and ends.", self._worker, exc_info=error)
            self._end_with(1)

    # What it is asked to do while it runs (`control`, `registry`) -----------------------------------------------------

    @property
    def leaving(self) -> bool:
        return self._leaving

    def members(self) -> Collection[ChildProcess]:
        """The children that have slots."""
        return self._in(Phase.SERVING, Phase.LEAVING)

    def resize(self, concurrency: int) -> None:
        self.concurrency = concurrency
        serving = self._registry.idle_first(self._in(Phase.SERVING))
        for child in serving[: max(0, len(serving) - self._processes)]:
            self._let_go(child)
        if self._pool != "process":  # how many slots it has, a child learns when it begins
            self._outdated = self._in(Phase.SERVING)
        self._promote()
        self._fill()

    def serve(self, queues: Mapping[str, int]) -> None:
        self.queues = queues
        if self._heartbeat is not None and not self._leaving:
            self._heartbeat.queues = tuple(queues)
            self._heartbeat.hurry()
        for child in self._in(Phase.SERVING):
            child.say(Serve(queues=dict(queues)))

    def log_from(self, level: str) -> None:
        self._level = level
        logging.getLogger().setLevel(level)
        for child in self._children:
            child.say(LogFrom(level=level))

    def leave(self, *, at_once: bool = False) -> None:
        if not self._leaving or at_once:
            self._leave()
        if at_once and not self._ended.is_set():
            self._leave()

    # The end ----------------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """The first signal lets running jobs finish, any other ends now."""
        if self._leaving:
            _log.warning("Worker %s ends at once.", self._worker)
            self._end_with(0)
            return
        self._leaving = True
        if self._heartbeat is not None:
            self._heartbeat.queues = ()
        self._registry.change()
        serving = self.members()
        for child in serving:
            child.say(Drain())
        for child in self._children.difference(serving):
            child.kill()
        _log.info("Worker %s takes nothing more; running jobs have %g s.", self._worker, self._grace)
        self._spawn(self._drain(serving))

    async def _drain(self, serving: Collection[ChildProcess]) -> None:
        busy = await _still_there(serving, self._grace)
        for child in busy:
            _log.info("Child %d hands back what it performs.", child.pid)
            child.say(Stop(token="", reason=StopReason.HANDED_BACK))
        await _still_there(busy, HANDBACK_SECONDS)
        self._end_with(0)

    def _end_with(self, code: int) -> None:
        self._leaving = True
        if not self._ended.is_set():
            self._code = code
            self._ended.set()

    def _kill_all(self) -> None:
        for child in self._children:
            child.pardoned = True
            child.kill()

    async def _farewell(self) -> bool:
        """Give back what is still held, and be counted no more. False when the store did not confirm it."""
        if self._store is None:
            return True
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await asyncio.gather(*self._releases)
                if not self._unusable:
                    await self._retire(self._store)
        except (TimeoutError, StoreError):
            _log.error("The store did not confirm that everything was given back: what was not, is when leases end.")
            return False
        finally:
            for task in self._tasks:
                task.cancel()
            await self._store.close()
        return True

    async def _retire(self, store: AsyncStore) -> None:
        await self._registry.end()
        retire = partial(store.operations.retire, self._worker, tuple(self.queues))
        await store.execute_all([retire(partition=partition) for partition in range(await store.partitions())])


async def _tell_of_silence(store: AsyncStore) -> None:
    """Until it is cancelled, for the store answers."""
    pause = QUIET_SECONDS
    while True:
        await asyncio.sleep(pause)
        _log.warning("The store %s does not answer yet: nothing is performed until it does.", store.location)
        pause = SILENCE_SECONDS


async def _still_there(children: Collection[ChildProcess], seconds: float) -> list[ChildProcess]:
    """Those that have not ended within so many seconds."""
    if children:
        await asyncio.wait([child.gone for child in children], timeout=seconds)
    return [child for child in children if not child.gone.done()]


def _ending_signals() -> tuple[signal.Signals, ...]:
    """What ends a worker; a lost terminal does not when the worker was started to survive that (`nohup`)."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return (signal.SIGTERM, signal.SIGINT)
    return (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _new_worker_name() -> str:
    """Never used again, and readable: host, process, and chance."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:40]
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


def _named(noun: str, names: tuple[str, ...]) -> str:
    return f"{noun}{'s' if len(names) > 1 else ''} {', '.join(names)}"
