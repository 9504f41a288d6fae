"""Processes that die, freeze or hold everything up: nothing is lost, nothing is accepted twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from jobkit import IncidentKind, State, WorkerLost
from tests.life.jobs import LEASE, Add, CountUntilGo, HoldsTheInterpreter, KillsItsProcess
from tests.life.workers import after, is_alive
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobkit import JobKit
    from tests.life.workers import Folder, WorkerProcess


def warm(worker: WorkerProcess, kit: JobKit) -> None:
    """All children of a worker of one are up, the spare one too."""
    kit.submit(Add(a=1, b=1)).result(timeout=10)
    wait_until(lambda: worker.text.count("is ready.") == 2, "the spare child is ready")


def test_after_a_child_is_killed_its_run_is_performed_again_at_once(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1")
    warm(worker, kit)
    run = kit.submit(CountUntilGo(folder=str(folder)))
    seconds = []
    for number in range(1, 4):
        process = folder.wait_for_start(number)
        killed = time.monotonic()
        os.kill(process, signal.SIGKILL)
        folder.wait_for_start(number + 1)
        seconds.append(time.monotonic() - killed)
    folder.go()
    assert run.result(timeout=5) == 4
    assert seconds[0] < 2, "a spare child steps in"
    assert run.snapshot().start == 4
    assert run.snapshot().attempt == 1


def test_where_the_kernel_has_no_process_descriptors_a_death_is_noticed_too(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    without = "import os; del os.pidfd_open; from jobkit.cli import main; main()"
    worker = start_worker("--concurrency", "1", program=("-c", without))
    warm(worker, kit)
    run = kit.submit(CountUntilGo(folder=str(folder)))
    os.kill(folder.wait_for_start(), signal.SIGKILL)
    folder.wait_for_start(2)
    folder.go()
    assert run.result(timeout=5) == 2


def test_where_the_kernel_does_not_end_orphans_they_end_themselves(tmp_path: Path) -> None:
    orphan = tmp_path / "orphan"
    child = (
        "import os, pathlib, sys, time;"
        "from jobkit.worker.parentage import die_with_parent;"
        "sys.platform = 'other';"
        f"die_with_parent(os.getppid()); pathlib.Path({str(orphan)!r}).write_text(str(os.getpid())); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"]
    )
    wait_until(lambda: orphan.exists() and orphan.read_text(), "the child is up")
    assert is_alive(int(orphan.read_text()))
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_alive(int(orphan.read_text())), "the orphan has ended", timeout=3)


def test_after_a_whole_worker_is_killed_another_takes_over_within_the_lease(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    first = start_worker("--concurrency", "1")
    run = kit.submit(CountUntilGo(folder=str(folder)))
    process = folder.wait_for_start()
    warm(start_worker("--concurrency", "1"), kit)
    killed = time.monotonic()
    first.send(signal.SIGKILL)
    first.exit_code()
    wait_until(lambda: not is_alive(process), "its child has ended too", timeout=5)
    folder.wait_for_start(2)
    assert time.monotonic() - killed < LEASE + 8
    folder.go()
    assert run.result(timeout=5) == 2
    assert [incident.kind for incident in run.incidents()] == [IncidentKind.LOST]


def test_the_children_of_a_killed_supervisor_end_even_while_they_hold_the_interpreter(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1")
    kit.submit(HoldsTheInterpreter(folder=str(folder), seconds=60))
    process = folder.wait_for_start()
    worker.send(signal.SIGKILL)
    worker.exit_code()
    wait_until(lambda: not is_alive(process), "the child has ended", timeout=5)


def test_a_worker_frozen_past_its_lease_changes_nothing_when_it_wakes(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    """The frozen one wakes while the other performs: its reports, its settling and its heartbeat come too late."""
    frozen = start_worker("--concurrency", "1")
    run = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start()
    wait_until(lambda: run.snapshot().done > 50, "it has reported")
    warm(start_worker("--concurrency", "1"), kit)
    watching = run.watch()
    orders = [next(watching).order]
    frozen.freeze()
    folder.wait_for_start(2)
    before = run.snapshot()
    frozen.thaw()
    wait_until(
        lambda: "is to stop (lost)" in frozen.text or "no longer ours" in frozen.text,
        "the frozen worker has learned that its lease was lost, by its heartbeat or by a report",
    )
    wait_until(lambda: run.snapshot().done > 10, "the new start reports")
    awake = run.snapshot()
    assert awake.start == before.start == 2
    assert awake.version >= before.version
    folder.go()
    orders += [snapshot.order for snapshot in watching]
    assert orders == sorted(orders)
    assert run.result(timeout=5) == 2
    assert run.snapshot().start == 2
    wait_until(lambda: "no longer ours" in frozen.text, "its job was stopped")
    wait_until(after(2 * CountUntilGo.cancel_grace), "the grace of the stopped job is over")
    assert "is killed" not in frozen.text, "its child has stopped, and is left alone"
    assert kit.submit(Add(a=1, b=1)).result(timeout=5) == 2


def test_a_job_that_holds_the_interpreter_for_three_leases_is_performed_once(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "1")
    start_worker("--concurrency", "1")
    run = kit.submit(HoldsTheInterpreter(folder=str(folder), seconds=3 * LEASE))
    assert run.result(timeout=10) == 1
    assert len(folder.starts()) == 1
    assert run.snapshot().start == 1


def test_a_job_that_kills_its_workers_ends_when_its_crash_budget_is_spent(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "1")
    run = kit.submit(KillsItsProcess(folder=str(folder)))
    with pytest.raises(WorkerLost, match=r"signal 9 \(SIGKILL\)"):
        run.result(timeout=10)
    assert len(folder.starts()) == 2
    assert run.snapshot().state is State.FAILED
    assert kit.submit(Add(a=1, b=1)).result(timeout=5) == 2


def test_a_run_keeps_those_who_wait_when_its_worker_dies(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    start_worker("--concurrency", "2")
    run = kit.submit(CountUntilGo(folder=str(folder)))
    watching = run.watch()
    states = [next(watching).state]
    os.kill(folder.wait_for_start(), signal.SIGKILL)
    folder.wait_for_start(2)
    folder.go()
    states += [snapshot.state for snapshot in watching]
    assert states[-1] is State.SUCCEEDED
