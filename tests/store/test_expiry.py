"""`expires`: a run that does not begin in time is given up; one that has begun never is."""

import pytest

from jobkit.lifecycle import Outcome, State
from jobkit.store.replies import Admission, Lease
from tests.store.world import World


def swept(world: World) -> None:
    world.swept_ago(1.5)
    world.sweep()


def test_a_run_that_nobody_takes_in_time_fails_and_says_so(world: World) -> None:
    run_id = world.submit("k", expires=90_000).id
    world.skew(89.0)
    swept(world)
    assert world.state(run_id) is State.QUEUED
    world.skew(91.0)
    swept(world)
    snapshot = world.load(run_id).snapshot
    assert snapshot.state is State.FAILED
    assert snapshot.error is not None
    assert snapshot.error.public
    assert snapshot.error.message == "It did not start within 90 s, so it was given up."
    assert snapshot.error.reference == f"{run_id[-8:]}-0"
    assert world.pointer("k") == {}


def test_it_is_not_taken_after_its_time_even_where_nobody_sweeps(world: World) -> None:
    late = world.submit(expires=1_000).id
    world.skew(2.0)
    other = world.submit().id
    assert world.take().run_id == other
    assert world.state(late) is State.FAILED


def test_many_late_runs_are_given_up_some_at_a_time(world: World) -> None:
    late = [world.submit(expires=1_000).id for _ in range(33)]
    world.skew(2.0)
    other = world.submit().id
    assert not isinstance(world.look("w/1"), Lease)
    assert world.take("w/1").run_id == other
    assert {world.state(run_id) for run_id in late} == {State.FAILED}


def test_the_time_runs_from_when_it_could_first_start(world: World) -> None:
    run_id = world.submit(expires=10_000, start="+60000").id
    world.skew(65.0)
    swept(world)
    assert world.state(run_id) is State.QUEUED
    world.skew(71.0)
    swept(world)
    assert world.state(run_id) is State.FAILED


def test_a_scheduled_run_whose_time_passed_while_nobody_looked_is_given_up(world: World) -> None:
    run_id = world.submit(expires=10_000, start="+60000").id
    world.skew(80.0)
    swept(world)
    assert world.state(run_id) is State.FAILED


def test_who_pulls_the_start_forward_pulls_the_end_forward(world: World) -> None:
    run_id = world.submit("k", expires=10_000, start="+60000").id
    assert world.submit("k", expires=10_000).admission is Admission.JOINED
    world.skew(11.0)
    swept(world)
    assert world.state(run_id) is State.FAILED


def test_a_debounced_run_has_its_time_from_its_last_delay_on(world: World) -> None:
    said = {"expires": 10_000, "debounce": 5_000, "longest_debounce": 50_000}
    run_id = world.submit("k", **said).id
    world.skew(4.0)
    assert world.submit("k", **said).id == run_id
    world.skew(16.0)
    swept(world)
    assert world.state(run_id) is State.QUEUED
    world.skew(20.0)
    swept(world)
    assert world.state(run_id) is State.FAILED


@pytest.mark.parametrize("back", [Outcome.RELEASED, Outcome.FAILED])
def test_a_run_that_has_begun_is_never_given_up(world: World, back: Outcome) -> None:
    lease = world.started(expires=1_000, max_attempts=2)
    world.skew(2.0)
    swept(world)
    details = {"retry_after": 0.0} if back is Outcome.FAILED else {}
    world.settle(lease, back, **details)
    swept(world)
    assert world.take("other/1", (world.load(lease.run_id).snapshot.queue.name,)).run_id == lease.run_id


def test_a_late_run_that_a_limit_keeps_out_is_given_up_in_its_line(world: World) -> None:
    world.submit(limits="m:one 1")
    world.take("w/1")
    parked = world.submit(limits="m:one 1", expires=1_000).id
    world.skew(2.0)
    swept(world)
    assert world.state(parked) is State.FAILED


def test_room_that_a_late_run_was_offered_goes_to_the_next(world: World) -> None:
    late = world.submit(limits="s:ann 1", expires=1_000).id
    other = world.submit(limits="s:ann 1").id
    assert world.record(other)["parked"]
    world.skew(2.0)
    swept(world)
    assert world.state(late) is State.FAILED
    assert not world.record(other)["parked"]


def test_a_failure_window_holds_for_late_runs_too(world: World) -> None:
    run_id = world.submit("k", expires=1_000, failure_ttl=60_000).id
    world.skew(2.0)
    swept(world)
    assert world.submit("k", failure_ttl=60_000).admission is Admission.REFUSED
    assert world.state(run_id) is State.FAILED


def test_one_that_is_cancelled_or_gone_leaves_nothing_behind(world: World) -> None:
    cancelled = world.submit(expires=1_000).id
    world.cancel(cancelled)
    gone = world.submit(expires=1_000).id
    world.raw.delete(world.record_key(gone))
    world.raw.zrem(f"{world.prefix}ready:default", gone)
    world.raw.zrem(f"{world.prefix}runs", gone)
    world.raw.zrem(f"{world.prefix}state:queued", gone)
    world.raw.hset(f"{world.prefix}partition", "skew", 2_000)
    swept(world)
    assert world.members("expiring") == []
    assert world.state(cancelled) is State.CANCELLED


def test_a_run_that_begun_before_its_store_lost_it_is_not_given_up(world: World) -> None:
    run_id = world.submit(expires=1_000, starts=2).id
    assert world.members("expiring") == []
    assert world.take().run_id == run_id


def test_a_run_that_began_unnoticed_keeps_nobody_from_being_given_up(world: World) -> None:
    """It was taken by a worker of a version that knew nothing of this, as in a rolling deploy."""
    begun = world.started(expires=1_000)
    late = world.submit(expires=1_000).id
    world.raw.zadd(f"{world.prefix}expiring", {begun.run_id: world.now()})
    world.raw.hset(f"{world.prefix}partition", "skew", 2_000)
    swept(world)
    assert (world.state(begun.run_id), world.state(late)) == (State.RUNNING, State.FAILED)
    assert world.members("expiring") == []
