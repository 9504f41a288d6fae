"""The thread and asyncio pools: what is different in them from a process for each run."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]
import pytest

from jobkit import RunCancelled, State
from tests.life.jobs import (
    Add,
    AddsOnALoop,
    CountUntilGo,
    OnlyAdvances,
    Sleeps,
    SleepsOnALoop,
    TellsItsLoop,
    WillNotStop,
)
from tests.life.workers import after, is_alive
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit import JobKit
    from tests.life.workers import Folder, WorkerProcess

SHARED = ("thread", "asyncio")
WAIT = 20.0


@pytest.mark.parametrize("pool", SHARED)
def test_runs_of_both_kinds_are_performed_side_by_side_in_one_process(
    pool: str, kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--pool", pool, "--concurrency", "6")
    blocking = [kit.submit(CountUntilGo(folder=str(folder))) for _ in range(3)]
    awaiting = [kit.submit(TellsItsLoop(folder=str(folder))) for _ in range(3)]
    folder.wait_for_start(6)
    assert len(set(folder.starts())) == 1
    folder.go()
    assert [run.result(timeout=WAIT) for run in blocking] == [6, 6, 6]
    loops = {run.result(timeout=WAIT) for run in awaiting}
    assert len(loops) == (1 if pool == "asyncio" else 3)


@pytest.mark.parametrize("pool", SHARED)
def test_each_of_many_runs_gets_its_own_result(
    pool: str, kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    start_worker("--pool", pool, "--concurrency", "8")
    sums = kit.submit_many([Add(a=n, b=1) for n in range(300)])
    loops = kit.submit_many([AddsOnALoop(a=n) for n in range(100)])
    assert [run.result(timeout=WAIT) for run in sums] == list(range(1, 301))
    assert [run.result(timeout=WAIT) for run in loops] == [sum(range(n)) for n in range(100)]


@pytest.mark.parametrize("pool", SHARED)
@pytest.mark.parametrize("job", [OnlyAdvances, SleepsOnALoop, CountUntilGo])
def test_a_cancelled_run_ends_alone(
    pool: str,
    job: type[OnlyAdvances],
    kit: JobKit,
    start_worker: Callable[..., WorkerProcess],
    folder: Folder,
) -> None:
    start_worker("--pool", pool, "--concurrency", "4")
    doomed = kit.submit(job(folder=str(folder)))
    folder.wait_for_start()
    neighbour = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start(2)
    doomed.cancel()
    with pytest.raises(RunCancelled):
        doomed.result(timeout=5)
    folder.go()
    assert neighbour.result(timeout=5) == 2
    assert len(set(folder.starts())) == 1


@pytest.mark.parametrize("pool", SHARED)
def test_many_cancels_in_quick_succession_stop_each_its_own_run_only(
    pool: str, kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    """What is raised in a thread comes when it comes: never in the start after the one that it was meant for."""
    worker = start_worker("--pool", pool, "--concurrency", "1")
    for number in range(1, 31):
        doomed = kit.submit(OnlyAdvances(folder=str(folder)))
        kept = kit.submit(Add(a=number, b=0))
        folder.wait_for_start(number)
        doomed.cancel()
        assert kept.result(timeout=5) == number
        assert doomed.snapshot().state is State.CANCELLED
    assert len(set(folder.starts())) == 1
    assert "ended by itself" not in worker.text


def test_a_thread_that_will_not_stop_is_given_up_and_its_process_replaced(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    """Its neighbours go on to their end in the old process, while a new one serves."""
    worker = start_worker("--pool", "thread", "--concurrency", "3")
    stuck = kit.submit(WillNotStop(folder=str(folder)))
    process = folder.wait_for_start()
    neighbour = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start(2)
    stuck.cancel()
    with pytest.raises(RunCancelled):
        stuck.result(timeout=5)
    assert kit.submit(Add(a=1, b=1)).result(timeout=5) == 2
    assert is_alive(process), "its neighbour is still being performed"
    folder.go()
    assert neighbour.result(timeout=5) == 2
    assert neighbour.snapshot().start == 1
    wait_until(lambda: not is_alive(process), "the old process has ended")
    assert worker.process.poll() is None


@pytest.mark.parametrize("pool", SHARED)
def test_when_the_process_of_many_runs_dies_all_are_performed_again(
    pool: str, kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--pool", pool, "--concurrency", "3")
    runs = [kit.submit(CountUntilGo(folder=str(folder))) for _ in range(3)]
    os.kill(folder.wait_for_start(3), signal.SIGKILL)
    folder.wait_for_start(6)
    folder.go()
    assert [run.result(timeout=5) for run in runs] == [6, 6, 6]
    assert {run.snapshot().start for run in runs} == {2}


@pytest.mark.parametrize("pool", SHARED)
def test_sigterm_hands_back_what_is_not_done_in_time(
    pool: str, kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--pool", pool, "--concurrency", "3", "--grace", "0.3")
    runs = [kit.submit(job(folder=str(folder))) for job in (CountUntilGo, SleepsOnALoop)]
    folder.wait_for_start(2)
    began = time.monotonic()
    worker.send(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert time.monotonic() - began < 6, "an idle thread holds up nothing"
    assert [(run.snapshot().state, run.snapshot().attempt) for run in runs] == [(State.QUEUED, 1)] * 2
    assert folder.has("cleaned")


@pytest.mark.parametrize("pool", SHARED)
def test_an_idle_worker_ends_at_once(pool: str, kit: JobKit, start_worker: Callable[..., WorkerProcess]) -> None:
    worker = start_worker("--pool", pool)
    kit.submit(Add(a=1, b=1)).result(timeout=10)
    worker.send(signal.SIGTERM)
    assert worker.exit_code() == 0


def test_threads_are_started_only_for_runs_that_are_there(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--pool", "asyncio", "--concurrency", "500")
    process = folder_process(kit, folder)
    assert psutil.Process(process).num_threads() < 20
    runs = [kit.submit(SleepsOnALoop(folder=str(folder))) for _ in range(200)]
    folder.wait_for_start(201, timeout=30)
    assert set(folder.starts()) == {process}
    for run in runs:
        run.cancel(force=True)
    wait_until(lambda: all(run.snapshot().state is State.CANCELLED for run in runs), "all are cancelled")


def folder_process(kit: JobKit, folder: Folder) -> int:
    """The process of the worker that performs a first run."""
    kit.submit(OnlyAdvances(folder=str(folder))).cancel(force=True)
    run = kit.submit(OnlyAdvances(folder=str(folder)))
    process = folder.wait_for_start()
    run.cancel()
    return process


# Children that are replaced -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_child_leaves_after_so_many_runs_and_nothing_waits_for_that(
    pool: str, kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    worker = start_worker("--pool", pool, "--concurrency", "2", "--max-runs-per-child", "10")
    runs = kit.submit_many([Add(a=n, b=0) for n in range(25)])
    assert [run.result(timeout=WAIT) for run in runs] == list(range(25))
    worker.says("leaves: it has performed", 2)
    assert {run.snapshot().start for run in runs} == {1}
    assert "was given back" not in worker.text


def test_what_a_child_performs_after_it_said_that_it_leaves_can_be_ended(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    """It has taken that with the same breath in which it settled its last run."""
    kit.submit(Add(a=1, b=1))
    stuck = kit.submit(WillNotStop(folder=str(folder)))
    worker = start_worker("--concurrency", "1", "--max-runs-per-child", "1")
    folder.wait_for_start()
    wait_until(lambda: "leaves: it has performed" in worker.text, "it has said that it leaves")
    stuck.cancel()
    with pytest.raises(RunCancelled):
        stuck.result(timeout=5)


def test_a_child_that_a_run_has_left_with_much_memory_leaves(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1", "--max-memory-per-child", "20 MB")
    folder.go()
    assert kit.submit(CountUntilGo(folder=str(folder))).result(timeout=WAIT) == 1
    assert kit.submit(CountUntilGo(folder=str(folder))).result(timeout=WAIT) == 2
    assert len(set(folder.starts())) == 2
    worker.says("MB of memory")


def test_a_child_that_has_lost_a_lease_leaves(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    frozen = start_worker("--concurrency", "1")
    run = kit.submit(CountUntilGo(folder=str(folder)))
    process = folder.wait_for_start()
    start_worker("--concurrency", "1")
    frozen.freeze()
    folder.wait_for_start(2)
    frozen.thaw()
    wait_until(lambda: "leaves: it had lost a lease" in frozen.text, "the frozen child leaves")
    wait_until(lambda: not is_alive(process), "it has ended")
    folder.go()
    assert run.result(timeout=WAIT) == 2


def test_sigusr1_has_fresh_children_serve_while_the_old_ones_finish(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1")
    old = kit.submit(CountUntilGo(folder=str(folder)))
    process = folder.wait_for_start()
    worker.send(signal.SIGUSR1)
    new = kit.submit(Sleeps(folder=str(folder)))
    assert folder.wait_for_start(2) != process
    new.cancel()
    folder.go()
    assert old.result(timeout=WAIT) == 2
    assert old.snapshot().start == 1
    wait_until(lambda: not is_alive(process), "the old child has ended")
    wait_until(after(0.5), "nothing more happens")
    assert len(worker.children()) == 2, "one serves, one is spare"
