"""Performing: what the code that asks is a part of, so that it cannot wait for what waits for it.

It may be a run, which keeps its worker busy; or a module that jobkit is importing, before anything is performed.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from jobkit.errors import JobKitError, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Performed(NamedTuple):
    """A start of a run that is being performed; `key` is the run's cache key, '' for none."""

    run_id: str
    key: str
    job: str
    attempt: int
    start: int


_PERFORMED: ContextVar[Performed | None] = ContextVar("jobkit run", default=None)
_IMPORTED: ContextVar[str] = ContextVar("jobkit target", default="")


@contextmanager
def performing(start: Performed) -> Iterator[None]:
    """Within it, this thread and the tasks it starts are a part of the run."""
    before = _PERFORMED.set(start)
    try:
        yield
    finally:
        _PERFORMED.reset(before)


def performed() -> Performed | None:
    """The run that the caller is a part of, if any. Whoever asks is about to wait, or to start something.

    Raises:
        RunError: jobkit is importing the caller's module.
    """
    refuse_while_imported(RunError)
    return _PERFORMED.get()


def part_of() -> Performed | None:
    """As `performed`, for who waits for nothing and starts nothing: it never refuses."""
    return _PERFORMED.get()


@contextmanager
def importing(target: str) -> Iterator[None]:
    """Within it, this thread imports what is named so (`module:kit`), before anything is performed."""
    before = _IMPORTED.set(target)
    try:
        yield
    finally:
        _IMPORTED.reset(before)


def refuse_while_imported(error: type[JobKitError]) -> None:
    """Raise this error, with advice, when jobkit is importing the caller's module: it might wait for itself."""
    target = _IMPORTED.get()
    if target:
        raise error(
            f"{target} is still being imported, and nothing is performed before that is done: put what submits jobs or"
            ' waits for them under `if __name__ == "__main__":`, or into a function.'
        )
