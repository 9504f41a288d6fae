"""Queues: no-op jobs in each queue's own words, one file a queue. Importing a file fails where its queue is missing.

A file is read twice: by the workers, which the queue's own command starts, and by the submitter (`submitter.py`), so
its tasks stand at its top. It has what `Queue` says. All queues get the same server (`URL`), which is theirs alone, and
two worker processes. Where a queue can leave away what a no-op does not need, its result above all, it may:
`KEEPS_RESULTS` says when results are wanted.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

URL = os.environ.get("BENCH_URL", "")
VARIANT = os.environ.get("BENCH_VARIANT", "")
"""Which kind of worker, or of queue, where there are several."""
KEEPS_RESULTS = os.environ.get("BENCH_RESULTS", "") == "yes"
PROCESSES = 2
AT_ONCE = 50
"""So many are submitted together, where there is a way to do that."""


class Queue(Protocol):
    """A module."""

    PACKAGES: tuple[str, ...]
    """Whose versions are told."""
    CONFIGURATION: str
    """What is set otherwise than it is by default."""
    WORKERS: tuple[tuple[str, ...], ...]
    """The arguments of each Python that is to be started: together they are two worker processes."""

    def begin(self) -> Awaitable[None] | None:
        """Connect the submitter."""

    def submit_many(self, numbers: Sequence[int]) -> Awaitable[None] | None:
        """Submit a no-op for each number, which it marks (`marks.py`); return when all are in the server."""

    def ask(self) -> Awaitable[float] | float:
        """Submit one job, and wait for its result: the moment at which it began."""
