"""A store that goes away is not a death: runs go on, and are performed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobkit import State
from tests.life.jobs import LEASE, Add, CountUntilGo
from tests.life.workers import after
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit import JobKit, Run
    from tests.life.workers import Folder, WorkerProcess
    from tests.servers import Server


@pytest.fixture(params=["own_server", "own_redis_server"])
def server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def life_url(server: Server) -> str:
    return server.url


def ends_well(run: Run[int], folder: Folder) -> None:
    assert run.result(timeout=10) == 1
    assert run.snapshot().start == 1
    assert len(folder.starts()) == 1


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_running_job_survives_a_restart_of_the_store(
    how: str, kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder, server: Server
) -> None:
    worker = start_worker("--concurrency", "1")
    run = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start()
    getattr(server, how)()
    server.start()
    done = run.snapshot().done
    wait_until(lambda: run.snapshot().done > done, "it reports again", timeout=5)
    folder.go()
    ends_well(run, folder)
    assert worker.process.poll() is None


def test_a_job_that_ends_while_the_store_is_away_is_settled_when_it_is_back(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder, server: Server
) -> None:
    worker = start_worker("--concurrency", "1")
    run = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start()
    server.stop()
    folder.go()
    wait_until(lambda: "succeeded after" in worker.text, "the job has ended")
    server.start()
    ends_well(run, folder)


def test_a_store_frozen_for_longer_than_the_lease_costs_no_start(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder, server: Server
) -> None:
    start_worker("--concurrency", "1")
    start_worker("--concurrency", "1")
    run = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start()
    wait_until(lambda: run.snapshot().done > 0, "it has reported")
    with server.paused():
        wait_until(after(2 * LEASE), "two leases are over")
    wait_until(lambda: run.snapshot().state is State.RUNNING, "it still runs")
    folder.go()
    ends_well(run, folder)


def test_a_worker_started_before_its_store_waits_for_it(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], server: Server
) -> None:
    server.stop()
    worker = start_worker("--concurrency", "1")
    wait_until(lambda: "performs the" in worker.text, "the worker is up")
    server.start()
    assert kit.submit(Add(a=1, b=1)).result(timeout=10) == 2
