"""Metrics: how a worker is, for Prometheus (`/metrics`) and for whoever restarts what is ill (`/healthz`).

One worker, one address: the supervisor answers, which runs no job and so is never held up by one. What it cannot know
by itself, how a start ended and how long it took, its children tell it in one small message a start (`link.Counted`),
and only when there are metrics. All the rest is looked up when somebody asks. Needs the extra `prometheus`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from jobkit.worker.memory import resident
from jobkit.worker.process import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jobkit.worker.heartbeat import Condition, Pulse
    from jobkit.worker.link import Counted

BUCKETS: Final = (0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)
"""Seconds: jobs take milliseconds or hours, and so do they wait."""
ANSWER_SECONDS: Final = 5.0
"""How long one question may take, from the first byte to the last."""
PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"

_log = logging.getLogger("jobkit.worker")


class Metrics:
    """Those of one worker."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._registry = CollectorRegistry()
        self._ended = Counter(
            "jobkit_worker_starts_ended", "Starts of runs that ended here.", ["job", "outcome"], registry=self._registry
        )
        self._performing = Histogram(
            "jobkit_worker_perform_seconds", "How long starts took.", ["job"], registry=self._registry, buckets=BUCKETS
        )
        self._waiting = Histogram(
            "jobkit_worker_wait_seconds",
            "How long runs waited for their first start, from when they might start.",
            ["job"],
            registry=self._registry,
            buckets=BUCKETS,
        )
        self._crashes = Counter(
            "jobkit_worker_crashes", "Children that died while they served.", registry=self._registry
        )

    def count(self, told: Counted) -> None:
        """Count a start that has ended in a child."""
        self._ended.labels(told.job, told.outcome).inc()
        self._performing.labels(told.job).observe(told.seconds)
        if told.waited is not None:
            self._waiting.labels(told.job).observe(told.waited)

    def crashed(self) -> None:
        """Count a child that died by no doing of its worker's."""
        self._crashes.inc()

    async def serve(self, condition: Callable[[], Condition]) -> asyncio.Server:
        """Answer from now on, for a worker in this condition, until the server is closed.

        Raises:
            OSError: the address cannot be listened on.
        """
        self._registry.register(_Looked(condition))
        server = await asyncio.start_server(_Answering(self._registry, condition).answer, self._host, self._port)
        _log.info("Metrics are served on http://%s:%d/metrics, health on /healthz.", self._host, self._port)
        return server


class _Looked(Collector):
    """What is looked up when somebody asks."""

    def __init__(self, condition: Callable[[], Condition]) -> None:
        self._condition = condition

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing is known before there is a worker."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        condition = self._condition()
        yield _gauge("slots", "Runs that may be performed at a time.", condition.slots)
        children = GaugeMetricFamily("jobkit_worker_children", "Children, by how far they are.", labels=["phase"])
        for phase in Phase:
            children.add_metric([phase.value], condition.phases.count(phase.value))
        yield children
        memory = GaugeMetricFamily("jobkit_worker_memory_bytes", "Resident memory.", labels=["of"])
        sizes = [resident(pid) for pid in condition.pids]
        memory.add_metric(["supervisor"], resident(os.getpid()))
        memory.add_metric(["children"], sum(sizes))
        memory.add_metric(["largest child"], max(sizes, default=0))
        yield memory
        if condition.pulse is not None:
            yield from _of_pulse(condition.pulse)


def _of_pulse(pulse: Pulse) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    yield _gauge("busy_slots", "Slots that held a run when their leases were last renewed.", len(pulse.busy))
    age = pulse.age(time.monotonic())
    if age is not None:
        yield _gauge("renewal_age_seconds", "Since the partition that waits longest renewed the leases.", age)
    errors = CounterMetricFamily("jobkit_worker_store_errors", "Steps of the heartbeat that the store did not answer.")
    errors.add_metric([], pulse.errors)
    yield errors


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"jobkit_worker_{name}", meaning, value=value)


# --- HTTP ------------------------------------------------------------------------------------------------------------


class _Answering:
    """Just enough of HTTP/1.1: one question a connection."""

    def __init__(self, registry: CollectorRegistry, condition: Callable[[], Condition]) -> None:
        self._registry = registry
        self._condition = condition

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(TimeoutError, OSError, ValueError, EOFError, asyncio.LimitOverrunError):
            async with asyncio.timeout(ANSWER_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answered(head))
                await writer.drain()
        writer.close()

    def _answered(self, head: bytes) -> bytes:
        method, target, *_ = [*head.split(b"\r\n", 1)[0].decode("latin-1").split(" "), "", ""]
        status, body = self._found(target.partition("?")[0]) if method in ("GET", "HEAD") else _NOT_ALLOWED
        lines = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Content-Type: {PLAIN}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "Connection: close",
        )
        return "\r\n".join((*lines, "", "")).encode() + (b"" if method == "HEAD" else body)

    def _found(self, path: str) -> tuple[HTTPStatus, bytes]:
        match path:
            case "/metrics":
                return HTTPStatus.OK, generate_latest(self._registry)
            case "/healthz":
                return self._health()
            case _:
                return HTTPStatus.NOT_FOUND, b"There are /metrics and /healthz.\n"

    def _health(self) -> tuple[HTTPStatus, bytes]:
        pulse = self._condition().pulse
        if pulse is not None and pulse.beats(time.monotonic()):
            return HTTPStatus.OK, b"The store answers the heartbeat.\n"
        return HTTPStatus.SERVICE_UNAVAILABLE, b"The store does not answer the heartbeat.\n"


_NOT_ALLOWED = HTTPStatus.METHOD_NOT_ALLOWED, b"GET only.\n"
