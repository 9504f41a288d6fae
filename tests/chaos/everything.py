"""Everything: kills, freezes, a bad network, outages, deploys, on top of each other, by a plan that the seed makes.

A blow falls when so many orders have been placed, so a blow meets the same load again when the seed is used again; what
it hits is found by lot among those who are there. Some fall while others last. Nothing that is done may cost data: the
server writes everything down before it answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from tests.chaos.fleet import HANDED_BACK, tell
from tests.chaos.forger import Forger
from tests.chaos.jobs import LEASE, Fuse
from tests.chaos.journal import Event
from tests.chaos.scene import MIX, Scene, scene
from tests.store.proxy import Fate, Proxy, Way, Weather
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from tests.chaos.books import Books
    from tests.chaos.fleet import Member
    from tests.servers import Server

T = TypeVar("T")

POOLS = ("process", "thread", "process", "asyncio")
"""Of the first workers, and of those that replace them."""
GRACE = 0.3
"""Seconds that jobs may go on in a deploy, before they are handed back."""
GOES_ON_WITHIN = 120.0
"""Seconds in which the next orders are placed, whatever has fallen."""
LOOK_SECONDS = 0.02
FORGED_EVERY = 1.0
"""Seconds."""


class Kind(StrEnum):
    KILL_CHILD = "kill a child"
    KILL_WORKER = "kill a whole worker"
    FREEZE_CHILD = "freeze a child"
    FREEZE_SUPERVISOR = "freeze a supervisor"
    FREEZE_WORKER = "freeze a whole worker"
    DEPLOY = "tell a worker to end, start another"
    CUT = "reset connections"
    HOLD = "hold back what one sends or hears"
    SWALLOW = "swallow what one sends or hears"
    RESTART_STORE = "restart the store"
    KILL_STORE = "kill the store"
    FREEZE_STORE = "freeze the store"
    FORGET = "the store forgets scripts and connections"


HOW_OFTEN = {
    Kind.KILL_CHILD: (5, 0.0, 0.0),
    Kind.KILL_WORKER: (4, 0.0, 0.0),
    Kind.FREEZE_CHILD: (2, 0.3, 2.5),
    Kind.FREEZE_SUPERVISOR: (2, 0.3, 2.5),
    Kind.FREEZE_WORKER: (4, 0.3, 2.5),
    Kind.DEPLOY: (3, 0.0, 0.0),
    Kind.CUT: (3, 0.0, 0.0),
    Kind.HOLD: (2, 0.3, 7.0),
    Kind.SWALLOW: (2, 0.3, 7.0),
    Kind.RESTART_STORE: (1, 0.0, 2.0),
    Kind.KILL_STORE: (1, 0.0, 2.0),
    Kind.FREEZE_STORE: (1, 0.2, 6.0),
    Kind.FORGET: (1, 0.0, 0.0),
}
"""Each one's weight, and from how many leases to how many it lasts."""
STORES = {Kind.RESTART_STORE, Kind.KILL_STORE, Kind.FREEZE_STORE, Kind.FORGET}
PARTS = {Kind.CUT, Kind.HOLD, Kind.SWALLOW}
FUSES = {Fuse.KILL_CHILD: 0.004, Fuse.KILL_WORKER: 0.002, Fuse.FREEZE_WORKER: 0.002}
"""The share of orders whose process, or worker, dies or freezes as they are settled."""
LOST, REPEATED = 0.005, 0.01
"""The share of replies that never arrive, as many break off; of requests that come a second time, up to 10 s later."""


@dataclass(frozen=True)
class Plan:
    runs: int
    """At least."""
    blows: int
    workers: int
    width: int
    """Orders under way at a time."""
    haste: float = 1.0
    """What lasts, lasts so much shorter."""


SHORT = Plan(runs=100, blows=14, workers=2, width=6, haste=0.25)
LONG = Plan(runs=10_000, blows=330, workers=4, width=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    after: int
    """Orders that have been placed by then."""
    kind: Kind
    seconds: float
    whom: float
    """Lots, from 0 to 1."""
    what: float

    def __str__(self) -> str:
        return f"{self.after} {self.kind} {self.seconds:.3f} {self.whom:.6f} {self.what:.6f}"


def planned(seed: int, plan: Plan) -> tuple[Blow, ...]:
    """All that will be struck, by the seed alone; each kind once at least."""
    dice = random.Random(f"blows of {seed}")
    weights = [weight for weight, _, _ in HOW_OFTEN.values()]
    kinds = [*Kind, *dice.choices(list(HOW_OFTEN), weights, k=max(0, plan.blows - len(Kind)))]
    dice.shuffle(kinds)
    moments = sorted(dice.randrange(plan.runs) for _ in kinds)
    return tuple(_blow(dice, after, kind, plan) for after, kind in zip(moments, kinds, strict=True))


def _blow(dice: random.Random, after: int, kind: Kind, plan: Plan) -> Blow:
    _, least, most = HOW_OFTEN[kind]
    seconds = dice.uniform(least, most) * LEASE * plan.haste
    return Blow(after=after, kind=kind, seconds=seconds, whom=dice.random(), what=dice.random())


def fingerprint(blows: Sequence[Blow]) -> str:
    """Equal for equal plans."""
    return hashlib.sha256("\n".join(map(str, blows)).encode()).hexdigest()[:12]


async def campaign(seed: int, plan: Plan) -> Books:
    blows, net = planned(seed, plan), Net(seed)
    mix = replace(MIX, fuses=FUSES, short=0.95)
    try:
        async with scene(
            "everything", seed, workers=plan.workers, width=plan.width, mix=mix, grace=GRACE, pools=POOLS, clocked=True,
            route=net.route, appendfsync="always",
        ) as here:  # fmt: skip
            here.books.enter(plan=fingerprint(blows))
            striker, forger = Striker(here, net), Forger(here)
            here.meanwhile(striker.keep_up)
            over = asyncio.Event()
            forging = asyncio.create_task(_again_and_again(forger.write, over))
            for blow in blows:
                await _placed(here, blow.after)
                striker.begin(blow)
            await striker.over()
            await await_until(lambda: here.load.runs >= plan.runs, "all is ordered", GOES_ON_WITHIN, LOOK_SECONDS)
            over.set()
            await forging
            await here.load_done()
            await striker.over()
            await forger.write()
            await here.close_books()
            _tell(here, net, forger, plan)
    finally:
        net.close()
    return here.books


async def _placed(here: Scene, orders: int) -> None:
    await await_until(
        lambda: len(here.load.accounts) >= orders, f"order {orders} is placed", GOES_ON_WITHIN, LOOK_SECONDS
    )


async def _again_and_again(step: Callable[[], Awaitable[None]], over: asyncio.Event) -> None:
    while not over.is_set():
        await step()
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), FORGED_EVERY)


@dataclass
class Net:
    """A network for everybody who asks the way to the server; the submitters ask first."""

    seed: int
    proxies: list[Proxy] = field(default_factory=list)

    def route(self, server: Server) -> str:
        weather = Weather(lose=LOST, halve=LOST, repeat=REPEATED, seed=self.seed + len(self.proxies))
        self.proxies.append(Proxy(server.port, weather))
        return f"redis://127.0.0.1:{self.proxies[-1].port}"

    def close(self) -> None:
        for proxy in self.proxies:
            proxy.close()


class Striker:
    """Carries blows out, each in its own task, so that they may overlap; and replaces the workers that are gone."""

    def __init__(self, here: Scene, net: Net) -> None:
        self._here = here
        self._net = net
        self._proxies = dict(zip((member.pid for member in here.fleet.members), net.proxies[1:], strict=True))
        self._tasks: set[asyncio.Task[None]] = set()
        self._store = asyncio.Lock()
        self._away: list[tuple[float, float]] = []
        """From when to when the store, or a part of the network, was away."""
        self._told_to_end: dict[int, float] = {}
        self._heeded: set[str] = set()

    def begin(self, blow: Blow) -> None:
        self._go(self._strike(blow))

    async def over(self) -> None:
        """Wait until everything goes on, and those are gone who were told to end."""
        await await_until(self._is_over, "all goes on", GOES_ON_WITHIN, LOOK_SECONDS)

    def keep_up(self) -> None:
        """Replace who is gone; have go on who was frozen by a job."""
        for member in [member for member in self._here.fleet.members if not member.is_alive()]:
            self._bury(member)
        self._heed_fuses()

    # The blows --------------------------------------------------------------------------------------------------------

    async def _strike(self, blow: Blow) -> None:
        if blow.kind in STORES:
            await self._strike_store(blow)
        elif blow.kind in PARTS:
            await self._strike_network(blow)
        else:
            await self._strike_worker(blow)

    async def _strike_worker(self, blow: Blow) -> None:
        found: list[tuple[Member, list[int], int]] = []
        await await_until(
            lambda: found.extend(self._found(blow)) or found,
            f"there is somebody for {blow}",
            GOES_ON_WITHIN,
            LOOK_SECONDS,
        )
        [(member, children, child)] = found
        match blow.kind:
            case Kind.KILL_CHILD:
                self._struck(blow, [child])
                tell([child], signal.SIGKILL)
            case Kind.KILL_WORKER:
                self._struck(blow, [member.pid, *children])
                tell([member.pid], signal.SIGKILL)
            case Kind.DEPLOY:
                self._deploy(blow, member)
            case _:
                victims = {Kind.FREEZE_CHILD: [child], Kind.FREEZE_SUPERVISOR: [member.pid]}
                await self._freeze(blow, victims.get(blow.kind, [member.pid, *children]))

    def _found(self, blow: Blow) -> list[tuple[Member, list[int], int]]:
        """A worker that is to stay, its children, one of these; who performs comes first. None when nobody is there."""
        staying = [member for member in self._here.fleet.members if member.is_alive() and not member.told_to_end]
        busy = [member for member in staying if self._here.performing(member)]
        if not staying:
            return []
        member = drawn(busy or staying, blow.whom)
        children = member.children()
        performing = self._here.performing(member)
        return [(member, children, drawn(performing or children, blow.what))] if children else []

    def _deploy(self, blow: Blow, member: Member) -> None:
        self._struck(blow, [member.pid])
        member.told_to_end = True
        self._told_to_end[member.pid] = time.time()
        tell([member.pid], signal.SIGTERM)
        self._replace(member)

    async def _freeze(self, blow: Blow, pids: list[int]) -> None:
        """They wake one by one, in an order of their own."""
        dice = random.Random(blow.what)
        self._struck(blow, pids)
        tell(pids, signal.SIGSTOP)
        await asyncio.sleep(blow.seconds)
        dice.shuffle(pids)
        for pid in pids:
            tell([pid], signal.SIGCONT)
            await asyncio.sleep(dice.uniform(0.0, 0.2))

    async def _strike_network(self, blow: Blow) -> None:
        proxy = drawn([self._net.proxies[0], *self._proxies.values()], blow.whom)
        pids = [pid for pid, theirs in self._proxies.items() if theirs is proxy]
        self._struck(blow, pids)
        fates = {Kind.HOLD: Fate.HOLD, Kind.SWALLOW: Fate.SWALLOW}
        if blow.kind is Kind.CUT:
            proxy.cut()
        else:
            ways = drawn([(Way.REQUESTS,), (Way.REPLIES,), tuple(Way)], blow.what)
            proxy.part(fates[blow.kind], *ways)
            await asyncio.sleep(blow.seconds)
            proxy.heal()
        self._was_away(blow)

    async def _strike_store(self, blow: Blow) -> None:
        server = self._here.server
        async with self._store:
            self._struck(blow, [])
            match blow.kind:
                case Kind.FREEZE_STORE:
                    with server.paused():
                        await asyncio.sleep(blow.seconds)
                case Kind.FORGET:
                    self._here.raw.function_flush("SYNC")
                    self._here.raw.client_kill_filter(_type="normal", skipme=True)
                    self._here.raw.client_kill_filter(_type="pubsub")
                case _:
                    await asyncio.to_thread(server.stop if blow.kind is Kind.RESTART_STORE else server.kill)
                    await asyncio.sleep(blow.seconds)
                    await asyncio.to_thread(server.start)
        self._was_away(blow)

    def _is_over(self) -> bool:
        self.keep_up()
        return not self._tasks and not any(member.told_to_end for member in self._here.fleet.members)

    # What follows -----------------------------------------------------------------------------------------------------

    def _bury(self, member: Member) -> None:
        """It was killed, or has ended as it was told: 1 says that it could not reach the store for a last word."""
        code = member.process.returncode
        expected = {-signal.SIGKILL}
        if member.told_to_end:
            expected |= {0, 1} if self._was_cut_off(member) else {0}
        self._here.books.must(code in expected, f"{member.log.name} ended with exit code {code}")
        self._here.fleet.discharge(member)
        proxy = self._proxies.pop(member.pid)
        proxy.close()
        if not member.told_to_end:
            self._replace(member)

    def _was_cut_off(self, member: Member) -> bool:
        since = self._told_to_end[member.pid]
        return bool(self._tasks) or any(until >= since for _, until in self._away)

    def _replace(self, gone: Member) -> None:
        member = self._here.enlist(self._net.route(self._here.server), gone.pool)
        self._proxies[member.pid] = self._net.proxies[-1]

    def _heed_fuses(self) -> None:
        for entry in self._here.journal.entries:
            if entry.event is Event.STRUCK and entry.token not in self._heeded:
                self._heeded.add(entry.token)
                fuse = self._here.load.account(entry.number).order.job.fuse
                self._here.struck(f"{fuse}, settling", [entry.supervisor, entry.pid], calm=False)
                if fuse is Fuse.FREEZE_WORKER:
                    self._go(self._thaw([entry.supervisor, entry.pid], random.Random(entry.number)))

    async def _thaw(self, pids: list[int], dice: random.Random) -> None:
        await asyncio.sleep(dice.uniform(1.0, 3.0) * LEASE)
        tell(pids, signal.SIGCONT)

    def _go(self, blow: Coroutine[Any, Any, None]) -> None:
        going = asyncio.create_task(blow)
        self._tasks.add(going)
        going.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            self._here.books.unbalanced(f"A blow failed: {task.exception()!r}")

    def _struck(self, blow: Blow, pids: list[int]) -> None:
        self._here.struck(blow.kind, pids, calm=False, until=blow.seconds)

    def _was_away(self, blow: Blow) -> None:
        self._away.append((time.time() - blow.seconds, time.time()))


def drawn(things: Sequence[T], lot: float) -> T:
    return things[int(lot * len(things))]


def _tell(here: Scene, net: Net, forger: Forger, plan: Plan) -> None:
    books = here.books
    kinds = Counter(strike.kind for strike in here.strikes)
    missing = [kind for kind in Kind if not kinds[kind]]
    books.must(not missing, f"Nothing of this was done: {missing}")
    books.must(here.load.runs >= plan.runs, f"There were {here.load.runs} runs only")
    books.must(sum(kinds.values()) >= plan.blows, f"There were {sum(kinds.values())} strikes only")
    books.enter(
        runs_handed_back=here.fleet.count(HANDED_BACK),
        replies_lost_or_broken=sum(proxy.disturbed for proxy in net.proxies),
        requests_that_came_twice=sum(proxy.repeated for proxy in net.proxies),
    )
    forger.tell(books)
