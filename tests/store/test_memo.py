"""What answers from memory: for how long, who makes it anew, what a failure answers, and how all of it is forgotten."""

from typing import Any

import pytest

from jobkit.lifecycle import Outcome, State
from jobkit.store.operations import Reuse, new_run_id
from jobkit.store.replies import Admission, Cancelling, Verdict
from tests.store.world import World
from tests.waiting import wait_until

MEMO = {"cache_ttl": 60_000, "stale_ttl": 60_000}


def stale_memo(world: World, key: str = "k", **terms: Any) -> str:
    """A run whose value is past its best time, and answers all the same."""
    lease = world.succeeded(key, result=b'"old"', **{**MEMO, **terms})
    world.outdate(lease.run_id, stale_for=60)
    return lease.run_id


def failed(world: World, key: str = "k", **terms: Any) -> str:
    lease = world.started(key, **{"failure_ttl": 30_000, **terms})
    world.settle(lease, Outcome.FAILED)
    return lease.run_id


# Stale ----------------------------------------------------------------------------------------------------------------


def test_a_stale_value_answers_at_once_and_one_run_makes_it_anew(world: World) -> None:
    memo = stale_memo(world)
    answers = [world.submit("k", queue="q", **MEMO) for _ in range(5)]
    assert {(each.admission, each.id, each.result) for each in answers} == {(Admission.STALE, memo, b'"old"')}
    refresh = world.take("w/1", ("q",))
    assert {each.refresh_id for each in answers} == {refresh.run_id}
    world.settle(refresh, result=b'"new"')
    again = world.submit("k", **MEMO)
    assert (again.admission, again.id, again.result) == (Admission.CACHED, refresh.run_id, b'"new"')


def test_a_value_past_its_stale_time_does_not_answer(world: World) -> None:
    lease = world.succeeded("k", **MEMO)
    world.outdate(lease.run_id)
    assert world.submit("k", **MEMO).admission is Admission.NEW


def test_a_refresh_that_fails_leaves_the_stale_value_and_may_be_tried_again(world: World) -> None:
    memo = stale_memo(world)
    first = world.submit("k", queue="q", **MEMO)
    world.settle(world.take(queues=("q",)), Outcome.FAILED)
    second = world.submit("k", queue="q", **MEMO)
    assert (second.admission, second.id) == (Admission.STALE, memo)
    assert second.refresh_id not in ("", first.refresh_id)


def test_a_refresh_that_failed_is_not_tried_again_while_its_failure_counts(world: World) -> None:
    memo = stale_memo(world, failure_ttl=30_000)
    terms = {**MEMO, "failure_ttl": 30_000}
    world.submit("k", queue="q", **terms)
    world.settle(world.take(queues=("q",)), Outcome.FAILED)
    answer = world.submit("k", **terms)
    assert (answer.admission, answer.id, answer.refresh_id) == (Admission.STALE, memo, "")


def test_nobodys_leaving_stops_a_refresh(world: World) -> None:
    memo = stale_memo(world)
    refresh = world.submit("k", queue="q", **MEMO).refresh_id
    world.outdate(memo)
    joined = world.submit("k", interest="owner:ann", **MEMO)
    assert (joined.admission, joined.id) == (Admission.JOINED, refresh)
    assert world.cancel(refresh, "owner:ann") is Cancelling.LEFT
    assert world.cancel(refresh, "", force=True) is Cancelling.STOPPING


def test_a_submission_that_started_a_refresh_is_answered_the_same_when_it_is_sent_again(world: World) -> None:
    memo, name = stale_memo(world), new_run_id()
    first, again = (world.submit("k", id=name, queue="q", **MEMO) for _ in range(2))
    assert first == again
    assert (first.admission, first.id, first.refresh_id) == (Admission.STALE, memo, name)
    world.settle(world.take(queues=("q",)), Outcome.FAILED)
    assert world.submit("k", id=name, **MEMO).id == memo
    assert world.state(name) is State.FAILED


def test_who_gets_a_stale_value_owns_what_they_read(world: World) -> None:
    memo = stale_memo(world)
    refresh = world.submit("k", owner="ann", **MEMO).refresh_id
    for run_id in (memo, refresh):
        assert world.execute(world.operations.owned(run_id, "ann"))


def test_a_run_that_refreshes_while_a_fresh_one_is_wanted_gives_way_to_it(world: World) -> None:
    """Fresh during refresh: the refresh has begun, so who wants an answer from now on gets a run of their own."""
    stale_memo(world)
    world.submit("k", queue="q", **MEMO)
    refresh = world.take("w/1", ("q",))
    fresh = world.submit("k", queue="q", reuse=Reuse.FRESH, **MEMO)
    assert fresh.admission is Admission.NEW
    assert world.record(refresh.run_id)["cancelling"] == "1"  # nobody but the system had a stake in it
    assert world.submit("k", **MEMO).refresh_id == fresh.id
    assert world.settle(refresh, result=b'"refreshed"') is Verdict.OK
    assert world.submit("k", **MEMO).result == b'"old"'
    world.settle(world.take("w/2", ("q",)), result=b'"fresh"')
    assert world.submit("k", **MEMO).result == b'"fresh"'


# Early refresh --------------------------------------------------------------------------------------------------------


def test_a_hit_near_its_end_starts_one_refresh_and_is_answered_from_memory(world: World) -> None:
    lease = world.succeeded("k", refresh=True, **MEMO)
    record = world.record(lease.run_id)
    assert 0 <= int(record["fresh_until"]) - int(record["refresh_at"]) <= 12_000  # a fifth of cache_ttl at the most
    assert world.submit("k", refresh=True, **MEMO).refresh_id == ""
    world.raw.hset(world.record_key(lease.run_id), "refresh_at", world.now() - 1)
    answers = [world.submit("k", queue="q", refresh=True, **MEMO) for _ in range(5)]
    assert {(each.admission, each.id) for each in answers} == {(Admission.CACHED, lease.run_id)}
    assert {each.refresh_id for each in answers} == {world.take(queues=("q",)).run_id}


def test_a_refresh_begins_as_much_earlier_as_the_run_takes(world: World) -> None:
    lease = world.started("k", refresh=True, **MEMO)
    world.raw.hset(world.record_key(lease.run_id), "started", world.now() - 5_000)
    world.settle(lease)
    record = world.record(lease.run_id)
    assert 6_000 <= int(record["fresh_until"]) - int(record["refresh_at"]) < 6_600


def test_a_refresh_begins_no_earlier_than_a_fifth_of_the_time_before_the_end(world: World) -> None:
    lease = world.started("k", refresh=True, **MEMO)
    world.raw.hset(world.record_key(lease.run_id), "started", world.now() - 3_600_000)
    world.settle(lease)
    record = world.record(lease.run_id)
    assert int(record["fresh_until"]) - int(record["refresh_at"]) == 12_000


# A fresh memo beside a live run ---------------------------------------------------------------------------------------


def test_while_a_fresh_answer_is_computed_the_memo_answers_everybody_else(world: World) -> None:
    memo = world.succeeded("k", **MEMO)
    world.submit("k", reuse=Reuse.FRESH, **MEMO)
    assert world.submit("k", **MEMO).id == memo.run_id


# Failures -------------------------------------------------------------------------------------------------------------


def test_a_failure_answers_for_a_while(world: World) -> None:
    run_id = failed(world)
    answer = world.submit("k", owner="ann", failure_ttl=30_000)
    assert (answer.admission, answer.id, answer.result) == (Admission.REFUSED, run_id, None)
    assert 29 < answer.seconds - world.now() / 1000 <= 30
    assert world.load(run_id).retry_at == answer.seconds
    assert world.execute(world.operations.owned(run_id, "ann"))
    world.raw.hset(world.record_key(run_id), "refuse_until", world.now() - 1)
    assert world.submit("k").admission is Admission.NEW


@pytest.mark.parametrize("reuse", [Reuse.FRESH, Reuse.NONE])
def test_who_wants_no_old_answer_is_not_refused(world: World, reuse: Reuse) -> None:
    failed(world)
    assert world.submit("k", reuse=reuse).admission is Admission.NEW


def test_a_success_ends_the_refusing(world: World) -> None:
    failed(world)
    world.submit("k", reuse=Reuse.FRESH)
    world.settle(world.take())
    assert world.submit("k").admission is Admission.NEW


def test_a_lost_worker_is_a_failure_too(world: World) -> None:
    lease = world.started("k", failure_ttl=30_000, max_crashes=0)
    world.lapse(lease.run_id)
    assert world.submit("k").admission is Admission.REFUSED


def test_a_cancelled_run_refuses_nobody(world: World) -> None:
    run = world.submit("k", failure_ttl=30_000)
    world.cancel(run.id)
    assert world.submit("k").admission is Admission.NEW


def test_a_failed_run_is_kept_for_as_long_as_it_refuses(world: World) -> None:
    run_id = failed(world, keep=1)
    world.swept_ago(1)
    world.sweep()
    assert world.submit("k").id == run_id


# Invalidating ---------------------------------------------------------------------------------------------------------


def invalidate(world: World, by: str) -> None:
    what = {"key": {"key": "k"}, "class": {"label": "job:reports.Sales"}, "tag": {"label": "tag:eu"}}[by]
    world.execute(world.operations.invalidate(**what))


@pytest.fixture(params=["key", "class", "tag"])
def by(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_what_was_remembered_before_is_not_served_after(world: World, by: str) -> None:
    world.succeeded("k", tags=("eu",), **MEMO)
    invalidate(world, by)
    new = world.submit("k", tags=("eu",), **MEMO)
    assert new.admission is Admission.NEW
    world.settle(world.take(), result=b'"after"')
    assert world.submit("k", **MEMO).result == b'"after"'


def test_a_run_in_flight_is_not_joined_after_and_may_not_write_the_memo(world: World, by: str) -> None:
    old = world.started("k", tags=("eu",), **MEMO)
    invalidate(world, by)
    new = world.submit("k", tags=("eu",), **MEMO)
    assert (new.admission, new.id != old.run_id) == (Admission.NEW, True)
    assert world.settle(old, result=b'"before"') is Verdict.OK  # for those who hold its id
    assert world.submit("k", **MEMO).id == new.id


def test_a_run_in_flight_does_not_become_a_memo_even_if_nobody_submits_in_between(world: World, by: str) -> None:
    old = world.started("k", tags=("eu",), **MEMO)
    invalidate(world, by)
    world.settle(old, result=b'"before"')
    assert world.submit("k", **MEMO).admission is Admission.NEW


def test_a_run_that_has_not_begun_is_joined_after(world: World) -> None:
    run = world.submit("k", tags=("eu",))
    for by in ("key", "class", "tag"):
        invalidate(world, by)
        assert world.submit("k").id == run.id


def test_a_memo_beside_a_run_that_has_not_begun_is_forgotten_all_the_same(world: World) -> None:
    world.succeeded("k", **MEMO)
    fresh = world.submit("k", reuse=Reuse.FRESH, **MEMO)
    invalidate(world, "key")
    assert world.submit("k", **MEMO).id == fresh.id


def test_a_run_that_begins_anew_after_it_is_joined_and_remembered(world: World) -> None:
    lease = world.started("k", tags=("eu",), **MEMO)
    invalidate(world, "tag")
    world.settle(lease, Outcome.RELEASED)
    assert world.submit("k", **MEMO).id == lease.run_id
    queue = world.load(lease.run_id).snapshot.queue.name
    world.settle(world.take("w/9", (queue,)), result=b'"after"')
    assert world.submit("k", **MEMO).result == b'"after"'


def test_a_failure_from_before_refuses_nobody_after(world: World, by: str) -> None:
    failed(world, tags=("eu",))
    invalidate(world, by)
    assert world.submit("k").admission is Admission.NEW


def test_a_stale_value_from_before_is_not_served_after(world: World, by: str) -> None:
    stale_memo(world, tags=("eu",))
    invalidate(world, by)
    assert world.submit("k", **MEMO).admission is Admission.NEW


def test_a_failure_from_after_it_refuses_as_ever(world: World) -> None:
    invalidate(world, "tag")
    run_id = failed(world, tags=("eu",))
    assert (world.submit("k").admission, world.submit("k").id) == (Admission.REFUSED, run_id)


@pytest.mark.parametrize(("labels", "admission"), [("job:a", Admission.NEW), ("", Admission.CACHED)])
def test_each_label_counts_and_a_run_without_any_is_only_invalidated_by_its_key(
    world: World, labels: str, admission: Admission
) -> None:
    world.succeeded("k", labels=labels, **MEMO)
    world.execute(world.operations.invalidate(label="job:a"))
    assert world.submit("k", labels=labels, **MEMO).admission is admission
    world.execute(world.operations.invalidate(key="k"))
    assert world.submit("k", reuse=Reuse.ANY, labels=labels, **MEMO).admission is not Admission.CACHED


def test_who_keeps_memos_of_their_own_is_told(world: World) -> None:
    with world.raw.pubsub(ignore_subscribe_messages=False) as ear:
        ear.subscribe(world.operations.invalidations_channel())
        wait_until(lambda: ear.get_message(timeout=0.1), "the subscription is acknowledged")
        world.execute(world.operations.invalidate(key="digest"))
        world.execute(world.operations.invalidate(label="tag:eu"))
        heard: list[bytes] = []
        wait_until(lambda: _hear(ear.get_message(timeout=0.1), heard) == 2, "both are heard")
    assert heard == [b"key:digest", b"tag:eu"]


def _hear(message: dict[str, bytes] | None, heard: list[bytes]) -> int:
    if message is not None:
        heard.append(message["data"])
    return len(heard)


@pytest.mark.parametrize("answered", ["joined", "cached", "refused"])
def test_the_tags_of_a_submission_hold_for_the_run_that_answers_it(world: World, answered: str) -> None:
    match answered:
        case "joined":
            world.started("k")
        case "cached":
            world.succeeded("k", **MEMO)
        case _:
            failed(world)
    assert world.submit("k", tags=("eu",), **MEMO).admission.value == answered
    invalidate(world, "tag")
    assert world.submit("k", **MEMO).admission is Admission.NEW


def test_nothing_from_before_an_invalidation_answers_who_names_its_tag_first_after_it(world: World) -> None:
    world.succeeded("k", **MEMO)
    invalidate(world, "tag")
    assert world.submit("k", **MEMO).admission is Admission.CACHED
    assert world.submit("k", tags=("eu",), **MEMO).admission is Admission.NEW


def test_a_run_takes_a_hundred_labels_and_answers_no_submission_that_brings_more(world: World) -> None:
    memo = world.succeeded("k", **MEMO)
    for tens in range(10):
        assert world.submit("k", tags=[f"t{tens}{n}" for n in range(10 - (tens == 9))], **MEMO).id == memo.run_id
    assert len(world.record(memo.run_id)["labels"].split()) == 100
    assert world.submit("k", tags=("t11", "t55"), **MEMO).id == memo.run_id
    assert world.submit("k", tags=("more",), **MEMO).admission is Admission.NEW


def test_another_tag_or_class_leaves_everything_as_it_is(world: World) -> None:
    world.succeeded("k", tags=("eu",), **MEMO)
    world.execute(world.operations.invalidate(label="tag:us"))
    world.execute(world.operations.invalidate(label="job:reports.Other"))
    assert world.submit("k", **MEMO).admission is Admission.CACHED


def test_a_run_that_nobody_waits_for_is_stopped_by_an_invalidation_of_its_key(world: World) -> None:
    stale_memo(world)
    refresh = world.submit("k", queue="q", **MEMO).refresh_id
    world.take(queues=("q",))
    invalidate(world, "key")
    assert world.record(refresh)["cancelling"] == "1"


def test_a_checkpoint_from_before_is_not_gone_on_from(world: World, by: str) -> None:
    lease = world.started("k", slot="w/1", tags=("eu",), max_crashes=9)
    queue = world.load(lease.run_id).snapshot.queue.name
    world.report(lease, checkpoint=b"half")
    invalidate(world, by)
    world.report(lease, 2, checkpoint=b"more than half, of what is invalid")
    world.release("w/1")
    again = world.take("w/2", (queue,))
    assert (again.run_id, again.checkpoint) == (lease.run_id, None)
    world.report(again, checkpoint=b"anew")
    world.release("w/2")
    assert world.take("w/3", (queue,)).checkpoint == b"anew"


def test_what_a_start_settles_with_after_an_invalidation_is_not_gone_on_from(world: World, by: str) -> None:
    lease = world.started("k", tags=("eu",))
    queue = world.load(lease.run_id).snapshot.queue.name
    invalidate(world, by)
    world.settle(lease, Outcome.RELEASED, checkpoint=b"half")
    again = world.take("w/2", (queue,))
    assert (again.run_id, again.checkpoint) == (lease.run_id, None)


def test_many_stamps_are_folded_into_one_that_holds_for_all(world: World) -> None:
    old = world.succeeded("k", tags=("first",), **MEMO)
    world.execute(world.operations.invalidate(label="tag:first"))
    stamp = float(world.raw.zscore(f"{world.prefix}stamps", "tag:first"))
    world.raw.zadd(f"{world.prefix}stamps", {f"tag:{number}": stamp + 1 + number for number in range(9_999)})
    young = world.succeeded("young", **MEMO)
    world.execute(world.operations.invalidate(label="tag:one-too-many"))
    assert "tag:first" not in world.members("stamps")
    assert len(world.members("stamps")) == 10_000
    assert world.submit("k", **MEMO).id != old.run_id
    assert world.submit("young", **MEMO).id == young.run_id


def test_ten_thousand_stamps_are_kept_as_they_are(world: World) -> None:
    world.submit()
    world.raw.zadd(f"{world.prefix}stamps", {f"tag:{number}": number + 1 for number in range(9_999)})
    world.execute(world.operations.invalidate(label="tag:last"))
    assert len(world.members("stamps")) == 10_000
    assert not world.raw.hexists(f"{world.prefix}partition", "floor")


# Who still wants it ---------------------------------------------------------------------------------------------------


def test_a_run_that_its_submitters_have_abandoned_is_stopped(world: World) -> None:
    run = world.submit("k", abandon_after=5_000)
    world.skew(4)
    world.submit("k", abandon_after=5_000)
    world.skew(8)
    world.sweep()
    assert world.state(run.id) is State.QUEUED
    world.skew(10)
    world.sweep()
    assert world.state(run.id) is State.CANCELLED


def test_who_has_a_stake_keeps_a_run_alive_by_watching_it(world: World) -> None:
    lease = world.started(abandon_after=5_000)
    stake, stranger = f"ticket:{lease.run_id}", "ticket:somebody"
    for seconds, interest in ((4, stake), (8, stranger)):
        world.skew(seconds)
        world.execute(world.operations.load(lease.run_id, watch=30, interest=interest))
        world.sweep()
        assert "cancelling" not in world.record(lease.run_id)
    world.skew(9.5)
    world.sweep()
    assert world.record(lease.run_id)["cancelling"] == "1"
    assert world.release(f"w/{world.load(lease.run_id).snapshot.queue.name}")[0] is Verdict.OK
    assert world.state(lease.run_id) is State.CANCELLED


def test_a_run_that_has_ended_is_nobodys_to_abandon(world: World) -> None:
    for outcome in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED):
        lease = world.started(abandon_after=5_000)
        assert world.settle(lease, outcome) is Verdict.OK
    assert world.members("abandon") == []


def test_what_stands_to_be_abandoned_without_a_reason_is_dropped(world: World) -> None:
    ended, flagged = world.succeeded(), world.started()
    world.cancel(flagged.run_id)
    version = world.record(flagged.run_id)["version"]
    world.raw.zadd(f"{world.prefix}abandon", dict.fromkeys([ended.run_id, flagged.run_id, "0-" + "0" * 26], 1))
    world.sweep()
    assert world.members("abandon") == []
    assert world.record(flagged.run_id)["version"] == version
    assert world.state(ended.run_id) is State.SUCCEEDED


def test_who_is_told_of_a_refresh_under_way_may_read_it(world: World) -> None:
    stale_memo(world)
    refresh = world.submit("k", owner="ann", **MEMO).refresh_id
    told = world.submit("k", owner="bob", **MEMO)
    assert told.refresh_id == refresh
    assert world.execute(world.operations.owned(refresh, "bob"))
