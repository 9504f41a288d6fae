"""Jobs that misbehave: each ends in a clear state with a report a person can read, and the worker goes on."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from jobkit import IncidentKind, JobKit, RunCancelled, RunFailed, State, WorkerLost
from tests.life import guarded_jobs
from tests.life.guarded_jobs import (
    AllocatesWithoutEnd,
    ExitsAtOnce,
    ForksChildren,
    Grows,
    HoldsTheInterpreter,
    IgnoresCancel,
    ReturnsAThread,
    Segfaults,
    SleepsForEver,
    StallsForAWhile,
    StartsProgramsThatAllocate,
    StrictSleeper,
    WillNotHear,
    Works,
    WritesMuch,
)
from tests.life.workers import Folder, WorkerProcess, is_alive
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jobkit import Incident, ProgressJob, Run
    from tests.servers import Server

TARGET = "tests.life.guarded_jobs:kit"
LONG = 30.0


@pytest.fixture(scope="module")
def house(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JobKit, WorkerProcess]]:
    """One worker for all of them."""
    namespace, log = f"test-{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("guards") / "worker.log"
    environment = os.environ | {"JOBKIT_URL": valkey.url, "JOBKIT_NAMESPACE": namespace}
    worker = WorkerProcess(environment, log, "--concurrency", "1", target=TARGET)
    with JobKit(valkey.url, jobs=guarded_jobs.kit.jobs.values(), namespace=namespace) as kit:
        yield kit, worker
    worker.stop()
    sys.stderr.write(f"--- {log.name}\n{worker.text[-20_000:]}\n")


@pytest.fixture
def kit(house: tuple[JobKit, WorkerProcess]) -> Iterator[JobKit]:
    """After each of them the same worker performs another job."""
    yield house[0]
    assert house[0].submit(Works()).result(timeout=LONG) > 0
    assert house[1].process.poll() is None


@pytest.fixture
def worker(house: tuple[JobKit, WorkerProcess]) -> WorkerProcess:
    return house[1]


def failed(kit: JobKit, job: ProgressJob[Any], kind: type[RunFailed] = RunFailed) -> tuple[Run[Any], RunFailed]:
    run = kit.submit(job)
    with pytest.raises(kind) as raised:
        run.result(timeout=LONG)
    assert run.snapshot().state is State.FAILED
    return run, raised.value


def last_incident(run: Run[Any]) -> Incident:
    return run.incidents()[-1]


# Memory ---------------------------------------------------------------------------------------------------------------


def test_a_job_that_allocates_without_end_is_killed_at_its_limit(kit: JobKit) -> None:
    run, error = failed(kit, AllocatesWithoutEnd())
    assert error.error is not None
    assert error.error.public
    assert error.error.message.startswith("It used more than its 200 MB of memory (")
    incident = last_incident(run)
    assert incident.kind is IncidentKind.OUT_OF_MEMORY
    assert incident.memory is not None
    assert incident.memory > 200 * guarded_jobs.MB
    assert incident.progress.message == "Filling"


def test_what_a_job_starts_counts_too(kit: JobKit) -> None:
    run, error = failed(kit, StartsProgramsThatAllocate())
    assert "more than its 250 MB of memory" in str(error)
    assert last_incident(run).kind is IncidentKind.OUT_OF_MEMORY


def test_a_job_that_leaves_its_process_larger_is_warned_of(kit: JobKit, worker: WorkerProcess) -> None:
    run = kit.submit(Grows())
    run.result(timeout=LONG)
    wait_until(lambda: f"Run {run.id}: performing tests.life.guarded_jobs.Grows has left" in worker.text, "it is said")


# Time -----------------------------------------------------------------------------------------------------------------


def test_a_job_that_sleeps_for_ever_is_told_to_stop_at_its_time_limit(kit: JobKit, folder: Folder) -> None:
    run, error = failed(kit, SleepsForEver(folder=str(folder)))
    assert error.error is not None
    assert (error.error.message, error.error.public) == ("It took longer than its limit of 0.5 s.", True)
    assert folder.has("cleaned")
    incident = last_incident(run)
    assert incident.kind is IncidentKind.TIMED_OUT
    assert "time.sleep(A_WHILE)" in incident.traceback
    assert (incident.progress.done, incident.progress.total, incident.progress.message) == (3, 10, "Sleeping")


def test_a_job_that_does_not_hear_that_its_time_is_up_is_killed(kit: JobKit) -> None:
    run, error = failed(kit, WillNotHear())
    assert error.error is not None
    assert error.error.message == "It took longer than its limit of 0.3 s."
    incident = last_incident(run)
    assert incident.kind is IncidentKind.TIMED_OUT
    assert "did not stop within 0.3 s, so its process was killed" in incident.message
    assert "in perform" in incident.stacks


def test_a_job_that_holds_the_interpreter_stalls_and_ends(kit: JobKit) -> None:
    run, error = failed(kit, HoldsTheInterpreter())
    assert error.error is not None
    assert error.error.message == "It made no progress for 0.8 s."
    first, *_, last = run.incidents()
    assert (first.kind, first.message) == (IncidentKind.STALLED, "It made no progress for 0.4 s.")
    assert "in perform" in first.stacks, "where it hangs is told though nothing else runs in its process"
    assert first.progress.message == "Holding"
    assert last.kind is IncidentKind.STALLED


def test_a_job_that_stalls_and_goes_on_has_succeeded(kit: JobKit, folder: Folder) -> None:
    run = kit.submit(StallsForAWhile(folder=str(folder)))
    wait_until(lambda: run.snapshot().stalled, "it is seen to stall")
    folder.go()
    wait_until(lambda: not run.snapshot().stalled, "it is seen to move")
    assert run.result(timeout=LONG) == "done"
    (incident,) = run.incidents()
    assert "in wait_in_vain" in incident.stacks


# Deaths ---------------------------------------------------------------------------------------------------------------


def test_a_job_that_exits_at_once_tells_what_was_seen_last(kit: JobKit) -> None:
    run, error = failed(kit, ExitsAtOnce(), WorkerLost)
    assert "The process that performed this ended by itself with exit code 3." in str(error)
    incident = last_incident(run)
    assert (incident.kind, incident.exit_code, incident.signal) == (IncidentKind.CRASHED, 3, None)
    assert (incident.progress.done, incident.progress.message) == (7, "Leaving")
    assert "About to leave" in incident.lines[-1]
    assert incident.memory is not None
    assert any("About to leave" in note for note in error.__notes__)


def test_a_job_that_segfaults_tells_where(kit: JobKit) -> None:
    run, error = failed(kit, Segfaults(), WorkerLost)
    assert "crashed with signal 11 (SIGSEGV)" in str(error)
    incident = last_incident(run)
    assert (incident.kind, incident.signal) == (IncidentKind.CRASHED, signal.SIGSEGV)
    assert "in touch_what_is_not_there" in incident.stacks


def test_a_job_that_ignores_its_cancel_is_killed(kit: JobKit, folder: Folder) -> None:
    run = kit.submit(IgnoresCancel(folder=str(folder)))
    process = folder.wait_for_start()
    run.cancel()
    assert run.snapshot().stopping == "cancelling"
    with pytest.raises(RunCancelled):
        run.result(timeout=LONG)
    wait_until(lambda: not is_alive(process), "its process has ended")
    incident = last_incident(run)
    assert (incident.kind, incident.message) == (
        IncidentKind.KILLED,
        "It was cancelled. It did not stop within 0.3 s, so its process was killed.",
    )
    assert "in turn_a_deaf_ear" in incident.stacks


def test_what_a_dying_job_has_forked_dies_with_it(kit: JobKit, folder: Folder) -> None:
    run, _ = failed(kit, ForksChildren(dies=True, folder=str(folder)), WorkerLost)
    assert last_incident(run).signal == signal.SIGABRT
    forks = (folder.path / "forks").read_text().split()
    wait_until(lambda: not any(is_alive(int(fork)) for fork in forks), "what it forked has ended")


def test_a_job_that_leaves_forks_behind_has_succeeded(kit: JobKit, folder: Folder) -> None:
    forks = kit.submit(ForksChildren(dies=False, folder=str(folder))).result(timeout=LONG)
    for fork in forks:
        with suppress(ProcessLookupError):
            os.kill(fork, signal.SIGKILL)


# Output ---------------------------------------------------------------------------------------------------------------


def test_a_job_that_writes_much_to_stderr_holds_up_nobody(kit: JobKit, worker: WorkerProcess) -> None:
    """50 MB; a gigabyte takes as long as it takes to write one (docs/crashes.md)."""
    assert kit.submit(WritesMuch(megabytes=50)).result(timeout=LONG) == "written"
    wait_until(lambda: worker.log.stat().st_size > 50 * guarded_jobs.MB, "all of it was passed on")
    os.truncate(worker.log, 0)


def test_a_job_that_returns_what_cannot_be_serialized_says_so(kit: JobKit) -> None:
    run, error = failed(kit, ReturnsAThread())
    assert "BadResult" in str(error)
    incident = last_incident(run)
    assert incident.kind is IncidentKind.FAILED
    assert "cannot be" in incident.message
    assert "BadResult" in incident.traceback


# Threads --------------------------------------------------------------------------------------------------------------


def test_in_a_thread_pool_limits_hold_too(
    valkey: Server, namespace: str, start_worker: Callable[..., WorkerProcess]
) -> None:
    """A thread that does not stop is given up; memory is the whole process', whose other runs are performed again."""
    worker = start_worker("--pool", "thread", "--concurrency", "4", target=TARGET)
    with JobKit(valkey.url, jobs=guarded_jobs.kit.jobs.values(), namespace=namespace) as kit:
        _, error = failed(kit, WillNotHear())
        assert "It took longer than its limit of 0.3 s." in str(error)
        bystander = kit.submit(WritesMuch(megabytes=0))
        _, error = failed(kit, AllocatesWithoutEnd())
        assert "more than its 200 MB of memory" in str(error)
        assert bystander.result(timeout=LONG) == "written"
        assert kit.submit(Works()).result(timeout=LONG) > 0
        assert worker.process.poll() is None


# Leases ---------------------------------------------------------------------------------------------------------------


def test_a_strict_job_stops_when_its_lease_may_be_over(
    own_server: Server, namespace: str, tmp_path: Path, folder: Folder
) -> None:
    """The store is frozen for longer than the lease; the job has stopped by then, and is performed anew."""
    environment = os.environ | {"JOBKIT_URL": own_server.url, "JOBKIT_NAMESPACE": namespace}
    worker = WorkerProcess(environment, tmp_path / "worker.log", "--concurrency", "1", target=TARGET)
    try:
        with JobKit(own_server.url, jobs=guarded_jobs.kit.jobs.values(), namespace=namespace) as kit:
            run = kit.submit(StrictSleeper(folder=str(folder)))
            folder.wait_for_start()
            with own_server.paused():
                wait_until(lambda: "is to stop (lease unconfirmed)" in worker.text, "it is stopped at its deadline")
            folder.wait_for_start(2)
            folder.go()
            assert run.result(timeout=LONG) == "done"
            assert run.snapshot().attempt == 1
    finally:
        worker.stop()
        sys.stderr.write(worker.text)


# Code -----------------------------------------------------------------------------------------------------------------

CRUMBLING = """
import os
from jobkit import JobKit, Progress, ProgressJob

class Dies(ProgressJob[None]):
    max_crashes = 0
    def perform(self, progress: Progress) -> None:
        os._exit(1)

class Lives(ProgressJob[int]):
    def perform(self, progress: Progress) -> int:
        return 1

kit = JobKit(jobs=[Dies, Lives])
"""


def test_a_worker_whose_module_no_longer_imports_says_so_and_goes_on_when_it_does(
    start_worker: Callable[..., WorkerProcess], kit_of: Callable[[Path], JobKit], tmp_path: Path
) -> None:
    module = tmp_path / "crumbling.py"
    module.write_text(CRUMBLING)
    crumbling = kit_of(module)
    worker = start_worker("--concurrency", "1", target="crumbling:kit", PYTHONPATH=str(tmp_path))
    lives, dies = crumbling.jobs["crumbling.Lives"], crumbling.jobs["crumbling.Dies"]
    assert crumbling.submit(lives()).result(timeout=LONG) == 1
    wait_until(lambda: worker.text.count("is ready.") == 2, "the spare child is ready")
    module.write_text("import nothing_of_this_name\n")
    for _ in range(2):
        with pytest.raises(WorkerLost):
            crumbling.submit(dies()).result(timeout=LONG)
    wait_until(lambda: "No module named 'nothing_of_this_name'" in worker.text, "the worker says why")
    waiting = crumbling.submit(lives())
    module.write_text(CRUMBLING)
    assert waiting.result(timeout=LONG) == 1
    assert worker.process.poll() is None


@pytest.fixture
def kit_of(valkey: Server, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], JobKit]]:
    """The submitting side of a module of the test's own."""
    kits: list[JobKit] = []

    def kit_of(module: Path) -> JobKit:
        monkeypatch.syspath_prepend(str(module.parent))
        jobs = __import__(module.stem).kit.jobs.values()
        kits.append(JobKit(valkey.url, jobs=jobs, namespace=namespace))
        return kits[-1]

    yield kit_of
    for kit in kits:
        kit.close()
