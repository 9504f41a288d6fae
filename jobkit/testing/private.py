"""Private: a kit as a test wants it: on an emptied store, or performing what it submits itself."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobkit.engines.inline import Inline
from jobkit.testing.commands import Command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobkit.kit import JobKit
    from jobkit.store.client import Store


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
    """Throw away all that the store keeps in the kit's namespace; what others have on the same server stays.

    Mind where the kit is: on the store of your production, these are the runs of your production.
    """
    store = kit.store()
    for partition in range(store.partitions()):
        _remove(store, partition, kit.operations.prefix(f"{partition}-"))
    kit.close()


def _remove(store: Store, partition: int, prefix: str) -> None:
    cursor = b"0"
    while True:
        scan = Command("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", "1000")
        cursor, keys = store.execute(scan.in_partition(partition))
        if keys:
            store.execute(Command("UNLINK", *keys).in_partition(partition))
        if cursor == b"0":
            return
