"""Which tests reach which statement: the library is run once with a mark before each statement of its functions.

Marks are kept in a table of the library itself, beside all data, and one function more tells them and forgets them.
What stands outside of functions is done when the library is loaded, and so reached by all.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import redis

from jobkit.store.script import Library
from tests.mutation.lua import Chunk
from tests.mutation.mutants import Place, composed
from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from tests.mutation.mutants import Source

FUNCTION = "reached"
"""(After the library's name: a test may load it under another.)"""
_TABLE = "local REACHED = {}\n"
_TELL = """
redis.register_function('%s', function()
  local marks = {}
  for mark in pairs(REACHED) do
    marks[#marks + 1], REACHED[mark] = mark, nil
  end
  return marks
end)
"""


def marked(sources: Sequence[Source]) -> tuple[Library, list[Place]]:
    """The library with its marks, and which place each mark means."""
    texts: dict[str, str] = {}
    places: list[Place] = []
    for source in sources:
        text = source.text
        inside = [(each.start, number) for number, each in enumerate(Chunk(text).statements) if each.inside]
        for start, number in sorted(inside, reverse=True):
            text = f"{text[:start]}REACHED[{len(places)}] = true; {text[start:]}"
            places.append(Place(source.file, number))
        texts[source.file] = text
    texts[sources[0].file] = _TABLE + texts[sources[0].file]
    library = composed(sources, texts)
    return Library(library.name, library.source + _TELL % library.function(FUNCTION)), places


class Recorder:
    """A pytest plugin that tells of every test which marks it left, and how long it took."""

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
    """The marks on this server, which forgets them; none where it is gone, or knows of no script."""
    if not server.socket.exists():
        return set()
    client: Any = redis.Redis.from_url(server.url, protocol=2, socket_timeout=1.0)
    reached: set[int] = set()
    with suppress(redis.RedisError), client:
        for _, _, _, _, _, functions in client.function_list():
            for _, name, *_ in functions:
                if name.endswith(f"_{FUNCTION}".encode()):
                    reached.update(client.fcall(name, 0))
    return reached
