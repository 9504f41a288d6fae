"""Kill: children and whole workers are killed (-9) under load, by the campaign and, as they settle, by themselves.

Every order is answered once, rightly, by the last start; a child's run is begun again at once, a worker's when its
lease is over. Some workers are told to end (SIGTERM) instead, and of those some are killed while they do.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.chaos.fleet import HANDED_BACK, LOOK_SECONDS, tell
from tests.chaos.jobs import LEASE, Fuse
from tests.chaos.journal import Event
from tests.chaos.scene import MIX, Scene, Strike, scene
from tests.life.workers import is_alive
from tests.waiting import await_until

if TYPE_CHECKING:
    from tests.chaos.books import Books
    from tests.chaos.fleet import Member

CHILD, WORKER, ENDING = "a child", "a whole worker", "told to end"
CHILD_BAR = 0.3
WORKER_BAR = LEASE + 1.5
CALM = 0.7
"""The share of strikes that are waited for; the others come on top of each other."""
TOLD_TO_END = 0.1
"""So many strikes more are no kill, but a SIGTERM."""
GRACE = 0.3
"""Seconds that jobs may then go on, before they are handed back."""
AT_ONCE = 5.0
"""Seconds in which those are gone whom the kernel ends, on a busy machine."""
WHEN_IMPORTED = 60.0
"""A child that was just starting looks after its supervisor when it has imported its own code."""
WHOLE_AGAIN = 5.0
"""Seconds that a worker may take to be whole again."""


@dataclass(frozen=True)
class Plan:
    strikes: int
    workers: int
    fuses: float
    """The share of orders whose process, or worker, dies as they are settled."""


SHORT = Plan(strikes=6, workers=2, fuses=0.03)
LONG = Plan(strikes=220, workers=3, fuses=0.01)


async def campaign(seed: int, plan: Plan) -> Books:
    fuses = {Fuse.KILL_CHILD: plan.fuses, Fuse.KILL_WORKER: plan.fuses / 2}
    workers, mix = plan.workers, replace(MIX, fuses=fuses)
    async with scene("kill", seed, workers=workers, width=workers, mix=mix, grace=GRACE) as here:
        here.meanwhile(lambda: _replace_the_dead(here))
        while len(here.strikes) < plan.strikes:
            await _strike(here)
        await here.load_done()
        _replace_the_dead(here)
        _enter_fuses(here)
        await here.close_books()
        _tell_takeovers(here)
    return here.books


async def _strike(here: Scene) -> None:
    calm = here.dice.random() < CALM
    if calm:
        await here.fleet.whole()
        await here.pause(0.05, 0.5)
    else:
        await here.pause(0.0, 0.3)
    member = here.dice.choice(here.fleet.members)
    children = member.children()
    if not children:
        return  # it has just been started, or has killed itself
    what = here.dice.random()
    if what < TOLD_TO_END:
        await _tell_to_end(here, member)
        return
    is_whole_worker = what < TOLD_TO_END + 0.3
    strike = _kill_worker(here, member, calm) if is_whole_worker else _kill_child(here, member, children, calm)
    await _gone(set(strike.pids) & {member.pid, *member.ready()}, AT_ONCE)
    await _gone(set(strike.pids), WHEN_IMPORTED)
    if calm:
        await here.taken_over(strike)


async def _gone(pids: set[int], within: float) -> None:
    await await_until(lambda: not any(map(is_alive, pids)), f"the killed {pids} are gone", within, LOOK_SECONDS)


def _kill_child(here: Scene, member: Member, children: list[int], calm: bool) -> Strike:
    """Mostly one that performs; else any, also one that is just starting."""
    victims = here.performing(member) if here.dice.random() < 0.8 else []
    victim = here.dice.choice(victims or children)
    strike = here.struck(CHILD, [victim], calm=calm)
    tell([victim], signal.SIGKILL)
    return strike


def _kill_worker(here: Scene, member: Member, calm: bool) -> Strike:
    """Its supervisor: the kernel ends the children."""
    strike = here.struck(WORKER, [member.pid, *member.children()], calm=calm)
    member.kill()
    return strike


async def _tell_to_end(here: Scene, member: Member) -> None:
    """It hands back what it performs. Half of the time it is killed before it has."""
    member.told_to_end = True
    here.ended += 1
    tell([member.pid], signal.SIGTERM)
    if here.dice.random() < 0.5:
        await here.pause(0.0, 2 * GRACE)
        if member.is_alive():
            here.struck(f"{WORKER}, {ENDING}", [member.pid], calm=False)
            member.kill()


def _replace_the_dead(here: Scene) -> None:
    for member in [member for member in here.fleet.members if not member.is_alive()]:
        code = member.process.returncode
        expected = (0, -signal.SIGKILL) if member.told_to_end else (-signal.SIGKILL,)
        here.books.must(code in expected, f"{member.log.name} ended with exit code {code}")
        here.fleet.discharge(member)
        here.enlist()


def _enter_fuses(here: Scene) -> None:
    """What jobs did to themselves are strikes too."""
    fuses = [entry for entry in here.journal.entries if entry.event is Event.STRUCK]
    for entry in fuses:
        job = here.load.account(entry.number).order.job
        is_child = job.fuse is Fuse.KILL_CHILD
        kind, pid = (CHILD, entry.pid) if is_child else (WORKER, entry.supervisor)
        here.strikes.append(Strike(entry.moment, f"{kind}, settling", (pid,), calm=False))


def _tell_takeovers(here: Scene) -> None:
    here.books.enter(workers_told_to_end=here.ended, runs_handed_back=here.fleet.count(HANDED_BACK))
    for kind, bar in ((CHILD, CHILD_BAR), (WORKER, WORKER_BAR)):
        strikes = [strike for strike in here.strikes if strike.kind.startswith(kind)]
        calm = [seconds for strike in strikes if _was_calm(here, strike) for seconds in here.takeovers(strike)]
        other = [seconds for strike in strikes if not _was_calm(here, strike) for seconds in here.takeovers(strike)]
        here.books.distribution(f"begun again, {kind} killed", calm, bar)
        here.books.distribution(f"begun again, {kind} killed, under fire", other)


def _was_calm(here: Scene, strike: Strike) -> bool:
    """No fuse went off either, shortly before or until what it held went on."""
    until = strike.moment + max(here.takeovers(strike), default=0.0)
    fuses = (entry.moment for entry in here.journal.entries if entry.event is Event.STRUCK)
    return strike.calm and not any(strike.moment - WHOLE_AGAIN <= moment <= until for moment in fuses)
