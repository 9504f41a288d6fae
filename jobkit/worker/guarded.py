"""Guarded: what a child tells its supervisor of a start whose class sets limits: that it begins, moves and is over.

Of any other start nothing is told, so that costs nothing.
"""

from __future__ import annotations

import logging
import random
import time
from functools import partial
from typing import TYPE_CHECKING

from jobkit.errors import LimitReached
from jobkit.incident import size
from jobkit.worker import memory
from jobkit.worker.link import Guarded, Moved, Over

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit.options import Options
    from jobkit.store.replies import Lease
    from jobkit.worker.link import Link

TELLS_A_STALL = 8
"""How often moving is told within a `stall_limit`, at most."""

_log = logging.getLogger("jobkit.worker")


def guarded(slot: str, lease: Lease, options: Options, asked_at: float) -> Guarded | None:
    """What is to be watched of this start, or None; its lease was asked for at `asked_at` (boot time)."""
    if not (options.time_limit or options.stall_limit or options.memory_limit or options.strict_lease):
        return None
    return Guarded(
        slot=slot,
        token=lease.token,
        run_id=lease.run_id,
        lease=lease.duration,
        strict_until=asked_at + lease.duration if options.strict_lease else None,
        time_limit=options.time_limit,
        stall_limit=options.stall_limit,
        memory_limit=options.memory_limit,
        retry_after=options.retries.wait_after(LimitReached(), lease.failures + 1, lease.max_attempts, random.random()),
    )


class GuardedStarts:
    """Those that one process performs, told through its link."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._ends: dict[str, list[Callable[[], None]]] = {}
        """By token: what is to be done when it is over. Most starts are not in it."""

    def begins(
        self, slot: str, lease: Lease, options: Options, asked_at: float
    ) -> Callable[[object, object], None] | None:
        """Answers what is to be called, often, with the revision of its progress and its last checkpoint, or None."""
        ends: list[Callable[[], None]] = []
        if options.leak_warning is not None:
            ends.append(partial(_warn_of_growth, lease, options.leak_warning, memory.resident()))
        start = guarded(slot, lease, options, asked_at)
        if start is not None:
            self._link.say(start)
            ends.append(partial(self._link.say, Over(token=lease.token)))
        if ends:
            self._ends[lease.token] = ends
        stall_limit = options.stall_limit
        return _Moving(self._link, lease.token, stall_limit) if stall_limit is not None else None

    def ends(self, lease: Lease) -> None:
        for end in self._ends.pop(lease.token, ()):
            end()


class _Moving:
    """Tells that a start moves."""

    def __init__(self, link: Link, token: str, stall_limit: float) -> None:
        self._say = partial(link.say, Moved(token=token))
        self._pause = stall_limit / TELLS_A_STALL
        self._revision: object = None
        self._kept: object = None
        self._due = 0.0

    def __call__(self, revision: object, kept: object) -> None:
        now = time.monotonic()
        if now >= self._due and (revision != self._revision or kept is not self._kept):
            self._revision, self._kept, self._due = revision, kept, now + self._pause
            self._say()


def _warn_of_growth(lease: Lease, threshold: int, before: int) -> None:
    grown = memory.resident() - before
    if grown > threshold:
        _log.warning(
            "Run %s: performing %s has left its process %s larger than before, at %s (its leak_warning is %s).",
            lease.run_id, lease.job, size(grown), size(before + grown), size(threshold),
        )  # fmt: skip
