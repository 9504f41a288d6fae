"""diskcache: a memo in SQLite, for the processes of one machine."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from diskcache import Cache
from diskcache.core import args_to_key

from benchmarks.peers import DPI, HOUR, MONTH, PAGES, REGION, RESULT, Act, Peer, Place, bulks, report, second_of_threads
from benchmarks.rounds import each

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def opened(place: Place) -> Iterator[Peer]:
    with Cache(str(place.folder / "diskcache")) as cache:
        cached = cache.memoize(expire=HOUR)(report)
        numbers = itertools.count(PAGES + 1)

        def key(*arguments: object) -> object:
            return args_to_key(("report",), arguments, {}, False, ())  # noqa: FBT003

        def bulk(times: int) -> None:
            for size in bulks(times):
                with cache.transact():
                    for _ in range(size):
                        cache.set(key(MONTH, REGION, DPI, next(numbers)), RESULT, expire=HOUR)

        yield Peer(
            name="diskcache",
            version=version("diskcache"),
            acts=[
                Act(kind="hit", name="diskcache", do=each(lambda: cached(MONTH, REGION, DPI, PAGES))),
                Act(kind="new", name="diskcache", do=each(lambda: cached(MONTH, REGION, DPI, next(numbers)))),
                Act(kind="bulk", name="diskcache: set in a transaction", do=bulk),
                Act(kind="key", name="diskcache", do=each(lambda: key(MONTH, REGION, DPI, PAGES))),
            ],
            make_key=key,
            seconds={"diskcache": lambda: second_of_threads(cache.memoize(expire=HOUR))},
        )
