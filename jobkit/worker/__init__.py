"""The worker: a supervisor process and its children, which perform the runs of a kit."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from contextlib import closing
from dataclasses import KW_ONLY, dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from jobkit.options import DEFAULT_QUEUE, MAX_LEASE_SECONDS, MIN_LEASE_SECONDS, memory_bytes, queue_weights
from jobkit.records import STYLES
from jobkit.worker.settings import Log, Settings
from jobkit.worker.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobkit.worker.metrics import Metrics

__all__ = ["POOLS", "Worker"]

POOLS: Mapping[str, int] = {"process": os.cpu_count() or 1, "thread": 16, "asyncio": 100}
"""Where jobs are performed, and how many at a time unless it is said."""

_log = logging.getLogger("jobkit.worker")


@dataclass(frozen=True)
class Worker:
    """Performs the runs of the kit that `target` ("module:kit") names.

    `pool` says where: "process" (each in the main thread of a process of its own), "thread" (each in a thread of one
    process) or "asyncio" (as thread, but all that is awaited runs on one event loop). `concurrency` is how many at a
    time (default: one per CPU; 16 threads; 100 in the asyncio pool). `queues` are those it serves; None is all that the
    kit's jobs name, and `default`. `lease` (s) is for jobs whose class names none: how long a run waits to be performed
    anew after this whole worker was lost. `grace` (s) is how long running jobs may go on after SIGTERM before they are
    handed back. A child is replaced by a fresh one after `max_runs_per_child`, or when a run has left it with more than
    `max_memory_per_child` (None: never); `memory_limit` is what a child may use whose job names none. Both are bytes,
    or a text as "2 GB". `log_level` is that of the children; `log_format` is "text", or "json" for one object a line.
    `metrics_port` is where Prometheus finds `/metrics`, on the address `metrics_host`; None: nowhere.
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
    max_memory_per_child: int | str | None = None
    memory_limit: int | str | None = None
    log_format: str = "text"
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        for refusal in self._refusals():
            raise ValueError(refusal)
        for name in ("max_memory_per_child", "memory_limit"):
            _memory(name, getattr(self, name))
        if self.queues is not None:
            queue_weights(self.queues)

    def _refusals(self) -> Iterator[str]:
        if self.pool not in POOLS:
            yield f"pool must be one of {', '.join(POOLS)}, not {self.pool!r}."
        for name in ("concurrency", "max_runs_per_child"):
            most = getattr(self, name)
            if most is not None and most < 1:
                yield f"{name} must be 1 or more, not {most}."
        if not MIN_LEASE_SECONDS <= self.lease <= MAX_LEASE_SECONDS:
            yield f"lease must be {MIN_LEASE_SECONDS} to {MAX_LEASE_SECONDS:.0f} seconds, not {self.lease}."
        if not self.grace >= 0:
            yield f"grace must be 0 seconds or more, not {self.grace}."
        if self.log_format not in STYLES:
            yield f"log_format must be one of {', '.join(STYLES)}, not {self.log_format!r}."
        if self.metrics_port is not None and find_spec("prometheus_client") is None:
            yield "metrics_port needs what is not installed: pip install 'jobkit-progress[prometheus]'."

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; for the main thread. Returns the exit code: 0 when nothing was lost."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("A worker handles signals, so it runs in the main thread: start a process for it.")
        metrics = None if self.metrics_port is None else _metrics(self.metrics_host, self.metrics_port)
        supervisor = Supervisor(self._settings(), metrics)
        if metrics is None:
            return asyncio.run(supervisor.run())
        try:
            metrics.serve(supervisor.vitals)
        except OSError as error:
            _log.error("The metrics cannot be served: %s. Choose another port, or end what listens there.", error)
            return 1
        with closing(metrics):
            return asyncio.run(supervisor.run())

    def _settings(self) -> Settings:
        return Settings(
            target=self.target,
            pool=self.pool,
            concurrency=self.concurrency or POOLS[self.pool],
            queues=None if self.queues is None else queue_weights(self.queues),
            lease=self.lease,
            grace=self.grace,
            log=Log(self.log_level, self.log_format),
            most_runs=self.max_runs_per_child,
            most_memory=_memory("max_memory_per_child", self.max_memory_per_child),
            memory_limit=_memory("memory_limit", self.memory_limit),
            counted=self.metrics_port is not None,
        )


def _metrics(host: str, port: int) -> Metrics:
    """Imported only here: who wants none need not have what they need."""
    made: Metrics = import_module("jobkit.worker.metrics").Metrics(host, port)
    return made


def _memory(name: str, size: int | str | None) -> int | None:
    try:
        return None if size is None else memory_bytes(size)
    except ValueError as error:
        raise ValueError(f"{name} {error}, not {size!r}.") from None
