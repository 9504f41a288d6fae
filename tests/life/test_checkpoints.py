"""Long jobs and the deaths of their workers: what was kept is not done again, and nothing is left out."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from jobkit import JobKit, State
from tests.life import long
from tests.life.long import Long, LongOnALoop, OneStep, Steps
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobkit import Run, Snapshot
    from tests.life.workers import Folder, WorkerProcess
    from tests.servers import Server

TARGET = "tests.life.long:kit"
ITEMS_A_SECOND = 200


@pytest.fixture
def kit(life_url: str, namespace: str) -> Iterator[JobKit]:
    with JobKit(life_url, jobs=long.kit.jobs.values(), namespace=namespace) as kit:
        yield kit


@pytest.fixture
def worker(start_worker: Callable[..., WorkerProcess]) -> Callable[..., WorkerProcess]:
    return lambda *options: start_worker("--concurrency", "1", *options, target=TARGET)


def items_by_start(folder: Folder) -> list[list[int]]:
    """What each start has finished, in this order."""
    lines = Path(str(folder), "items")
    words = [line.split() for line in lines.read_text().splitlines()] if lines.exists() else []
    return [[int(item) for _, item, _ in group] for _, group in itertools.groupby(words, key=lambda word: word[0])]


def wait_for_items(folder: Folder, count: int, start: int = 1) -> None:
    def reached() -> bool:
        starts = items_by_start(folder)
        return len(starts) >= start and len(starts[start - 1]) >= count

    wait_until(reached, f"start {start} has finished {count} items", timeout=20)


class Watching:
    """Everybody who looks at a run, in a thread."""

    def __init__(self, run: Run[int]) -> None:
        self._run = run
        self._seen: list[Snapshot] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def fractions(self) -> dict[int, list[float]]:
        """Of each start, once the run has ended."""
        self._thread.join(timeout=10)
        fractions: dict[int, list[float]] = {}
        for snapshot in self._seen:
            if snapshot.state is State.RUNNING and snapshot.progress.fraction is not None:
                fractions.setdefault(snapshot.start, []).append(snapshot.progress.fraction)
        return fractions

    def _watch(self) -> None:
        for snapshot in self._run.watch():
            self._seen.append(snapshot)


@pytest.mark.parametrize(("job", "deploys"), [(Long, 3), (LongOnALoop, 1), (Steps, 1)])
def test_a_deploy_in_the_middle_of_a_long_job_costs_no_attempt_and_no_work(
    job: type[Long], deploys: int, kit: JobKit, worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    """Of which there may be several in a row: new workers are started, and the old one is told to end."""
    serving = worker("--grace", "20")
    run = kit.submit(job(folder=str(folder), count=200))
    watching = Watching(run)
    for number in range(1, deploys + 1):
        wait_for_items(folder, 30, start=number)
        new = worker("--grace", "20")
        serving.send(signal.SIGTERM)
        assert serving.exit_code() == 0
        serving = new
    assert run.result(timeout=20) == (sum(range(200)) if job is LongOnALoop else 200)
    starts = items_by_start(folder)
    assert [item for items in starts for item in items] == list(range(200)), "each once, in order"
    snapshot = run.snapshot()
    assert (snapshot.start, snapshot.attempt, len(starts)) == (deploys + 1, 1, deploys + 1)
    for fractions in watching.fractions().values():
        assert fractions == sorted(fractions), "no bar goes back within a start"


def test_a_killed_child_goes_on_from_the_last_checkpoint_that_was_reported(
    kit: JobKit, worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    worker()
    run = kit.submit(Long(folder=str(folder), count=500))
    wait_for_items(folder, 300)
    os.kill(folder.wait_for_start(), signal.SIGKILL)
    assert run.result(timeout=20) == 500
    first, second = items_by_start(folder)
    assert second == list(range(second[0], 500))
    again = len(first) - second[0]
    assert 0 <= again <= 1.5 * ITEMS_A_SECOND, "about a second's items are done again"
    assert second[0] > 0
    (incident,) = run.incidents()
    assert incident.checkpoint_at is not None
    assert abs(incident.checkpoint_at.done - second[0]) < 0.2 * ITEMS_A_SECOND


def test_a_job_that_has_made_no_checkpoint_may_finish(
    kit: JobKit, worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    old = worker("--grace", "20")
    run = kit.submit(OneStep(folder=str(folder), count=0))
    folder.wait_for_start()
    old.send(signal.SIGTERM)
    wait_until(lambda: "takes nothing more" in old.text, "the worker has heard it")
    folder.go()
    assert old.exit_code() == 0
    assert run.result(timeout=5) == 0


def test_a_job_whose_time_is_over_is_handed_back_with_its_last_checkpoint(
    kit: JobKit, worker: Callable[..., WorkerProcess], folder: Folder
) -> None:
    old = worker("--grace", "0.2")
    run = kit.submit(OneStep(folder=str(folder), count=0))
    folder.wait_for_start()
    old.send(signal.SIGTERM)
    assert old.exit_code() == 0
    worker()
    folder.wait_for_start(2)
    folder.go()
    assert run.result(timeout=5) == 7
    assert run.snapshot().attempt == 1


class TestAStoreThatLosesEverything:
    @pytest.fixture
    def life_url(self, own_server: Server) -> str:
        return own_server.url

    def test_is_told_the_checkpoint_again_also_one_of_an_earlier_start(
        self, kit: JobKit, worker: Callable[..., WorkerProcess], folder: Folder, own_server: Server
    ) -> None:
        worker()
        run = kit.submit(OneStep(folder=str(folder), count=0))
        process = folder.wait_for_start()
        wait_until(lambda: has_checkpoint(own_server, kit, run), "the store has the checkpoint")
        os.kill(process, signal.SIGKILL)
        process = folder.wait_for_start(2)
        own_server.come_back_empty()
        wait_until(lambda: has_checkpoint(own_server, kit, run), "the store has it again", timeout=20)
        os.kill(process, signal.SIGKILL)
        folder.wait_for_start(3)
        folder.go()
        assert run.result(timeout=10) == 7


def has_checkpoint(server: Server, kit: JobKit, run: Run[int]) -> bool:
    with redis.Redis.from_url(server.url) as raw:
        try:
            return bool(raw.hexists(f"{kit.operations.prefix(run.id)}run:{run.id}", "checkpoint"))
        except redis.RedisError:
            return False
