"""Cancelling a run that is being performed, whatever its job is busy with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobkit import RunCancelled, State
from tests.life.jobs import (
    Add,
    CountUntilGo,
    FinishesAllTheSame,
    Misbehaves,
    OnlyAdvances,
    Sleeps,
    SleepsOnALoop,
    WillNotStop,
)
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit import JobKit, ProgressJob
    from tests.life.workers import Folder, WorkerProcess


@pytest.mark.parametrize("job", [OnlyAdvances, Sleeps, SleepsOnALoop, CountUntilGo])
def test_a_running_job_hears_at_once_that_it_is_cancelled(
    job: type[ProgressJob[Any]], kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "1")
    run = kit.submit(job(folder=str(folder)))
    process = folder.wait_for_start()
    assert run.cancel()
    with pytest.raises(RunCancelled):
        run.result(timeout=2)
    assert len(folder.starts()) == 1
    other = kit.submit(CountUntilGo(folder=str(folder)))
    assert folder.wait_for_start(2) == process, "the child went on"
    folder.go()
    assert other.result(timeout=5) == 2


@pytest.mark.parametrize("job", [Sleeps, SleepsOnALoop])
def test_a_cancelled_job_may_clean_up(
    job: type[ProgressJob[Any]], kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "1")
    run = kit.submit(job(folder=str(folder)))
    folder.wait_for_start()
    run.cancel()
    with pytest.raises(RunCancelled):
        run.result(timeout=2)
    assert folder.has("cleaned")


def test_a_job_hears_it_though_an_earlier_one_ignored_and_blocked_the_signal(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "1")
    assert kit.submit(Misbehaves(how="take_signals")).result(timeout=5) == "taken"
    run = kit.submit(Sleeps(folder=str(folder)))
    folder.wait_for_start()
    run.cancel()
    with pytest.raises(RunCancelled):
        run.result(timeout=2)
    assert folder.has("cleaned")


def test_a_job_that_ignores_it_is_killed_after_its_grace(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "1")
    run = kit.submit(WillNotStop(folder=str(folder)))
    process = folder.wait_for_start()
    run.cancel()
    with pytest.raises(RunCancelled):
        run.result(timeout=3)
    assert folder.has("told")
    assert folder.starts() == [process]
    assert kit.submit(Add(a=1, b=1)).result(timeout=5) == 2


def test_a_job_that_finishes_all_the_same_has_succeeded(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "1")
    run = kit.submit(FinishesAllTheSame(folder=str(folder)))
    folder.wait_for_start()
    run.cancel()
    assert run.result(timeout=2) == "finished"


def test_cancelling_while_a_waiter_remains_stops_nothing(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "1")
    run = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start()
    stranger = kit.run(run.id)
    assert not stranger.cancel()
    folder.go()
    assert run.result(timeout=5) == 1


def test_many_cancels_in_quick_succession_stop_each_its_own_run_only(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    """A stop that comes late must not hit the start that follows it in the same child."""
    start_worker("--concurrency", "1")
    for number in range(1, 31):
        doomed = kit.submit(OnlyAdvances(folder=str(folder)))
        kept = kit.submit(Add(a=number, b=0))
        folder.wait_for_start(number)
        doomed.cancel()
        assert kept.result(timeout=5) == number
        wait_until(lambda run=doomed: run.snapshot().state is State.CANCELLED, "it is cancelled")  # type: ignore[misc]
    assert len(set(folder.starts())) == 1
