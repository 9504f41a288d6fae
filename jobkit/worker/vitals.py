"""Vitals: how a worker is at one moment, as it can be seen from within, for whoever asks (`metrics`)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.store.replies import Renewed

LONGEST_LEASE = 15.0
"""Seconds that a lease is taken to last as long as nobody has named a shorter one."""


class Pulse:
    """How the store answers the heartbeat, partition by partition. Written by one thread, read by any."""

    def __init__(self) -> None:
        self.shortest_lease = LONGEST_LEASE
        self.troubled: set[int] = set()
        """The partitions that did not answer the last step."""
        self.errors = 0
        self._renewed: dict[int, float | None] = {}
        self._busy: dict[int, set[str]] = {}

    @property
    def busy(self) -> set[str]:
        """The slots that held a run when they were renewed."""
        return set[str]().union(*self._busy.values())

    def age(self, now: float) -> float | None:
        """Seconds since the partition that waits longest has renewed; None as long as one never has."""
        renewed = [at for at in self._renewed.values() if at is not None]
        return now - min(renewed) if renewed and len(renewed) == len(self._renewed) else None

    def beats(self, now: float) -> bool:
        """Whether every partition answers, and no lease that was renewed can have ended since."""
        age = self.age(now)
        return age is not None and not self.troubled and age < self.shortest_lease

    def expect(self, partitions: Sequence[int]) -> None:
        self._renewed = dict.fromkeys(partitions)

    def renewed(self, partition: int, slots: Sequence[Renewed]) -> None:
        self._renewed[partition] = time.monotonic()
        self._busy[partition] = {row.slot for row in slots if row.run_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Those of one moment. `pulse` is None until the worker knows its store."""

    slots: int
    phases: Sequence[str]
    """One for each child."""
    pids: Sequence[int]
    pulse: Pulse | None
