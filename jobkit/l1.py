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
from cachetools import LRUCache

if TYPE_CHECKING:
    from jobkit.job import JobSpec, ProgressJob
    from jobkit.run import Run
    from jobkit.store.listening import Listening
    from jobkit.store.operations import Submission
    from jobkit.store.replies import Admitted

MOST_BYTES = 64 * 1024**2
ENTRY_BYTES = 1024
"""What an entry counts for beside its result and arguments; so there are at most `MOST_BYTES / ENTRY_BYTES` of them."""


class _Kept(msgspec.Struct, frozen=True, gc=False):
    """An answer: its run, until when it answers (s, monotonic), and by what it may be invalidated."""

    run: Run[Any]
    until: float
    size: int
    names: frozenset[str]
    owners: set[str]


class L1:
    """The memory of one process, which hears on `channel` what is invalidated."""

    def __init__(self, channel: str, listening: Listening) -> None:
        self._lock = threading.Lock()
        self._epoch = 0
        self._kept: LRUCache[tuple[JobSpec, bytes], _Kept] = LRUCache(MOST_BYTES, getsizeof=lambda kept: kept.size)
        self._hears = listening.hear(channel, self._heed)

    @property
    def epoch(self) -> int:
        """Rises with everything that is forgotten; what was asked for before that is not kept after it."""
        return self._epoch

    def get(self, spec: JobSpec, job: ProgressJob[Any], owner: str | None) -> Run[Any] | None:
        """The run that answers, if it may; an owner must be known to the store as one, so asks there first."""
        if not self._hears():
            return None
        key = (spec, spec.encoded(job))
        with self._lock:
            try:
                kept = self._kept[key]
            except KeyError:
                return None
            if kept.until <= time.monotonic():
                del self._kept[key]
                return None
        return kept.run if owner is None or owner in kept.owners else None

    def put(self, spec: JobSpec, run: Run[Any], submission: Submission, admitted: Admitted, asked_at: int) -> None:
        """Keep a fresh answer of the store, unless something was forgotten since it was asked for."""
        if not self._hears() or admitted.result is None or spec.options.l1_ttl is None:
            return
        arguments = submission.arguments
        kept = _Kept(
            run=run,
            until=time.monotonic() + min(spec.options.l1_ttl, admitted.seconds),
            size=ENTRY_BYTES + len(arguments) + len(admitted.result),
            names=frozenset([f"key:{submission.key}", *submission.conditions.labels.split()]),
            owners={submission.conditions.owner},
        )
        with self._lock:
            before = self._kept.get((spec, arguments))
            if before is not None and before.run.id == run.id:
                kept.owners.update(before.owners)
            if asked_at == self._epoch and kept.size <= MOST_BYTES:
                self._kept[spec, arguments] = kept

    def forget(self, name: str) -> None:
        """What was invalidated: `key:DIGEST`, or a label."""
        if name.startswith("tag:"):  # others may have tagged a run since, so any may be meant
            self.forget_all()
            return
        with self._lock:
            self._epoch += 1
            for key in [key for key, kept in self._kept.items() if name in kept.names]:
                self._kept.pop(key, None)

    def forget_all(self) -> None:
        with self._lock:
            self._epoch += 1
            self._kept.clear()

    def _heed(self, name: bytes | None) -> None:
        """None: something may have been missed."""
        if name is None:
            self.forget_all()
        else:
            self.forget(name.decode())
