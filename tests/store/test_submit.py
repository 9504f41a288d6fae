"""Submitting: who gets a run of their own, who shares one, who is answered from memory."""

import threading

import pytest

from jobkit.lifecycle import Outcome, State
from jobkit.snapshot import LARGEST_INLINE_RESULT
from jobkit.store.operations import Reuse, new_run_id
from jobkit.store.replies import Admission, Cancelling, Verdict
from tests.store.world import World, submission


def test_a_first_submission_is_new_and_queued(world: World) -> None:
    admitted = world.submit("k")
    assert admitted.admission is Admission.NEW
    snapshot = world.load(admitted.id).snapshot
    assert (snapshot.state, snapshot.queue.position) == (State.QUEUED, 1)
    assert admitted.result is None


def test_second_equal_submission_joins_the_queued_run(world: World) -> None:
    first, second = world.submit("k"), world.submit("k")
    assert (second.admission, second.id) == (Admission.JOINED, first.id)
    assert world.record(first.id)["interests"] == "2"


def test_second_equal_submission_joins_the_running_run(world: World) -> None:
    lease = world.started("k")
    assert (world.submit("k").admission, world.submit("k").id) == (Admission.JOINED, lease.run_id)


def test_other_keys_and_runs_without_a_key_share_nothing(world: World) -> None:
    admitted = [world.submit(key) for key in ("k", "other", "", "")]
    assert {each.admission for each in admitted} == {Admission.NEW}
    assert len({each.id for each in admitted}) == 4


def test_a_success_with_a_memo_answers_the_next_submission_with_its_result(world: World) -> None:
    lease = world.succeeded("k", result=b'{"sum":1}', cache_ttl=60_000)
    again = world.submit("k")
    assert (again.admission, again.id, again.result) == (Admission.CACHED, lease.run_id, b'{"sum":1}')
    assert world.pointer("k")["memo"] == lease.run_id
    assert 59 < again.seconds <= 60  # it is fresh for


def test_a_success_without_a_memo_leaves_nothing_to_share(world: World) -> None:
    world.succeeded("k")
    assert world.pointer("k") == {}
    assert world.submit("k").admission is Admission.NEW


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELLED])
def test_an_ended_run_without_a_value_is_never_joined(world: World, outcome: Outcome) -> None:
    lease = world.started("k", cache_ttl=60_000)
    world.settle(lease, outcome)
    assert world.submit("k").admission is Admission.NEW


def test_a_memo_that_is_no_longer_fresh_starts_a_new_run(world: World) -> None:
    lease = world.succeeded("k", cache_ttl=60_000)
    world.outdate(lease.run_id)
    assert world.submit("k").admission is Admission.NEW


def test_an_older_memo_survives_the_failure_of_a_fresh_run_and_keeps_its_end(world: World) -> None:
    memo = world.succeeded("k", cache_ttl=60_000)
    fresh = world.started("k", reuse=Reuse.FRESH)
    assert (world.pointer("k")["live"], world.pointer("k")["memo"]) == (fresh.run_id, memo.run_id)
    world.settle(fresh, Outcome.FAILED)
    assert "live" not in world.pointer("k")
    assert world.submit("k").admission is Admission.CACHED


def test_a_memo_lasts_no_longer_than_its_value_even_where_runs_are_kept_shorter(world: World) -> None:
    lease = world.succeeded("k", cache_ttl=60_000, keep=1)
    assert world.raw.pttl(world.record_key(lease.run_id)) > 59_000


def test_a_submission_whose_value_was_removed_by_hand_starts_a_new_run(world: World) -> None:
    lease = world.succeeded("k", cache_ttl=60_000)
    world.raw.delete(world.record_key(lease.run_id))
    assert world.submit("k").admission is Admission.NEW


def test_a_submission_whose_live_run_was_removed_by_hand_starts_a_new_run(world: World) -> None:
    lost = world.submit("k")
    for name in ("runs", "state:queued", "ready:default"):
        world.raw.zrem(world.prefix + name, lost.id)
    world.raw.delete(world.record_key(lost.id))
    assert world.submit("k").admission is Admission.NEW


def test_fresh_joins_what_has_not_begun_and_nothing_else(world: World) -> None:
    waiting = world.submit("k")
    assert world.submit("k", reuse=Reuse.FRESH).id == waiting.id
    world.take()
    fresh = world.submit("k", reuse=Reuse.FRESH)
    assert (fresh.admission, fresh.id != waiting.id) == (Admission.NEW, True)
    assert world.submit("k").id == fresh.id


def test_a_superseded_run_goes_on_but_may_not_write_the_memo(world: World) -> None:
    old = world.started("k", cache_ttl=60_000)
    new = world.submit("k", reuse=Reuse.FRESH)
    assert world.settle(old, result=b'"old"') is Verdict.OK
    assert world.pointer("k") == {"live": new.id}
    assert world.load(old.run_id, result=True).result == b'"old"'


def test_a_run_of_ones_own_is_never_pointed_to(world: World) -> None:
    own = world.submit("k", reuse=Reuse.NONE)
    assert world.pointer("k") == {}
    assert world.submit("k").id != own.id


def test_a_released_run_is_still_joined(world: World) -> None:
    lease = world.started("k")
    world.settle(lease, Outcome.RELEASED)
    assert world.submit("k").id == lease.run_id


def test_a_run_whose_lease_ran_out_is_still_joined(world: World) -> None:
    lease = world.started("k")
    world.lapse(lease.run_id)
    assert world.submit("k").id == lease.run_id


def test_a_run_that_is_being_cancelled_is_not_joined(world: World) -> None:
    lease = world.started("k")
    world.cancel(lease.run_id)
    assert world.submit("k").admission is Admission.NEW
    assert world.settle(lease) is Verdict.OK
    assert world.submit("k").admission is Admission.JOINED


def test_a_submission_sent_again_is_the_same_run_in_every_admission(world: World) -> None:
    """The reply was lost, so the same submission comes twice; between the two, nothing else happens."""
    memo = world.succeeded("memo", cache_ttl=60_000)
    live = world.submit("live", interest="owner:first")
    for key, admission, run_id in (
        ("", Admission.NEW, None),
        ("new", Admission.NEW, None),
        ("live", Admission.JOINED, live.id),
        ("memo", Admission.CACHED, memo.run_id),
    ):
        name = new_run_id()
        first, again = world.submit(key, id=name), world.submit(key, id=name)
        assert (first.admission, again.admission) == (admission, admission)
        assert first.id == again.id == (run_id or name)
    assert world.record(live.id)["interests"] == "2"
    assert world.raw.zcard(f"{world.prefix}runs") == 4


def test_a_submission_sent_again_after_its_run_ended_answers_the_ended_run(world: World) -> None:
    name = new_run_id()
    world.submit("k", id=name)
    world.settle(world.take(), result=b"7")
    again = world.submit("k", id=name)
    assert (again.admission, world.load(again.id).snapshot.state, again.result) == (
        Admission.NEW,
        State.SUCCEEDED,
        b"7",
    )


def test_the_same_owner_counts_once(world: World) -> None:
    first = world.submit("k", interest="owner:ann", owner="ann")
    world.submit("k", interest="owner:ann", owner="ann")
    assert world.record(first.id)["interests"] == "1"


def test_who_left_and_comes_back_counts_again(world: World) -> None:
    run = world.submit("k", interest="owner:ann")
    world.submit("k", interest="owner:bob")
    assert world.cancel(run.id, "owner:ann") is Cancelling.LEFT
    assert world.cancel(run.id, "owner:ann") is Cancelling.LEFT
    world.submit("k", interest="owner:ann")
    assert world.record(run.id)["interests"] == "2"
    assert world.cancel(run.id, "owner:bob") is Cancelling.LEFT
    assert world.cancel(run.id, "owner:ann") is Cancelling.STOPPING


def test_joiners_and_those_answered_from_memory_are_owners_too(world: World) -> None:
    run = world.submit("k", owner="ann", cache_ttl=60_000)
    world.submit("k", owner="bob")
    world.settle(world.take())
    world.submit("k", owner="cleo")
    owned = [world.execute(world.operations.owned(run.id, name)) for name in ("ann", "bob", "cleo", "dan")]
    assert owned == [True, True, True, False]


def test_a_later_start_is_scheduled_and_due_when_its_time_comes(world: World) -> None:
    run = world.submit(start="+60000")
    assert world.load(run.id).snapshot.state is State.SCHEDULED
    waiting = world.look()
    assert 59 < (waiting.next_due or 0) <= 60  # type: ignore[union-attr]
    world.ripen(run.id)
    assert world.take().run_id == run.id


def test_a_start_may_be_named_as_a_moment(world: World) -> None:
    moment = world.now() + 60_000
    run = world.submit(start=str(moment))
    assert world.state(run.id) is State.SCHEDULED
    assert world.raw.zscore(f"{world.prefix}due", run.id) == moment


def test_a_start_in_the_past_is_now(world: World) -> None:
    assert world.load(world.submit(start=str(world.now() - 5_000)).id).snapshot.state is State.QUEUED


def test_positions_follow_priority_then_age(world: World) -> None:
    late, early = world.submit(), world.submit(priority=1)
    assert [world.load(each.id).snapshot.queue.position for each in (early, late)] == [1, 2]


def test_a_place_in_the_queue_is_the_moment_of_the_start_and_a_minute_earlier_for_each_step_of_priority(
    world: World,
) -> None:
    for priority in (0, 2, -1):
        before = world.now()
        run = world.submit(priority=priority)
        assert before <= float(world.record(run.id)["score"]) + priority * 60_000 <= world.now() + 1
        assert world.raw.zscore(f"{world.prefix}ready:default", run.id) == float(world.record(run.id)["score"])


def test_a_record_holds_nothing_that_was_not_said(world: World) -> None:
    run = world.submit()
    world.submit("k")
    world.submit("k")
    for run_id in world.members("runs"):
        assert not [name for name in world.record(run_id) if name.startswith("owner")]
    unsaid = {"key", "limits", "parked", "priority", "not_before", "latest_start"}
    assert not unsaid & set(world.record(run.id))


def test_what_is_large_or_not_ascii_arrives_whole(world: World) -> None:
    arguments = b'{"text":"' + b"\xc3\xa9" * (512 * 1024 - 8) + b'"}'
    run = world.submit(queue="Zürich 🌍", job="berichte.Übersicht", arguments=arguments)
    assert (world.load(run.id).snapshot.job, world.load(run.id).snapshot.queue.name) == (
        "berichte.Übersicht",
        "Zürich 🌍",
    )
    assert world.take(queues=("Zürich 🌍",)).arguments == arguments


def test_submit_tells_how_many_workers_serve_the_queue(world: World) -> None:
    assert world.load(world.submit().id).snapshot.queue.workers == 0
    world.renew("w/1")
    assert world.load(world.submit().id).snapshot.queue.workers == 1
    world.execute(world.operations.retire("w", ["default"]))
    assert world.load(world.submit().id).snapshot.queue.workers == 0


def test_a_public_result_comes_with_the_snapshot_and_others_do_not(world: World) -> None:
    public = world.succeeded(result=b'{"a":[1]}', public_result=True)
    private = world.succeeded(result=b'{"a":[1]}')
    huge = world.succeeded(result=b'"%s"' % (b"x" * (LARGEST_INLINE_RESULT - 1)), public_result=True)
    shown = [world.load(lease.run_id).snapshot for lease in (public, private, huge)]
    assert [(each.result, each.result_inline) for each in shown] == [({"a": [1]}, True), (None, False), (None, False)]
    largest = world.succeeded(result=b'"%s"' % (b"x" * (LARGEST_INLINE_RESULT - 2)), public_result=True)
    assert world.load(largest.run_id).snapshot.result_inline


def test_twenty_threads_with_one_key_get_one_run(world: World) -> None:
    admitted = []
    start = threading.Barrier(20)

    def submit() -> None:
        start.wait()
        admitted.extend(world.store.execute(world.operations.submit(submission("k"))) for _ in range(10))

    threads = [threading.Thread(target=submit) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.id for each in admitted}) == 1
    assert [each.admission for each in admitted].count(Admission.NEW) == 1


@pytest.mark.parametrize("state", ["ended", "being cancelled"])
def test_a_pointer_that_was_left_behind_harms_nobody(world: World, state: str) -> None:
    """No script leaves one to a run that ended or is being cancelled; an older copy of the store may hold one."""
    old = world.started("k")
    if state == "ended":
        world.settle(old)
    else:
        world.cancel(old.run_id)
    before = world.record(old.run_id)
    world.raw.hset(f"{world.prefix}key:k", "live", old.run_id)
    new = world.submit("k", reuse=Reuse.FRESH)
    assert new.admission is Admission.NEW
    assert world.record(old.run_id) == before
    assert world.pointer("k")["live"] == new.id
