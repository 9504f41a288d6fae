"""Scene: where a campaign takes place: a server, workers, a load, a journal, a wiretap; and what is done to them.

A campaign enters the scene, strikes, and calls `close_books`, which waits until everything ordered has ended, ends
the workers, and audits. The folder with journal and logs is kept when the books do not balance.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import shutil
import tempfile
import time
import uuid
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from jobkit import JobKit, State
from tests import servers
from tests.chaos import jobs
from tests.chaos.audit import Evidence, audit
from tests.chaos.books import Books
from tests.chaos.fleet import LOOK_SECONDS, Fleet, left_behind
from tests.chaos.journal import Event, Journal
from tests.chaos.load import Load, Mix, orders
from tests.chaos.wiretap import Wiretap
from tests.store.world import Stored
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from tests.chaos.fleet import Member
    from tests.chaos.journal import Entry

MIX = Mix(
    kinds={
        jobs.Count: 4,
        jobs.CountOnALoop: 1,
        jobs.Shared: 2,
        jobs.Dated: 1,
        jobs.Limited: 2,
        jobs.Paced: 1,
        jobs.Silent: 1,
        jobs.Deaf: 0.5,
        jobs.Fails: 0.5,
        jobs.Flaky: 0.5,
        jobs.Resumed: 0.5,
        jobs.Overlong: 0.25,
        jobs.Fragile: 0.5,
    }
)
BEGIN_FOR_OTHER_REASONS = (jobs.Limited, jobs.Paced, jobs.Flaky)
"""Where the next start says nothing of who was struck: it may wait for others, or follow a failure."""
PATIENCE = 120.0
"""Seconds after which an order counts as lost, and a store as gone."""
MOST_DESCRIPTORS_MORE = {"process": 4, "thread": 8, "asyncio": 8}
"""So many more than at first a process may have open: connections grow to what was ever used at once, by its pool."""


@dataclass(frozen=True, slots=True)
class Strike:
    """What was done, and the processes that could not go on."""

    moment: float
    kind: str
    pids: tuple[int, ...]
    calm: bool
    """Nothing else was struck until all that these held was begun again: only such a takeover can be timed."""
    until: float = math.inf
    """When they went on."""


class Scene:
    def __init__(
        self,
        books: Books,
        server: servers.Server,
        folder: Path,
        mix: Mix,
        width: int,
        url: str,
        grace: float,
        clocked: bool,
    ) -> None:
        self.books = books
        self.server = server
        self.folder = folder
        self.dice = random.Random(books.seed)
        self.partitions = 3 if books.seed % 2 else 1
        self.namespace = f"chaos-{uuid.uuid4().hex[:8]}"
        self.kit = JobKit(self.founding(url), jobs=jobs.kit.jobs.values(), namespace=self.namespace, patience=PATIENCE)
        self.journal = Journal(folder / "journal")
        self.clocked = clocked
        self.ticks = Journal(folder / "ticks")
        environment = os.environ | {"JOBKIT_NAMESPACE": self.namespace}
        if clocked:
            environment |= {jobs.CLOCKED: str(self.ticks.path)}
        self.fleet = Fleet(environment, folder, grace=grace)
        self.load = Load(self.kit, orders(books.seed, mix, str(self.journal.path)), width=width, patience=PATIENCE)
        self.wiretap = Wiretap(server.url, self.namespace)
        self.raw: Any = redis.Redis.from_url(server.url, protocol=2)
        self.strikes: list[Strike] = []
        self.ended = 0
        """Workers that were told to end, which is no strike."""
        self._began = time.monotonic()
        self._meanwhile: list[asyncio.Task[None]] = []

    @property
    def prefixes(self) -> list[str]:
        """What the keys of each partition begin with."""
        return [self.kit.operations.prefix(f"{number}-") for number in range(self.partitions)]

    def founding(self, url: str) -> str:
        return f"{url}{'&' if '?' in url else '?'}partitions={self.partitions}"

    def enlist(self, url: str = "", pool: str = "process") -> Member:
        """One worker more, that reaches the server by this URL."""
        return self.fleet.enlist(pool, JOBKIT_URL=self.founding(url or self.server.url))

    # Striking ---------------------------------------------------------------------------------------------------------

    def meanwhile(self, step: Callable[[], None]) -> None:
        """Do this many times a second, until all that was ordered has ended, or the campaign has."""
        self._meanwhile.append(asyncio.create_task(_again_and_again(step)))

    async def pause(self, least: float, most: float) -> None:
        await asyncio.sleep(self.dice.uniform(least, most))

    def struck(self, kind: str, pids: list[int], *, calm: bool, until: float = math.inf) -> Strike:
        """Just now; they go on in `until` seconds."""
        now = time.time()
        strike = Strike(now, kind, tuple(pids), calm, now + until)
        self.strikes.append(strike)
        return strike

    def performing(self, member: Member) -> list[int]:
        """Its children that are in the middle of a job."""
        children = set(member.children())
        return [start.pid for start in self.journal.open_starts(children, time.time()) if not self._has_ended(start)]

    async def taken_over(self, strike: Strike) -> None:
        """What the struck held is begun again, or has ended."""
        held = self.journal.open_starts(strike.pids, strike.moment)
        await await_until(
            lambda: all(self._went_on(start, strike.moment) for start in held),
            f"what {strike} held goes on",
            PATIENCE,
            LOOK_SECONDS,
        )

    def _has_ended(self, start: Entry) -> bool:
        """Its `perform`, that is; the store may not know yet."""
        return any(entry.token == start.token and entry.event is Event.ENDED for entry in self.journal.of(start.number))

    def _went_on(self, start: Entry, since: float) -> bool:
        again = any(entry.moment > since for entry in self.journal.starts(start.number))
        return again or self.load.account(start.number).is_done

    # The end ----------------------------------------------------------------------------------------------------------

    async def close_books(self, judge: Callable[[Books, Evidence], None] = audit) -> None:
        """Wait for what was ordered, end everything, and have it judged."""
        await self.load_done()
        if self.clocked:
            await self.kit.apause_schedule(jobs.SCHEDULE)
        await await_until(self._all_ended, "every run in the store has ended", PATIENCE, LOOK_SECONDS)
        await self._check_descriptors()
        for trouble in await asyncio.to_thread(self.fleet.end):
            self.books.unbalanced(trouble)
        await asyncio.to_thread(self.wiretap.stop)
        left = left_behind("JOBKIT_NAMESPACE", self.namespace)
        self.books.must(not left, f"Processes left behind: {left}")
        self.books.enter(partitions=self.partitions, seconds=round(time.monotonic() - self._began, 1))
        judge(self.books, self.evidence())
        self._count_strikes()

    def evidence(self) -> Evidence:
        return Evidence(
            accounts=self.load.accounts,
            journal=self.journal,
            ticks=self.ticks,
            published=self.wiretap.heard,
            stored=[Stored(self.raw, prefix) for prefix in self.prefixes],
            fleet=self.fleet,
        )

    def takeovers(self, strike: Strike) -> list[float]:
        """Seconds until each start that was struck was begun again; those that had been settled are not.

        Not of jobs that begin for other reasons too.
        """
        starts = self.journal.open_starts(strike.pids, strike.moment)
        account = self.load.account
        held = [it for it in starts if not isinstance(account(it.number).order.job, BEGIN_FOR_OTHER_REASONS)]
        again = [[later.moment for later in self.journal.starts(start.number)] for start in held]
        during = [[moment for moment in moments if strike.moment < moment <= strike.until] for moments in again]
        return [min(moments) - strike.moment for moments in during if moments]

    def _all_ended(self) -> bool:
        """Also those that their submitters have done with, and a store that lost data has not."""
        waiting = [f"{prefix}state:{state}" for prefix in self.prefixes for state in State if not state.terminal]
        return not any(self.raw.exists(name) for name in waiting)

    def _count_strikes(self) -> None:
        for kind in sorted({strike.kind for strike in self.strikes}):
            self.books.figures |= {f"strikes: {kind}": sum(strike.kind == kind for strike in self.strikes)}
        self.books.enter(**{"strikes: all": len(self.strikes)})

    async def _check_descriptors(self) -> None:
        await self.fleet.whole()
        for member in self.fleet.members:
            more = member.more_descriptors()
            self.books.must(
                more <= MOST_DESCRIPTORS_MORE[member.pool],
                f"{member.log.name}: a process has {more} descriptors more than at first",
            )

    async def load_done(self) -> None:
        """Everything ordered has ended."""
        await self.load.finish()
        self._stop_meanwhile()

    def _stop_meanwhile(self) -> None:
        for task in self._meanwhile:
            task.cancel()

    async def leave(self, *, in_order: bool) -> None:
        self._stop_meanwhile()
        if not in_order:
            await self.load.abandon()
            self.fleet.kill()
        with suppress(redis.RedisError):
            await self.kit.aclose()
        self.raw.close()


async def _again_and_again(step: Callable[[], None]) -> None:
    while True:
        step()
        await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def scene(
    name: str,
    seed: int,
    *,
    workers: int,
    width: int,
    mix: Mix = MIX,
    grace: float = 10.0,
    pools: Sequence[str] = ("process",),
    clocked: bool = False,
    route: Callable[[servers.Server], str] = lambda server: server.url,
    **options: str,
) -> AsyncIterator[Scene]:
    """A campaign's scene, its workers up and its load coming in.

    `width` orders are under way at a time, `workers` take about twice as many; their pools take turns. If it is
    `clocked`, a job is scheduled. `route` says how the server is reached: it is asked for the submitters, then for each
    worker. `options` are the server's.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"jobkit-chaos-{name}-", dir="/tmp"))
    books = Books(name, seed)
    with servers.running(servers.valkey_binary(), **options) as server:
        here = Scene(books, server, folder, mix, width, route(server), grace, clocked)
        in_order = False
        try:
            for _, pool in zip(range(workers), cycle(pools), strict=False):
                here.enlist(route(server), pool)
            await here.fleet.whole()
            here.wiretap.start()
            here.load.start()
            yield here
            in_order = True
        except AssertionError as error:
            books.unbalanced(f"The campaign broke off: {error}")
        finally:
            await here.leave(in_order=in_order)
    if books.balanced:
        shutil.rmtree(folder)
    else:
        books.enter(kept_in=str(folder))
