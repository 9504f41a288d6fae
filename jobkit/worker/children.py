"""Children: keeps so many processes serving, and a warm one more, whatever becomes of them.

A child is started, says that it is ready, and is spare until it is needed; then it serves, with slots of its own. One
that leaves (it was told to, or says so itself) takes nothing more and ends when it has settled what it performs, while
another serves in its place. When children end before they are ready, the next ones wait a little.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Protocol

from jobkit.worker.autopsy import ending
from jobkit.worker.link import Begin, Drain, Leaving, LogFrom, Ready, Serve, Unfit
from jobkit.worker.output import Output
from jobkit.worker.process import ChildProcess, Phase
from jobkit.worker.settings import Log

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from jobkit.worker.link import ToSupervisor
    from jobkit.worker.settings import Settings

FILL_SECONDS = 0.02
"""Until a dead child is replaced: starting a process holds up the loop, and giving back what it held goes first."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between attempts to start children that end before they are ready."""

_log = logging.getLogger("jobkit.worker")


class Parent(Protocol):
    """Whom the children belong to; `Supervisor` fits."""

    def ready(self, ready: Ready) -> None:
        """A child has imported everything. (Called before it is used.)"""

    def unfit(self, unfit: Unfit) -> None:
        """A child says why none of its kind will ever be ready."""

    def stillborn(self, times: int) -> None:
        """So many children in a row have ended before they were ready."""

    def serves(self, child: ChildProcess) -> None:
        """A child serves from now on."""

    def heed(self, child: ChildProcess, message: ToSupervisor) -> None:
        """A child that serves says something else."""

    def bury(self, child: ChildProcess, code: int) -> None:
        """A child that had slots has ended."""

    def idle_first(self, children: Collection[ChildProcess]) -> list[ChildProcess]:
        """These, those at the front that perform nothing, as far as is known."""
        ...


class Children:
    """Those of the worker of this name."""

    def __init__(self, settings: Settings, worker: str, parent: Parent) -> None:
        self.concurrency = settings.concurrency
        self.queues: Mapping[str, int] = settings.queues or {}
        """What they serve, with weights."""
        self._settings = settings
        self._log = settings.log
        self._worker = worker
        self._parent = parent
        self._output = Output()
        self._all: set[ChildProcess] = set()
        self._outdated: set[ChildProcess] = set()
        """Those to be replaced, as soon as there are fresh ones."""
        self._numbers = count(1)
        self._stillborn = 0
        self._resting = False
        self._closed = False

    # Which there are --------------------------------------------------------------------------------------------------

    def all(self) -> set[ChildProcess]:
        return set(self._all)

    def members(self) -> set[ChildProcess]:
        """Those that have slots."""
        return self._in(Phase.SERVING, Phase.LEAVING)

    def slots(self) -> list[str]:
        return [slot for child in self.members() for slot in child.slots]

    def of_slot(self, slot: str) -> ChildProcess | None:
        return next((child for child in self._all if slot in child.slots), None)

    # What is done with them -------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Start what is missing: children that serve, and once all of them do, a spare one."""
        wanted = self._processes + (len(self._in(Phase.SERVING)) >= self._processes)
        while len(self._all - self._in(Phase.LEAVING)) < wanted and not (self._closed or self._resting):
            settings = self._settings
            child = ChildProcess(settings.target, self._log, settings.pool, self._output, self._heed)
            self._all.add(child)
            child.gone.add_done_callback(partial(self._mourn, child))

    def let_go(self, child: ChildProcess) -> None:
        """It takes nothing more, and another one serves in its place."""
        self._dismiss(child)
        self._promote()
        self.fill()

    def replace(self) -> int:
        """Have fresh children serve, which import the code anew. Answers how many of the old ones serve yet."""
        if not self._closed:
            self._outdated = self._in(Phase.SERVING)
            self._kill(self._in(Phase.SPARE, Phase.STARTING))
            self._resting = False
        return len(self._outdated)

    def resize(self, concurrency: int) -> None:
        """Perform so many runs at a time."""
        self.concurrency = concurrency
        serving = self._parent.idle_first(self._in(Phase.SERVING))
        for child in serving[: max(0, len(serving) - self._processes)]:
            self._dismiss(child)
        if self._settings.pool != "process":  # how many slots it has, a child learns when it begins
            self._outdated = self._in(Phase.SERVING)
        self._promote()
        self.fill()

    def serve(self, queues: Mapping[str, int]) -> None:
        """Take from these queues."""
        self.queues = queues
        for child in self._in(Phase.SERVING):
            child.say(Serve(queues=dict(queues)))

    def log_from(self, level: str) -> None:
        self._log = Log(level, self._log.style)
        for child in self._all:
            child.say(LogFrom(level=level))

    def close(self) -> Collection[ChildProcess]:
        """Start no more, and let all end that have nothing to perform. Answers those that serve."""
        self._closed = True
        serving = self.members()
        for child in serving:
            child.say(Drain())
        self._kill(self._all - serving)
        return serving

    async def kill_all(self) -> None:
        """Return when all are buried."""
        self._closed = True
        self._kill(self._all)
        await asyncio.gather(*[child.gone for child in self._all])

    # Within -----------------------------------------------------------------------------------------------------------

    @property
    def _processes(self) -> int:
        """How many are to serve."""
        return self.concurrency if self._settings.pool == "process" else 1

    def _in(self, *phases: Phase) -> set[ChildProcess]:
        return {child for child in self._all if child.phase in phases}

    def _kill(self, children: Collection[ChildProcess]) -> None:
        for child in children:
            child.pardoned = True
            child.kill()

    def _dismiss(self, child: ChildProcess) -> None:
        child.phase = Phase.LEAVING
        self._outdated.discard(child)
        child.say(Drain())

    def _promote(self) -> None:
        """Let spare children serve where one is missing, or is outdated."""
        for child in self._in(Phase.SPARE):
            if self._closed:
                return
            if len(self._in(Phase.SERVING)) >= self._processes:
                if not self._outdated:
                    return
                self._dismiss(self._parent.idle_first(self._outdated)[0])
            self._begin(child)

    def _begin(self, child: ChildProcess) -> None:
        settings, slots = self._settings, self.concurrency // self._processes
        child.phase = Phase.SERVING
        child.slots = {f"{self._worker}/{next(self._numbers)}" for _ in range(slots)}
        child.say(
            Begin(
                slots=tuple(child.slots),
                queues=dict(self.queues),
                lease=settings.lease,
                most_runs=settings.most_runs,
                most_memory=settings.most_memory,
                counted=settings.counted,
            )
        )
        self._parent.serves(child)

    def _heed(self, child: ChildProcess, message: ToSupervisor) -> None:
        match message:
            case Ready():
                child.phase = Phase.SPARE
                _log.debug("Child %d is ready.", child.pid)
                self._stillborn = 0
                self._parent.ready(message)
                self._promote()
                self.fill()
            case Unfit():
                self._parent.unfit(message)
            case Leaving(why=why):
                _log.info("Child %d leaves: %s.", child.pid, why)
                child.says_it_leaves = len(child.slots) == 1
                self.let_go(child)
            case _:
                self._parent.heed(child, message)

    def _mourn(self, child: ChildProcess, gone: asyncio.Future[int]) -> None:
        code = gone.result()
        self._all.discard(child)
        self._outdated.discard(child)
        if child.phase in (Phase.SERVING, Phase.LEAVING):
            self._parent.bury(child, code)
        elif child.phase is Phase.STARTING and not self._closed and not child.pardoned:
            self._rest(code)
        self._promote()
        asyncio.get_running_loop().call_later(FILL_SECONDS, self.fill)

    def _rest(self, code: int) -> None:
        self._stillborn += 1
        _log.error("A child %s before it was ready.", ending(code))
        self._resting = True
        pause = min(FIRST_PAUSE * 2 ** min(self._stillborn - 1, 10), LONGEST_PAUSE)
        asyncio.get_running_loop().call_later(pause, self._rested)
        self._parent.stillborn(self._stillborn)

    def _rested(self) -> None:
        self._resting = False
        self.fill()
