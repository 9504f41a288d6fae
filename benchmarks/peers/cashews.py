"""cashews: a cache in Redis, and one in process memory, for coroutines only."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from cashews import Cache
from cashews.key import get_cache_key, get_cache_key_template

from benchmarks.peers import DPI, HOUR, MONTH, PAGES, REGION, RESULT, Act, Peer, Place, bulks, second_of_tasks
from benchmarks.rounds import each

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from benchmarks.rounds import Batch

DATABASE = 3


async def report(month: str, region: str, dpi: float, pages: int) -> dict[str, float]:  # noqa: ARG001
    return RESULT


@contextmanager
def opened(place: Place) -> Iterator[Peer]:
    with asyncio.Runner() as runner, asyncio.Runner() as for_memory:  # it looks for what has expired once a second
        redis, memory = Cache(), Cache()
        redis.setup(place.url(DATABASE))
        memory.setup("mem://", size=100_000)
        template = get_cache_key_template(report)

        def key(month: object, region: object, dpi: object, pages: object) -> str:
            arguments = {"month": month, "region": region, "dpi": dpi, "pages": pages}
            return get_cache_key(report, template, (), arguments)

        yield Peer(
            name="cashews",
            version=version("cashews"),
            acts=[
                *_acts(runner, redis, "cashews, redis (async)", "GET, redis.asyncio"),
                *_acts(for_memory, memory, "cashews, memory (async)", ""),
                Act(kind="key", name="cashews", do=each(lambda: key(MONTH, REGION, DPI, PAGES))),
            ],
            make_key=key,
            seconds={
                "cashews": lambda: runner.run(second_of_tasks(redis.cache(ttl=HOUR, key="slow:{number}"))),
                "cashews, lock=True": lambda: runner.run(
                    second_of_tasks(redis.cache(ttl=HOUR, lock=True, key="slow, locked:{number}"))
                ),
            },
        )
        runner.run(redis.close())
        for_memory.run(memory.close())


def _acts(runner: asyncio.Runner, cache: Any, name: str, beside: str) -> list[Act]:
    cached = cache.cache(ttl=HOUR)(report)
    numbers = itertools.count(PAGES + 1)

    async def bulk(times: int) -> None:
        for size in bulks(times):
            await cache.set_many({f"report:{next(numbers)}": RESULT for _ in range(size)}, expire=HOUR)

    def hit() -> Awaitable[object]:
        return cached(month=MONTH, region=REGION, dpi=DPI, pages=PAGES)  # type: ignore[no-any-return]

    def new() -> Awaitable[object]:
        return cached(month=MONTH, region=REGION, dpi=DPI, pages=next(numbers))  # type: ignore[no-any-return]

    return [
        Act(kind="hit", name=name, do=each_awaited(runner, hit), beside=beside),
        Act(kind="new", name=name, do=each_awaited(runner, new), beside=beside),
        Act(kind="bulk", name=f"{name}: set_many", do=lambda times: runner.run(bulk(times))),
    ]


def each_awaited(runner: asyncio.Runner, act: Callable[[], Awaitable[object]]) -> Batch:
    async def batch(times: int) -> None:
        for _ in itertools.repeat(None, times):
            await act()

    return lambda times: runner.run(batch(times))
