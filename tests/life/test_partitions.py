"""A worker serves all partitions, of one server or of a cluster: what holds of a run holds of one of the last."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jobkit import RunCancelled
from jobkit.store.operations import new_run_id
from jobkit.submission import submission_of
from tests.life.jobs import LEASE, Add, CountUntilGo, Notes, Sleeps
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit import JobKit, ProgressJob, Run
    from tests.fleets import Cluster
    from tests.life.workers import Folder, WorkerProcess
    from tests.servers import Server

PARTITIONS = 5


@pytest.fixture(params=["server", "cluster"])
def life_url(request: pytest.FixtureRequest) -> str:
    if request.param == "cluster":
        cluster: Cluster = request.getfixturevalue("cluster")
        return f"{cluster.url}?partitions={PARTITIONS}"
    valkey: Server = request.getfixturevalue("valkey")
    return f"{valkey.tcp_url}?partitions={PARTITIONS}"


def submit(kit: JobKit, job: ProgressJob[Any], partition: int) -> Run[Any]:
    """Hand a job to this very partition."""
    submission = msgspec.structs.replace(submission_of(job), id=new_run_id(partition))
    kit.store().execute(kit.operations.submit(submission))
    return kit.run(submission.id, type(job))


def test_runs_of_all_partitions_are_performed_in_turn(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    """One child, and more work than it can do in every partition: none waits for another to be empty."""
    runs = [
        submit(kit, Notes(folder=str(folder), line=str(partition)), partition)
        for partition in range(PARTITIONS)
        for _ in range(4)
    ]
    start_worker("--concurrency", "1")
    for run in runs:
        run.result(timeout=10)
    turns = [int(line) for line in (folder.path / "notes").read_text().split()]
    assert turns == list(range(PARTITIONS)) * 4


def test_an_idle_worker_is_woken_by_a_run_of_any_partition(
    kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    start_worker("--concurrency", "1")
    submit(kit, Add(a=1, b=1), 0).result(timeout=10)
    for partition in range(PARTITIONS):
        submitted = time.monotonic()
        assert submit(kit, Add(a=1, b=1), partition).result(timeout=10) == 2
        assert time.monotonic() - submitted < 1.8, "it did not wait to be found"


def test_a_run_of_the_last_partition_is_performed_again_when_its_process_is_killed(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1")
    run = submit(kit, CountUntilGo(folder=str(folder)), PARTITIONS - 1)
    os.kill(folder.wait_for_start(), signal.SIGKILL)
    folder.wait_for_start(2)
    folder.go()
    assert run.result(timeout=5) == 2
    worker.says(f"Run {run.id} was given back")


def test_a_run_of_the_last_partition_is_taken_over_when_its_worker_is_killed(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    first = start_worker("--concurrency", "1")
    run = submit(kit, CountUntilGo(folder=str(folder)), PARTITIONS - 1)
    folder.wait_for_start()
    second = start_worker("--concurrency", "1")
    wait_until(lambda: "is ready" in second.text, "the second worker is up")
    first.send(signal.SIGKILL)
    first.exit_code()
    folder.wait_for_start(2, timeout=LEASE + 5)
    folder.go()
    assert run.result(timeout=5) == 2


def test_a_run_of_the_last_partition_keeps_its_lease_while_it_is_performed(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    for _ in range(2):
        start_worker("--concurrency", "1")
    run = submit(kit, CountUntilGo(folder=str(folder)), PARTITIONS - 1)
    folder.wait_for_start()
    done = run.snapshot().done
    wait_until(lambda: run.snapshot().done > done + 3 * LEASE / 0.01, "three leases are over", timeout=20)
    folder.go()
    assert run.result(timeout=5) == 1


def test_a_run_of_the_last_partition_hears_at_once_that_it_is_cancelled(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "1")
    run = submit(kit, Sleeps(folder=str(folder)), PARTITIONS - 1)
    folder.wait_for_start()
    cancelled = time.monotonic()
    assert run.cancel(force=True)
    with pytest.raises(RunCancelled):
        run.result(timeout=5)
    assert time.monotonic() - cancelled < 4.0, "it was told, not found by a renewal"
    assert folder.has("cleaned")


def test_a_worker_is_counted_in_all_partitions_until_it_ends(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    waiting = [submit(kit, Notes(folder=str(folder), line=""), partition) for partition in range(PARTITIONS)]
    worker = start_worker("--concurrency", "1", "--queues", "default,other")
    for run in waiting:
        run.result(timeout=10)
    held = [submit(kit, CountUntilGo(folder=str(folder)), partition) for partition in range(PARTITIONS)]
    wait_until(lambda: [run.snapshot().queue.workers for run in held] == [1] * PARTITIONS, "it is counted everywhere")
    folder.go()
    for run in held:
        run.result(timeout=5)
    worker.send(signal.SIGTERM)
    assert worker.exit_code() == 0
    queued = [submit(kit, Notes(folder=str(folder), line=""), partition) for partition in range(PARTITIONS)]
    assert [run.snapshot().queue.workers for run in queued] == [0] * PARTITIONS
