"""Real workers, asked and changed while they run."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from jobkit import JobKit, State, UnknownWorker
from jobkit.store.operations import CONTROL
from tests.life.jobs import Add, CountUntilGo, Sleeps
from tests.life.workers import Folder
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobkit.fleet import WorkerInfo
    from tests.life.workers import WorkerProcess


LONG = 30.0
"""Seconds, for a busy machine; who answers is not waited for so long."""


def known(kit: JobKit, worker: WorkerProcess) -> WorkerInfo | None:
    return next((each for each in kit.workers() if each.pid == worker.pid), None)


def name_of(kit: JobKit, worker: WorkerProcess) -> str:
    wait_until(lambda: known(kit, worker), "the worker has told of itself", timeout=30)
    found = known(kit, worker)
    assert found is not None
    return found.name


def folders(tmp_path: Path, number: int) -> list[Folder]:
    made = [tmp_path / f"run-{each}" for each in range(number)]
    for path in made:
        path.mkdir()
    return [Folder(path) for path in made]


def test_workers_tell_of_themselves_answer_and_one_that_was_killed_is_missed(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    first = start_worker("--concurrency", "1", "--queues", "default=3,slow")
    second = start_worker("--concurrency", "2", "--queues", "other")
    names = {name_of(kit, first), name_of(kit, second)}
    run = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start()

    answers = kit.control.ping(timeout=LONG)
    assert {reply.worker for reply in answers} == names
    assert answers.silent == ()
    assert all(reply.error is None and reply.seconds < 2 for reply in answers)
    (stats,) = kit.control.stats(name_of(kit, first), timeout=LONG).replies
    info = stats.value
    assert info is not None
    assert (info.concurrency, info.busy, info.queues) == (1, 1, {"default": 3, "slow": 1})
    assert info.memory is not None
    assert info.memory > 10_000_000
    assert (info.target, info.pool, info.pid) == ("tests.life.jobs:kit", "process", first.pid)
    (performing,) = info.performing
    assert (performing.run_id, performing.job) == (run.id, "tests.life.jobs.CountUntilGo")
    assert asyncio.run(_runs_of(kit, name_of(kit, first))) == [run.id]

    second_name = name_of(kit, second)
    os.kill(second.pid, signal.SIGKILL)
    second.process.wait()
    answers = kit.control.ping(timeout=2)
    assert [reply.worker for reply in answers] == [name_of(kit, first)]
    assert answers.silent == (second_name,)
    assert second_name in {worker.name for worker in kit.workers()}

    folder.go()
    run.result(timeout=10)
    first.stop()
    assert known(kit, first) is None


async def _runs_of(kit: JobKit, worker: str) -> list[str]:
    async with kit:
        answers = await kit.control.aruns(worker, timeout=LONG)
    return [performing.run_id for reply in answers for performing in reply.value or ()]


def test_a_pool_grows_and_shrinks_while_jobs_run(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    worker = start_worker("--concurrency", "1")
    name = name_of(kit, worker)
    one, two, three = folders(tmp_path, 3)
    runs = [kit.submit(CountUntilGo(folder=str(each))) for each in (one, two, three)]
    one.wait_for_start()
    assert [reply.value for reply in kit.control.grow(2, name, timeout=LONG)] == [3]
    two.wait_for_start()
    three.wait_for_start()
    assert [reply.value for reply in kit.control.shrink(2, name, timeout=LONG)] == [1]
    waiting = kit.submit(Add(a=1, b=1))
    refused = kit.control.shrink(1, name, timeout=LONG).replies[0]
    assert refused.error is not None
    assert "0 is not from 1" in refused.error
    for folder, run in zip((one, two, three), runs, strict=True):
        folder.go()
        assert run.result(timeout=10) == 1  # nothing was performed twice
    assert waiting.result(timeout=10) == 2
    wait_until(lambda: len(worker.children()) == 2, "one child and a spare are left")
    info = kit.control.stats(name, timeout=LONG).replies[0].value
    assert info is not None
    assert (info.concurrency, info.performed, info.failed, info.crashed) == (1, 4, 0, 0)


def test_queues_and_the_log_level_change_and_a_paused_queue_waits(
    kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    worker = start_worker("--concurrency", "1")
    name = name_of(kit, worker)
    run = kit.submit(Add(a=1, b=1), queue="mail")
    assert run.snapshot().queue.workers == 0
    assert [reply.value for reply in kit.control.queues(name, add=["mail"], remove=["default"], timeout=LONG)] == [
        {"mail": 0}
    ]
    assert run.result(timeout=10) == 2
    assert kit.submit(Add(a=1, b=1)).snapshot().queue.workers == 0
    refused = kit.control.queues(name, remove=["mail"], timeout=LONG).replies[0]
    assert refused.error is not None
    assert "no queue would be left" in refused.error

    quiet: list[str] = []

    def logged() -> bool:
        """Whether one more run is: its process is told of a level a moment after the worker has answered."""
        one = kit.submit(Add(a=2, b=1), queue="mail")
        assert one.result(timeout=10) == 3
        quiet.append(one.id)
        return one.id in worker.text

    wait_until(logged, "runs are logged")
    quiet.clear()
    kit.control.log_level("error", name, timeout=LONG)
    wait_until(lambda: not (logged() or logged() or logged()), "runs are not logged")
    last = quiet[-3:]
    kit.control.log_level("info", name, timeout=LONG)
    wait_until(logged, "runs are logged again")
    assert any(each not in worker.text for each in last)  # (what a process writes comes in its order)

    assert kit.pause_queue("mail")
    held = kit.submit(Add(a=1, b=2), queue="mail")
    standing = {each.queue: each for each in kit.backlog()}["mail"]
    assert (standing.waiting, standing.paused, standing.workers) == (1, True, 1)
    assert held.snapshot().queue.paused
    assert kit.resume_queue("mail")
    assert held.result(timeout=1.5) == 3  # woken, not found by chance


def test_children_are_replaced_without_breaking_off_what_they_perform(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "2")
    name = name_of(kit, worker)
    run = kit.submit(CountUntilGo(folder=str(folder)))
    busy = folder.wait_for_start()
    wait_until(lambda: len(worker.children()) == 3, "two children and a spare are there")
    idle = set(worker.children()) - {busy}
    assert [reply.value for reply in kit.control.restart(name, timeout=LONG)] == [2]
    wait_until(lambda: not idle & set(worker.children()), "the idle children and the spare are others")
    assert busy in worker.children()
    folder.go()
    assert run.result(timeout=10) == 1
    wait_until(lambda: busy not in worker.children(), "the busy one has gone too")
    assert kit.submit(Add(a=1, b=1)).result(timeout=10) == 2


def test_a_worker_is_stopped_gracefully_and_by_force_at_once(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker = start_worker("--concurrency", "1")
    name = name_of(kit, worker)
    run = kit.submit(Sleeps(folder=str(folder)))
    folder.wait_for_start()
    assert [reply.error for reply in kit.control.stop(name, timeout=LONG)] == [None]
    wait_until(lambda: "takes nothing more" in worker.text, "it takes nothing more")
    assert run.snapshot().state is State.RUNNING
    kit.control.stop(name, force=True, timeout=LONG)
    assert worker.exit_code() == 0
    assert run.snapshot().state is State.QUEUED
    assert kit.workers() == ()


def test_who_is_named_must_be_known_and_a_request_is_understood_or_refused_and_done_once(
    kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    """A message comes twice when its publisher was not sure whether it was published."""
    with pytest.raises(UnknownWorker, match="No worker has told of itself"):
        kit.control.ping("nobody")
    assert len(kit.control.ping(timeout=0.2)) == 0
    name = name_of(kit, start_worker("--concurrency", "1"))
    with pytest.raises(UnknownWorker, match=f"There are {name}"):
        kit.control.ping("nobody")
    heard: list[bytes | None] = []
    grow = b'{"id":"7","command":"resize","arguments":{"by":1},"workers":null}'
    dance = b'{"id":"1","command":"dance","arguments":{},"workers":null}'
    with kit.listening().subscribed(kit.operations.replies_channel("1"), heard.append):
        for message in (grow, grow, b"no request", dance):
            kit.store().execute(kit.operations.tell(CONTROL, message))
        wait_until(lambda: heard, "it is answered")
    assert b"unknown command 'dance': this worker is of jobkit" in (heard[0] or b"")
    assert [reply.value for reply in kit.control.grow(1, name, timeout=LONG)] == [3]
