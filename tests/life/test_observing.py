"""What a worker lets others know of its runs: its log, hooks, spans and metrics."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobkit import JobKit, RunCancelled, RunFailed
from jobkit.otel import OpenTelemetry
from tests.life import observed
from tests.life.observed import DiesOnce, Hooked, Logs
from tests.servers import free_port
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.life.workers import Folder, WorkerProcess
    from tests.servers import Server

TARGET = "tests.life.observed:kit"
WAIT = 20.0


@pytest.fixture
def kit(life_url: str, namespace: str) -> Iterator[JobKit]:
    with JobKit(life_url, jobs=observed.kit.jobs.values(), namespace=namespace) as kit:
        yield kit


def lines_of(worker: WorkerProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in worker.text.splitlines()]


def told(folder: Folder, how: str) -> list[str]:
    lines = (folder.path / "told").read_text().splitlines()
    return [line.removeprefix(f"{how}: ") for line in lines if line.startswith(f"{how}: ")]


@pytest.mark.parametrize("pool", ["process", "asyncio"])
def test_every_line_of_a_worker_is_json_and_names_the_run_it_is_about(
    pool: str, kit: JobKit, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    own = tmp_path / "own.log"
    worker = start_worker("--pool", pool, "--log-format", "json", target=TARGET, OBSERVED_LOG=str(own))
    run = kit.submit(Logs())
    run.result(timeout=WAIT)
    worker.stop()
    lines = lines_of(worker)
    within = [line for line in lines if line.get("run_id") == run.id]
    assert [line["message"] for line in within if line["logger"] == "a.library"] == ["in the run", "in its thread"]
    assert all((line["job"], line["attempt"]) == ("tests.life.observed.Logs", 1) for line in within)
    assert next(line for line in within if line["message"] == "in the run")["rows"] == 5
    assert sum(f"Run {run.id}, attempt 1" in line["message"] for line in within) == 2, "its start and its end"
    assert any("takes nothing more" in line["message"] and "run_id" not in line for line in lines), "the supervisor's"
    assert own.read_text().splitlines() == [f"{run.id}/1 to its own handler"]


def test_hooks_are_called_in_order_and_one_that_raises_changes_nothing(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1", target=TARGET)
    succeeding = kit.submit(Hooked(folder=str(folder), how="succeed"))
    assert succeeding.result(timeout=WAIT) == 7
    failing = kit.submit(Hooked(folder=str(folder), how="fail"))
    with pytest.raises(RunFailed, match="not today"):
        failing.result(timeout=WAIT)
    stopped = kit.submit(Hooked(folder=str(folder), how="cancel"))
    folder.wait_for_start(3)
    stopped.cancel()
    with pytest.raises(RunCancelled):
        stopped.result(timeout=WAIT)
    assert told(folder, "succeed") == ["starts, 1 of 1", "performed", "succeeded with 7", "its kit heard 7"]
    assert told(folder, "fail") == ["starts, 1 of 1", "performed", "failed with not today", "its kit heard not today"]
    assert told(folder, "cancel") == ["starts, 1 of 1", "performed", "cancelled"]
    assert folder.has(failing.id)
    worker.says("the hook Hooked.on_start raised", 3)
    worker.says("the hook Hooked.on_failure raised")
    assert [worker.text.count(f"the hook Hooked.{event} raised") for event in ("on_start", "on_failure")] == [3, 1]
    worker.says(f"INFO a.library: [run {succeeding.id} attempt 1] in a hook")
    assert worker.process.poll() is None


def test_every_start_of_a_run_is_a_span_of_the_trace_that_submitted_it(
    life_url: str, namespace: str, start_worker: Callable[..., WorkerProcess], folder: Folder, tmp_path: Path
) -> None:
    """The first start dies, and its span with it; whoever submits is another process than who performs."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    start_worker("--concurrency", "1", target=TARGET, OBSERVED_SPANS=str(theirs))
    tracing = OpenTelemetry(observed.spans_to(str(ours)))
    with JobKit(life_url, jobs=[DiesOnce], namespace=namespace, tracing=tracing) as kit:
        run = kit.submit(DiesOnce(folder=str(folder)))
        assert run.result(timeout=WAIT) == 7
    wait_until(theirs.read_text, "the span of the second start has ended")
    submit, perform = json.loads(ours.read_text()), json.loads(theirs.read_text())
    assert submit["name"] == "submit tests.life.observed.DiesOnce"
    assert perform["name"] == "perform tests.life.observed.DiesOnce"
    assert perform["context"]["trace_id"] == submit["context"]["trace_id"]
    assert perform["parent_id"] == submit["context"]["span_id"]
    assert perform["attributes"]["jobkit.start"] == 2
    assert perform["attributes"]["jobkit.verdict"] == "ok"
    assert perform["attributes"]["messaging.message.id"] == submit["attributes"]["messaging.message.id"] == run.id


def test_a_worker_serves_its_metrics_and_is_healthy_while_the_store_answers(
    own_server: Server, namespace: str, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    port = free_port()

    def status() -> int:
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code
        return 0

    def sample(name: str, **labels: str) -> float:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        families = list(text_string_to_metric_families(text))
        found = [each for family in families for each in family.samples if each.name == f"jobkit_worker_{name}"]
        return sum(each.value for each in found if labels.items() <= each.labels.items())

    worker = start_worker(
        "--concurrency", "1", "--lease", "1", "--metrics-port", str(port), target=TARGET, JOBKIT_URL=own_server.url
    )
    with JobKit(own_server.url, jobs=observed.kit.jobs.values(), namespace=namespace) as kit:
        kit.submit(Hooked(folder=str(folder), how="succeed")).result(timeout=WAIT)
        with pytest.raises(RunFailed):
            kit.submit(Hooked(folder=str(folder), how="fail")).result(timeout=WAIT)
        kit.submit(DiesOnce(folder=str(folder))).result(timeout=WAIT)
    wait_until(lambda: sample("starts_ended_total") == 3, "every start that ended is counted")
    hooked = "tests.life.observed.Hooked"
    assert sample("starts_ended_total", job=hooked, outcome="succeeded") == 1
    assert sample("starts_ended_total", job=hooked, outcome="failed") == 1
    assert sample("perform_seconds_count", job=hooked) == 2
    assert 0 < sample("wait_seconds_sum", job=hooked) < WAIT
    assert sample("crashes_total") == 1
    assert sample("slots") == 1
    wait_until(lambda: sample("children", phase="spare") == 1, "a spare child is there again")
    assert sample("memory_bytes", of="children") > 2**20
    wait_until(lambda: status() == 200, "it is well")
    own_server.stop()
    wait_until(lambda: status() == 503, "without a store it is ill")
    wait_until(lambda: sample("store_errors_total") > 0, "what was not answered is counted")
    own_server.start()
    wait_until(lambda: status() == 200, "it is well again")
    assert worker.process.poll() is None


def test_a_port_that_is_taken_ends_the_worker_with_a_word(start_worker: Callable[..., WorkerProcess]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        worker = start_worker("--metrics-port", str(taken.getsockname()[1]), target=TARGET)
        assert worker.exit_code() == 1
    assert "The metrics cannot be served" in worker.text
