"""Tally: what a child has performed so far, and performs now. Counted as it goes, told when its supervisor asks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jobkit.fleet import Performing
from jobkit.progress import Cancelled
from jobkit.worker.link import Told

if TYPE_CHECKING:
    from jobkit.store.replies import Lease


class Tally:
    """The starts of one child. `told` is for any thread; the others count within a few, which is near enough."""

    def __init__(self) -> None:
        self.performed = 0
        self.failed = 0
        self.performing: dict[str, Performing] = {}

    def begins(self, slot: str, lease: Lease) -> None:
        """A start is performed from now on."""
        self.performing[slot] = Performing(slot=slot, run_id=lease.run_id, job=lease.job, started_at=time.time())

    def ends(self, slot: str, error: BaseException | None) -> None:
        """It is over, by this error if by any."""
        self.performing.pop(slot, None)
        self.performed += 1
        if error is not None and not isinstance(error, Cancelled):
            self.failed += 1

    def told(self) -> Told:
        return Told(performed=self.performed, failed=self.failed, performing=tuple(self.performing.copy().values()))
