"""Peers: the same work as jobkit's, in each one's own words. One file a peer, and one for the least it could take.

Each has `opened(place)`, a context manager that gives a `Peer`. Importing the file fails where the peer is not
installed. The work: a report of four arguments, whose result is a small dict, decoded and in the caller's hands. Its
function returns at once, so what is measured is what the peer adds.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from benchmarks.rounds import Batch

RESULT = {"EU-1": 1200.5, "EU-2": 310.25, "EU-3": 87.0}
MONTH, REGION, DPI, PAGES = "2026-07", "EU", 150.0, 20
BULK = 1000
"""What one call submits in bulk."""
WORK_SECONDS = 0.2
"""How long the first caller's work takes when a second one comes."""
HOUR = 3600


@dataclass(frozen=True)
class Place:
    """Where a peer may keep what it keeps: databases of one server, each peer's own, and a folder."""

    url: Callable[[int], str]
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Act:
    """One thing to measure. `kind` is hit, join, new, bulk or key; `beside` names the bare GET that it is held to."""

    kind: str
    name: str
    do: Batch
    beside: str = ""


@dataclass(frozen=True, kw_only=True)
class Second:
    """What a second equal call got while the first was under way."""

    performed: int
    waited_ms: float
    got: str


@dataclass(frozen=True, kw_only=True)
class Peer:
    """`make_key` makes what the peer looks arguments up by; `seconds` try out a second call of each of its tools."""

    name: str
    version: str
    acts: list[Act] = field(default_factory=list)
    make_key: Callable[..., object] | None = None
    seconds: Mapping[str, Callable[[], Second]] = field(default_factory=dict)


def report(month: str, region: str, dpi: float, pages: int) -> dict[str, float]:  # noqa: ARG001
    """The work: none."""
    return RESULT


def bulks(times: int) -> Iterator[int]:
    """The sizes of the calls that submit so many in bulk."""
    for first in range(0, times, BULK):
        yield min(BULK, times - first)


def second_of_threads(decorate: Callable[[Callable[[int], object]], Callable[[int], object]]) -> Second:
    """Two threads call what `decorate` makes of slow work, the second while the first is at it."""
    began = threading.Event()
    performed: list[int] = []

    def work(number: int) -> object:
        performed.append(number)
        began.set()
        time.sleep(WORK_SECONDS)
        return RESULT

    call = decorate(work)
    first = threading.Thread(target=call, args=(1,))
    first.start()
    began.wait()
    waited_ms = _milliseconds(lambda: call(1))
    first.join()
    return Second(performed=len(performed), waited_ms=waited_ms, got="the result")


async def second_of_tasks(
    decorate: Callable[[Callable[[int], Awaitable[object]]], Callable[[int], Awaitable[object]]],
) -> Second:
    """As `second_of_threads`, on an event loop."""
    began = asyncio.Event()
    performed: list[int] = []

    async def work(number: int) -> object:
        performed.append(number)
        began.set()
        await asyncio.sleep(WORK_SECONDS)
        return RESULT

    call = decorate(work)
    first = asyncio.ensure_future(call(1))
    await began.wait()
    begun = time.perf_counter()
    await call(1)
    waited_ms = (time.perf_counter() - begun) * 1000
    await first
    return Second(performed=len(performed), waited_ms=waited_ms, got="the result")


def second_handle(submit: Callable[[], Any]) -> Second:
    """Where submitting gives a handle with an `id`, and nobody performs yet."""
    first = submit()
    second: list[Any] = []
    waited_ms = _milliseconds(lambda: second.append(submit()))
    return Second(performed=len({first.id, second[0].id}), waited_ms=waited_ms, got="a handle")


def _milliseconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000
