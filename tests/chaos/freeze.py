"""Freeze: children, supervisors and whole workers are stopped (SIGSTOP) for longer than the lease, and go on.

A child that is frozen alone keeps its lease: its supervisor answers for it. A frozen worker loses its runs to others;
when it wakes, whatever it still writes is refused.
"""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.chaos.fleet import LOOK_SECONDS, tell
from tests.chaos.forger import Forger
from tests.chaos.jobs import LEASE, Fuse
from tests.chaos.journal import Event
from tests.chaos.scene import MIX, Scene, Strike, scene

if TYPE_CHECKING:
    from tests.chaos.books import Books
    from tests.chaos.fleet import Member

CHILD, SUPERVISOR, WORKER, SETTLING = "a child", "a supervisor", "a whole worker", "a whole worker, settling"
BAR = LEASE + 1.5
CALM = 0.6
"""The share of strikes that nothing else disturbs, and that last until what was frozen is begun again."""


@dataclass(frozen=True)
class Plan:
    strikes: int
    workers: int
    fuses: float
    """The share of orders whose whole worker is frozen as they are settled."""


SHORT = Plan(strikes=6, workers=2, fuses=0.02)
LONG = Plan(strikes=200, workers=3, fuses=0.01)


async def campaign(seed: int, plan: Plan) -> Books:
    workers, mix = plan.workers, replace(MIX, fuses={Fuse.FREEZE_WORKER: plan.fuses})
    async with scene("freeze", seed, workers=workers, width=workers, mix=mix) as here:
        frost = Frost(here)
        forger = Forger(here)
        here.meanwhile(frost.heed_fuses)
        while len(here.strikes) < plan.strikes:
            await frost.strike()
            await forger.write()
        await here.load_done()
        await frost.thaw_all()
        await forger.write()
        await here.close_books()
        _tell(here, forger)
    return here.books


class Frost:
    """Freezes and thaws; one worker at least is always left alone."""

    def __init__(self, here: Scene) -> None:
        self._here = here
        self._thawing: set[asyncio.Task[None]] = set()
        self._frozen: set[int] = set()
        """Workers, by their supervisors, of which something is frozen."""
        self._heeded: set[str] = set()
        """Tokens of the starts whose fuses went off."""

    async def strike(self) -> None:
        calm = self._here.dice.random() < CALM
        if calm:
            await self.thaw_all()
            await self._here.fleet.whole()
        await self._here.pause(0.0, 0.3)
        free = [member for member in self._here.fleet.members if member.pid not in self._frozen]
        if len(free) <= 1:
            await asyncio.sleep(LOOK_SECONDS)
            return
        busy = [member for member in free if self._here.performing(member)]
        self._freeze(self._here.dice.choice(busy or free), calm)

    async def thaw_all(self) -> None:
        """Wait until everything goes on by itself."""
        while self._thawing:
            await asyncio.gather(*self._thawing)

    def heed_fuses(self) -> None:
        """Workers that jobs have frozen go on after some time, too."""
        for entry in self._here.journal.entries:
            if entry.event is Event.STRUCK and entry.token not in self._heeded:
                self._heeded.add(entry.token)
                seconds = self._here.dice.uniform(1.0, 3.0) * LEASE
                self._hold(SETTLING, entry.supervisor, [entry.supervisor, entry.pid], seconds, calm=False)

    def _freeze(self, member: Member, calm: bool) -> None:
        dice = self._here.dice
        kind = dice.choices([CHILD, SUPERVISOR, WORKER], [1, 1, 3])[0]
        pids = self._victims(member, kind)
        if pids:
            tell(pids, signal.SIGSTOP)
            self._hold(kind, member.pid, pids, dice.uniform(0.3, 2.5) * LEASE, calm)

    def _victims(self, member: Member, kind: str) -> list[int]:
        dice = self._here.dice
        match kind:
            case "a child":
                performing = self._here.performing(member)
                return [dice.choice(performing)] if performing else []
            case "a supervisor":
                return [member.pid]
            case _:
                pids = [member.pid, *member.children()]
                dice.shuffle(pids)
                return pids

    def _hold(self, kind: str, worker: int, pids: list[int], seconds: float, calm: bool) -> None:
        self._frozen.add(worker)
        strike = self._here.struck(kind, pids, calm=calm, until=seconds)
        task = asyncio.create_task(self._thaw(strike, worker))
        self._thawing.add(task)
        task.add_done_callback(self._thawing.discard)

    async def _thaw(self, strike: Strike, worker: int) -> None:
        """In any order, and not all at once: the child may wake, and write, long before its supervisor."""
        await asyncio.sleep(strike.until - strike.moment)
        pids = list(strike.pids)
        self._here.dice.shuffle(pids)
        for pid in pids:
            tell([pid], signal.SIGCONT)
            await self._here.pause(0.0, 0.2)
        self._frozen.discard(worker)


def _tell(here: Scene, forger: Forger) -> None:
    books = here.books
    for kind in (SUPERVISOR, WORKER):
        strikes = [strike for strike in here.strikes if strike.kind == kind]
        calm = [seconds for strike in strikes if strike.calm for seconds in here.takeovers(strike)]
        other = [seconds for strike in strikes if not strike.calm for seconds in here.takeovers(strike)]
        books.distribution(f"begun again, {kind} frozen", calm, BAR)
        books.distribution(f"begun again, {kind} frozen, others too", other)
    for strike in here.strikes:
        if strike.kind == CHILD and strike.calm:
            books.must(not here.takeovers(strike), f"What a frozen child held was begun again: {strike}")
    forger.tell(books)
