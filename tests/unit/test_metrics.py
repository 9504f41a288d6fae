"""A worker's metrics and health, as they are asked over HTTP; and how the store's answers make its pulse."""

from __future__ import annotations

import os
import socket
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobkit.store.replies import Renewed, Verdict
from jobkit.worker.link import Counted
from jobkit.worker.metrics import Metrics
from jobkit.worker.vitals import Pulse, Vitals
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

Labels = tuple[tuple[str, str], ...]


def read(text: str) -> dict[tuple[str, Labels], float]:
    """Every sample, by its name and labels."""
    families = text_string_to_metric_families(text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def renewed(slot: str, run_id: str = "") -> Renewed:
    return Renewed(slot, Verdict.OK if run_id else Verdict.IDLE, run_id, "1" if run_id else "")


def vitals(pulse: Pulse | None) -> Vitals:
    pids = [os.getpid(), 2**22 + 1]
    return Vitals(slots=3, phases=["serving", "serving", "spare"], pids=pids, pulse=pulse)


def beating() -> Pulse:
    pulse = Pulse()
    pulse.expect(range(1))
    pulse.renewed(0, [renewed("w/1", "0-01J9"), renewed("w/2")])
    return pulse


@contextmanager
def serving(metrics: Metrics, pulse: Pulse | None) -> Iterator[httpx.Client]:
    metrics.serve(lambda: vitals(pulse))
    with closing(metrics), httpx.Client(trust_env=False) as client:
        yield client


def asked(metrics: Metrics, port: int, pulse: Pulse | None, *paths: str, **asking: Any) -> list[httpx.Response]:
    with serving(metrics, pulse) as client:
        return [client.request(url=f"http://127.0.0.1:{port}{path}", **{"method": "GET"} | asking) for path in paths]


@pytest.fixture
def port() -> int:
    return free_port()


def test_starts_are_counted_by_job_and_outcome_and_what_they_took(port: int) -> None:
    metrics = Metrics("127.0.0.1", port)
    metrics.count(Counted(job='a "job"\n', outcome="succeeded", seconds=0.3, waited=2.0))
    metrics.count(Counted(job='a "job"\n', outcome="failed", seconds=0.01, waited=None))
    metrics.crashed()
    (answer,) = asked(metrics, port, beating(), "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = read(answer.text)
    job = ("job", 'a "job"\n')
    assert samples["jobkit_worker_starts_ended_total", (job, ("outcome", "succeeded"))] == 1
    assert samples["jobkit_worker_starts_ended_total", (job, ("outcome", "failed"))] == 1
    assert samples["jobkit_worker_perform_seconds_count", (job,)] == 2
    assert samples["jobkit_worker_perform_seconds_sum", (job,)] == pytest.approx(0.31)
    assert samples["jobkit_worker_perform_seconds_bucket", (job, ("le", "0.02"))] == 1
    assert samples["jobkit_worker_wait_seconds_count", (job,)] == 1
    assert samples["jobkit_worker_crashes_total", ()] == 1


def test_the_rest_is_looked_up_when_somebody_asks(port: int) -> None:
    pulse = beating()
    pulse.errors = 4
    samples = read(asked(Metrics("127.0.0.1", port), port, pulse, "/metrics")[0].text)
    assert samples["jobkit_worker_slots", ()] == 3
    assert samples["jobkit_worker_busy_slots", ()] == 1
    assert samples["jobkit_worker_children", (("phase", "serving"),)] == 2
    assert samples["jobkit_worker_children", (("phase", "starting"),)] == 0
    assert samples["jobkit_worker_memory_bytes", (("of", "largest child"),)] > 2**20, "a child that is gone has none"
    assert samples["jobkit_worker_store_errors_total", ()] == 4
    assert 0 <= samples["jobkit_worker_renewal_age_seconds", ()] < 5


def test_a_worker_that_does_not_know_its_store_yet_has_metrics_but_no_health(port: int) -> None:
    metrics, health = asked(Metrics("127.0.0.1", port), port, None, "/metrics", "/healthz?verbose=1")
    assert metrics.status_code == 200
    assert ("jobkit_worker_renewal_age_seconds", ()) not in read(metrics.text)
    assert health.status_code == 503


def test_health_is_the_heartbeat(port: int) -> None:
    pulse = beating()
    assert asked(Metrics("127.0.0.1", port), port, pulse, "/healthz")[0].status_code == 200
    pulse.troubled.add(0)
    assert asked(Metrics("127.0.0.1", port), port, pulse, "/healthz")[0].status_code == 503


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("POST", "/metrics", 405), ("DELETE", "/metrics", 405), ("GET", "/metrics/", 404)],
)
def test_nothing_else_is_answered(method: str, path: str, status: int, port: int) -> None:
    (answer,) = asked(Metrics("127.0.0.1", port), port, beating(), path, method=method)
    assert answer.status_code == status


def test_whoever_asks_may_choose_the_format(port: int) -> None:
    wish = {"accept": "application/openmetrics-text; version=1.0.0", "accept-encoding": "gzip"}
    (answer,) = asked(Metrics("127.0.0.1", port), port, beating(), "/metrics", headers=wish)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text.endswith("# EOF\n")


def test_an_address_of_ipv6_is_one_too(port: int) -> None:
    metrics = Metrics("::1", port)
    metrics.serve(lambda: vitals(beating()))
    with closing(metrics):
        assert httpx.get(f"http://[::1]:{port}/healthz", trust_env=False).status_code == 200


@pytest.mark.parametrize("said", [b"\r\n\r\n", b"GET\r\n\r\n", b"\x00\xff \r\n\r\n", b"x" * 200_000, b"GET /metrics"])
def test_nonsense_ends_the_connection_and_nothing_else(
    said: bytes, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(Metrics("127.0.0.1", port), beating()) as client:
        with socket.create_connection(("127.0.0.1", port)) as talk, suppress(OSError):
            talk.sendall(said)  # what it does not read to the end it may reset
            talk.shutdown(socket.SHUT_WR)
            while talk.recv(4096):
                pass
        assert client.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    assert capfd.readouterr() == ("", "")


def test_a_pulse_needs_every_partition_and_a_lease_that_cannot_have_ended() -> None:
    pulse = Pulse()
    assert not pulse.beats(0.0)
    pulse.expect(range(2))
    pulse.renewed(0, [renewed("w/1", "0-01J9"), renewed("w/2")])
    assert pulse.age(0.0) is None
    pulse.renewed(1, [renewed("w/1"), renewed("w/2", "1-01J9")])
    assert pulse.busy == {"w/1", "w/2"}
    (renewal,) = {pulse._renewed[0]}
    assert renewal is not None
    assert pulse.beats(renewal + 1)
    assert not pulse.beats(renewal + pulse.shortest_lease)
    pulse.renewed(0, [renewed("w/1"), renewed("w/2")])
    assert pulse.busy == {"w/2"}
    pulse.troubled.add(1)
    assert not pulse.beats(renewal)
