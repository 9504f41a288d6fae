"""dogpile.cache: a region in Redis, and one in process memory, with the default serializer (pickle)."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from dogpile.cache import make_region
from dogpile.cache.util import function_key_generator, sha1_mangle_key

from benchmarks.peers import DPI, HOUR, MONTH, PAGES, REGION, RESULT, Act, Peer, Place, bulks, report, second_of_threads
from benchmarks.rounds import each

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE = 2


@contextmanager
def opened(place: Place) -> Iterator[Peer]:
    redis = make_region(key_mangler=sha1_mangle_key)  # long keys are what its documentation mangles
    redis.configure("dogpile.cache.redis", expiration_time=HOUR, arguments={"url": place.url(DATABASE)})
    memory = make_region().configure("dogpile.cache.memory", expiration_time=HOUR)
    key = function_key_generator(None, report)
    yield Peer(
        name="dogpile.cache",
        version=version("dogpile.cache"),
        acts=[
            *_acts(redis, "dogpile.cache, redis", "GET, redis-py"),
            *_acts(memory, "dogpile.cache, memory", ""),
            Act(kind="key", name="dogpile.cache", do=each(lambda: key(MONTH, REGION, DPI, PAGES))),
            Act(
                kind="key",
                name="dogpile.cache, mangled by SHA-1",
                do=each(lambda: sha1_mangle_key(key(MONTH, REGION, DPI, PAGES))),
            ),
        ],
        make_key=key,
        seconds={"dogpile.cache": lambda: second_of_threads(redis.cache_on_arguments())},
    )


def _acts(region: Any, name: str, beside: str) -> list[Act]:
    cached = region.cache_on_arguments()(report)
    numbers = itertools.count(PAGES + 1)

    def bulk(times: int) -> None:
        """Looks all up, makes those that miss, and stores them."""
        for size in bulks(times):
            keys = [f"report:{MONTH}|{REGION}|{DPI}|{next(numbers)}" for _ in range(size)]
            region.get_or_create_multi(keys, lambda *missing: [RESULT] * len(missing))

    return [
        Act(kind="hit", name=name, do=each(lambda: cached(MONTH, REGION, DPI, PAGES)), beside=beside),
        Act(kind="new", name=name, do=each(lambda: cached(MONTH, REGION, DPI, next(numbers))), beside=beside),
        Act(kind="bulk", name=f"{name}: get_or_create_multi", do=bulk),
    ]
