"""L1: remembered results in the memory of this process, for jobs that ask for it (`l1_ttl`).

What is kept is the handle of a succeeded run with its result, by the job's class and the JSON of its arguments: equal
JSON makes equal jobs, so that needs no cache key. It answers for `l1_ttl` at the most, never longer than the memo is
fresh, and only while this process hears what is invalidated elsewhere: when that connection is lost, nothing is served
from here, and when it is back everything is forgotten. What this process invalidates is forgotten before `invalidate`
returns.

Bounded in entries and in bytes; the entries used least recently go first. Thread-safe.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
from cachetools import TLRUCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit.job import JobSpec
    from jobkit.run import Run

MOST_BYTES = 64 * 1024**2
ENTRY_BYTES = 1024
"""What an entry counts for beside its result and arguments; so there are at most `MOST_BYTES / ENTRY_BYTES` of them."""

Key = tuple["JobSpec", bytes]


class Kept(msgspec.Struct, frozen=True, gc=False):
    """An answer: its run, until when it answers (s, monotonic), its size, and by what it may be invalidated."""

    run: Run[Any]
    until: float
    size: int
    key: str
    labels: frozenset[str]
    owners: set[str]


class L1:
    """The memory of one process. `hears` says whether invalidations are heard at this moment."""

    def __init__(self, hears: Callable[[], bool]) -> None:
        self._hears = hears
        self._lock = threading.Lock()
        self._epoch = 0
        self._kept: TLRUCache[Key, Kept] = TLRUCache(
            MOST_BYTES, ttu=lambda _key, kept, _now: kept.until, timer=time.monotonic, getsizeof=lambda kept: kept.size
        )

    @property
    def epoch(self) -> int:
        """Rises with everything that is forgotten; what was asked for before that may not be kept after it."""
        return self._epoch

    def get(self, key: Key, owner: str | None) -> Run[Any] | None:
        """The run that answers, if it may; to an owner only once the store knows them as one."""
        if not self._hears():
            return None
        with self._lock:
            kept = self._kept.get(key)
        return None if kept is None or (owner is not None and owner not in kept.owners) else kept.run

    def put(self, key: Key, kept: Kept, owner: str | None, epoch: int) -> None:
        """Keep an answer that was asked for in this epoch."""
        with self._lock:
            if epoch == self._epoch and kept.size <= MOST_BYTES:
                before = self._kept.get(key)
                if before is not None and before.run.id == kept.run.id:
                    kept.owners.update(before.owners)
                if owner is not None:
                    kept.owners.add(owner)
                self._kept[key] = kept

    def forget(self, what: str) -> None:
        """What was invalidated: `key:DIGEST`, or a label."""
        with self._lock:
            self._epoch += 1
            gone = [key for key, kept in self._kept.items() if what in kept.labels or what == f"key:{kept.key}"]
            for key in gone:
                self._kept.pop(key, None)

    def flush(self) -> None:
        with self._lock:
            self._epoch += 1
            self._kept.clear()
