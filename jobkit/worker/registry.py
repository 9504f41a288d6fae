"""Registry: what a worker tells of itself, to the store every few seconds and at once when it changes, and who asks.

What children perform they tell when they are asked to; a job may keep its child from answering, so nobody is waited for
long, and what a child told last stands. Nothing rests on any of this but what people read.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from jobkit.errors import StoreError
from jobkit.fleet import FORGOTTEN_AFTER, TOLD_EVERY, WorkerInfo
from jobkit.worker import memory
from jobkit.worker.link import Tell, Told

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from jobkit.store.async_client import AsyncStore
    from jobkit.worker.link import ToChild

PATIENCE = 1.0
"""Seconds that a server is tried to be reached; then it is told next time."""
HEARING_SECONDS = 0.3
"""How long children are waited for; those that a job keeps from answering stay with what they told last."""


class Member(Protocol):
    """A child, as far as it is told of; `ChildProcess` fits."""

    @property
    def pid(self) -> int: ...
    def say(self, message: ToChild) -> None: ...


M = TypeVar("M", bound=Member)


class Crew(Protocol):
    """What is told of a worker; `Supervisor` fits."""

    @property
    def concurrency(self) -> int: ...
    @property
    def queues(self) -> Mapping[str, int]: ...
    @property
    def leaving(self) -> bool: ...
    def members(self) -> Collection[Member]:
        """The children that serve."""
        ...


class Registry:
    """What one worker tells of itself."""

    def __init__(self, worker: str, target: str, crew: Crew, pool: str = "process") -> None:
        self._crew = crew
        self._fixed = WorkerInfo(
            name=worker, host=socket.gethostname(), pid=os.getpid(), version=_version(), target=target, pool=pool,
            started_at=time.time(),
        )  # fmt: skip
        self._told: dict[int, Told] = {}
        self._gone = Told(performed=0, failed=0)
        self._crashed = 0
        self._awaited: set[int] = set()
        self._all_told = asyncio.Event()
        self._changed = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    # Of children ------------------------------------------------------------------------------------------------------

    def hear(self, pid: int, told: Told) -> None:
        """A child has told."""
        self._told[pid] = told
        self._awaited.discard(pid)
        if not self._awaited:
            self._all_told.set()

    def bury(self, pid: int, *, crashed: bool) -> None:
        """A child has ended; what it performed counts on."""
        told = self._told.pop(pid, None)
        if told is not None:
            self._gone = Told(performed=self._gone.performed + told.performed, failed=self._gone.failed + told.failed)
        self._crashed += crashed
        self._awaited.discard(pid)

    def number_of_idle(self, members: Collection[Member]) -> int:
        """Of these, as they told last."""
        return sum(1 for member in members if not self._performs(member))

    def idle_first(self, members: Collection[M]) -> list[M]:
        """These, those at the front that perform nothing, as they told last."""
        return sorted(members, key=self._performs)

    def _performs(self, member: Member) -> int:
        told = self._told.get(member.pid)
        return 0 if told is None else len(told.performing)

    async def survey(self) -> None:
        """Have all children that can tell how they are."""
        members = self._crew.members()
        self._awaited = {member.pid for member in members}
        self._all_told.clear()
        for member in members:
            member.say(Tell())
        if members:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARING_SECONDS):
                    await self._all_told.wait()

    # To others --------------------------------------------------------------------------------------------------------

    def about(self) -> WorkerInfo:
        """This worker, as far as is known now."""
        crew = self._crew
        pids = [member.pid for member in crew.members()]
        told = [self._told[pid] for pid in pids if pid in self._told]
        performing = tuple(each for one in told for each in one.performing)
        return msgspec.structs.replace(
            self._fixed,
            concurrency=crew.concurrency,
            queues=dict(crew.queues),
            stopping=crew.leaving,
            busy=len(performing),
            load=_load(),
            memory=sum(memory.resident(pid) for pid in (os.getpid(), *pids)),  # what they share is counted for each
            children=len(pids),
            performed=self._gone.performed + sum(each.performed for each in told),
            failed=self._gone.failed + sum(each.failed for each in told),
            crashed=self._crashed,
            performing=performing,
            last_seen=time.time(),
        )

    def begin(self, store: AsyncStore) -> None:
        """Tell from now on."""
        self._telling = asyncio.ensure_future(self._tell_for_ever(store))

    def change(self) -> None:
        """Tell at once."""
        self._changed.set()

    async def end(self) -> None:
        """Tell no more."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    async def _tell_for_ever(self, store: AsyncStore) -> None:
        while True:
            self._changed.clear()
            await self.survey()
            about = self.about()
            with suppress(StoreError):  # the heartbeat says so, and goes on
                await store.execute(store.operations.announce(about.name, about.to_json(), FORGOTTEN_AFTER), PATIENCE)
            with suppress(TimeoutError):
                async with asyncio.timeout(TOLD_EVERY):
                    await self._changed.wait()


def _version() -> str:
    try:
        return version("jobkit-progress")
    except PackageNotFoundError:  # a checkout on PYTHONPATH
        return ""


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None
