"""Private: a kit as a test wants it: on an emptied store, or performing what it submits itself."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobkit.engines.inline import Inline
from jobkit.testing.commands import Command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobkit.kit import JobKit


@contextmanager
def inline(kit: JobKit) -> Iterator[Inline]:
    """Within it, `submit` performs what it makes due before it returns. Gives the engine, for `perform_due`."""
    before, engine = kit.engine, Inline(kit)
    kit.engine = engine
    try:
        yield engine
    finally:
        kit.engine = before


def empty(kit: JobKit) -> None:
    """Throw away all that the kit's server holds, whatever its namespace."""
    store = kit.store()
    for partition in range(store.partitions()):
        store.execute(Command("FLUSHDB").in_partition(partition))
    kit.close()
