"""Guards: the supervisor's watch over starts with limits, from outside of the process that performs them.

So it works while a job holds the interpreter, sits in native code, or ignores what it is told. What follows from it is
the supervisor's to do: `stop` a start, kill a child that `exhausts` its memory, and `mark` in the store what stalls.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from jobkit.incident import Account, IncidentKind
from jobkit.store.operations import Mark
from jobkit.worker import memory
from jobkit.worker.guard import Guard, boot_time
from jobkit.worker.link import Guarded, Moved, Over

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from jobkit.decision import StopReason
    from jobkit.worker.process import ChildProcess

    Stop = Callable[[str, str, str, StopReason], None]
    """Told slot, run, token and why."""
    Exhausts = Callable[[ChildProcess, "Guarded | None", int, int], None]
    """Told the child, which of its starts set the limit, if one did, the limit and what is used, in bytes."""
    MarkStart = Callable[[str, str, Mark, bytes], Coroutine[None, None, None]]
    """Told run, token, what is seen, and what befell it."""

LOOK_SECONDS: Final = 0.05
FROZEN_SECONDS: Final = 1.0
"""Who looks again only after so long was frozen, and the children were with him."""
MEMORY_SECONDS: Final = 0.25
LOOK_SHARE: Final = 0.05
"""The most of the time that looking at memory may take: on a machine of many processes it looks more seldom."""

_log = logging.getLogger("jobkit.worker")


class Guards:
    """All guards of a worker. `memory_limit` (bytes) is for children whose runs name none; None: nobody looks."""

    def __init__(self, stop: Stop, exhausts: Exhausts, mark: MarkStart, memory_limit: int | None) -> None:
        self._stop = stop
        self._exhausts = exhausts
        self._mark = mark
        self._memory_limit = memory_limit
        self._guards: dict[str, tuple[ChildProcess, Guard]] = {}
        """By token."""
        self._children: set[ChildProcess] = set()
        """Those under the worker's own memory limit."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted = asyncio.Event()

    # What the supervisor tells ----------------------------------------------------------------------------------------

    def heed(self, child: ChildProcess, message: Guarded | Moved | Over) -> None:
        match message:
            case Guarded():
                self._guards[message.token] = (child, Guard(message, time.monotonic()))
                self._wanted.set()
            case Moved(token=token):
                guard = self._guard(token)
                if guard is not None and guard.moved(time.monotonic()):
                    self._spawn(self._mark(guard.start.run_id, token, Mark.MOVING, b""))
            case Over(token=token):
                self._guards.pop(token, None)

    def serves(self, child: ChildProcess) -> None:
        """From now on this child performs runs."""
        if self._memory_limit is not None:
            self._children.add(child)
            self._wanted.set()

    def gone(self, child: ChildProcess) -> None:
        self._children.discard(child)
        for token in [token for token, (its, _) in self._guards.items() if its is child]:
            del self._guards[token]

    def confirmed(self, token: str, asked_at: float) -> None:
        """A renewal that was asked for at this time (boot time) has been confirmed."""
        guard = self._guard(token)
        if guard is not None:
            guard.confirmed(asked_at + guard.start.lease)

    def limits_of(self, token: str) -> Guarded | None:
        guard = self._guard(token)
        return guard.start if guard is not None else None

    async def watch(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_clocks())
            tasks.create_task(self._watch_memory())

    # Within -----------------------------------------------------------------------------------------------------------

    def _guard(self, token: str) -> Guard | None:
        known = self._guards.get(token)
        return known[1] if known is not None else None

    async def _watch_clocks(self) -> None:
        while True:
            await self._wanted.wait()
            if not self._guards and not self._children:
                self._wanted.clear()
            for child, guard in tuple(self._guards.values()):
                self._look(child, guard)
            before = time.monotonic()
            await asyncio.sleep(LOOK_SECONDS)
            self._allow_for(time.monotonic() - before)

    def _allow_for(self, seconds: float) -> None:
        """It took so long until we came to look again."""
        if seconds > FROZEN_SECONDS:
            for _, guard in self._guards.values():
                guard.was_frozen(seconds)

    def _look(self, child: ChildProcess, guard: Guard) -> None:
        start, now = guard.start, time.monotonic()
        if guard.stalls(now):
            self._spawn(self._tell_stall(child, guard))
        reason = guard.stops(now, boot_time())
        if reason is not None:
            self._stop(start.slot, start.run_id, start.token, reason)

    async def _tell_stall(self, child: ChildProcess, guard: Guard) -> None:
        start, incident = guard.start, b""
        if not guard.accounted:
            guard.accounted = True
            message = f"It made no progress for {start.stall_limit:g} s."
            stacks = await child.where()
            account = Account(kind=IncidentKind.STALLED, message=message, lines=child.lines(), stacks=stacks)
            incident = account.to_json()
            _log.warning("Run %s stalls: %s\n%s", start.run_id, message, stacks)
        if guard.stalled:
            await self._mark(start.run_id, start.token, Mark.STALLED, incident)

    async def _watch_memory(self) -> None:
        while True:
            await self._wanted.wait()
            began = time.monotonic()
            for child, start, limit in self._memory_limits():
                used = await asyncio.to_thread(memory.used_by, child.pid)
                if used > limit and not child.gone.done() and (start is None or self._guard(start.token)):
                    self._exhausts(child, start, limit, used)
            await asyncio.sleep(max(MEMORY_SECONDS, (time.monotonic() - began) / LOOK_SHARE))

    def _memory_limits(self) -> list[tuple[ChildProcess, Guarded | None, int]]:
        """Of each child whose memory is limited the limit, and the start that set it, if one did."""
        limits: dict[ChildProcess, tuple[ChildProcess, Guarded | None, int]] = {}
        if self._memory_limit is not None:
            limits = {child: (child, None, self._memory_limit) for child in self._children}
        for child, guard in self._guards.values():
            own = guard.start.memory_limit
            if own is not None:
                limits[child] = (child, guard.start, own)
        return list(limits.values())

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
