"""What networks and servers do to an operation, with both clients: it is applied once, and answered."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from jobkit.errors import StoreMisconfigured, StoreUnavailable
from jobkit.lifecycle import Outcome, State
from jobkit.store.operations import Operation, Operations, new_run_id
from jobkit.store.replies import Admission, Cancelling, Lease, Renewed, Verdict
from tests import servers
from tests.store.clients import Client
from tests.store.proxy import Proxy
from tests.store.world import FAILED, LOST, World, open_world, submission
from tests.waiting import wait_until

Connect = Callable[..., Client]


@pytest.fixture
def proxy(valkey: servers.Server) -> Iterator[Proxy]:
    proxy = Proxy(valkey.port)
    yield proxy
    proxy.close()


@pytest.fixture
def direct(valkey: servers.Server, namespace: str) -> Iterator[World]:
    """The same namespace, seen without the network between."""
    world = open_world(valkey.url, namespace)
    world.store.open()
    yield world
    world.check()
    world.store.close()
    world.raw.close()


@pytest.fixture(params=["lose", "halve"])
def far(
    request: pytest.FixtureRequest, connect: Connect, proxy: Proxy, direct: World
) -> Callable[[Operation[Any]], Any]:
    """Executes one operation whose reply is lost, or broken off, twice."""
    client = connect(f"redis://127.0.0.1:{proxy.port}")
    client.execute_all([direct.operations.retire("w", ["default"])])

    def execute(operation: Operation[Any]) -> Any:
        getattr(proxy, request.param)(2)
        value = client.execute_all([operation])[0]
        direct.check()
        return value

    return execute


# A reply is lost after the server applied the operation --------------------------------------------------------------


def test_a_submission_whose_reply_is_lost_makes_one_run(far: Any, direct: World) -> None:
    name = new_run_id()
    admitted = far(direct.operations.submit(submission("k", id=name)))
    assert (admitted.admission, admitted.id) == (Admission.NEW, name)
    assert direct.members("runs") == [name]


def test_a_join_whose_reply_is_lost_counts_once(far: Any, direct: World) -> None:
    run = direct.submit("k")
    assert far(direct.operations.submit(submission("k"))).admission is Admission.JOINED
    assert direct.record(run.id)["interests"] == "2"


def test_a_take_whose_reply_is_lost_takes_one_run(far: Any, direct: World) -> None:
    first, second = direct.submit(), direct.submit()
    lease = far(direct.operations.take("w/1", "1", ["default"]))
    assert isinstance(lease, Lease)
    assert (lease.run_id, lease.start) == (first.id, 1)
    assert direct.members("ready:default") == [second.id]


def test_a_report_whose_reply_is_lost_is_written_once(far: Any, direct: World) -> None:
    lease = direct.started()
    assert far(direct.operations.report(lease, 1, b'{"done":4}')).verdict is Verdict.OK
    assert direct.load(lease.run_id).snapshot.done == 4


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED])
def test_an_outcome_whose_reply_is_lost_is_accepted_and_known_to_be(far: Any, direct: World, outcome: Outcome) -> None:
    lease = direct.started()
    settled = far(direct.operations.settle(lease, outcome, result=b"7", failure=FAILED))
    assert settled is Verdict.ENDED
    assert direct.state(lease.run_id).value == outcome.value


def test_a_handback_whose_reply_is_lost_requeues_once(far: Any, direct: World) -> None:
    lease = direct.started()
    assert far(direct.operations.settle(lease, Outcome.RELEASED)) is Verdict.OK
    assert direct.state(lease.run_id) is State.QUEUED


def test_a_release_whose_reply_is_lost_counts_one_crash(far: Any, direct: World) -> None:
    lease = direct.started(slot="w/1")
    assert far(direct.operations.release("w/1", crashed=True, failure=LOST)) == (Verdict.IDLE, "")
    assert (direct.state(lease.run_id), direct.record(lease.run_id)["crashes"]) == (State.QUEUED, "1")


def test_a_cancel_whose_reply_is_lost_withdraws_one_interest(far: Any, direct: World) -> None:
    run = direct.submit("k", interest="owner:ann")
    direct.submit("k", interest="owner:bob")
    assert far(direct.operations.cancel(run.id, "owner:ann")) is Cancelling.LEFT
    assert direct.record(run.id)["interests"] == "1"
    assert far(direct.operations.cancel(run.id, "owner:bob")) is Cancelling.STOPPING


def test_a_heartbeat_whose_reply_is_lost_renews(far: Any, direct: World) -> None:
    lease = direct.started(slot="w/1")
    renewed = far(direct.operations.renew("w", ["default"], ["w/1"]))
    assert renewed.slots == (Renewed("w/1", Verdict.OK, lease.run_id, lease.token),)


def test_a_sweep_whose_reply_is_lost_expires_once(far: Any, direct: World) -> None:
    lease = direct.started()
    direct.raw.zadd(f"{direct.prefix}leases", {lease.run_id: 1})
    direct.swept_ago(1.0)
    assert not far(direct.operations.sweep(1.0, LOST)).swept
    assert direct.record(lease.run_id)["crashes"] == "1"


def test_settling_and_taking_in_one_round_trip_survives_a_lost_reply(
    connect: Connect, proxy: Proxy, direct: World
) -> None:
    _first, second = direct.submit(), direct.submit()
    lease = direct.take("w/1")
    client = connect(f"redis://127.0.0.1:{proxy.port}")
    client.execute_all([direct.operations.retire("w", ["default"])])
    proxy.lose(1)
    settled, taken = client.execute_all(
        [
            direct.operations.settle(lease, Outcome.SUCCEEDED),
            direct.operations.take("w/1", "another", ["default"]),
        ]
    )
    assert (settled, taken.run_id, taken.start) == (Verdict.ENDED, second.id, 1)


# Servers that forget --------------------------------------------------------------------------------------------------


def test_scripts_that_the_server_forgot_are_loaded_again(connect: Connect, own_server: servers.Server) -> None:
    client = connect(own_server.url)
    world = open_world(own_server.url, _namespace(client))
    client.execute_all([world.operations.submit(submission("k"))])
    world.raw.function_flush()
    assert client.execute_all([world.operations.submit(submission("k"))])[0].admission is Admission.JOINED
    lease = client.execute_all([world.operations.take("w/1", "1", ["default"])])[0]
    world.raw.function_flush()
    settled, taken = client.execute_all(
        [
            world.operations.settle(lease, Outcome.SUCCEEDED),
            world.operations.take("w/1", "2", ["default"]),
        ]
    )
    assert settled is Verdict.OK
    assert taken.next_due is None
    world.check()


def test_an_emptied_store_is_opened_anew(connect: Connect, own_server: servers.Server) -> None:
    client = connect(own_server.url)
    world = open_world(own_server.url, _namespace(client))
    client.execute_all([world.operations.submit(submission("k"))])
    before = world.raw.hgetall(f"{world.prefix}partition")
    world.raw.flushall()
    assert client.execute_all([world.operations.submit(submission("k"))])[0].admission is Admission.NEW
    after = world.raw.hgetall(f"{world.prefix}partition")
    assert before[b"incarnation"] != after[b"incarnation"]
    world.check()


def test_a_holder_in_an_emptied_store_is_unknown(connect: Connect, own_server: servers.Server) -> None:
    client = connect(own_server.url)
    world = open_world(own_server.url, _namespace(client))
    world.store.open()
    lease = world.started(slot="w/1")
    world.raw.flushall()
    world.seen.clear()
    reported, settled, renewed = client.execute_all(
        [
            world.operations.report(lease, 1, b'{"done":1}'),
            world.operations.settle(lease, Outcome.SUCCEEDED),
            world.operations.renew("w", ["default"], ["w/1"]),
        ]
    )
    assert (reported.verdict, settled, renewed.slots[0].verdict) == (Verdict.UNKNOWN, Verdict.UNKNOWN, Verdict.IDLE)
    assert renewed.incarnation != lease.incarnation
    assert world.members("runs") == []


@pytest.mark.parametrize("kind", ["own_server", "own_redis_server"])
def test_a_restarted_server_has_everything_and_operations_wait_for_it(
    request: pytest.FixtureRequest, connect: Connect, kind: str
) -> None:
    server: servers.Server = request.getfixturevalue(kind)
    client = connect(server.url)
    operations = Operations(_namespace(client))
    run = client.execute_all([operations.submit(submission("k"))])[0]
    lease = client.execute_all([operations.take("w/1", "1", ["default"])])[0]
    server.stop()
    restart = threading.Timer(0.1, server.start)
    restart.start()
    reported = client.execute_all([operations.report(lease, 1, b'{"done":1}')])[0]
    restart.join()
    assert reported.verdict is Verdict.OK
    assert client.execute_all([operations.load(run.id)])[0].snapshot.done == 1


@pytest.mark.parametrize("kind", ["own_server", "own_redis_server"])
def test_a_server_that_is_loading_its_data_is_waited_for(
    request: pytest.FixtureRequest, connect: Connect, kind: str
) -> None:
    server: servers.Server = request.getfixturevalue(kind)
    client = connect(server.url)
    operations = client.operations
    run = client.execute_all([operations.submit(submission("k"))])[0]
    raw: Any = redis.Redis.from_url(server.url)
    raw.mset({f"ballast:{number}": "x" * 1000 for number in range(50)})
    raw.bgrewriteaof()
    wait_until(lambda: not raw.info("persistence")["aof_rewrite_in_progress"], "all is in the base file")
    raw.close()
    server.stop()
    server.options.update(key_load_delay="10000", loading_process_events_interval_bytes="1024")
    starting = threading.Thread(target=server.start)
    starting.start()
    assert client.execute_all([operations.submit(submission("k"))])[0].id == run.id
    starting.join()
    with redis.Redis.from_url(server.url) as raw:
        assert raw.info("errorstats")["errorstat_LOADING"]["count"] > 0


def test_a_client_that_comes_back_to_an_older_copy_of_its_store_makes_it_another(
    connect: Connect, own_server: servers.Server
) -> None:
    """So that those who perform runs, and those who wait for them, learn that something was lost."""
    client = connect(own_server.url)
    operations = client.operations
    client.execute_all([operations.submit(submission())])
    before = client.incarnation()
    with own_server.rolled_back():
        lease = client.execute_all([operations.take("w/1", "1", ["default"])])[0]
        assert lease.incarnation == before
    client.execute_all([operations.list()])
    assert client.incarnation() != before


def test_a_client_that_comes_back_to_all_it_knew_changes_nothing(connect: Connect, own_server: servers.Server) -> None:
    client = connect(own_server.url)
    client.execute_all([client.operations.submit(submission())])
    client.execute_all([client.operations.take("w/1", "1", ["default"])])
    before = client.incarnation()
    own_server.restart()
    client.execute_all([client.operations.list()])
    assert client.incarnation() == before


# Servers that refuse --------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_unavailable_after_some_patience(connect: Connect) -> None:
    client = connect(f"redis://127.0.0.1:{servers.free_port()}", patience=0.05)
    with pytest.raises(StoreUnavailable, match="does not answer"):
        client.execute_all([Operations().open()])


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
def test_a_server_that_may_evict_live_runs_is_refused(
    connect: Connect, own_server: servers.Server, policy: str
) -> None:
    _set(own_server, "maxmemory-policy", policy)
    with pytest.raises(StoreMisconfigured, match=f"{policy}.*noeviction"):
        connect(own_server.url).execute_all([Operations().open()])


@pytest.mark.parametrize("login", ["", ":wrong@", "somebody:secret@"])
def test_a_wrong_login_is_misconfigured_and_not_tried_again(
    connect: Connect, own_server: servers.Server, login: str
) -> None:
    _set(own_server, "requirepass", "secret")
    with pytest.raises(StoreMisconfigured) as refusal:
        connect(f"redis://{login}127.0.0.1:{own_server.port}").execute_all([Operations().open()])
    assert "wrong@" not in str(refusal.value)


def test_a_store_of_another_format_is_refused(connect: Connect, valkey: servers.Server, namespace: str) -> None:
    raw = redis.Redis.from_url(valkey.url)
    raw.hset(f"{{{namespace}:0}}:partition", mapping={"format": "99", "incarnation": "x", "secret": "x"})
    with pytest.raises(StoreMisconfigured, match="format 99"):
        connect(valkey.url).execute_all([Operations(namespace).list()])
    raw.close()


@pytest.mark.parametrize("kind", ["own_server", "own_redis_server"])
def test_a_full_store_takes_no_new_work_and_ends_what_it_has(
    request: pytest.FixtureRequest, connect: Connect, kind: str
) -> None:
    server: servers.Server = request.getfixturevalue(kind)
    client = connect(server.url)
    world = open_world(server.url, _namespace(client))
    for slot in ("w/1", "w/2", "w/3"):
        world.started(slot=slot)
    waiting = world.submit()
    world.raw.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="out of memory"):
        client.execute_all([world.operations.submit(submission("k"))])
    lease = client.execute_all([world.operations.take("w/4", "1", ["default"])])[0]
    assert lease.run_id == waiting.id
    client.execute_all(
        [
            world.operations.report(lease, 1, b'{"done":1}'),
            world.operations.renew("w", ["default"], ["w/1", "w/2", "w/3", "w/4"]),
            world.operations.settle(lease, Outcome.SUCCEEDED, result=b'"done"'),
            world.operations.release("w/1", crashed=True, failure=LOST),
            world.operations.cancel(world.slot("w/2")["run"], "", force=True),
            world.operations.sweep(1.0, LOST),
            world.operations.load(lease.run_id, watch=30.0),
        ]
    )
    world.raw.config_set("maxmemory", "0")
    assert world.state(lease.run_id) is State.SUCCEEDED
    assert world.pointer("k") == {}


def test_a_server_that_became_a_replica_is_waited_for(connect: Connect, own_server: servers.Server) -> None:
    client = connect(own_server.url)
    operations = Operations(_namespace(client))
    client.execute_all([operations.submit(submission("k"))])
    raw: Any = redis.Redis.from_url(own_server.url)
    raw.config_set("replica-serve-stale-data", "yes")
    raw.replicaof("127.0.0.1", own_server.port + 1 if own_server.port < 65535 else 1)
    promote = threading.Thread(target=_promote_after_a_refusal, args=(raw,))
    promote.start()
    assert client.execute_all([operations.submit(submission("k"))])[0].admission is Admission.JOINED
    promote.join()
    raw.close()


def test_a_primary_without_its_replicas_is_waited_for(connect: Connect, own_server: servers.Server) -> None:
    """`min-replicas-to-write`: who is cut off from its replicas takes no writes, which would be lost."""
    client = connect(own_server.url)
    client.execute_all([client.operations.submit(submission("k"))])
    raw: Any = redis.Redis.from_url(own_server.url)
    raw.config_set("min-replicas-to-write", "1")

    def find_replicas() -> None:
        wait_until(lambda: "errorstat_NOREPLICAS" in raw.info("errorstats"), "a write was refused")
        raw.config_set("min-replicas-to-write", "0")

    finding = threading.Thread(target=find_replicas)
    finding.start()
    assert client.execute_all([client.operations.submit(submission("k"))])[0].admission is Admission.JOINED
    finding.join()
    raw.close()


def _promote_after_a_refusal(raw: Any) -> None:
    wait_until(lambda: "errorstat_READONLY" in raw.info("errorstats"), "a write was refused")
    raw.replicaof("NO", "ONE")


def _set(server: servers.Server, name: str, value: str) -> None:
    raw = redis.Redis.from_url(server.url)
    raw.config_set(name, value)
    raw.close()


def _namespace(client: Client) -> str:
    return client.operations.namespace
