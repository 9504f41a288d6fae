"""Attempts, and runs that are not begun in time, with real workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobkit import RunCancelled, RunFailed, State
from tests.life.jobs import Flaky, Hurried
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit import JobKit
    from tests.life.workers import Folder, WorkerProcess

WAIT = 20.0


def test_a_job_that_fails_twice_succeeds_in_its_third_attempt(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1")
    run = kit.submit(Flaky(folder=str(folder), hows=("connection", "soon")))
    assert run.result(timeout=WAIT) == 3
    snapshot = run.snapshot()
    assert (snapshot.attempt, snapshot.start, snapshot.error) == (3, 3, None)
    worker.says(f"Run {run.id}, attempt 1: failed after")
    worker.says("Attempt 2 of 4 starts in 0.")
    worker.says("ConnectionError: no route")


def test_a_worker_that_is_killed_in_between_uses_up_no_attempt(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "1")
    run = kit.submit(Flaky(folder=str(folder), hows=("connection", "die", "connection", "connection")))
    assert run.result(timeout=WAIT) == 5
    assert (run.snapshot().attempt, run.snapshot().start) == (4, 5)


def test_an_error_that_is_given_up_on_ends_the_run_at_once(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "1")
    run = kit.submit(Flaky(folder=str(folder), hows=("connection", "missing")))
    with pytest.raises(RunFailed, match="FileNotFoundError: no such file"):
        run.result(timeout=WAIT)
    assert (run.snapshot().attempt, len(folder.starts())) == (2, 2)


def test_a_run_that_waits_for_its_next_attempt_is_cancelled_at_once(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "1")
    run = kit.submit(Flaky(folder=str(folder), hows=("later",)))
    wait_until(lambda: run.snapshot().state is State.SCHEDULED, "its first attempt has failed")
    assert run.cancel()
    with pytest.raises(RunCancelled):
        run.result(timeout=1)
    assert len(folder.starts()) == 1


def test_a_run_that_nobody_begins_in_time_is_given_up_by_workers_of_other_queues(
    kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    start_worker("--concurrency", "1", "--queues", "default")
    run = kit.submit(Hurried(a=1, b=1), queue="nobody-serves-this")
    with pytest.raises(RunFailed, match=r"did not start within 0\.5 s"):
        run.result(timeout=WAIT)
