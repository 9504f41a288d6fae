"""Network: workers and submitters each behind a network of their own that loses replies, breaks, and parts one way.

Replies are lost or broken off all the time, after the server applied what was asked. Partitions swallow or hold back
one direction, or both, for longer than the lease, and longer than any client waits: what was held arrives late, when
its sender has long asked again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.forger import Forger
from tests.chaos.jobs import LEASE
from tests.chaos.scene import Scene, Strike, scene
from tests.store.proxy import Fate, Proxy, Way, Weather

if TYPE_CHECKING:
    from tests.chaos.books import Books
    from tests.servers import Server

BAR = LEASE + 1.5
CUT = "connections reset"
WAYS = {"requests": (Way.REQUESTS,), "replies": (Way.REPLIES,), "requests and replies": tuple(Way)}
CALM = 0.3
"""The share of partitions that nothing else disturbs."""
LONGEST = 8.0
"""Seconds; a client waits for 5."""


@dataclass(frozen=True)
class Plan:
    strikes: int
    workers: int
    lose: float
    """The share of replies that never arrive; as many break off."""
    repeat: float
    """The share of requests that come a second time, up to ten seconds later."""


SHORT = Plan(strikes=6, workers=2, lose=0.03, repeat=0.05)
LONG = Plan(strikes=150, workers=3, lose=0.02, repeat=0.05)


@dataclass
class Net:
    """A network for everybody who asks the way to the server; the submitters asked first."""

    seed: int
    lose: float
    repeat: float
    proxies: list[Proxy] = field(default_factory=list)

    def route(self, server: Server) -> str:
        weather = Weather(lose=self.lose, halve=self.lose, repeat=self.repeat, seed=self.seed + len(self.proxies))
        self.proxies.append(Proxy(server.port, weather))
        return f"redis://127.0.0.1:{self.proxies[-1].port}"

    def close(self) -> None:
        for proxy in self.proxies:
            proxy.close()


async def campaign(seed: int, plan: Plan) -> Books:
    net = Net(seed, plan.lose, plan.repeat)
    try:
        async with scene("network", seed, workers=plan.workers, width=plan.workers, route=net.route) as here:
            storm = Storm(here, net)
            forger = Forger(here)
            while len(here.strikes) < plan.strikes:
                await storm.strike()
                await forger.write()
            await storm.over()
            await forger.write()
            await here.close_books()
            _tell(here, net, forger)
    finally:
        net.close()
    return here.books


class Storm:
    """Cuts and parts; one worker at least is always reached."""

    def __init__(self, here: Scene, net: Net) -> None:
        self._here = here
        self._net = net
        self._parted: set[Proxy] = set()
        self._healing: set[asyncio.Task[None]] = set()

    async def strike(self) -> None:
        dice = self._here.dice
        calm = dice.random() < CALM
        if calm:
            await self.over()
        await self._here.pause(0.0, 1.0)
        proxy = dice.choice(self._net.proxies)
        if dice.random() < 0.2:
            self._here.struck(CUT, self._behind(proxy), calm=calm, until=0.0)
            proxy.cut()
        elif proxy not in self._parted and len(self._parted) < len(self._here.fleet.members) - 1:
            self._part(proxy, calm)
        if calm:
            await self.over()

    async def over(self) -> None:
        """Wait until all partitions are healed."""
        while self._healing:
            await asyncio.gather(*self._healing)

    def _part(self, proxy: Proxy, calm: bool) -> None:
        dice = self._here.dice
        fate = dice.choice([Fate.HOLD, Fate.SWALLOW])
        name = dice.choice(list(WAYS))
        seconds = dice.uniform(0.5, LONGEST)
        is_worker = proxy is not self._net.proxies[0]
        kind = f"{'a worker' if is_worker else 'submitters'}: {fate.value} {name}"
        self._parted.add(proxy)
        proxy.part(fate, *WAYS[name])
        strike = self._here.struck(kind, self._behind(proxy), calm=calm, until=seconds)
        task = asyncio.create_task(self._heal(proxy, strike))
        self._healing.add(task)
        task.add_done_callback(self._healing.discard)

    async def _heal(self, proxy: Proxy, strike: Strike) -> None:
        await asyncio.sleep(strike.until - strike.moment)
        proxy.heal()
        self._parted.discard(proxy)

    def _behind(self, proxy: Proxy) -> list[int]:
        """The processes that this proxy serves; none of our own are struck."""
        number = self._net.proxies.index(proxy)
        member = self._here.fleet.members[number - 1]
        return [member.pid, *member.children()] if number else []


def _tell(here: Scene, net: Net, forger: Forger) -> None:
    books = here.books
    parted = [strike for strike in here.strikes if strike.kind.startswith("a worker")]
    calm = [seconds for strike in parted if strike.calm for seconds in here.takeovers(strike)]
    other = [seconds for strike in parted if not strike.calm for seconds in here.takeovers(strike)]
    books.distribution("begun again, a worker parted", calm, BAR)
    books.distribution("begun again, a worker parted, others too", other)
    books.enter(
        replies_lost_or_broken=sum(proxy.disturbed for proxy in net.proxies),
        requests_that_came_twice=sum(proxy.repeated for proxy in net.proxies),
    )
    forger.tell(books)
