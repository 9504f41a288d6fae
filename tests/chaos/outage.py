"""Outage: the store's server is restarted, killed, frozen, robbed of its last second, and its clock is set.

An outage is not a death: what runs goes on, and nothing is begun a second time, however long it lasts, and whatever
the clock says afterwards. Only a loss of data costs something; how much, is counted.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from tests.chaos import audit
from tests.chaos.books import Books, counted_by
from tests.chaos.jobs import LEASE, Count
from tests.chaos.load import Order
from tests.chaos.scene import scene

if TYPE_CHECKING:
    from tests.chaos.scene import Scene

BAR = LEASE
"""Within this, after the server is back, something new is begun and ended."""
PROBES = 10**6
"""Orders of the campaign's own have numbers from here on."""
LONGEST_PAUSE = 6.0
"""A client waits for 5 seconds, then asks again, and both copies are carried out."""
WORST_STEP = 600_000
"""ms by which the clock is off at most: within what is remembered, and kept."""
FLUSH = 1.0
"""Seconds that an append-only file written every second may lack after a power cut."""

_NAMES = re.compile(r"\d-[0-9A-Z]{26}")
"""Ids of runs."""


@dataclass(frozen=True)
class Plan:
    kinds: tuple[str, ...]
    outages: int
    """Of each kind."""


SHORT = Plan(kinds=("any", "power"), outages=2)
LONG = Plan(kinds=("restart", "crash", "freeze", "forgetting", "clock", "power"), outages=25)


async def campaign(seed: int, plan: Plan) -> Books:
    books = Books("store", seed)
    for name in plan.kinds:
        books.add(await _part(name, seed, plan, *KINDS[name]))
    return books


async def _part(name: str, seed: int, plan: Plan, strike: Strike, judge: Judge) -> Books:
    async with scene(name, seed, workers=2, width=3) as here:
        probes = Probes(here)
        for _ in range(plan.outages):
            await here.pause(0.5, 1.5)
            await strike(here)
            here.struck(name, [], calm=True)
            await probes.send()
        await here.close_books(judge)
        here.books.distribution("the server is back → ordered, begun, ended", probes.seconds, BAR)
    return here.books


class Probes:
    """How soon the system does something new."""

    def __init__(self, here: Scene) -> None:
        self.seconds: list[float] = []
        self._numbers = count(PROBES)
        self._here = here

    async def send(self) -> None:
        began = time.monotonic()
        number = next(self._numbers)
        job = Count(number=number, steps=0, pause=0.0, journal=str(self._here.journal.path))
        await self._here.load.place(Order(number=number, job=job))
        self.seconds.append(time.monotonic() - began)


# What is done to the server -------------------------------------------------------------------------------------------


async def _restart(here: Scene) -> None:
    await asyncio.to_thread(here.server.stop)
    await here.pause(0.0, 2 * LEASE)
    await asyncio.to_thread(here.server.start)


async def _crash(here: Scene) -> None:
    """Usually nothing is lost: only while the disk is busy does the server put off what it writes."""
    await asyncio.to_thread(here.server.kill)
    await here.pause(0.0, 2 * LEASE)
    await asyncio.to_thread(here.server.start)


async def _freeze(here: Scene) -> None:
    longest = LONGEST_PAUSE if here.dice.random() < 0.2 else 3 * LEASE
    with here.server.paused():
        await here.pause(0.2 * LEASE, longest)


async def _cut_power(here: Scene) -> None:
    """What was not flushed is gone: up to a second of it."""
    seconds = here.dice.uniform(0.0, FLUSH)
    flushed = here.server.written()
    await asyncio.sleep(seconds)
    await asyncio.to_thread(here.server.kill)
    here.server.truncate(flushed)
    await here.pause(0.0, LEASE)
    await asyncio.to_thread(here.server.start)


async def _forget_scripts(here: Scene) -> None:
    """And break all connections."""
    here.raw.function_flush("SYNC")
    here.raw.client_kill_filter(_type="normal", skipme=True)
    here.raw.client_kill_filter(_type="pubsub")


async def _set_clock(here: Scene) -> None:
    """Forward or back, by parts of a lease or by minutes; a partition's clock is its server's, so each has its own."""
    for prefix in here.prefixes:
        reach = here.dice.choice([LEASE * 500, LEASE * 5_000, WORST_STEP])
        here.raw.hset(f"{prefix}partition", "skew", round(here.dice.uniform(-reach, reach)))


async def _any(here: Scene) -> None:
    """Of those by which nothing may be lost."""
    await here.dice.choice([_restart, _freeze, _forget_scripts, _set_clock])(here)


# How it is judged -----------------------------------------------------------------------------------------------------


def _as_if_nothing_had_happened(books: Books, evidence: audit.Evidence) -> None:
    audit.audit(books, evidence)
    books.must_be("expired or given back by the outage", int(books.figures["crashes"]), 0)


def _by_what_is_left(books: Books, evidence: audit.Evidence) -> None:
    """What is amiss is counted, not held against anybody; but the store must be sound, and all that it kept ended."""
    touched = Counter(
        kind for account in evidence.accounts for kind in {f.kind for f in audit.faults(evidence, account)}
    )
    audit.count(books, evidence)
    audit.check_store(books, evidence)
    for kind in ("admission", "ending", "answer", "starts", "watcher", "published"):
        books.figures |= {f"runs touched by lost data: {kind}": touched[kind]}
    unanswered = [account for account in evidence.accounts if account.trouble]
    books.enter(
        answered_and_then_forgotten=evidence.lost - len(unanswered), acknowledged_but_never_answered=len(unanswered)
    )
    for trouble, number in counted_by([_NAMES.sub("…", account.trouble) for account in unanswered]).items():
        books.figures |= {f"never answered: {trouble}": number}


Strike = Callable[["Scene"], Awaitable[None]]
Judge = Callable[[Books, audit.Evidence], None]
KINDS: dict[str, tuple[Strike, Judge]] = {
    "restart": (_restart, _as_if_nothing_had_happened),
    "crash": (_crash, _by_what_is_left),
    "freeze": (_freeze, _as_if_nothing_had_happened),
    "forgetting": (_forget_scripts, _as_if_nothing_had_happened),
    "clock": (_set_clock, _as_if_nothing_had_happened),
    "any": (_any, _as_if_nothing_had_happened),
    "power": (_cut_power, _by_what_is_left),
}
