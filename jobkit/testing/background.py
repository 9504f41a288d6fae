"""Background: a worker in threads of this process, for tests that watch, wait and cancel.

It takes, performs, reports and settles as a real worker does, through the same execution; but nothing protects it: a
job that is cancelled ends at its next `progress` call, and one that never makes one goes on.
"""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from jobkit.decision import StopReason
from jobkit.store.operations import failure_head
from jobkit.store.replies import Verdict
from jobkit.timetable import Timetable
from jobkit.worker.interruption import Interruption
from jobkit.worker.reporter import Reporter
from jobkit.worker.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobkit.job import JobSpec
    from jobkit.kit import JobKit
    from jobkit.progress import Progress
    from jobkit.store.replies import Lease

LEASE = 15.0
BEAT = 0.5
LOOK = 0.1
"""Seconds between looks whether it should end."""


@contextmanager
def worker(kit: JobKit, *, queues: Sequence[str] | str = (), concurrency: int = 1) -> Iterator[None]:
    """A worker of the kit's jobs within the block; `queues` are those its jobs name, unless you do.

    At the end of the block it finishes what it performs.
    """
    serves = ((queues,) if isinstance(queues, str) else tuple(queues)) or kit.queues
    threads = _Threads(kit, serves, concurrency)
    threads.start()
    try:
        yield
    finally:
        threads.end()


class _Threads:
    """The slots of one worker, and its heart. It watches what they perform, to report it."""

    def __init__(self, kit: JobKit, queues: Sequence[str], concurrency: int) -> None:
        self._kit = kit
        self._queues = queues
        self._worker = f"test-{os.getpid()}-{secrets.token_hex(4)}"
        self._interruption = Interruption()
        self._reporter = Reporter(kit.store(), self._interruption.stop)
        self._slots = [f"{self._worker}/{n + 1}" for n in range(concurrency)]
        self._threads = [threading.Thread(target=self._serving(slot).serve, name=slot) for slot in self._slots]
        self._heart = threading.Thread(target=self._beat, name=f"{self._worker} heart")
        self._stopped = threading.Event()
        self._timetable = Timetable(kit.operations)

    def start(self) -> None:
        self._reporter.start()
        for thread in (*self._threads, self._heart):
            thread.start()

    def end(self) -> None:
        self._interruption.drain()
        for thread in self._threads:
            thread.join()
        self._reporter.end()
        self._stopped.set()
        self._heart.join()
        self._kit.store().everywhere(partial(self._kit.operations.retire, self._worker, self._queues))

    def _beat(self) -> None:
        store, operations = self._kit.store(), self._kit.operations
        self._timetable.declare(self._kit.declarations(store.partitions()))
        while True:
            for partition in range(store.partitions()):
                for row in store.execute(operations.renew(self._worker, self._queues, self._slots, partition)).slots:
                    if row.verdict in (Verdict.CANCEL, Verdict.ENDED, Verdict.LOST):
                        reason = StopReason.CANCELLED if row.verdict is Verdict.CANCEL else StopReason.LOST
                        self._interruption.stop(row.token, reason)
                store.execute(operations.sweep(BEAT / 2, failure_head("Its worker was lost."), partition=partition))
            if self._stopped.wait(min(BEAT, self._fire())):
                return

    def _fire(self) -> float:
        """What the clock starts. Answers in how many seconds there may be more."""
        store = self._kit.store()
        while not self._timetable.empty:
            for partition, look in enumerate(store.execute_all(self._timetable.looks(range(store.partitions())))):
                self._timetable.heed(partition, look)
            steps, seconds = self._timetable.plan(() if self._interruption.draining else self._queues)
            if not steps:
                return seconds
            for step in steps:
                self._timetable.take_in(step, store.execute(step.operation))
        return BEAT

    def begins(self, slot: str, lease: Lease, _spec: JobSpec, progress: Progress, _asked_at: float) -> None:
        self._reporter.follow(slot, lease, progress)

    def ends(self, _slot: str, lease: Lease, _error: BaseException | None) -> None:
        self._reporter.leave(lease)

    def _serving(self, slot: str) -> Serving:
        return Serving(
            self._kit, self._kit.store(), slot, dict.fromkeys(self._queues, 0), LEASE,
            interruption=self._interruption, watch=self, longest_wait=LOOK,
        )  # fmt: skip
