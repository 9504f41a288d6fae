"""SIGTERM: what runs may finish, what does not is handed back, and a second signal ends at once."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from jobkit import State
from tests.life.jobs import Add, CountUntilGo, Sleeps, WillNotStop
from tests.life.workers import is_alive
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit import JobKit
    from tests.life.workers import Folder, WorkerProcess


def test_an_idle_worker_ends_at_once_and_is_counted_no_more(
    kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    worker = start_worker("--concurrency", "2")
    kit.submit(Add(a=1, b=1)).result(timeout=10)
    worker.send(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert kit.submit(Add(a=1, b=1)).snapshot().queue.workers == 0


def test_a_running_job_finishes_and_nothing_more_is_taken(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1")
    run = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start()
    waiting = kit.submit(Add(a=1, b=1))
    worker.send(signal.SIGTERM)
    wait_until(lambda: "takes nothing more" in worker.text, "the worker has heard it")
    folder.go()
    assert worker.exit_code() == 0
    assert run.snapshot().state is State.SUCCEEDED
    assert waiting.snapshot().state is State.QUEUED


def test_what_does_not_finish_is_handed_back_without_an_attempt_in_its_old_place(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1", "--grace", "0.3")
    run = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start()
    kit.submit(Add(a=1, b=1))
    worker.send(signal.SIGTERM)
    assert worker.exit_code() == 0
    snapshot = run.snapshot()
    assert (snapshot.state, snapshot.attempt, snapshot.queue.position) == (State.QUEUED, 1, 1)
    start_worker("--concurrency", "1")
    folder.wait_for_start(2)
    folder.go()
    assert run.result(timeout=5) == 2


def test_a_job_that_will_not_be_handed_back_is_killed_and_given_back_all_the_same(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1", "--grace", "0.1")
    run = kit.submit(WillNotStop(folder=str(folder)))
    process = folder.wait_for_start()
    worker.send(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert folder.has("told")
    assert not is_alive(process)
    assert (run.snapshot().state, run.snapshot().attempt) == (State.QUEUED, 1)


def test_the_second_signal_ends_at_once_and_still_gives_everything_back(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1")
    run = kit.submit(Sleeps(folder=str(folder)))
    process = folder.wait_for_start()
    worker.send(signal.SIGINT)
    wait_until(lambda: "takes nothing more" in worker.text, "the worker has heard the first")
    assert is_alive(process)
    worker.send(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert f"Run {run.id} was given back, as its process ends." in worker.text
    assert not is_alive(process)
    assert not folder.has("cleaned")
    assert (run.snapshot().state, run.snapshot().attempt) == (State.QUEUED, 1)


def test_children_leave_a_signal_to_the_whole_group_to_their_supervisor(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    """Service managers send SIGTERM to every process of a service."""
    worker = start_worker("--concurrency", "1")
    run = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start()
    worker.send_to_all(signal.SIGTERM)
    wait_until(lambda: "takes nothing more" in worker.text, "the worker has heard it")
    folder.go()
    assert worker.exit_code() == 0
    assert run.result(timeout=5) == 1
