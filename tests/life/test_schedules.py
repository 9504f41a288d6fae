"""Real workers and the clock: each tick is fired once, whoever dies, sleeps or is replaced meanwhile."""

from __future__ import annotations

import signal
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import pytest

from jobkit import JobKit, State
from tests.life.workers import after
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.life.workers import Folder, WorkerProcess

    StartClocked = Callable[..., WorkerProcess]


class Ticked(NamedTuple):
    """One performance: for when it was, by which version, and when it really was."""

    tick: int
    version: str
    at: float


@pytest.fixture
def clocked(start_worker: Callable[..., WorkerProcess], folder: Folder) -> StartClocked:
    """Start a worker of the clocked kit."""

    def start(version: str = "1") -> WorkerProcess:
        return start_worker(
            "--concurrency", "1", "--lease", "1",
            target="tests.life.clocked:kit", CLOCKED_FOLDER=str(folder), CLOCKED_VERSION=version,
        )  # fmt: skip

    return start


@pytest.fixture
def observer(life_url: str, namespace: str) -> Iterator[JobKit]:
    with JobKit(life_url, namespace=namespace) as kit:
        yield kit


def ticked(folder: Folder) -> list[Ticked]:
    lines = folder.path / "ticks"
    texts = [line.split() for line in lines.read_text().splitlines()] if lines.exists() else []
    return [Ticked(int(tick), version, float(at)) for tick, version, at in texts]


def wait_for_ticks(folder: Folder, more: int) -> None:
    there = len(ticked(folder))
    wait_until(lambda: len(ticked(folder)) >= there + more, f"{more} more ticks are performed", timeout=20)


def check_each_tick_once(observer: JobKit, folder: Folder) -> None:
    """None was passed over, and each has one run. (A run whose worker was killed may have been started twice.)"""
    observer.pause_schedule("ticking")
    runs = observer.runs(limit=1000).snapshots
    wait_until(lambda: len(observer.runs(State.SUCCEEDED, limit=1000).snapshots) == len(runs), "all are performed")
    ticks = sorted({each.tick for each in ticked(folder)})
    assert {second - first for first, second in pairwise(ticks)} == {1}
    assert len(runs) == len(ticks)


def test_each_tick_is_fired_once_while_workers_are_killed_and_frozen(
    observer: JobKit, clocked: StartClocked, folder: Folder
) -> None:
    killed, frozen, _ = [clocked() for _ in range(3)]
    wait_for_ticks(folder, 2)
    killed.send(signal.SIGKILL)
    frozen.freeze()
    wait_for_ticks(folder, 2)
    frozen.thaw()
    wait_for_ticks(folder, 2)
    check_each_tick_once(observer, folder)


def test_ticks_come_in_time_and_those_that_nobody_was_there_for_are_made_up_for(
    observer: JobKit, clocked: StartClocked, folder: Folder
) -> None:
    first = clocked()
    wait_for_ticks(folder, 3)
    delays = sorted(each.at - each.tick for each in ticked(folder))
    assert 0 <= delays[0] < 0.2, "50 ms where nothing else runs"
    first.stop()
    wait_until(after(1.5), "nobody is there")
    clocked()
    wait_for_ticks(folder, 3)
    check_each_tick_once(observer, folder)


def test_in_a_rolling_deploy_the_new_declaration_takes_over_between_two_ticks(
    observer: JobKit, clocked: StartClocked, folder: Folder
) -> None:
    old = clocked("1")
    wait_for_ticks(folder, 2)
    clocked("2")
    wait_until(lambda: ticked(folder)[-1].version == "2", "the new version fires", timeout=20)
    wait_for_ticks(folder, 2)
    old.stop()
    wait_for_ticks(folder, 1)
    versions = [each.version for each in sorted(ticked(folder))]
    assert versions == sorted(versions)
    check_each_tick_once(observer, folder)
