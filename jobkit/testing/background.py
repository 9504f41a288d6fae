"""Background: a worker in threads of this process, for tests that watch, wait and cancel.

It takes, performs, reports and settles as a real worker does, through the same execution; but nothing protects it: a
job that is cancelled ends at its next `progress` call, and one that never makes one goes on.
"""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from jobkit.engines.inline import performed_here
from jobkit.execution import Execution, StopReason
from jobkit.store.operations import failure_head
from jobkit.store.replies import Lease, Verdict
from jobkit.timetable import Timetable
from jobkit.worker.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobkit.job import JobSpec, ProgressJob
    from jobkit.kit import JobKit
    from jobkit.progress import Progress

LEASE = 15.0
BEAT = 0.5
LOOK = 0.1
"""Seconds between looks whether it should end."""
SHORTEST_WAIT = 0.005


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
    """The children of one worker, and its heart."""

    def __init__(self, kit: JobKit, queues: Sequence[str], concurrency: int) -> None:
        self._kit = kit
        self._queues = queues
        self._worker = f"test-{os.getpid()}-{secrets.token_hex(4)}"
        self._over = threading.Event()
        self._children = [_Child(kit, f"{self._worker}/{n + 1}", queues, self._over) for n in range(concurrency)]
        self._threads = [threading.Thread(target=child.serve, name=child.slot) for child in self._children]
        self._heart = threading.Thread(target=self._beat, name=f"{self._worker} heart")
        self._stopped = threading.Event()
        self._timetable = Timetable(kit.operations)

    def start(self) -> None:
        for thread in (*self._threads, self._heart):
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._stopped.set()
        self._heart.join()
        store, operations = self._kit.store(), self._kit.operations
        for partition in range(store.partitions()):
            store.execute(operations.retire(self._worker, self._queues, partition))

    def _beat(self) -> None:
        store, operations = self._kit.store(), self._kit.operations
        self._timetable.declare(self._kit.declarations(store.partitions()))
        slots = [child.slot for child in self._children]
        while True:
            for partition in range(store.partitions()):
                for row in store.execute(operations.renew(self._worker, self._queues, slots, partition)).slots:
                    if row.verdict in (Verdict.CANCEL, Verdict.ENDED, Verdict.LOST):
                        reason = StopReason.CANCELLED if row.verdict is Verdict.CANCEL else StopReason.LOST
                        self._children[slots.index(row.slot)].stop(row.token, reason)
                store.execute(operations.sweep(BEAT / 2, failure_head("Its worker was lost."), partition=partition))
            if self._stopped.wait(min(BEAT, self._fire())):
                return

    def _fire(self) -> float:
        """What the clock starts. Answers in how many seconds there may be more."""
        store = self._kit.store()
        while True:
            for partition, look in enumerate(store.execute_all(self._timetable.looks(range(store.partitions())))):
                self._timetable.heed(partition, look)
            steps, seconds = self._timetable.plan(() if self._over.is_set() else self._queues)
            if not steps:
                return seconds
            for step in steps:
                self._timetable.take_in(step, store.execute(step.operation))


class _Child:
    """One thread that performs. It is the `Performer` of its runs."""

    def __init__(self, kit: JobKit, slot: str, queues: Sequence[str], over: threading.Event) -> None:
        self.slot = slot
        self._kit = kit
        self._queues = queues
        self._over = over
        self._nonces = count()
        self._reporter = Reporter(kit.store(), slot, self.stop)
        self._progress: tuple[str, Progress] | None = None
        self._execution = Execution(
            kit.jobs, kit.operations, lambda run_id, token, file: kit.files.keep(run_id, token, file), self
        )

    def serve(self) -> None:
        store = self._kit.store()
        self._reporter.start()
        while not self._over.is_set():
            dues = [self._perform_next(partition) for partition in range(store.partitions())]
            if min(dues) > 0.0:
                store.wait(self._queues, max(min(dues), SHORTEST_WAIT))
        self._reporter.end()

    def stop(self, token: str, reason: StopReason) -> None:
        current = self._progress
        if current is not None and current[0] == token:
            current[1].stop(reason)

    def perform(self, lease: Lease, _spec: JobSpec, job: ProgressJob[Any], progress: Progress) -> object:
        self._progress = (lease.token, progress)
        self._reporter.follow(lease, progress)
        try:
            return performed_here(job, progress)
        finally:
            self._reporter.leave()
            self._progress = None

    def _perform_next(self, partition: int) -> float:
        """After so many seconds there may be more to do, and at the next bell."""
        store, nonce = self._kit.store(), str(next(self._nonces))
        taken = store.execute(self._kit.operations.take(self.slot, nonce, self._queues, LEASE, partition))
        if not isinstance(taken, Lease):
            return LOOK if taken.next_due is None else min(taken.next_due, LOOK)
        settling = self._execution.execute(taken)
        if settling is not None:
            store.execute(settling)
        return 0.0
