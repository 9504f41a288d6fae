"""What becomes of a run, by what its job does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobkit import JobKit, ProgressJob, RunFailed, State, WorkerLost
from tests.life.jobs import (
    Add,
    AddsOnALoop,
    CountsFast,
    Grown,
    LeavesAProgramBehind,
    Misbehaves,
    Notes,
    NotRegistered,
    Versioned,
    WritesAFile,
)
from tests.life.workers import is_alive
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit import Run
    from tests.life.workers import Folder, WorkerProcess

WAIT = 20.0


def failure_of(run: Run[Any]) -> RunFailed:
    with pytest.raises(RunFailed) as caught:
        run.result(timeout=WAIT)
    return caught.value


def message_of(run: Run[Any]) -> str:
    error = failure_of(run).error
    assert error is not None
    return error.message


def notes_of(failure: RunFailed) -> str:
    return "\n".join(failure.__notes__)


def test_those_who_wait_get_what_perform_returned(kit: JobKit, start_worker: Callable[..., WorkerProcess]) -> None:
    runs = [kit.submit(Add(a=n, b=1)) for n in range(20)]
    start_worker("--concurrency", "2")
    assert [run.result(timeout=WAIT) for run in runs] == list(range(1, 21))


def test_an_async_job_is_performed_on_a_loop_of_its_own(
    kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    start_worker("--concurrency", "1")
    assert kit.submit(AddsOnALoop(a=10)).result(timeout=WAIT) == 45


def test_every_misdeed_of_a_job_has_a_clear_end_and_the_worker_goes_on(
    kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    worker = start_worker("--concurrency", "2")
    runs = {
        how: kit.submit(Misbehaves(how=how))
        for how in (
            "raise_secret", "raise_unprintable", "raise_huge", "system_exit", "keyboard_interrupt", "generator_exit",
            "endless_recursion", "return_unserializable", "return_nan", "exit_at_once", "segmentation_fault",
        )
    }  # fmt: skip
    for how, run in runs.items():
        error = failure_of(run).error
        assert error is not None
        assert not error.public, how
        assert "hunter2" not in run.snapshot().to_json().decode()
    assert isinstance(failure_of(runs["segmentation_fault"]), WorkerLost)
    assert isinstance(failure_of(runs["exit_at_once"]), WorkerLost)
    assert "signal 11 (SIGSEGV)" in message_of(runs["segmentation_fault"])
    assert "exit code 0" in message_of(runs["exit_at_once"])
    assert "hunter2" in notes_of(failure_of(runs["raise_secret"]))
    assert "SystemExit: 3" in notes_of(failure_of(runs["system_exit"]))
    assert "BadResult" in notes_of(failure_of(runs["return_nan"]))
    assert len(notes_of(failure_of(runs["raise_huge"])).encode()) < 70_000
    assert kit.submit(Add(a=1, b=1)).result(timeout=WAIT) == 2
    assert worker.process.poll() is None


def test_forks_signals_and_floods_of_output_leave_the_run_alone(
    kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    start_worker("--concurrency", "1")
    results = {
        "come_back_from_a_fork": "parent",
        "use_a_process_pool": 45,
        "print_much": "printed",
        "take_signals": "taken",
    }
    for how, result in results.items():
        assert kit.submit(Misbehaves(how=how)).result(timeout=WAIT) == result
    assert kit.submit(Add(a=1, b=1)).result(timeout=WAIT) == 2


def test_only_the_text_of_a_public_error_is_public_and_it_is_one_short_line(
    kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    start_worker("--concurrency", "1")
    run = kit.submit(Misbehaves(how="raise_public"))
    message = message_of(run)
    assert message.startswith("No orders [31m in May <b>2026</b>.")
    assert len(message) == 500
    assert run.snapshot().error.public  # type: ignore[union-attr]


def test_the_last_progress_is_settled_and_reports_are_few(
    kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    start_worker("--concurrency", "1")
    run = kit.submit(CountsFast(seconds=1.5))
    seen = list(run.watch())
    done = run.result(timeout=WAIT)
    assert seen[-1].done == done
    assert seen[-1].message == f"at {done}"
    assert 5 <= len(seen) <= 12 * 1.5 + 4
    assert [snapshot.order for snapshot in seen] == sorted(snapshot.order for snapshot in seen)
    assert [snapshot.done for snapshot in seen] == sorted(snapshot.done for snapshot in seen)


def test_a_file_in_the_result_is_kept(kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder) -> None:
    start_worker("--concurrency", "1")
    file = kit.submit(WritesAFile(folder=str(folder))).result(timeout=WAIT)
    assert file.filename == "report.csv"
    assert file.path.read_text() == "a,b\n"
    assert folder.path not in file.path.parents


def test_a_run_of_an_unknown_job_goes_back_until_its_time_is_up(
    life_url: str, namespace: str, start_worker: Callable[..., WorkerProcess]
) -> None:
    """A kit without jobs of its own submits any."""
    worker = start_worker("--concurrency", "1")
    with JobKit(life_url, namespace=namespace) as submitter:
        run = submitter.submit(NotRegistered())
        assert "no worker for tests.life.jobs.NotRegistered version 1" in message_of(run)
        assert run.snapshot().attempt == 1
    worker.says(f"Run {run.id} is handed back")
    said = [line for line in worker.text.splitlines() if f"Run {run.id} is handed back" in line]
    assert [line.split()[2] for line in said] == ["INFO", *["DEBUG"] * (len(said) - 1)]


@pytest.mark.parametrize(
    ("job", "result"), [(Versioned(), 2), (Grown(region="US"), "US")], ids=["version", "arguments"]
)
def test_a_run_of_a_newer_class_waits_for_a_worker_that_knows_it(
    job: ProgressJob[Any], result: object, kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    worker = start_worker("--concurrency", "1", target="tests.life.older:kit")
    run = kit.submit(job)
    wait_until(lambda: run.snapshot().state is State.SCHEDULED, "the older worker has handed it back")
    worker.stop()
    start_worker("--concurrency", "1")
    assert run.result(timeout=WAIT) == result
    assert run.snapshot().attempt == 1


def test_what_a_dead_job_started_dies_with_it(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "1")
    failure_of(kit.submit(LeavesAProgramBehind(folder=str(folder))))
    program = int((folder.path / "program").read_text())
    wait_until(lambda: not is_alive(program), "the program has ended")


def test_weighted_queues_get_starts_in_proportion(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    runs = [
        kit.submit(Notes(folder=str(folder), line=queue), queue=queue)
        for queue in ("low", "critical")  # those of `low` are the older ones
        for _ in range(16)
    ]
    start_worker("--concurrency", "1", "--queues", "critical=3,low=1")
    for run in runs:
        run.result(timeout=10)
    first = (folder.path / "notes").read_text().split()[:16]
    assert first.count("critical") == 12
