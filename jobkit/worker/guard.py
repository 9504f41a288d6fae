"""Guard: when a start with limits is to be stopped, by the clocks. Pure.

Two clocks: limits count the time that the machine is awake (`time.monotonic`), for a laptop that slept has not worked
either, nor has a container that was paused; a lease goes on meanwhile (`boot_time`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from jobkit.decision import STALLS_UNTIL_STOPPED, StopReason

if TYPE_CHECKING:
    from jobkit.worker.link import Guarded

_BOOT_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_time() -> float:
    """Seconds, counted also while the machine sleeps; the same in all its processes."""
    return time.clock_gettime(_BOOT_CLOCK)


class Guard:
    """One start under watch, from `now` (monotonic) on."""

    def __init__(self, start: Guarded, now: float) -> None:
        self.start = start
        self.stalled = False
        self.stopped = False
        self.accounted = False
        """Whether it was told once already where it hangs."""
        self._began = now
        self._moved = now
        self._confirmed_until = start.strict_until

    def moved(self, now: float) -> bool:
        """It has made progress. Answers whether that is news: it had stalled."""
        was, self.stalled, self._moved = self.stalled, False, now
        return was

    def confirmed(self, until: float) -> None:
        """Its lease holds until then (boot time)."""
        if self._confirmed_until is not None:
            self._confirmed_until = max(self._confirmed_until, until)

    def was_frozen(self, seconds: float) -> None:
        """Nobody could look for so long, and it could not move: that counts for nothing."""
        self._began += seconds
        self._moved += seconds

    def stalls(self, now: float) -> bool:
        """Whether it has stalled since this was last asked."""
        limit = self.start.stall_limit
        if limit is None or self.stalled or self.stopped or now - self._moved < limit:
            return False
        self.stalled = True
        return True

    def stops(self, now: float, awake: float) -> StopReason | None:
        """Why it is to be stopped, when it is; said once."""
        reason = None if self.stopped else self._reason(now, awake)
        self.stopped = self.stopped or reason is not None
        return reason

    def _reason(self, now: float, awake: float) -> StopReason | None:
        start = self.start
        if self._confirmed_until is not None and awake >= self._confirmed_until:
            return StopReason.UNCONFIRMED
        if start.time_limit is not None and now - self._began >= start.time_limit:
            return StopReason.TIME_LIMIT
        if start.stall_limit is not None and now - self._moved >= STALLS_UNTIL_STOPPED * start.stall_limit:
            return StopReason.STALL_LIMIT
        return None
