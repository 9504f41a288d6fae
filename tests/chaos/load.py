"""Load: a steady stream of orders, each submitted, joined, watched and awaited as users do it; what they saw is kept.

An order is what is wanted: one job, by one or more submitters, some of whom may leave. Its account is what they got.
Orders come from a seeded stream, so the same seed wants the same; `width` of them are under way at a time.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Self, TypeVar

from msgspec.structs import replace

from jobkit import RunCancelled, RunFailed, State
from tests.chaos import jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jobkit import JobKit, ProgressJob, Run, Snapshot

T = TypeVar("T")

OVERTURNING = 10**7
"""Added to an order's number: that of the order which overturns it."""


@dataclass(frozen=True, kw_only=True)
class Order:
    number: int
    job: ProgressJob[jobs.Answer]
    submitters: int = 1
    """The first submits at once; the others join it, or are answered from memory."""
    leaving: int = 0
    """So many of them withdraw, `patience` seconds after they all have submitted."""
    patience: float = 0.0
    blocking: bool = False
    """By the blocking methods, in threads."""
    overturned_by: Order | None = None
    """Submitted after `patience` seconds, when what this one has come to was invalidated."""

    @property
    def kind(self) -> str:
        return type(self.job).__name__


@dataclass(frozen=True, slots=True)
class Sight:
    """What one snapshot showed. `token` is whose progress it is; empty before the first report."""

    start: int
    version: int
    state: State
    done: float
    token: str
    updated_at: float
    due_at: float | None
    """When it may be begun, if it waits for that."""

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        return cls(
            start=snapshot.start,
            version=snapshot.version,
            state=snapshot.state,
            done=snapshot.done,
            token=snapshot.message,
            updated_at=snapshot.updated_at,
            due_at=snapshot.due_at,
        )

    @property
    def order(self) -> tuple[int, int]:
        return (self.start, self.version)


@dataclass
class Account:
    """What became of an order, as its submitters saw it."""

    order: Order
    runs: list[Run[jobs.Answer]] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)
    stopping: list[bool] = field(default_factory=list)
    """What those who left were told."""
    results: list[jobs.Answer] = field(default_factory=list)
    trouble: str = ""
    """Why they were not all answered."""
    overturns: Account | None = None
    """What it was to have nothing to do with, once that had begun."""
    since: float = 0.0
    """When that was invalidated, at the earliest; epoch seconds."""

    @property
    def run_id(self) -> str:
        return self.runs[0].id if self.runs else ""

    @property
    def shares_what_it_overturns(self) -> bool:
        """It joined the run, which may be when that had not begun."""
        return self.overturns is not None and self.run_id == self.overturns.run_id

    @property
    def performed_as(self) -> int:
        """The number under which its run is performed."""
        shared = self.overturns if self.shares_what_it_overturns else None
        return shared.order.number if shared else self.order.number

    @property
    def is_done(self) -> bool:
        return bool(self.trouble) or bool(self.sights and self.sights[-1].state.terminal)


@dataclass(frozen=True, kw_only=True)
class Mix:
    """How often orders are of which kind, and how long they take."""

    kinds: Mapping[type[jobs.Count], float]
    short: float = 0.85
    """The share of orders of some milliseconds; the others outlast the lease."""
    fuses: Mapping[jobs.Fuse, float] = field(default_factory=dict)
    """The share of orders with each fuse."""
    leaving: float = 0.1
    """The share of orders that somebody leaves."""


def orders(seed: int, mix: Mix, journal: str) -> Iterator[Order]:
    """What is wanted, for ever."""
    dice = random.Random(seed)
    for number in count(1):
        [kind] = dice.choices(list(mix.kinds), list(mix.kinds.values()))
        is_short = dice.random() < mix.short
        steps = dice.randrange(4) if is_short else dice.randrange(20, 40)
        pause = dice.uniform(0.0, 0.01) if is_short else dice.uniform(0.05, 0.1)
        fuse = _fuse(dice, mix)
        more = {"subject": number} if kind is jobs.Dated else {}
        job = kind(
            number=number, steps=steps, pause=pause, journal=journal, fuse=fuse, burns=dice.uniform(0, 0.002), **more
        )
        how = {"patience": dice.uniform(0.0, 2.0), "blocking": dice.random() < 0.25}
        if kind is jobs.Dated:
            after = Order(number=OVERTURNING + number, job=replace(job, number=OVERTURNING + number), **how)
            yield Order(number=number, job=job, overturned_by=after, **how)
        else:
            submitters = dice.randint(2, 4) if kind is jobs.Shared else 1
            leaving = dice.randint(1, submitters) if dice.random() < mix.leaving else 0
            yield Order(number=number, job=job, submitters=submitters, leaving=leaving, **how)


def _fuse(dice: random.Random, mix: Mix) -> jobs.Fuse:
    drawn = dice.random()
    for fuse, share in mix.fuses.items():
        drawn -= share
        if drawn < 0:
            return fuse
    return jobs.Fuse.NONE


class Load:
    """Carries orders out. `patience` is how long an order may take before it counts as lost."""

    def __init__(self, kit: JobKit, wanted: Iterator[Order], *, width: int, patience: float = 60.0) -> None:
        self.accounts: list[Account] = []
        self._kit = kit
        self._by_number: dict[int, Account] = {}
        self._wanted = wanted
        self._width = width
        self._patience = patience
        self._tasks: list[asyncio.Task[None]] = []
        self._finishing = False

    @property
    def runs(self) -> int:
        """That answer somebody."""
        return len({account.run_id for account in self.accounts if account.run_id})

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._place_orders()) for _ in range(self._width)]

    async def finish(self) -> None:
        """Order nothing more, and return when all that was ordered has ended, or its patience has."""
        self._finishing = True
        await asyncio.gather(*self._tasks)

    async def abandon(self) -> None:
        """Let go of everything: the campaign has failed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def account(self, number: int) -> Account:
        return self._by_number[number]

    async def place(self, order: Order, overturns: Account | None = None, since: float = 0.0) -> Account:
        """Carry out one order, and return its account when it has ended."""
        account = self._by_number[order.number] = Account(order, overturns=overturns, since=since)
        self.accounts.append(account)
        try:
            async with asyncio.timeout(self._patience):
                await self._carry_out(account)
        except TimeoutError:
            account.trouble = f"not answered within {self._patience:g} s"
        except Exception as error:  # noqa: BLE001  whatever it is, the books tell it
            account.trouble = f"{type(error).__name__}: {error}"
        return account

    async def _place_orders(self) -> None:
        while not self._finishing:
            await self.place(next(self._wanted))

    async def _carry_out(self, account: Account) -> None:
        account.runs.append(await self._submit(account.order))
        watching = asyncio.create_task(self._watch(account))
        try:
            for _ in range(account.order.submitters - 1):
                account.runs.append(await self._submit(account.order))
            await self._leave(account)
            await self._overturn(account)
            await watching
        finally:
            watching.cancel()
        for run in account.runs:
            await self._ask(account, run)

    async def _leave(self, account: Account) -> None:
        order = account.order
        if order.leaving:
            await asyncio.sleep(order.patience)
        for run in account.runs[: order.leaving]:
            account.stopping.append(await (_in_a_thread(run.cancel) if order.blocking else run.acancel()))

    async def _overturn(self, account: Account) -> None:
        """Nothing of what began before answers who comes after."""
        order = account.order
        if order.overturned_by is None:
            return
        await asyncio.sleep(order.patience)
        since = time.time()
        await self._kit.ainvalidate(order.job)
        await self.place(order.overturned_by, overturns=account, since=since)

    async def _submit(self, order: Order) -> Run[jobs.Answer]:
        if order.blocking:
            return await _in_a_thread(lambda: self._kit.submit(order.job))
        return await self._kit.asubmit(order.job)

    async def _watch(self, account: Account) -> None:
        run = account.runs[0]
        if account.order.blocking:
            await _in_a_thread(lambda: _see(account, run))
        else:
            async for snapshot in run.awatch():
                account.sights.append(Sight.of(snapshot))

    async def _ask(self, account: Account, run: Run[jobs.Answer]) -> None:
        try:
            number, token = await (_in_a_thread(run.result) if account.order.blocking else run.aresult())
        except (RunFailed, RunCancelled):
            return
        account.results.append((number, token))


def _see(account: Account, run: Run[jobs.Answer]) -> None:
    for snapshot in run.watch():
        account.sights.append(Sight.of(snapshot))


async def _in_a_thread(call: Callable[[], T]) -> T:
    """A thread of its own, that holds up nobody's end: a watcher of a lost run waits for ever."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def carry_out() -> None:
        try:
            tell, what = done.set_result, call()
        except BaseException as error:  # noqa: BLE001  it is the caller's
            tell, what = done.set_exception, error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(lambda: None if done.done() else tell(what))

    threading.Thread(target=carry_out, name="chaos load", daemon=True).start()
    return await done
