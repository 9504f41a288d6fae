"""Another attempt after a failure: when there is one, when it starts, and what stays while it is waited for."""

import pytest

from jobkit.lifecycle import Outcome, State
from jobkit.store.operations import Reuse
from jobkit.store.replies import Admission, Cancelling, Lease, Verdict
from tests.store.world import LOST, World


def retried(world: World, after: float = 60.0, **changes: object) -> Lease:
    """A run whose first attempt of three has failed."""
    lease = world.started(**{"key": "k", "max_attempts": 3, **changes})  # type: ignore[arg-type]
    assert world.settle(lease, Outcome.FAILED, retry_after=after, traceback="Traceback: …") is Verdict.OK
    return lease


def taken_again(world: World, run_id: str) -> Lease:
    world.ripen(run_id)
    return world.take("other/1", (world.load(run_id).snapshot.queue.name,))


def test_a_failure_is_followed_by_another_attempt_when_its_time_has_come(world: World) -> None:
    lease = retried(world)
    snapshot = world.load(lease.run_id).snapshot
    assert (snapshot.state, snapshot.attempt, snapshot.max_attempts) == (State.SCHEDULED, 2, 3)
    assert snapshot.due_at == pytest.approx(world.now() / 1000 + 60, abs=5)
    again = taken_again(world, lease.run_id)
    assert (again.run_id, again.start, again.failures) == (lease.run_id, 2, 1)
    assert world.load(lease.run_id).snapshot.due_at is None


def test_an_attempt_without_a_wait_goes_through_the_due_ones_too(world: World) -> None:
    lease = retried(world, after=0.0)
    assert world.state(lease.run_id) is State.SCHEDULED
    assert world.take("other/1", (world.load(lease.run_id).snapshot.queue.name,)).start == 2


def test_no_attempt_starts_before_its_time(world: World) -> None:
    """I5: neither does one that somebody joins who is in more of a hurry."""
    lease = retried(world)
    queue = world.load(lease.run_id).snapshot.queue.name
    joined = world.submit("k", queue=queue, priority=5)
    assert (joined.admission, joined.id) == (Admission.JOINED, lease.run_id)
    world.swept_ago(60.0)
    world.sweep()
    assert not isinstance(world.look("other/1", (queue,)), Lease)
    assert world.state(lease.run_id) is State.SCHEDULED


def test_why_the_last_attempt_failed_is_told_until_the_next_one_begins(world: World) -> None:
    lease = retried(world)
    loaded = world.load(lease.run_id)
    assert loaded.snapshot.error is not None
    assert (loaded.snapshot.error.message, loaded.snapshot.error.reference) == (
        "It did not work.",
        f"{lease.run_id[-8:]}-1",
    )
    assert loaded.traceback == "Traceback: …"
    taken_again(world, lease.run_id)
    loaded = world.load(lease.run_id)
    assert (loaded.snapshot.error, loaded.traceback) == (None, None)


def test_the_last_attempt_is_the_end(world: World) -> None:
    lease = retried(world)
    for attempt in (2, 3):
        lease = taken_again(world, lease.run_id)
        world.settle(lease, Outcome.FAILED, retry_after=1.0)
        assert world.load(lease.run_id).snapshot.attempt == min(attempt + 1, 3)
    assert world.state(lease.run_id) is State.FAILED
    assert world.pointer("k") == {}


def test_a_failure_that_is_final_ends_the_run_whatever_is_left(world: World) -> None:
    lease = world.started(max_attempts=3)
    world.settle(lease, Outcome.FAILED)
    snapshot = world.load(lease.run_id).snapshot
    assert (snapshot.state, snapshot.attempt) == (State.FAILED, 1)


def test_a_run_that_somebody_stops_is_not_tried_again(world: World) -> None:
    lease = world.started(max_attempts=3)
    world.cancel(lease.run_id)
    world.settle(lease, Outcome.FAILED, retry_after=1.0)
    assert world.state(lease.run_id) is State.FAILED


def test_cancelling_a_run_that_waits_for_its_next_attempt_ends_it_at_once(world: World) -> None:
    lease = retried(world)
    assert world.cancel(lease.run_id) is Cancelling.STOPPING
    snapshot = world.load(lease.run_id).snapshot
    assert (snapshot.state, snapshot.error, snapshot.due_at) == (State.CANCELLED, None, None)


def test_a_failure_sent_again_is_answered_as_the_first(world: World) -> None:
    lease = retried(world)
    before = world.record(lease.run_id)
    assert world.settle(lease, Outcome.FAILED, retry_after=60.0) is Verdict.OK
    assert world.record(lease.run_id) == before
    again = taken_again(world, lease.run_id)
    assert world.settle(lease, Outcome.FAILED, retry_after=60.0) is Verdict.OK
    assert world.record(lease.run_id)["token"] == again.token


@pytest.mark.parametrize("late", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED])
def test_who_told_of_a_failure_can_tell_nothing_else(world: World, late: Outcome) -> None:
    lease = retried(world, slot="w/1")
    assert world.settle(lease, late) is Verdict.LOST
    assert world.report(lease).verdict is Verdict.LOST
    assert world.renew("w/1")[0].verdict is Verdict.IDLE
    assert world.state(lease.run_id) is State.SCHEDULED


def test_who_told_of_a_failure_does_not_have_its_run_back_when_that_waits_in_its_queue(world: World) -> None:
    lease = retried(world)
    world.ripen(lease.run_id)
    world.swept_ago(60.0)
    world.sweep()
    assert world.report(lease).verdict is Verdict.LOST
    assert world.settle(lease) is Verdict.LOST
    assert world.state(lease.run_id) is State.QUEUED


def test_a_failure_that_comes_after_its_supervisors_release_is_not_counted(world: World) -> None:
    lease = world.started(slot="w/1", max_attempts=3)
    world.release("w/1", crashed=False)
    assert world.settle(lease, Outcome.FAILED, retry_after=1.0) is Verdict.LOST
    assert world.load(lease.run_id).snapshot.attempt == 1


def test_the_slot_is_free_for_its_next_run(world: World) -> None:
    world.submit(max_attempts=2)
    lease = world.take("w/1")
    world.settle(lease, Outcome.FAILED, retry_after=60.0)
    assert "run" not in world.slot("w/1")
    world.submit()
    assert world.take("w/1").run_id != lease.run_id


def test_its_room_under_a_limit_is_free_while_it_waits(world: World) -> None:
    world.submit(max_attempts=2, limits="m:one 1")
    other = world.submit(limits="m:one 1").id
    lease = world.take("w/1")
    world.settle(lease, Outcome.FAILED, retry_after=60.0)
    assert world.take("w/2").run_id == other


def test_it_keeps_its_place_its_key_and_its_watchers(world: World) -> None:
    lease = world.started("k", max_attempts=2)
    world.load(lease.run_id, watch=30.0)
    score = world.record(lease.run_id)["score"]
    world.settle(lease, Outcome.FAILED, retry_after=60.0)
    record = world.record(lease.run_id)
    assert (record["score"], world.pointer("k")["live"]) == (score, lease.run_id)
    assert int(record["watched"]) > world.now()


def test_who_wants_a_fresh_answer_does_not_wait_for_the_next_attempt(world: World) -> None:
    """I5 holds but for those: what has begun answers nobody who wants it computed from now on."""
    lease = retried(world)
    fresh = world.submit("k", reuse=Reuse.FRESH)
    assert (fresh.admission, world.state(fresh.id)) == (Admission.NEW, State.QUEUED)
    assert world.state(lease.run_id) is State.SCHEDULED


def test_lost_workers_do_not_use_up_attempts(world: World) -> None:
    lease = world.started(slot="w/1", max_attempts=2)
    world.release("w/1")
    lease = world.take("w/2", (world.load(lease.run_id).snapshot.queue.name,))
    assert (lease.start, lease.failures) == (2, 0)
    world.settle(lease, Outcome.FAILED, retry_after=60.0)
    assert world.state(lease.run_id) is State.SCHEDULED


def test_a_worker_that_is_lost_in_a_later_attempt_is_not_told_with_the_words_of_an_earlier_one(world: World) -> None:
    lease = retried(world, max_crashes=0)
    again = taken_again(world, lease.run_id)
    world.release("other/1")
    loaded = world.load(again.run_id)
    assert loaded.lost_worker
    assert loaded.traceback is None
    assert loaded.snapshot.error is not None
    assert LOST.decode().split('"')[3] == loaded.snapshot.error.message


def test_the_checkpoint_of_a_failed_attempt_is_gone_on_from(world: World) -> None:
    lease = world.started(max_attempts=2)
    world.report(lease, checkpoint=b"half")
    world.settle(lease, Outcome.FAILED, retry_after=0.0)
    assert taken_again(world, lease.run_id).checkpoint == b"half"


def test_the_time_without_a_worker_is_counted_anew_after_an_attempt(world: World) -> None:
    lease = world.started(max_attempts=2)
    world.settle(lease, Outcome.RELEASED, reason="no worker", delay=0.001)
    lease = taken_again(world, lease.run_id)
    world.settle(lease, Outcome.FAILED, retry_after=0.0)
    assert not world.record(lease.run_id)["undeliverable_since"]


def test_a_store_that_lost_a_run_is_told_how_many_attempts_it_had(world: World) -> None:
    lease = taken_again(world, retried(world).run_id)
    world.raw.delete(*world.raw.scan_iter(f"{world.prefix}*"))
    world.seen.clear()
    world.store.open(0)
    assert world.execute(world.operations.reassert(lease, "other/1")) is Verdict.OK
    assert world.load(lease.run_id).snapshot.attempt == 2


# When a scheduled run starts ------------------------------------------------------------------------------------------


def test_a_snapshot_tells_when_a_run_may_start(world: World) -> None:
    run_id = world.submit(start="+60000").id
    assert world.load(run_id).snapshot.due_at == pytest.approx(world.now() / 1000 + 60, abs=5)
    world.ripen(run_id)
    world.swept_ago(60.0)
    world.sweep()
    assert world.load(run_id).snapshot.due_at is None


def test_watchers_hear_that_a_start_was_pulled_forward(world: World) -> None:
    run_id = world.submit("k", start="+60000").id
    before = world.load(run_id, watch=30.0).snapshot
    world.submit("k", start="+30000")
    after = world.load(run_id).snapshot
    assert after.due_at is not None
    assert after.due_at == pytest.approx(world.now() / 1000 + 30, abs=5)
    assert after.version > before.version


def test_a_run_that_is_handed_back_for_a_while_tells_when_it_is_offered_again(world: World) -> None:
    lease = world.started()
    world.settle(lease, Outcome.RELEASED, delay=60.0, reason="no worker")
    assert world.load(lease.run_id).snapshot.due_at is not None
