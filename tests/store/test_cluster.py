"""A store spread over a cluster: partitions on three nodes, slots that move, nodes that die."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from jobkit.errors import StoreMisconfigured, StoreUnavailable
from jobkit.lifecycle import Outcome, State
from jobkit.store.async_client import AsyncStore
from jobkit.store.client import Store
from jobkit.store.location import locate
from jobkit.store.operations import Operations, new_run_id
from jobkit.store.replies import Admission, Lease, NoWork, Verdict
from tests.fleets import ask
from tests.store.clients import Client
from tests.store.world import submission
from tests.waiting import await_until, wait_until

if TYPE_CHECKING:
    from jobkit.store.operations import Operation
    from tests import servers
    from tests.fleets import Cluster

Connect = Callable[..., Client]

PARTITIONS = 8
"""Enough for every node to have some."""


@pytest.fixture
def client(connect: Connect, cluster: Cluster) -> Client:
    return connect(f"{cluster.url}?partitions={PARTITIONS}")


@pytest.fixture
def own_client(connect: Connect, own_cluster: Cluster) -> Client:
    return connect(f"{own_cluster.url}?partitions={PARTITIONS}", patience=30.0)


def submissions(client: Client, partitions: range = range(PARTITIONS)) -> list[Operation[Any]]:
    return [client.operations.submit(submission("k", id=new_run_id(partition))) for partition in partitions]


def nodes_of(client: Client, cluster: Cluster) -> list[servers.Server]:
    return [cluster.node_of(client.operations.prefix(f"{partition}-")) for partition in range(PARTITIONS)]


# Three nodes at once --------------------------------------------------------------------------------------------------


def test_partitions_are_spread_over_all_nodes(client: Client, cluster: Cluster) -> None:
    runs = [admitted.id for admitted in client.execute_all(submissions(client))]
    keys = [f"{client.operations.prefix(run)}run:{run}" for run in runs]
    nodes = nodes_of(client, cluster)
    assert [ask(node, "EXISTS", key) for node, key in zip(nodes, keys, strict=True)] == [1] * PARTITIONS
    assert set(nodes) == set(cluster.nodes)


def test_runs_of_all_partitions_are_taken_reported_and_settled(client: Client) -> None:
    operations = client.operations
    ids = [admitted.id for admitted in client.execute_all(submissions(client))]
    leases = client.execute_all(
        [operations.take("w/1", "1", ["default"], partition=partition) for partition in range(PARTITIONS)]
    )
    assert [lease.run_id for lease in leases] == ids
    assert len({lease.incarnation for lease in leases}) == PARTITIONS
    reported = client.execute_all([operations.report(lease, 1, b'{"done":1}') for lease in leases])
    assert {each.verdict for each in reported} == {Verdict.OK}
    settled = client.execute_all([operations.settle(lease, Outcome.SUCCEEDED, result=b"7") for lease in leases])
    assert set(settled) == {Verdict.OK}
    loaded = client.execute_all([operations.load(each, result=True) for each in reversed(ids)])
    assert [(each.snapshot.id, each.result) for each in loaded] == [(each, b"7") for each in reversed(ids)]


def test_all_clients_agree_about_the_secret_and_who_the_partitions_are(
    connect: Connect, client: Client, cluster: Cluster
) -> None:
    assert client.partitions() == PARTITIONS
    other = connect(cluster.url)
    assert other.partitions() == PARTITIONS
    assert other.secret() == client.secret()
    incarnations = [client.incarnation(partition) for partition in range(PARTITIONS)]
    assert [other.incarnation(partition) for partition in range(PARTITIONS)] == incarnations


def test_a_namespace_of_one_partition_works_too(connect: Connect, cluster: Cluster) -> None:
    client = connect(cluster.url)
    assert client.execute_all(submissions(client, range(1)))[0].admission is Admission.NEW
    assert client.partitions() == 1


@pytest.mark.parametrize("partitions", [1, PARTITIONS])
def test_a_waiting_worker_hears_the_bells_of_all_nodes_and_which_one_rang(
    cluster: Cluster, namespace: str, partitions: int
) -> None:
    store = Store(locate(f"{cluster.url}?partitions={partitions}"), Operations(namespace))
    assert store.wait(["default", "reports"], timeout=0.05) is None
    for partition in range(partitions):
        store.execute(store.operations.submit(submission(id=new_run_id(partition), queue="reports")))
        assert store.wait(["default", "reports"], timeout=5.0) == partition
    assert store.wait(["default", "reports"], timeout=0.05) is None
    store.close()


def test_a_waiting_worker_hears_more_bells_than_a_pool_has_connections(cluster: Cluster, namespace: str) -> None:
    store = Store(locate(f"{cluster.url}?partitions=300"), Operations(namespace))
    assert store.wait(["default"], timeout=0.05) is None
    store.execute(store.operations.submit(submission(id=new_run_id(299))))
    assert store.wait(["default"], timeout=5.0) == 299
    store.close()


def test_waiting_for_a_bell_ends_all_its_calls_as_soon_as_one_rang(cluster: Cluster, namespace: str) -> None:
    """A call that stayed would pop the next marker for nobody."""
    store = Store(locate(f"{cluster.url}?partitions={PARTITIONS}"), Operations(namespace))
    store.open()
    rang: list[int | None] = []
    for partition in (5, 2):
        waiting = threading.Thread(target=lambda: rang.append(store.wait(["default"], timeout=8.0)))
        waiting.start()
        wait_until(lambda: _blocked(cluster) == PARTITIONS, "it waits for all bells")
        store.execute(store.operations.submit(submission(id=new_run_id(partition))))
        waiting.join()
        wait_until(lambda: _blocked(cluster) == 0, "it waits for none")
    assert rang == [5, 2]
    store.close()


def test_what_is_published_anywhere_is_heard_over_one_connection(cluster: Cluster, namespace: str) -> None:
    async def scenario() -> None:
        store = AsyncStore(locate(f"{cluster.url}?partitions={PARTITIONS}"), Operations(namespace))
        heard: list[bytes | None] = []
        runs = [new_run_id(partition) for partition in range(PARTITIONS)]
        for run in runs:
            await store.subscriptions.subscribe(store.operations.snapshots_channel(run), heard.append)
        await store.execute_all([store.operations.submit(submission(id=run)) for run in runs])
        await store.execute_all([store.operations.load(run, watch=30.0) for run in runs])
        await store.execute_all([store.operations.cancel(run, "", force=True) for run in runs])
        await await_until(lambda: len(heard) == PARTITIONS, "all are heard")
        assert sum([ask(node, "INFO", "clients")["pubsub_clients"] for node in cluster.nodes]) == 1
        await store.close()

    asyncio.run(scenario())


# Slots that move ------------------------------------------------------------------------------------------------------


def test_a_partition_that_moved_is_found_where_it_is(own_client: Client, own_cluster: Cluster) -> None:
    runs = [admitted.id for admitted in own_client.execute_all(submissions(own_client))]
    key = own_client.operations.prefix(runs[3])
    target = another_node(own_cluster, key)
    own_cluster.move(key, target)
    assert own_cluster.node_of(key) is target
    joined = own_client.execute_all(submissions(own_client))
    assert [admitted.id for admitted in joined] == runs


def test_a_partition_waits_while_it_is_being_moved_and_nothing_in_it_is_mistaken_for_gone(
    own_client: Client, own_cluster: Cluster
) -> None:
    """Half of the keys are here and half are there; a script would take what it misses for what is not."""
    operations = own_client.operations
    runs = [admitted.id for admitted in own_client.execute_all(submissions(own_client))]
    lease = own_client.execute_all([operations.take("w/1", "1", ["default"], partition=3)])[0]
    key = operations.prefix(runs[3])
    answers: list[Any] = []
    asking = threading.Thread(
        target=lambda: answers.extend(
            own_client.execute_all(
                [
                    operations.report(lease, 1, b'{"done":1}'),
                    operations.submit(submission("k", id=new_run_id(3))),
                    operations.load(runs[0]),
                ]
            )
        )
    )
    target = another_node(own_cluster, key)
    source = own_cluster.node_of(key)
    with own_cluster.migrating(key, target):
        asking.start()
        wait_until(lambda: refusals(source, "TRYAGAIN") + refusals(source, "ASK") > 1, "it is refused, and asks again")
        assert not answers
    asking.join()
    reported, joined, other = answers
    assert (reported.verdict, joined.id, other.snapshot.id) == (Verdict.OK, runs[3], runs[0])
    settled = own_client.execute_all([operations.settle(lease, Outcome.SUCCEEDED)])[0]
    assert settled is Verdict.OK


@pytest.mark.parametrize(
    ("kind", "move"),
    [("own_cluster", "move"), ("own_cluster", "move_at_once"), ("own_redis_cluster", "move")],
)
def test_slots_that_move_under_load_lose_and_double_nothing(
    request: pytest.FixtureRequest, namespace: str, kind: str, move: str
) -> None:
    """All partitions move round the cluster, while threads submit, take and settle."""
    own_cluster: Cluster = request.getfixturevalue(kind)
    ended: list[str] = []
    stop = threading.Event()

    def work(number: int) -> None:
        store = Store(locate(f"{own_cluster.url}?partitions={PARTITIONS}"), Operations(namespace), patience=60.0)
        operations, count = store.operations, 0
        while not stop.is_set():
            count += 1
            run = new_run_id(count % PARTITIONS)
            store.execute(operations.submit(submission(id=run, queue=f"q{number}")))
            lease = store.execute(
                operations.take(f"w{number}/1", str(count), [f"q{number}"], partition=count % PARTITIONS)
            )
            assert isinstance(lease, Lease)
            assert lease.run_id == run
            assert store.execute(operations.settle(lease, Outcome.SUCCEEDED)) in (Verdict.OK, Verdict.ENDED)
            ended.append(run)
        store.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    store = Store(locate(f"{own_cluster.url}?partitions={PARTITIONS}"), Operations(namespace), patience=60.0)
    store.open()
    for partition in range(PARTITIONS):
        key = store.operations.prefix(f"{partition}-")
        getattr(own_cluster, move)(key, another_node(own_cluster, key))
    stop.set()
    for thread in threads:
        thread.join()
    assert len(set(ended)) == len(ended) > PARTITIONS
    states = [loaded.snapshot.state for loaded in store.execute_all([store.operations.load(run) for run in ended])]
    assert set(states) == {State.SUCCEEDED}
    assert all(loaded.snapshot.start == 1 for loaded in store.execute_all([store.operations.load(r) for r in ended]))
    store.close()


# Nodes that die, freeze or refuse -------------------------------------------------------------------------------------


def test_a_partition_goes_on_at_the_replica_of_its_node(own_client: Client, own_cluster: Cluster) -> None:
    runs = [admitted.id for admitted in own_client.execute_all(submissions(own_client))]
    key = own_client.operations.prefix(runs[3])
    primary = own_cluster.node_of(key)
    own_cluster.add_replica(primary)
    primary.kill()
    joined = own_client.execute_all(submissions(own_client))
    assert [admitted.id for admitted in joined] == runs
    assert own_cluster.node_of(key) is own_cluster.nodes[-1]


def test_one_node_that_is_frozen_keeps_no_other_from_answering(own_cluster: Cluster, namespace: str) -> None:
    async def scenario() -> None:
        store = AsyncStore(locate(f"{own_cluster.url}?partitions={PARTITIONS}"), Operations(namespace))
        operations = store.operations
        asked = [operations.list(partition=partition) for partition in range(PARTITIONS)]
        await store.execute_all(asked)
        nodes = [own_cluster.node_of(operations.prefix(f"{partition}-")) for partition in range(PARTITIONS)]
        groups = store.by_server(range(PARTITIONS))
        assert {frozenset(group) for group in groups} == {
            frozenset(each for each in range(PARTITIONS) if nodes[each] is node) for node in own_cluster.nodes
        }
        with nodes[3].paused():
            frozen = asyncio.create_task(store.execute_each([asked[3]], 0.0))
            others = [asked[each] for each in range(PARTITIONS) if nodes[each] is not nodes[3]]
            await asyncio.wait_for(store.execute_all(others), 2.0)
            assert not frozen.done()
        await frozen
        await store.close()

    asyncio.run(scenario())


def test_every_node_is_checked_for_throwing_away_live_runs(own_client: Client, own_cluster: Cluster) -> None:
    node = own_cluster.node_of(own_client.operations.prefix("3-"))
    ask(node, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(StoreMisconfigured, match="allkeys-lru"):
        own_client.execute_all(submissions(own_client))


def test_connections_that_a_node_cut_are_made_anew(own_client: Client, own_cluster: Cluster) -> None:
    runs = [admitted.id for admitted in own_client.execute_all(submissions(own_client))]
    for node in own_cluster.nodes:
        ask(node, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert [admitted.id for admitted in own_client.execute_all(submissions(own_client))] == runs


def test_a_node_that_forgot_the_scripts_is_taught_them_again(own_client: Client, own_cluster: Cluster) -> None:
    runs = [admitted.id for admitted in own_client.execute_all(submissions(own_client))]
    ask(own_cluster.nodes[1], "FUNCTION", "FLUSH", "SYNC")
    assert [admitted.id for admitted in own_client.execute_all(submissions(own_client))] == runs


def test_a_node_that_is_full_takes_no_new_work_and_the_others_do(own_client: Client, own_cluster: Cluster) -> None:
    operations = own_client.operations
    own_client.execute_all([operations.list(partition=partition) for partition in range(PARTITIONS)])
    full = own_cluster.node_of(operations.prefix("3-"))
    ask(full, "CONFIG", "SET", "maxmemory", "1")
    for partition, node in enumerate(nodes_of(own_client, own_cluster)):
        (submitting,) = submissions(own_client, range(partition, partition + 1))
        if node is full:
            with pytest.raises(StoreUnavailable, match="out of memory"):
                own_client.execute_all([submitting])
        else:
            assert own_client.execute_all([submitting])[0].admission is Admission.NEW
    assert isinstance(own_client.execute_all([operations.take("w/1", "1", ["default"], partition=3)])[0], NoWork)


def test_a_server_that_is_no_cluster_is_told_apart(connect: Connect, valkey: servers.Server) -> None:
    with pytest.raises(StoreUnavailable, match=r"no node tells where the slots are .*cluster support disabled"):
        connect(f"redis+cluster://127.0.0.1:{valkey.port}", patience=0.0).partitions()


def test_a_node_that_is_named_as_a_single_server_is_refused_with_advice(connect: Connect, cluster: Cluster) -> None:
    clients = [connect(f"{node.tcp_url}?partitions={PARTITIONS}") for node in cluster.nodes]
    for client in clients:
        with pytest.raises(StoreMisconfigured, match=r"is a node of a cluster: name it with redis\+cluster://"):
            client.execute_all(submissions(client))


def another_node(cluster: Cluster, key: str) -> servers.Server:
    return cluster.nodes[(cluster.nodes.index(cluster.node_of(key)) + 1) % 3]


def refusals(server: servers.Server, code: str) -> int:
    """How often this server answered so."""
    errors = ask(server, "INFO", "errorstats")
    return int(errors.get(f"errorstat_{code}", {"count": 0})["count"])


def _blocked(cluster: Cluster) -> int:
    return sum(ask(node, "INFO", "clients")["blocked_clients"] for node in cluster.nodes)
