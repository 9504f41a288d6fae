"""Lost data: a store that comes back empty, or older, is told from one in which a run merely ended."""

from typing import Any

import msgspec
import pytest
import redis
from msgspec.structs import replace

from jobkit.lifecycle import Outcome, State
from jobkit.store.client import Store
from jobkit.store.location import locate
from jobkit.store.operations import Operations, Terms, Witness, new_run_id
from jobkit.store.replies import Admission, Cancelling, Lease, NoWork, Verdict
from tests import servers
from tests.store.world import LOST, World, open_world, submission


class Copy:
    """All that a namespace holds, to go back to."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept = {key: (world.raw.dump(key), max(0, world.raw.pttl(key))) for key in self._keys()}

    def restore(self) -> None:
        for key in self._keys():
            self._world.raw.delete(key)
        for key, (data, ttl) in self._kept.items():
            self._world.raw.restore(key, ttl, data)
        self._world.seen.clear()

    def _keys(self) -> list[bytes]:
        return list(self._world.raw.scan_iter(f"{self._world.prefix}*", count=1000))


def lose_all(world: World) -> None:
    for key in world.raw.scan_iter(f"{world.prefix}*", count=1000):
        world.raw.delete(key)
    world.seen.clear()
    world.store.open()


def reassert(world: World, lease: Lease, slot: str = "w/1") -> Verdict:
    return world.execute(world.operations.reassert(lease, slot))


# Emptied --------------------------------------------------------------------------------------------------------------


def test_a_holder_asserts_its_run_in_an_emptied_store_and_settles_it(world: World) -> None:
    lease = world.started(
        "k", slot="w/1", owner="ann", interest="owner:ann", priority=3, tags=("eu",), cache_ttl=60_000
    )
    before = world.record(lease.run_id)
    lose_all(world)
    assert world.report(lease).verdict is Verdict.UNKNOWN
    assert reassert(world, lease) is Verdict.OK
    after = world.record(lease.run_id)
    same = ("job", "queue", "key", "terms", "labels", "work", "created", "priority", "score", "token", "start", "owner")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert world.report(lease, 1, done=4).verdict is Verdict.OK
    assert world.load(lease.run_id).snapshot.done == 4
    assert world.submit("k", interest="owner:bob").id == lease.run_id
    assert world.cancel(lease.run_id, "owner:bob").value == "left"  # ann still has her stake
    assert world.settle(lease, result=b"7") is Verdict.OK
    assert world.submit("k").result == b"7"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"key": "k", "limits": "m:aaaa 1 r:bbbb 1000", "owner": "ann", "interest": "owner:ann", "priority": -2},
        {"key": "k", "abandon_after": 60_000, "max_attempts": 4},
    ],
    ids=["plain", "owned and limited", "to be abandoned"],
)
def test_what_is_asserted_anew_is_what_was_lost(world: World, given: dict[str, Any]) -> None:
    run = world.submit(**given)
    world.raw.hset(world.record_key(run.id), "failures", 2)
    lease = world.take()
    before = world.record(run.id)
    lose_all(world)
    assert reassert(world, lease) is Verdict.OK
    after = world.record(run.id)
    unlike = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert unlike <= {"version", "updated", "started", "parked", "progress"}
    snapshot = world.load(run.id).snapshot
    assert (snapshot.attempt, snapshot.start, snapshot.done) == (3, 1, 0)
    assert abs((snapshot.started_at or 0) - world.now() / 1000) < 5
    if "owner" in given:
        mine = world.execute(world.operations.list(owner="ann"))
        assert [snapshot.id for _, snapshot in mine.rows] == [run.id]


def test_who_submitted_it_comes_back_to_what_its_holder_asserted(world: World) -> None:
    lease = world.started("k", slot="w/1")
    lose_all(world)
    reassert(world, lease)
    again = world.submit("k", id=lease.run_id, owner="bob", interest="owner:bob")
    assert (again.admission, again.id) == (Admission.NEW, lease.run_id)
    assert world.record(lease.run_id)["interests"] == "2"
    assert world.execute(world.operations.owned(lease.run_id, "bob"))


def test_an_assertion_does_not_turn_the_clock_back(world: World) -> None:
    lease = world.started(slot="w/1")
    lose_all(world)
    newer = world.started(slot="w/2")
    assert reassert(world, lease) is Verdict.OK
    assert world.raw.hget(f"{world.prefix}partition", "clock") == newer.token.encode()


def test_a_slot_that_was_free_when_the_store_was_copied_holds_what_it_asserts(world: World) -> None:
    world.settle(world.started(slot="w/1"))
    world.submit()
    older = Copy(world)
    lease = world.take("w/1")
    older.restore()
    assert reassert(world, lease) is Verdict.OK
    assert world.renew("w/1")[0].verdict is Verdict.OK


def test_a_heartbeat_tells_that_the_store_has_lost_data(world: World) -> None:
    lease = world.started(slot="w/1")
    renew = world.operations.renew("w", ["default"], ["w/1"])
    assert world.execute(renew).incarnation == lease.incarnation
    lose_all(world)
    answer = world.execute(renew)
    assert answer.incarnation != lease.incarnation
    assert answer.slots[0].verdict is Verdict.IDLE
    reassert(world, lease)
    assert world.execute(renew).slots[0].verdict is Verdict.OK


def test_asserting_twice_is_asserting_once(world: World) -> None:
    lease = world.started(slot="w/1")
    lose_all(world)
    assert [reassert(world, lease), reassert(world, lease)] == [Verdict.OK] * 2
    assert world.record(lease.run_id)["interests"] == "1"


def test_a_run_that_was_asserted_without_a_slot_can_be_cancelled(world: World) -> None:
    lease = world.started("k", slot="w/1")
    lose_all(world)
    assert reassert(world, lease, slot="") is Verdict.OK
    assert world.cancel(lease.run_id) is Cancelling.STOPPING
    assert world.report(lease).verdict is Verdict.CANCEL


def test_an_assertion_sent_again_changes_nothing(world: World) -> None:
    lease = world.started(slot="w/1")
    lose_all(world)
    reassert(world, lease)
    world.report(lease, 1, done=4)
    before = world.record(lease.run_id)
    assert before["progress"] == '{"done":4}'
    assert reassert(world, lease) is Verdict.OK
    assert world.record(lease.run_id) == before


def test_what_was_settled_is_not_asserted_anew(world: World) -> None:
    lease = world.started(slot="w/1")
    world.settle(lease)
    assert reassert(world, lease) is Verdict.ENDED


def test_a_run_that_was_submitted_again_meanwhile_is_taken_over_while_nobody_has_it(world: World) -> None:
    lease = world.started("k", slot="w/1")
    lose_all(world)
    again = world.submit("k", id=lease.run_id)
    assert (again.admission, again.id) == (Admission.NEW, lease.run_id)
    assert world.settle(lease) is Verdict.UNKNOWN
    assert reassert(world, lease, "") is Verdict.OK
    assert isinstance(world.look("w/2"), NoWork)
    assert world.settle(lease) is Verdict.OK


def test_a_run_that_another_worker_has_begun_anew_stays_that_workers(world: World) -> None:
    lease = world.started("k", slot="w/1")
    lose_all(world)
    world.submit("k", id=lease.run_id)
    newer = world.take("w/2")
    assert reassert(world, lease) is Verdict.LOST
    assert world.report(lease).verdict is Verdict.LOST
    assert world.settle(newer) is Verdict.OK
    assert reassert(world, lease) is Verdict.LOST


def test_a_newer_live_run_of_the_key_keeps_it(world: World) -> None:
    lease = world.started("k", slot="w/1")
    lose_all(world)
    newer = world.submit("k")
    assert reassert(world, lease) is Verdict.OK
    assert world.pointer("k")["live"] == newer.id
    assert world.settle(lease) is Verdict.OK


def test_a_slot_that_was_given_up_asserts_nothing(world: World) -> None:
    lease = world.started(slot="w/1")
    lose_all(world)
    world.release("w/1")
    assert reassert(world, lease) is Verdict.LOST
    assert world.members("runs") == []


def test_a_run_that_merely_ended_and_was_forgotten_is_not_raised(world: World) -> None:
    """The holder was frozen, another performed the run, its record's time is over. Then the holder wakes."""
    zombie = world.started(slot="w/1")
    world.raw.delete(world.record_key(zombie.run_id), f"{world.prefix}slot:w/1")
    for index in ("runs", "leases", "state:running"):
        world.raw.zrem(world.prefix + index, zombie.run_id)
    assert world.report(zombie).verdict is Verdict.LOST
    assert reassert(world, zombie) is Verdict.LOST


def test_tokens_rise_above_those_of_the_lost_store(world: World) -> None:
    lease = world.started(slot="w/1")
    ahead = replace(lease, token=str(int(lease.token) + 10**12))  # the lost store's clock was far ahead
    lose_all(world)
    assert reassert(world, ahead) is Verdict.OK
    world.submit()
    assert int(world.take("w/2").token) > int(ahead.token)


# Older ----------------------------------------------------------------------------------------------------------------


def test_a_take_that_the_store_forgot_is_asserted_again(world: World) -> None:
    run = world.submit("k")
    older = Copy(world)
    lease = world.take("w/1")
    older.restore()
    assert world.state(run.id) is State.QUEUED
    assert world.report(lease).verdict is Verdict.UNKNOWN
    assert reassert(world, lease) is Verdict.OK
    assert isinstance(world.look("w/2"), NoWork)
    assert world.settle(lease) is Verdict.OK


def test_an_older_holder_that_the_store_went_back_to_gives_way_to_the_newer(world: World) -> None:
    world.submit("k", max_crashes=9)
    older_lease = world.take("w/1")
    older = Copy(world)
    world.release("w/1")
    newer = world.take("w/2")
    older.restore()
    assert reassert(world, newer, "w/2") is Verdict.OK
    assert world.report(older_lease).verdict is Verdict.LOST
    assert world.renew("w/1")[0].verdict is Verdict.LOST
    assert world.settle(newer) is Verdict.OK


def test_a_scheduled_run_that_was_being_performed_is_performed_on(world: World) -> None:
    run = world.submit(start="+60000")
    older = Copy(world)
    world.ripen(run.id)
    lease = world.take("w/1")
    older.restore()
    assert reassert(world, lease) is Verdict.OK
    assert world.state(run.id) is State.RUNNING


def test_an_outcome_that_the_store_forgot_is_accepted_again(world: World) -> None:
    lease = world.started(slot="w/1")
    older = Copy(world)
    world.settle(lease, result=b"7")
    older.restore()
    assert world.settle(lease, result=b"7") is Verdict.OK


def test_a_client_that_saw_a_newer_token_from_another_server_proves_that_the_store_is_older(world: World) -> None:
    world.submit()
    older = Copy(world)
    lease = world.take("w/1")
    older.restore()
    assert _opened(world, Witness(server="another", token=lease.token)) != lease.incarnation
    lost = replace(lease, run_id="0-" + "0" * 26)
    assert world.report(lost).verdict is Verdict.UNKNOWN  # a run of which nothing is left


@pytest.mark.parametrize("known", [True, False], ids=["older", "new"])
def test_a_proven_loss_raises_the_clock_above_what_was_seen(world: World, known: bool) -> None:
    if known:
        world.settle(world.started())
    far = (world.now() + 86_400_000) * 1000
    _opened(world, Witness(server="another", token=str(far)))
    assert int(world.started().token) == far + 1


def test_a_client_that_saw_nothing_newer_proves_nothing(world: World) -> None:
    lease = world.started(slot="w/1")
    incarnation = lease.incarnation
    world.raw.hset(f"{world.prefix}partition", "found", lease.token)  # the clock that this server came up with
    assert _opened(world, Witness(server="another", token=str(int(lease.token) - 1))) == incarnation
    here = world.execute(world.operations.open()).server
    assert here
    world.raw.hset(f"{world.prefix}partition", "found", "0")
    assert _opened(world, Witness(server=here, token=lease.token)) == incarnation  # given by this very server


def test_once_the_loss_is_proven_it_is_not_proven_again(world: World) -> None:
    lease = world.started(slot="w/1")
    world.raw.hset(f"{world.prefix}partition", "found", "0")
    proven = _opened(world, Witness(server="another", token=lease.token))
    assert proven != lease.incarnation
    assert _opened(world, Witness(server="another", token=str(int(lease.token) - 1))) == proven


def _opened(world: World, witness: Witness) -> str:
    return world.execute(world.operations.open(witnessed=witness)).incarnation


def test_a_server_that_comes_back_with_all_its_data_has_lost_nothing(own_server: servers.Server) -> None:
    world = open_world(own_server.url, "restarted")
    lease = world.started()
    before = Witness(server=own_server_id(world), token=lease.token)
    own_server.restart()
    assert own_server_id(world) != before.server
    assert _opened(world, before) == lease.incarnation
    world.store.close()
    world.raw.close()


def test_after_a_restart_no_partition_is_taken_for_an_older_copy(own_server: servers.Server) -> None:
    """One that a client has not opened anew gave it a token, and that came from the server which is there now."""
    url, operations = f"{own_server.url}?partitions=2", Operations("restarted")
    store, other = Store(locate(url), operations), Store(locate(url), operations)
    for each in (store, other):
        each.open(0), each.open(1)
    before = [store.incarnation(partition) for partition in (0, 1)]
    own_server.restart()
    other.open(1)
    store.execute(operations.queues(partition=0))
    assert not store.known.is_open(1)
    store.execute(operations.submit(replace(submission("k"), id=new_run_id(1))))
    lease = store.execute(operations.take("w/1", "1", ["default"], partition=1))
    assert isinstance(lease, Lease)
    raw: Any = redis.Redis.from_url(own_server.url)
    assert lease.server == raw.info("server")["run_id"]
    raw.close()
    store.open(1)
    assert [store.incarnation(partition) for partition in (0, 1)] == before
    store.close()
    other.close()


def own_server_id(world: World) -> str:
    return str(world.raw.info("server")["run_id"])


def test_what_is_submitted_again_begins_above_the_starts_that_were_seen(world: World) -> None:
    run = world.submit("k", starts=2)
    assert world.load(run.id).snapshot.order[0] == 2
    lease = world.take()
    assert (lease.run_id, lease.start) == (run.id, 3)
    assert world.settle(lease) is Verdict.OK


def test_starts_rise_and_progress_begins_anew_where_an_older_start_is_known(world: World) -> None:
    first = world.started(slot="w/1")
    world.report(first, done=7)
    copy = Copy(world)
    world.execute(world.operations.release("w/1", crashed=True, failure=LOST))
    second = world.take("w/2", (world.record(first.run_id)["queue"],))
    copy.restore()
    world.store.open()
    assert reassert(world, second, "w/2") is Verdict.OK
    snapshot = world.load(first.run_id).snapshot
    assert (snapshot.start, snapshot.done) == (2, 0)


def test_what_was_started_as_often_since_has_one_start_more(world: World) -> None:
    first = world.started(slot="w/1")
    queue = world.record(first.run_id)["queue"]
    copy = Copy(world)
    world.execute(world.operations.release("w/1", crashed=True, failure=LOST))
    second = world.take("w/2", (queue,))
    copy.restore()
    world.raw.hset(world.record_key(first.run_id), "start", 5)
    assert reassert(world, second, "w/2") is Verdict.OK
    assert world.load(first.run_id).snapshot.start == 6


def test_what_is_asserted_anew_is_not_joined_if_a_key_was_invalidated_since(world: World) -> None:
    lease = world.started("k", slot="w/1")
    lose_all(world)
    world.execute(world.operations.invalidate(key="k"))
    assert reassert(world, lease) is Verdict.OK
    assert world.submit("k").admission is Admission.NEW


def test_what_is_submitted_again_may_be_joined_whatever_was_invalidated_before(world: World) -> None:
    world.execute(world.operations.invalidate(label="job:reports.Sales"))
    run = world.submit("k", starts=2)
    assert world.submit("k").id == run.id


# The format -----------------------------------------------------------------------------------------------------------


def test_records_of_the_format_before_are_read_performed_and_answer(world: World) -> None:
    """As the version before wrote them: the class's terms as numbers, the snapshot's beginning as one text."""
    world.store.open()
    waiting, memo = "0-" + "1" * 26, "0-" + "2" * 26
    terms = "- 1 3 86400000 3600000 600000 0"
    now = world.now()
    common = {"version": now, "terms": terms, "queue": "default", "interests": 1, "created": now, "updated": now}
    head = '{"id":"%s","job":"reports.Sales"'
    world.raw.hset(f"{world.prefix}partition", "format", "1")
    world.raw.hset(
        world.record_key(waiting),
        mapping={**common, "head": head % waiting, "state": "queued", "score": f"{now}.000", "key": "k",
                 "work": "reports.Sales\n1\n{}", f"interest:ticket:{waiting}": 1},
    )  # fmt: skip
    world.raw.hset(
        world.record_key(memo),
        mapping={**common, "head": head % memo, "state": "succeeded", "key": "m", "result": "7", "start": 1, "token": 5,
                 "fresh_until": now + 60_000, "finished": now, "interests": 0},
    )  # fmt: skip
    world.raw.zadd(f"{world.prefix}ready:default", {waiting: now})
    world.raw.hset(f"{world.prefix}key:k", "live", waiting)
    world.raw.hset(f"{world.prefix}key:m", "memo", memo)
    world.store.open()
    assert world.raw.hget(f"{world.prefix}partition", "format") == b"2"
    run = world.store.execute
    assert run(world.operations.load(waiting)).snapshot.job == "reports.Sales"
    assert run(world.operations.load(waiting)).snapshot.max_attempts == 1
    lease = run(world.operations.take("w/1", "1", ["default"]))
    assert isinstance(lease, Lease)
    assert (lease.run_id, lease.job, lease.cache_version, lease.arguments) == (waiting, "reports.Sales", "1", b"{}")
    assert (lease.kept[4], lease.kept[6]) == (b"", b'"reports.Sales"')  # labels and job, which that format did not keep
    world.raw.delete(world.record_key(waiting))
    assert run(world.operations.reassert(lease, "w/1")) is Verdict.LOST
    world.raw.hset(f"{world.prefix}partition", "incarnation", "another")
    assert run(world.operations.reassert(lease, "w/1")) is Verdict.OK
    assert run(world.operations.load(waiting)).snapshot.job == "reports.Sales"
    assert run(world.operations.settle(lease, Outcome.SUCCEEDED, result=b"8")) is Verdict.OK
    answer = run(world.operations.submit(submission("m")))
    assert (answer.admission, answer.id, answer.result) == (Admission.CACHED, memo, b"7")
    for key in world.raw.scan_iter(f"{world.prefix}*"):
        world.raw.delete(key)


def test_what_the_classes_of_the_format_before_said_still_holds(world: World) -> None:
    """Numbers in the order of that format: lease, attempts, crashes, keep, memo, undeliverable, public."""
    run = world.store.execute
    held, given_back = (world.submit("k", queue=queue) for queue in ("a", "b"))
    for each in (held, given_back):
        world.raw.hset(world.record_key(each.id), "terms", "4000 2 0 10000 60000 30000 1")
    lease = run(world.operations.take("w/1", "1", ["a"]))
    assert isinstance(lease, Lease)
    assert (lease.duration, lease.max_attempts) == (4.0, 2)
    assert run(world.operations.settle(lease, Outcome.SUCCEEDED, result=b"7")) is Verdict.OK
    assert run(world.operations.load(held.id)).snapshot.result == 7
    world.raw.hdel(world.record_key(held.id), "job", "labels")
    assert run(world.operations.recall(held.id)).job == '"reports.Sales"'
    assert run(world.operations.recall(held.id)).labels == ()
    recalled = msgspec.json.decode(run(world.operations.recall(held.id)).terms, type=Terms)
    assert (recalled.lease, recalled.max_attempts, recalled.keep, recalled.public_result) == (4000, 2, 10_000, 1)
    assert 59_000 < int(world.record(held.id)["fresh_until"]) - world.now() <= 60_000
    world.raw.delete(*world.raw.scan_iter(f"{world.prefix}*"))


def test_how_often_runs_of_the_format_before_may_be_lost_or_go_round_still_holds(world: World) -> None:
    run = world.store.execute
    crashed, unknown = world.submit(queue="a"), world.submit(queue="b")
    for each in (crashed, unknown):
        world.raw.hset(world.record_key(each.id), "terms", "- 1 0 10000 - 30000 0")
    run(world.operations.take("w/1", "1", ["a"]))
    run(world.operations.release("w/1", crashed=True, failure=b'{"message":"","public":false,"reference":"'))
    assert run(world.operations.load(crashed.id)).lost_worker
    for seconds in (0, 31):
        world.skew(seconds)
        lease = run(world.operations.take("w/2", str(seconds), ["b"]))
        assert isinstance(lease, Lease)
        run(world.operations.settle(lease, Outcome.RELEASED, reason="unknown", failure=b'{"message":"","reference":"'))
    assert world.record(unknown.id)["state"] == "failed"
    world.raw.delete(*world.raw.scan_iter(f"{world.prefix}*"))
