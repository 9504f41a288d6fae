"""Clock: the time of a kit's store, under a test's control.

Every decision of the store is made by its own clock, so that is the one to set: memos end, windows close, leases run
out and schedules come due as if so much time had passed. What Python waits for (`result(timeout=…)`) is still real.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from jobkit.testing.commands import Command

if TYPE_CHECKING:
    from jobkit.kit import JobKit


class Clock:
    """Ahead of the server's clock by as much as it was advanced. One for a store: another one begins at zero."""

    def __init__(self, kit: JobKit) -> None:
        self._kit = kit
        self.ahead = timedelta()

    def advance(self, by: timedelta | float | None = None, **units: float) -> None:
        """Let time pass: a timedelta, seconds, or units as `timedelta` takes them (`hours=2`).

        Workers are woken, so that what has come due is performed at once.

        Raises:
            ValueError: time does not go back; take `Clock.reset`.
        """
        step = by if isinstance(by, timedelta) else timedelta(seconds=by or 0.0)
        step += timedelta(**units)
        if step < timedelta():
            raise ValueError(f"A clock is not advanced by {step}: time goes on only. reset() starts it over.")
        self._set(self.ahead + step)

    def reset(self) -> None:
        """Back to the server's time."""
        self._set(timedelta())

    def _set(self, ahead: timedelta) -> None:
        self.ahead = ahead
        kit, store = self._kit, self._kit.store()
        for partition in range(store.partitions()):
            store.open(partition)
            place = kit.operations.prefix(f"{partition}-")
            skew = Command("HSET", f"{place}partition", "skew", str(round(ahead.total_seconds() * 1000)))
            bells = [Command("RPUSH", kit.operations.bell(queue, partition), "1") for queue in kit.queues]
            store.execute_all([each.in_partition(partition) for each in (skew, *bells)])
        kit.forget()  # this process remembers by its own clock
