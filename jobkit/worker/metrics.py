"""Metrics: how a worker is, for Prometheus (`/metrics`) and for whoever restarts what is ill (`/healthz`).

One worker, one address: the supervisor answers, which runs no job and so is never held up by one; and it does so in
threads, so whoever asks does not hold up the heartbeat. What it cannot know by itself, how a start ended and how long
it took, its children tell it in one small message a start (`link.Counted`), and only when there are metrics. All the
rest is looked up when somebody asks. Needs the extra `prometheus`.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Counter, Histogram, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from jobkit.worker.memory import resident
from jobkit.worker.process import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from jobkit.worker.link import Counted
    from jobkit.worker.vitals import Pulse, Vitals

BUCKETS: Final = (0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)
"""Seconds: jobs take milliseconds or hours, and so do they wait."""
LOOK_SECONDS: Final = 0.1
"""How long it may take until the server notices that it is closed."""
SILENCE_SECONDS: Final = 5.0
"""How long whoever asks may say nothing."""

_log = logging.getLogger("jobkit.worker")


class Metrics:
    """Those of one worker."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._server: _Server | None = None
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

    def serve(self, vitals: Callable[[], Vitals]) -> None:
        """Answer from now on, for a worker with these vitals.

        Raises:
            OSError: the address cannot be listened on.
        """
        self._registry.register(_Looked(vitals))
        self._server = _Server(self._host, self._port, _App(self._registry, vitals))
        threading.Thread(
            target=self._server.serve_forever, args=(LOOK_SECONDS,), name="jobkit-metrics", daemon=True
        ).start()
        _log.info("Metrics are served on http://%s:%d/metrics, health on /healthz.", self._host, self._port)

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Looked(Collector):
    """What is looked up when somebody asks."""

    def __init__(self, vitals: Callable[[], Vitals]) -> None:
        self._vitals = vitals

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        vitals = self._vitals()
        yield _gauge("slots", "Runs that may be performed at a time.", vitals.slots)
        children = GaugeMetricFamily("jobkit_worker_children", "Children, by how far they are.", labels=["phase"])
        for phase in Phase:
            children.add_metric([phase.value], vitals.phases.count(phase.value))
        yield children
        memory = GaugeMetricFamily("jobkit_worker_memory_bytes", "Resident memory.", labels=["of"])
        sizes = [resident(pid) for pid in vitals.pids]
        memory.add_metric(["supervisor"], resident(os.getpid()))
        memory.add_metric(["children"], sum(sizes))
        memory.add_metric(["largest child"], max(sizes, default=0))
        yield memory
        if vitals.pulse is not None:
            yield from _of_pulse(vitals.pulse)


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


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each question in a thread of its own, for as long as the process lives."""

    daemon_threads = True

    def __init__(self, host: str, port: int, app: WSGIApplication) -> None:
        self.address_family = socket.getaddrinfo(host, port)[0][0]  # IPv4, unless the address is one of IPv6
        super().__init__((host, port), _Handler)
        self.set_app(app)

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asks has gone away, or said nothing."""


class _Handler(WSGIRequestHandler):
    timeout = SILENCE_SECONDS

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """A question is no news."""


class _App:
    def __init__(self, registry: CollectorRegistry, vitals: Callable[[], Vitals]) -> None:
        self._metrics: WSGIApplication = make_wsgi_app(registry)
        self._vitals = vitals

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return self._metrics(environ, start_response)
            case "/healthz":
                status, text = self._health()
            case _:
                status, text = HTTPStatus.NOT_FOUND, "There are /metrics and /healthz."
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
        start_response(f"{status.value} {status.phrase}", headers)
        return [f"{text}\n".encode()]

    def _health(self) -> tuple[HTTPStatus, str]:
        pulse = self._vitals().pulse
        if pulse is not None and pulse.beats(time.monotonic()):
            return HTTPStatus.OK, "The store answers the heartbeat."
        return HTTPStatus.SERVICE_UNAVAILABLE, "The store does not answer the heartbeat."
