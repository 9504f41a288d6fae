"""Tally: what a child has performed so far, and performs now. Counted as it goes, told when its supervisor asks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jobkit.fleet import Performing
from jobkit.progress import Cancelled
from jobkit.worker.link import Told

if TYPE_CHECKING:
    from types import TracebackType

    from jobkit.store.replies import Lease


class Tally:
    """The starts of one child. `told` is for another thread."""

    def __init__(self) -> None:
        self.performed = 0
        self.failed = 0
        self.performing: dict[str, Performing] = {}

    def start(self, slot: str, lease: Lease) -> _Start:
        """A block that performs this."""
        return _Start(self, Performing(slot=slot, run_id=lease.run_id, job=lease.job, started_at=time.time()))

    def told(self) -> Told:
        return Told(performed=self.performed, failed=self.failed, performing=tuple(self.performing.copy().values()))


class _Start:
    def __init__(self, tally: Tally, performing: Performing) -> None:
        self._tally = tally
        self._performing = performing

    def __enter__(self) -> None:
        self._tally.performing[self._performing.slot] = self._performing

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        tally = self._tally
        tally.performing.pop(self._performing.slot, None)
        tally.performed += 1
        if error is not None and not isinstance(error, Cancelled):
            tally.failed += 1
