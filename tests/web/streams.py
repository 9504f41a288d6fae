"""Reads event streams as a browser does, one event at a time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Event:
    """One event, or a comment (`name` is then empty)."""

    name: str = ""
    id: str = ""
    retry: int | None = None
    data: Any = None
    lines: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        return str(self.data["state"])

    @property
    def order(self) -> tuple[int, int]:
        return (self.data["start"], self.data["version"])


class Stream:
    """An open stream. `next` waits for at most the client's timeout."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._events = self._parse()

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def next(self) -> Event:
        return next(self._events)

    def until(self, name: str) -> Event:
        """The next event of that name; those before it are skipped."""
        return next(event for event in self._events if event.name == name)

    def rest(self) -> list[Event]:
        """All that comes until the server ends the body in order."""
        return list(self._events)

    def _lines(self) -> Iterator[str]:
        """Only what the format says ends a line does."""
        rest = ""
        for text in self.response.iter_text():
            *lines, rest = (rest + text).split("\n")
            yield from lines
        assert not rest, f"the stream ended within a line: {rest!r}"

    def _parse(self) -> Iterator[Event]:
        lines: list[str] = []
        for line in self._lines():
            if line:
                lines.append(line)
            elif lines:
                yield _event(lines)
                lines = []
        assert not lines, f"the stream ended within an event: {lines}"


@contextmanager
def opened(client: httpx.Client, url: str, method: str = "GET", **options: Any) -> Iterator[Stream]:
    """A stream that must be answered with 200."""
    with client.stream(method, url, **options) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)


def _event(lines: list[str]) -> Event:
    event = Event(lines=lines)
    for line in lines:
        name, _, value = line.partition(": ")
        match name:
            case "event":
                event.name = value
            case "id":
                event.id = value
            case "retry":
                event.retry = int(value)
            case "data":
                event.data = json.loads(value)
    return event
