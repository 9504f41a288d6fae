"""Performing: which run the code that asks is a part of, so that it cannot wait for what waits for it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Performed(NamedTuple):
    """A run that is being performed: its id and its cache key, '' for none."""

    run_id: str
    key: str


_PERFORMED: ContextVar[Performed | None] = ContextVar("jobkit run", default=None)


@contextmanager
def performing(run_id: str, key: str) -> Iterator[None]:
    """Within it, this thread and the tasks it starts are a part of the run."""
    before = _PERFORMED.set(Performed(run_id, key))
    try:
        yield
    finally:
        _PERFORMED.reset(before)


def performed() -> Performed | None:
    """The run that the caller is a part of, if any."""
    return _PERFORMED.get()
