"""Joining changes the run that is joined: the most urgent of all who wait decides its place and its start."""

import pytest

from jobkit.lifecycle import Outcome, State
from jobkit.store.operations import Reuse
from jobkit.store.replies import Admission, NoWork
from tests.store.world import World
from tests.waiting import wait_until

IN_A_MINUTE = {"start": "+60000"}


def due_in(world: World, run_id: str) -> float:
    return (float(world.raw.zscore(f"{world.prefix}due", run_id)) - world.now()) / 1000 - world.ahead


# Priority -------------------------------------------------------------------------------------------------------------


def test_a_more_urgent_joiner_moves_the_run_forward(world: World) -> None:
    first, run = world.submit(), world.submit("k")
    world.submit("k", priority=2)
    assert world.members("ready:default") == [run.id, first.id]
    assert world.record(run.id)["priority"] == "2"


@pytest.mark.parametrize("priority", [1, 0, -5])
def test_a_less_urgent_joiner_moves_nothing(world: World, priority: int) -> None:
    run = world.submit("k", priority=1)
    score = world.record(run.id)["score"]
    world.submit("k", priority=priority)
    assert (world.record(run.id)["score"], world.record(run.id)["priority"]) == (score, "1")


def test_only_the_steps_between_both_priorities_count(world: World) -> None:
    run = world.submit("k", priority=1)
    score = float(world.record(run.id)["score"])
    world.submit("k", priority=3)
    assert score - float(world.record(run.id)["score"]) == pytest.approx(120_000)


def test_a_requeued_run_keeps_the_place_that_a_joiner_gave_it(world: World) -> None:
    first, run = world.submit(), world.submit("k")
    world.submit("k", priority=2)
    lease = world.take()
    world.settle(lease, Outcome.RELEASED)
    assert world.members("ready:default") == [run.id, first.id]


# Start ----------------------------------------------------------------------------------------------------------------


def test_who_wants_it_now_starts_a_scheduled_run(world: World) -> None:
    run = world.submit("k", **IN_A_MINUTE)
    assert world.submit("k").id == run.id
    assert world.take().run_id == run.id


def test_who_wants_it_now_and_urgently_is_queued_at_once_with_a_place_of_now(world: World) -> None:
    run = world.submit("k", **IN_A_MINUTE)
    world.load(run.id, watch=30.0)
    before = world.now()
    world.submit("k", priority=2)
    assert world.load(run.id).snapshot.state is State.QUEUED
    assert before <= float(world.record(run.id)["score"]) + 120_000 <= world.now() + 1


def test_a_start_that_is_pulled_forward_is_told_to_who_watches(world: World) -> None:
    run = world.submit("k", **IN_A_MINUTE)
    with world.raw.pubsub(ignore_subscribe_messages=False) as ear:
        ear.subscribe(world.operations.snapshots_channel(run.id))
        wait_until(lambda: ear.get_message(timeout=0.1), "the subscription is acknowledged")
        world.load(run.id, watch=30.0)
        world.submit("k")
        heard: list[bytes] = []
        wait_until(lambda: _hear(ear.get_message(timeout=0.1), heard), "the new state is published")
    assert b'"state":"queued"' in heard[0]


def _hear(message: dict[str, bytes] | None, heard: list[bytes]) -> bool:
    if message is not None:
        heard.append(message["data"])
    return bool(heard)


def test_who_wants_it_earlier_pulls_the_start_forward_and_who_wants_it_later_does_not(world: World) -> None:
    run = world.submit("k", **IN_A_MINUTE)
    world.submit("k", start="+30000")
    assert 29 < due_in(world, run.id) <= 30
    world.submit("k", start="+90000")
    assert 29 < due_in(world, run.id) <= 30


def test_nobody_starts_a_run_that_was_given_back_before_its_time(world: World) -> None:
    lease = world.started("k")
    world.settle(lease, Outcome.RELEASED, delay=60.0)
    assert world.submit("k").admission is Admission.JOINED
    assert world.state(lease.run_id) is State.SCHEDULED
    assert 59 < due_in(world, lease.run_id) <= 60


# Throttle -------------------------------------------------------------------------------------------------------------


def test_equal_submissions_start_no_closer_than_the_throttle_and_what_is_too_early_is_shared(world: World) -> None:
    terms = {"throttle": 10_000}
    world.submit("k", **terms)
    world.settle(world.take())
    second, third = world.submit("k", **terms), world.submit("k", **terms)
    assert (second.admission, third.admission, third.id) == (Admission.NEW, Admission.JOINED, second.id)
    assert world.state(second.id) is State.SCHEDULED
    assert 9 < due_in(world, second.id) <= 10
    world.skew(10.1)
    assert world.take().run_id == second.id
    assert world.submit("other", **terms).id in world.members("ready:default")


def test_a_throttled_start_is_not_pulled_forward_by_who_joins(world: World) -> None:
    """The joiner is of the same class, so the same throttle holds for it."""
    terms = {"throttle": 10_000}
    world.submit("k", **terms)
    world.settle(world.take())
    waiting = world.submit("k", **terms)
    world.submit("k", **terms)
    assert 9 < due_in(world, waiting.id) <= 10


def test_after_the_throttle_a_submission_starts_at_once(world: World) -> None:
    terms = {"throttle": 10_000}
    world.submit("k", **terms)
    world.settle(world.take())
    world.skew(10.1)
    assert world.submit("k", **terms).id in world.members("ready:default")


def test_a_throttle_holds_after_a_failure_and_for_who_wants_it_fresh(world: World) -> None:
    terms = {"throttle": 10_000}
    world.submit("k", **terms)
    lease = world.take()
    fresh = world.submit("k", reuse=Reuse.FRESH, **terms)
    assert world.state(fresh.id) is State.SCHEDULED
    world.settle(lease, Outcome.FAILED)
    assert isinstance(world.look(), NoWork)


# Debounce -------------------------------------------------------------------------------------------------------------

DEBOUNCED = {"debounce": 5_000, "longest_debounce": 20_000}


def test_a_debounced_run_starts_when_it_has_been_quiet_with_what_was_submitted_last(world: World) -> None:
    run = world.submit("k", arguments=b'{"text":"a"}', **DEBOUNCED)
    for seconds, text in ((3, b"b"), (6, b"c")):
        world.skew(seconds)
        assert world.submit("k", arguments=b'{"text":"%b"}' % text, **DEBOUNCED).id == run.id
        assert isinstance(world.look(), NoWork)
    world.skew(11.1)
    lease = world.take()
    assert (lease.run_id, lease.arguments) == (run.id, b'{"text":"c"}')


def test_a_debounced_run_waits_no_longer_than_its_longest_wait(world: World) -> None:
    run = world.submit("k", **DEBOUNCED)
    for seconds in (4, 8, 12, 16, 19):
        world.skew(seconds)
        world.submit("k", **DEBOUNCED)
    world.skew(20.1)
    assert world.take().run_id == run.id


def test_what_is_submitted_while_a_debounced_run_is_performed_is_performed_after_it(world: World) -> None:
    world.submit("k", **DEBOUNCED)
    world.skew(6)
    running = world.take("w/1")
    later = world.submit("k", arguments=b'{"text":"later"}', **DEBOUNCED)
    assert (later.admission, later.id != running.run_id) == (Admission.NEW, True)
    world.skew(12)
    assert world.take("w/2").arguments == b'{"text":"later"}'


def test_a_debounced_run_that_waits_for_a_worker_gets_the_newest_arguments(world: World) -> None:
    run = world.submit("k", **DEBOUNCED)
    world.skew(6)
    assert isinstance(world.look(queues=("other",)), NoWork)  # promotes what is due
    assert world.state(run.id) is State.QUEUED
    world.submit("k", arguments=b'{"text":"new"}', **DEBOUNCED)
    assert world.take().arguments == b'{"text":"new"}'
