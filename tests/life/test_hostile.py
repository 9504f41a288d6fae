"""Jobs that harm what they share with others, and workers to whom the machine is unkind."""

from __future__ import annotations

import os
import resource
import signal
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]
import pytest

from jobkit import JobKit, RunCancelled, State
from tests.life import hostile
from tests.life.hostile import (
    Add,
    BlocksItsLoop,
    Chatters,
    CountUntilGo,
    HarmsItsLoop,
    HookForks,
    HookHangs,
    MovesUntilGo,
    TellsItsLoop,
)
from tests.life.workers import after, is_alive
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.life.workers import Folder, WorkerProcess

TARGET = "tests.life.hostile:kit"
WAIT = 20.0


@pytest.fixture
def kit(life_url: str, namespace: str) -> Iterator[JobKit]:
    with JobKit(life_url, jobs=hostile.kit.jobs.values(), namespace=namespace) as kit:
        yield kit


@pytest.mark.parametrize("how", ["stop", "exit in a task", "interrupt in a callback"])
def test_a_job_that_ends_the_loop_of_all_ends_nothing(
    how: str, kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--pool", "asyncio", target=TARGET)
    neighbour = kit.submit(TellsItsLoop(folder=str(folder)))
    folder.wait_for_start()
    assert kit.submit(HarmsItsLoop(how=how)).result(timeout=5) == "performed"
    folder.go()
    assert neighbour.result(timeout=5)
    assert neighbour.snapshot().start == 1
    worker.says("goes on")


def test_the_neighbours_of_a_job_that_blocks_the_loop_for_ever_are_performed_elsewhere(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--pool", "asyncio", target=TARGET)
    neighbour = kit.submit(TellsItsLoop(folder=str(folder)))
    process = folder.wait_for_start()
    stuck = kit.submit(BlocksItsLoop(folder=str(folder)))
    folder.wait_for_start(2)
    stuck.cancel()
    with pytest.raises(RunCancelled):
        stuck.result(timeout=5)
    assert folder.wait_for_start(3) != process
    folder.go()
    assert neighbour.result(timeout=5)
    assert neighbour.snapshot().attempt == 1
    wait_until(lambda: not is_alive(process), "the old process has ended")


def test_who_is_stopped_while_it_waits_for_a_logs_lock_does_not_keep_it(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--pool", "thread", "--concurrency", "4", target=TARGET)
    for number in range(10):
        runs = [kit.submit(Chatters(folder=str(folder))) for _ in range(3)]
        folder.wait_for_start(3 * number + 3)
        for run in runs:
            run.cancel()
        for run in runs:
            with pytest.raises(RunCancelled):
                run.result(timeout=5)
        assert kit.submit(Add(a=1, b=1)).result(timeout=5) == 2
    assert len(set(folder.starts())) == 1


def test_a_hook_that_comes_back_from_a_fork_settles_nothing(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1", target=TARGET)
    assert kit.submit(HookForks(folder=str(folder))).result(timeout=WAIT) == 1
    wait_until(lambda: folder.has("forked away"), "the fork has come back")
    forked = int((folder.path / "forked").read_text())
    wait_until(lambda: not is_alive(forked), "the fork has ended")
    assert kit.submit(Add(a=1, b=1)).result(timeout=5) == 2
    assert "refused" not in worker.text
    assert "ended already" not in worker.text


def test_a_cancelled_run_with_limits_whose_hook_hangs_is_ended(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "1", target=TARGET)
    run = kit.submit(HookHangs(folder=str(folder)))
    folder.wait_for_start()
    run.cancel()
    wait_until(lambda: folder.has("hook"), "its hook is called")
    with pytest.raises(RunCancelled):
        run.result(timeout=5)


def test_a_run_does_not_stall_while_its_worker_is_frozen(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1", target=TARGET)
    run = kit.submit(MovesUntilGo(folder=str(folder)))
    folder.wait_for_start()
    wait_until(after(0.3), "it has moved")
    worker.freeze()
    wait_until(after(1.5), "it would have stalled")
    worker.thaw()
    wait_until(after(0.5), "whoever looked has seen it")
    folder.go()
    assert run.result(timeout=5) == 1
    assert "is to stop" not in worker.text


def test_a_worker_that_cannot_start_a_child_tries_again(
    kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    worker = start_worker("--concurrency", "1", target=TARGET)
    assert kit.submit(Add(a=1, b=1)).result(timeout=WAIT) == 2
    wait_until(lambda: len(worker.children()) == 2 and worker.text.count("is ready") == 2, "one serves, one is spare")
    supervisor = psutil.Process(worker.pid)
    usual = supervisor.rlimit(resource.RLIMIT_NOFILE)
    supervisor.rlimit(resource.RLIMIT_NOFILE, (3, usual[1]))
    for child in worker.children():
        os.kill(child, signal.SIGKILL)
    wait_until(lambda: not worker.children() and "Too many open files" in worker.text, "it was tried")
    wait_until(after(0.5), "it has been tried for each of them")
    supervisor.rlimit(resource.RLIMIT_NOFILE, usual)
    assert kit.submit(Add(a=1, b=2)).result(timeout=WAIT) == 3
    assert worker.process.poll() is None


def test_a_process_of_threads_ends_between_runs(kit: JobKit, start_worker: Callable[..., WorkerProcess]) -> None:
    """A thread that has settled a run has taken the next one in the same breath."""
    options = ("--pool", "thread", "--concurrency", "1", "--max-runs-per-child", "1")
    worker = start_worker(*options, target=TARGET, LIFE_SWITCH="0.000001")
    runs = kit.submit_many([Add(a=n, b=0) for n in range(20)])
    assert [run.result(timeout=60) for run in runs] == list(range(20))
    assert {run.snapshot().start for run in runs} == {1}
    assert "was given back" not in worker.text


def test_nothing_is_left_of_children_that_have_died(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1", target=TARGET)
    supervisor = psutil.Process(worker.pid)
    run = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start()
    wait_until(lambda: worker.text.count("is ready") == 2, "one serves, one is spare")
    before = supervisor.num_fds(), supervisor.num_threads()
    deaths = 10
    for number in range(2, 2 + deaths):
        (spare,) = set(worker.children()) - set(folder.starts())
        os.kill(spare, signal.SIGKILL)
        wait_until(lambda number=number: worker.text.count("is ready") == number + 1, "another spare is ready")  # type: ignore[misc]
    wait_until(  # (a connection or two of its own it may have made since)
        lambda: supervisor.num_fds() < before[0] + deaths / 2, f"about as many descriptors as before ({before})"
    )
    assert supervisor.num_threads() <= before[1] + 4
    assert run.snapshot().state is State.RUNNING
