"""By hand: what a worker's child tells the store, so that a benchmark of the store needs no worker."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from jobkit.lifecycle import Outcome
from jobkit.snapshot import ProgressView
from jobkit.store.replies import Lease

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit import JobKit
    from jobkit.store.operations import Operation
    from jobkit.store.replies import NoWork, Renewed, Reported, Verdict

AT_ONCE = 200
"""Slots that `perform_all` has."""
LEASE = 3600.0
"""Seconds; no benchmark takes longer, and nobody renews."""


class Hands:
    """A worker's slots, played by their caller: operations to be carried out, and some that are."""

    def __init__(self, kit: JobKit, worker: str = "hands") -> None:
        self._store, self._operations = kit.store(), kit.operations
        self._worker = worker
        self._numbers = itertools.count(1)
        self._progress = ProgressView(done=1200, total=5000, fraction=0.24, unit="orders", message="Reading").to_json()

    def taking(self, queue: str, slot: int) -> Operation[Lease | NoWork]:
        return self._operations.take(self._slot(slot), str(next(self._numbers)), [queue], LEASE)

    def reporting(self, lease: Lease) -> Operation[Reported]:
        return self._operations.report(lease, next(self._numbers), self._progress)

    def settling(self, lease: Lease, result: bytes) -> Operation[Verdict]:
        return self._operations.settle(lease, Outcome.SUCCEEDED, result=result)

    def renewing(self, queue: str, slots: Sequence[int]) -> Operation[tuple[Renewed, ...]]:
        return self._operations.renew(self._worker, [queue], [self._slot(slot) for slot in slots])

    def take(self, queue: str, slot: int = 1) -> Lease:
        lease = self._store.execute(self.taking(queue, slot))
        assert isinstance(lease, Lease), f"nothing to take from {queue}"
        return lease

    def settle(self, lease: Lease, result: bytes) -> None:
        self._store.execute(self.settling(lease, result))

    def settle_and_take(self, lease: Lease, result: bytes, queue: str, slot: int) -> Lease:
        """The next run, taken by the slot that performed what is settled."""
        both = self._operations.settle_and_take(self.settling(lease, result), self.taking(queue, slot))
        work = self._store.execute(both).work
        assert isinstance(work, Lease), f"nothing to take from {queue}"
        return work

    def perform_all(self, queue: str, result: bytes) -> None:
        """Take and settle whatever is ready in the queue, many at a time."""
        while True:
            taken = self._store.execute_all([self.taking(queue, slot) for slot in range(1, AT_ONCE + 1)])
            leases = [lease for lease in taken if isinstance(lease, Lease)]
            if not leases:
                return
            self._store.execute_all([self.settling(lease, result) for lease in leases])

    def _slot(self, number: int) -> str:
        return f"{self._worker}/{number}"
