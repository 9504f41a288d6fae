"""Guarded: what a child tells its supervisor of a start whose class sets limits: that it begins, moves and is over.

Of any other start nothing is told, so that costs nothing.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

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
    )


class Telling:
    """Tells of one start, through the link of its process."""

    def __init__(self, link: Link, start: Guarded) -> None:
        self._link = link
        self._start = start
        self._revision: object = None
        self._due = 0.0
        link.say(start)

    @property
    def look(self) -> Callable[[object], None] | None:
        """To be called, often, with the revision of its progress; None where nobody asks for it."""
        return None if self._start.stall_limit is None else self._look

    def over(self) -> None:
        self._link.say(Over(token=self._start.token))

    def _look(self, revision: object) -> None:
        now = time.monotonic()
        if now < self._due or revision == self._revision:
            return
        self._revision = revision
        self._due = now + (self._start.stall_limit or 0.0) / TELLS_A_STALL
        self._link.say(Moved(token=self._start.token))


class Growth:
    """Warns of a job that leaves its process larger than it was, by more than so many bytes."""

    def __init__(self, threshold: int) -> None:
        self._threshold = threshold
        self._before = memory.used_here()

    def over(self, lease: Lease) -> None:
        grown = memory.used_here() - self._before
        if grown > self._threshold:
            _log.warning(
                "Run %s: performing %s has left its process %s larger (leak_warning is %s): from %s to %s.",
                lease.run_id, lease.job, size(grown), size(self._threshold), size(self._before),
                size(self._before + grown),
            )  # fmt: skip
