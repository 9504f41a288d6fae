"""A worker on a cluster whose nodes freeze, and whose slots move."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from jobkit import State
from jobkit.store.operations import partition_of
from tests.fleets import ask
from tests.life.jobs import LEASE, Add, CountUntilGo, HoldsTheInterpreter
from tests.life.test_partitions import submit
from tests.life.workers import after
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit import JobKit
    from tests.fleets import Cluster
    from tests.life.workers import Folder, WorkerProcess

PARTITIONS = 8


@pytest.fixture
def life_url(own_cluster: Cluster) -> str:
    return f"{own_cluster.url}?partitions={PARTITIONS}"


def test_a_frozen_node_costs_no_lease_on_the_others(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder, own_cluster: Cluster
) -> None:
    for node in own_cluster.nodes:
        ask(node, "CONFIG", "SET", "cluster-require-full-coverage", "no")
    start_worker("--concurrency", "1")
    run = submit(kit, HoldsTheInterpreter(folder=str(folder), seconds=8 * LEASE), 3)
    folder.wait_for_start()
    wait_until(lambda: run.snapshot().queue.workers == 1, "its heart beats")
    leases = f"{kit.operations.prefix(run.id)}leases"
    here = own_cluster.node_of(leases)
    other = next(node for node in own_cluster.nodes if node is not here)
    left: list[float] = []
    with other.paused():
        over = after(4 * LEASE)
        while not over():
            left.append(int(ask(here, "ZSCORE", leases, run.id)) / 1000 - time.time())
    assert min(left) > 0, "it was renewed in time"
    assert run.result(timeout=20) == 1


def test_what_a_kit_submits_is_spread_performed_and_heard_of(
    kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    start_worker("--concurrency", "2")
    runs = kit.submit_many(Add(a=number, b=1) for number in range(40))
    assert len({partition_of(run.id) for run in runs}) > PARTITIONS / 2
    assert [run.result(timeout=20) for run in runs] == list(range(1, 41))
    last = [list(run.watch())[-1] for run in kit.submit_many(Add(a=number, b=2) for number in range(8))]
    assert {snapshot.state for snapshot in last} == {State.SUCCEEDED}


def test_a_run_goes_on_while_its_partition_moves_and_is_performed_once(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder, own_cluster: Cluster
) -> None:
    start_worker("--concurrency", "2")
    run = submit(kit, CountUntilGo(folder=str(folder)), 3)
    folder.wait_for_start()
    for _ in range(3):
        key = kit.operations.prefix(run.id)
        here = own_cluster.nodes.index(own_cluster.node_of(key))
        own_cluster.move(key, own_cluster.nodes[(here + 1) % 3])
        done = run.snapshot().done
        wait_until(lambda done=done: run.snapshot().done > done, "it reports to where its partition is")
        assert submit(kit, Add(a=1, b=1), 3).result(timeout=10) == 2
    folder.go()
    assert run.result(timeout=10) == 1
    assert run.snapshot().start == 1
