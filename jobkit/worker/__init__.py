"""The worker: a supervisor process and its children, which perform the runs of a kit."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from jobkit.options import DEFAULT_QUEUE, MAX_LEASE_SECONDS, MIN_LEASE_SECONDS, memory_bytes, queue_weights
from jobkit.worker.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["POOLS", "Worker"]

POOLS: Mapping[str, int] = {"process": os.cpu_count() or 1, "thread": 16, "asyncio": 100}
"""Where jobs are performed, and how many at a time unless it is said."""


@dataclass(frozen=True)
class Worker:
    """Performs the runs of the kit that `target` ("module:kit") names.

    `pool` says where: "process" (each in the main thread of a process of its own), "thread" (each in a thread of one
    process) or "asyncio" (as thread, but all that is awaited runs on one event loop). `concurrency` is how many at a
    time (default: one per CPU; 16 threads; 100 in the asyncio pool). `queues` are those it serves; None is all that the
    kit's jobs name, and `default`; with weights, as {"critical": 6, "low": 1}, they get starts in proportion. `lease`
    (s) is for jobs whose class names none: how long a run waits to be performed anew after this whole worker was lost.
    `grace` (s) is how long running jobs may go on after SIGTERM before they are handed back. `log_level` is that of the
    children. A child is replaced by a fresh one after `max_runs_per_child`, or when a run has left it with more than
    `max_memory_per_child` bytes (None: never). `memory_limit` (bytes, or a text as "2 GB") is for each child and what
    it starts, while it performs a job whose class names none; beyond that it is killed.
    """

    target: str
    _: KW_ONLY
    pool: str = "process"
    concurrency: int | None = None
    queues: tuple[str, ...] | Mapping[str, int] | None = (DEFAULT_QUEUE,)
    lease: float = 15.0
    grace: float = 25.0
    log_level: str = "INFO"
    max_runs_per_child: int | None = None
    max_memory_per_child: int | None = None
    memory_limit: int | str | None = None

    def __post_init__(self) -> None:
        if self.pool not in POOLS:
            raise ValueError(f"pool must be one of {', '.join(POOLS)}, not {self.pool!r}.")
        for name in ("max_runs_per_child", "max_memory_per_child"):
            most = getattr(self, name)
            if most is not None and most < 1:
                raise ValueError(f"{name} must be 1 or more, not {most}.")
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError(f"concurrency must be 1 or more, not {self.concurrency}.")
        if not MIN_LEASE_SECONDS <= self.lease <= MAX_LEASE_SECONDS:
            raise ValueError(f"lease must be {MIN_LEASE_SECONDS} to {MAX_LEASE_SECONDS:.0f} seconds, not {self.lease}.")
        if not self.grace >= 0:
            raise ValueError(f"grace must be 0 seconds or more, not {self.grace}.")
        if self.memory_limit is not None:
            _check_memory(self.memory_limit)
        if self.queues is not None:
            queue_weights(self.queues)

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; for the main thread. Returns the exit code: 0 when nothing was lost."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("A worker handles signals, so it runs in the main thread: start a process for it.")
        supervisor = Supervisor(
            self.target,
            pool=self.pool,
            concurrency=self.concurrency or POOLS[self.pool],
            queues=None if self.queues is None else queue_weights(self.queues),
            lease=self.lease,
            grace=self.grace,
            level=self.log_level,
            most_runs=self.max_runs_per_child,
            most_memory=self.max_memory_per_child,
            memory_limit=None if self.memory_limit is None else memory_bytes(self.memory_limit),
        )
        return asyncio.run(supervisor.run())


def _check_memory(limit: int | str) -> None:
    try:
        memory_bytes(limit)
    except ValueError as error:
        raise ValueError(f"memory_limit {error}, not {limit!r}.") from None
