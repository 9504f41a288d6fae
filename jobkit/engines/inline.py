"""Inline: the caller is the worker. What a submission makes due is performed before `submit` returns.

For tests and scripts: herd, memo, limits, failures and results are the store's, as ever, and there is no process to
start. A job is performed in the thread that submitted it; it is reported when it ends, and cannot be stopped from
outside. What is scheduled for later, as is the next attempt of one that failed, is performed by the next submission
after its time, by `perform_due`, or by whoever waits for a run of its queue.
"""

from __future__ import annotations

import os
import secrets
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from jobkit import execution
from jobkit.awaiting import outcome_of
from jobkit.store.replies import Lease

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.job import JobSpec, ProgressJob
    from jobkit.progress import Progress
    from jobkit.store.client import Store

LEASE = 3600.0
"""Seconds for jobs that name none: nobody renews it."""
LOOK = 0.1
"""Seconds between looks of one who waits: its time may be set by a test's clock, and others may submit."""


class Kit(execution.Kit, Protocol):
    """What an engine that performs needs of its kit; `JobKit` fits."""

    def store(self) -> Store: ...


class Inline:
    """The engine of one kit."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._execution = execution.Execution(kit, self)
        self._worker = f"inline-{os.getpid()}-{secrets.token_hex(4)}"
        self._free_slots: list[str] = []
        self._numbers = count(1)
        self._nonces = count()
        self._interrupt: KeyboardInterrupt | None = None

    def ring(self, queue: str) -> None:
        self.perform_due([queue])

    def awaited(self, queue: str) -> float | None:
        self.perform_due([queue])
        return LOOK

    def perform_due(self, queues: Sequence[str]) -> int:
        """Perform what can be taken from these queues now, and answer how many runs that were."""
        slot = self._free_slots.pop() if self._free_slots else f"{self._worker}/{next(self._numbers)}"
        try:
            return sum(
                self._perform_all(slot, queues, partition) for partition in range(self._kit.store().partitions())
            )
        finally:
            self._free_slots.append(slot)  # (a job that submits is a caller in its turn, with a slot of its own)

    def _perform_all(self, slot: str, queues: Sequence[str], partition: int) -> int:
        store, operations, performed = self._kit.store(), self._kit.operations, 0
        while True:
            taken = store.execute(operations.take(slot, str(next(self._nonces)), queues, LEASE, partition))
            if isinstance(taken, Lease):
                settling = self._execution.execute(taken)
                if settling is not None:
                    store.execute(settling)
                self._raise_interrupt()
                performed += 1
            elif taken.next_due != 0.0:  # (at 0 there may be more to take at once)
                return performed

    def perform(self, _lease: Lease, _spec: JobSpec, job: ProgressJob[Any], progress: Progress) -> object:
        """As the `Performer` of its runs. (Ctrl-C ends the job, and then the caller's program too.)"""
        try:
            return performed_here(job, progress)
        except KeyboardInterrupt as interrupt:
            self._interrupt = interrupt
            raise

    def _raise_interrupt(self) -> None:
        interrupt, self._interrupt = self._interrupt, None
        if interrupt is not None:
            raise interrupt


def performed_here(job: ProgressJob[Any], progress: Progress) -> object:
    """What the job comes to, whether it awaits or blocks: in this thread, or beside it where this one has a loop."""
    return outcome_of(job.perform(progress))
