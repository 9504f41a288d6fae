"""Which tests reach which statement: the scripts are run once with a mark before each statement of their functions.

A mark sets a bit of one key on the test's server, outside of every namespace; after each test the bits are read. What
stands outside of functions is done when the library is loaded, and so reached by all.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import redis

from tests.mutation.lua import Chunk
from tests.mutation.mutants import Place
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from tests.mutation.mutants import Source

KEY = "jobkit-mutation:reached"


def marked(sources: Iterable[Source]) -> tuple[dict[str, str], list[Place]]:
    """The text of every file with its marks, and which place each bit means."""
    texts: dict[str, str] = {}
    places: list[Place] = []
    for source in sources:
        text = source.text
        inside = [(each.start, number) for number, each in enumerate(Chunk(text).statements) if each.inside]
        for start, number in sorted(inside, reverse=True):
            text = f"{text[:start]}redis.call('SETBIT', '{KEY}', {len(places)}, 1) {text[start:]}"
            places.append(Place(source.file, number))
        texts[source.file] = text
    return texts, places


class Recorder:
    """A pytest plugin that tells of every test which bits it set, and how long it took."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._servers: dict[str, Server] = {}
        self._reached: set[int] = set()
        self._seconds = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self) -> Generator[None, object, object]:
        value = yield
        if isinstance(value, Server):
            self._servers[value.url] = value
        return value

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None]:
        """(Before the test's own servers are gone.)"""
        self._reached = set().union(*map(_collected, self._servers.values()))
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds = report.duration + (self._seconds if report.when != "setup" else 0.0)
        if report.when == "teardown":
            self._tell({"record": {"test": report.nodeid, "seconds": self._seconds, "reached": sorted(self._reached)}})


def _collected(server: Server) -> set[int]:
    """The bits that were set on this server, which forgets them; none where it is gone."""
    if not server.socket.exists():
        return set()
    client: Any = redis.Redis.from_url(server.url, protocol=2, socket_timeout=1.0)
    with suppress(redis.RedisError), client:
        value = client.getdel(KEY) or b""
        return {number for number in range(len(value) * 8) if value[number // 8] & 128 >> number % 8}
    return set()
