"""Supervisor: what a worker is made of, from its first child to its farewell.

It never imports the jobs' code; a child tells where the store is. All happens in one event loop of the main thread:

* a child's end is noticed at once: what its slots held goes back into the queue (`handback`), and a spare child, warm,
  steps in (`children`);
* a stop is handed on to the child; a job that has not stopped when its grace is over is killed, if the store confirms
  that its slot still holds that very start;
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
from functools import partial
from typing import TYPE_CHECKING

from jobkit.decision import StopReason
from jobkit.errors import StoreError, StoreMisconfigured
from jobkit.options import DEFAULT_QUEUE
from jobkit.store.async_client import AsyncStore
from jobkit.store.location import parse
from jobkit.store.operations import Operations
from jobkit.worker.autopsy import ending
from jobkit.worker.children import Children
from jobkit.worker.control import ControlledWorker
from jobkit.worker.guards import Guards
from jobkit.worker.handback import Handback
from jobkit.worker.heartbeat import Heartbeat
from jobkit.worker.link import Counted, Guarded, Moved, Over, Recount, Stop, Terms, Timetable, Told
from jobkit.worker.process import Phase
from jobkit.worker.registry import Registry
from jobkit.worker.scheduling import Scheduling
from jobkit.worker.vitals import Vitals

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Mapping

    from jobkit.store.operations import Mark
    from jobkit.worker.link import Ready, ToSupervisor, Unfit
    from jobkit.worker.metrics import Metrics
    from jobkit.worker.process import ChildProcess
    from jobkit.worker.settings import Settings

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
MOST_STILLBORN = 5
"""So many children may end before the first one was ready; then there is no use in going on."""

_log = logging.getLogger("jobkit.worker")


class Supervisor:
    """One worker's life; `run` returns its exit code."""

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self._settings = settings
        self._metrics = metrics
        self._worker = _new_worker_name()
        self._children = Children(settings, self._worker, self)
        self._guards = Guards(self._stop, self._kill_for_memory, self._mark, settings.memory_limit)
        self._handback = Handback(self._children, self._guards, self._spawn)
        self._registry = Registry(self._worker, settings.target, self, settings.pool)
        self._store: AsyncStore | None = None
        self._heartbeat: Heartbeat | None = None
        self._scheduling: Scheduling | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving = False
        self._ended = asyncio.Event()
        self._code = 0
        self._unusable = False
        """The store refuses us for good: nothing was taken from it, and it is asked no more."""

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in _ending_signals():
            loop.add_signal_handler(number, self._heed_signal)
        loop.add_signal_handler(signal.SIGUSR1, self.replace_children)
        self._children.fill()
        self._spawn(self._tell_of_a_long_import())
        self._spawn(self._guards.watch())
        try:
            await self._ended.wait()
        finally:
            self._leaving = True
            await self._children.kill_all()
        return self._code if await self._farewell() else 1

    # What children tell (`children`) ----------------------------------------------------------------------------------

    def ready(self, ready: Ready) -> None:
        """The first child that is ready tells where the store is."""
        if self._store is not None:
            return
        if self._settings.queues is None:
            self._children.queues = dict.fromkeys(ready.queues, 0)
        location = parse(ready.url)
        self._store = self._handback.store = AsyncStore(location, Operations(ready.namespace), patience=math.inf)
        _log.info(
            "Worker %s performs the %s of %s, %d at a time, from %s of the store %s.",
            self._worker, f"{len(ready.jobs)} job{'s' if len(ready.jobs) != 1 else ''}", self._settings.target,
            self.concurrency, _named("queue", tuple(self.queues)), location,
        )  # fmt: skip
        self._warn_of_what_stays(ready)
        self._heartbeat = Heartbeat(
            self._store,
            self._worker,
            tuple(self.queues),
            self._children.slots,
            self._stop,
            self._recount,
            self._guards.confirmed,
        )
        lease = self._settings.lease
        self._heartbeat.allow_for(min(lease, ready.shortest_lease or lease))
        self._scheduling = Scheduling(self._store, self._heartbeat)
        self._spawn(self._live(self._store, self._heartbeat))
        self._spawn(self._scheduling.keep())

    def unfit(self, unfit: Unfit) -> None:
        _log.error("%s", unfit.message)
        if self._store is None:
            self._end_with(unfit.exit_code)

    def stillborn(self, times: int) -> None:
        if self._store is None and times >= MOST_STILLBORN:
            _log.error("Giving up: %s never came up; what its children wrote above tells why.", self._settings.target)
            self._end_with(1)

    def serves(self, child: ChildProcess) -> None:
        self._guards.serves(child)

    def heed(self, child: ChildProcess, message: ToSupervisor) -> None:
        match message:
            case Terms():
                child.terms[message.slot] = message
                if self._heartbeat is not None:
                    self._heartbeat.allow_for(message.lease)
            case Timetable(declarations=declarations):
                assert self._scheduling is not None, "a child serves after the store is known"
                self._scheduling.declare(declarations)
            case Guarded() | Moved() | Over():
                self._guards.heed(child, message)
            case Told():
                self._registry.hear(child.pid, message)
            case Counted() if self._metrics is not None:
                self._metrics.count(message)

    def bury(self, child: ChildProcess, code: int) -> None:
        pardoned = child.pardoned or (code == 0 and (self._leaving or child.phase is Phase.LEAVING))
        self._guards.gone(child)
        self._registry.bury(child.pid, crashed=not pardoned)
        if not pardoned:
            _log.error("Child %d %s.", child.pid, ending(code))
            if self._metrics is not None:
                self._metrics.crashed()
        if not self._unusable:
            self._handback.give_back(child, code, pardoned=pardoned)

    def idle_first(self, children: Collection[ChildProcess]) -> list[ChildProcess]:
        return self._registry.idle_first(children)

    # What it is asked to do while it runs, and asked about (`control`, `registry`, `metrics`) -------------------------

    @property
    def concurrency(self) -> int:
        return self._children.concurrency

    @property
    def queues(self) -> Mapping[str, int]:
        return self._children.queues

    @property
    def leaving(self) -> bool:
        return self._leaving

    def members(self) -> Collection[ChildProcess]:
        return self._children.members()

    def vitals(self) -> Vitals:
        """How this worker is now. For any thread."""
        children = self._children.all()
        return Vitals(
            slots=self.concurrency,
            phases=[child.phase.value for child in children],
            pids=[child.pid for child in children],
            pulse=None if self._heartbeat is None else self._heartbeat.pulse,
        )

    def resize(self, concurrency: int) -> None:
        self._children.resize(concurrency)

    def serve(self, queues: Mapping[str, int]) -> None:
        self._children.serve(queues)
        if self._heartbeat is not None and not self._leaving:
            self._heartbeat.queues = tuple(queues)
            self._heartbeat.hurry()

    def log_from(self, level: str) -> None:
        logging.getLogger().setLevel(level)
        self._children.log_from(level)

    def replace_children(self) -> int:
        _log.info("Worker %s replaces its children.", self._worker)
        return self._children.replace()

    def leave(self, *, at_once: bool = False) -> None:
        if at_once:
            _log.warning("Worker %s ends at once.", self._worker)
            self._end_with(0)
        elif not self._leaving:
            self._leave()

    # The store --------------------------------------------------------------------------------------------------------

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

    def _stop(self, slot: str, run_id: str, token: str, reason: StopReason) -> None:
        self._handback.stop(slot, run_id, token, reason)

    def _kill_for_memory(self, child: ChildProcess, start: Guarded | None, limit: int, used: int) -> None:
        self._handback.kill_for_memory(child, start, limit, used)

    async def _mark(self, run_id: str, token: str, what: Mark, incident: bytes) -> None:
        await self._handback.mark(run_id, token, what, incident)

    def _recount(self) -> None:
        for child in self._children.members():
            child.say(Recount())

    def _warn_of_what_stays(self, ready: Ready) -> None:
        """Jobs of the kit that wait for another worker; whoever named several queues, or another one, knows that."""
        if not ready.jobs:
            target = self._settings.target
            _log.warning("%s has no jobs, so every run is handed back: name them in JobKit(jobs=[...]).", target)
        if tuple(self.queues) != (DEFAULT_QUEUE,):
            return
        for queue in (queue for queue in ready.queues if queue != DEFAULT_QUEUE):
            jobs = sorted(job for job, named in ready.jobs.items() if named == queue)
            _log.warning(
                "This worker does not serve the queue %s, which %s names: add --queues %s, or start another for it.",
                queue, ", ".join(jobs), ",".join(ready.queues),
            )  # fmt: skip

    async def _tell_of_a_long_import(self) -> None:
        """At twice the time each time."""
        seconds, pause = 0.0, IMPORT_SECONDS
        while self._store is None:
            await asyncio.sleep(pause)
            seconds, pause = seconds + pause, seconds + pause
            if self._store is None and not self._leaving:
                target = self._settings.target
                _log.warning("Still importing %s, for %.0f s: nothing is performed before.", target, seconds)

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

    # The end ----------------------------------------------------------------------------------------------------------

    def _heed_signal(self) -> None:
        """The first lets running jobs finish, any other ends now."""
        self.leave(at_once=self._leaving)

    def _leave(self) -> None:
        self._leaving = True
        if self._heartbeat is not None:
            self._heartbeat.queues = ()
        self._registry.change()
        _log.info("Worker %s takes nothing more; running jobs have %g s.", self._worker, self._settings.grace)
        self._spawn(self._drain(self._children.close()))

    async def _drain(self, serving: Collection[ChildProcess]) -> None:
        busy = await _still_there(serving, self._settings.grace)
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

    async def _farewell(self) -> bool:
        """Give back what is still held, and be counted no more. False when the store did not confirm it."""
        if self._store is None:
            return True
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._handback.done()
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
        await store.everywhere(partial(store.operations.retire, self._worker, tuple(self.queues)))


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
