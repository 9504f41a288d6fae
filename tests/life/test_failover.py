"""The store's primary dies and its replica takes over: runs go on, and workers with them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.life.jobs import LEASE, Add, CountUntilGo
from tests.life.workers import after
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit import JobKit
    from tests.fleets import Replicated
    from tests.life.workers import Folder, WorkerProcess


@pytest.fixture
def life_url(replicated: Replicated) -> str:
    return replicated.url


def test_a_running_job_goes_on_and_is_performed_once(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder, replicated: Replicated
) -> None:
    worker = start_worker("--concurrency", "1")
    run = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start()
    replicated.synchronize()
    replicated.fail_over()
    wait_until(after(2 * LEASE), "whoever lost the lease has lost it by now")
    done = run.snapshot().done
    wait_until(lambda: run.snapshot().done > done, "it reports to the new primary")
    folder.go()
    assert run.result(timeout=10) == 1
    assert run.snapshot().start == 1
    assert worker.process.poll() is None


def test_a_job_that_ends_while_there_is_no_primary_is_settled_with_the_next(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder, replicated: Replicated
) -> None:
    worker = start_worker("--concurrency", "1")
    run = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start()
    replicated.synchronize()
    replicated.primary.kill()
    folder.go()
    wait_until(lambda: "succeeded after" in worker.text, "the job has ended")
    assert run.result(timeout=20) == 1


def test_an_idle_worker_is_woken_by_what_the_next_primary_gets(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], replicated: Replicated
) -> None:
    start_worker("--concurrency", "1")
    assert kit.submit(Add(a=1, b=1)).result(timeout=10) == 2
    replicated.fail_over()
    assert kit.submit(Add(a=1, b=2)).result(timeout=20) == 3
    for number in range(4):
        submitted = time.monotonic()
        assert kit.submit(Add(a=number, b=3)).result(timeout=10) == number + 3
        assert time.monotonic() - submitted < 1.8, "it did not wait to be found"
