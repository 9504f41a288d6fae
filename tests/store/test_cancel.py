"""Cancelling: a run stops when nobody has a stake in it any more, or when it is forced to."""

from collections.abc import Callable

import pytest

from jobkit.errors import RunNotFound
from jobkit.lifecycle import Outcome, State
from jobkit.store.operations import Reuse, new_run_id
from jobkit.store.replies import Cancelling, Verdict
from tests.store.world import World
from tests.waiting import wait_until


def test_the_last_one_to_leave_a_queued_run_ends_it_at_once(world: World) -> None:
    run = world.submit("k")
    assert world.cancel(run.id) is Cancelling.STOPPING
    assert world.state(run.id) is State.CANCELLED
    assert world.pointer("k") == {}


def test_a_scheduled_run_is_cancelled_at_once(world: World) -> None:
    run = world.submit(start="+60000")
    assert world.cancel(run.id) is Cancelling.STOPPING
    assert world.state(run.id) is State.CANCELLED


def test_a_run_goes_on_while_others_wait(world: World) -> None:
    run, joined = world.submit("k"), world.submit("k", interest="owner:bob")
    assert world.cancel(run.id) is Cancelling.LEFT
    assert world.state(run.id) is State.QUEUED
    assert world.cancel(joined.id, "owner:bob") is Cancelling.STOPPING


def test_a_cancel_sent_again_is_answered_as_the_first(world: World) -> None:
    run = world.submit("k")
    world.submit("k", interest="owner:bob")
    assert [world.cancel(run.id) for _ in range(2)] == [Cancelling.LEFT] * 2
    assert [world.cancel(run.id, "owner:bob") for _ in range(2)] == [Cancelling.STOPPING] * 2


def test_one_without_a_stake_cannot_stop_a_run(world: World) -> None:
    run = world.submit("k")
    assert world.cancel(run.id, "ticket:guessed") is Cancelling.STRANGER
    assert world.cancel(run.id, "") is Cancelling.STOPPING  # (the helper's default: its own ticket)


def test_an_empty_interest_is_a_strangers(world: World) -> None:
    run = world.submit()
    assert world.execute(world.operations.cancel(run.id, "")) is Cancelling.STRANGER


def test_force_stops_it_for_everybody(world: World) -> None:
    run = world.submit("k")
    world.submit("k", interest="owner:bob")
    assert world.execute(world.operations.cancel(run.id, "", force=True)) is Cancelling.STOPPING
    assert world.state(run.id) is State.CANCELLED


def test_a_running_run_is_flagged_and_its_worker_told(world: World) -> None:
    lease = world.started(slot="w/1")
    with world.raw.pubsub(ignore_subscribe_messages=False) as ear:
        ear.subscribe(world.operations.worker_channel("w"))
        wait_until(lambda: ear.get_message(timeout=0.1), "the subscription is acknowledged")
        assert world.cancel(lease.run_id) is Cancelling.STOPPING
        heard: list[bytes] = []
        wait_until(lambda: _hear(ear.get_message(timeout=0.1), heard.append), "the worker is told")
    assert heard == [f"w/1 {lease.run_id} {lease.token}".encode()]
    snapshot = world.load(lease.run_id).snapshot
    assert (snapshot.state, snapshot.cancellable) == (State.RUNNING, False)
    assert world.report(lease).verdict is Verdict.CANCEL
    world.settle(lease, Outcome.CANCELLED)
    assert world.state(lease.run_id) is State.CANCELLED


def _hear(message: dict[str, bytes] | None, put: Callable[[bytes], None]) -> bool:
    if message is not None:
        put(message["data"])
    return message is not None


def test_a_flagged_run_is_told_to_its_worker_once(world: World) -> None:
    lease = world.started()
    world.cancel(lease.run_id)
    before = world.record(lease.run_id)["version"]
    assert world.cancel(lease.run_id) is Cancelling.STOPPING
    assert world.record(lease.run_id)["version"] == before


def test_a_run_whose_lease_ran_out_is_cancelled_at_once_and_its_holder_hears_so(world: World) -> None:
    lease = world.started(slot="w/1")
    world.lapse(lease.run_id)
    world.cancel(lease.run_id)
    assert world.state(lease.run_id) is State.CANCELLED
    assert world.report(lease).verdict is Verdict.ENDED
    assert world.settle(lease) is Verdict.ENDED
    assert world.renew("w/1")[0].verdict is Verdict.ENDED


def test_a_flagged_run_whose_lease_runs_out_is_cancelled(world: World) -> None:
    lease = world.started()
    world.cancel(lease.run_id)
    world.lapse(lease.run_id)
    assert world.state(lease.run_id) is State.CANCELLED


def test_a_run_that_was_given_back_is_cancelled_at_once(world: World) -> None:
    lease = world.started()
    world.settle(lease, Outcome.RELEASED)
    world.cancel(lease.run_id)
    assert world.state(lease.run_id) is State.CANCELLED
    assert world.report(lease).verdict is Verdict.LOST


@pytest.mark.parametrize("force", [False, True])
def test_an_ended_run_stays_as_it_is(world: World, force: bool) -> None:
    lease = world.succeeded("k", cache_ttl=60_000)
    assert world.cancel(lease.run_id, force=force) is Cancelling.ENDED
    assert world.state(lease.run_id) is State.SUCCEEDED
    assert world.pointer("k")["memo"] == lease.run_id


def test_an_unknown_run_is_not_found(world: World) -> None:
    with pytest.raises(RunNotFound):
        world.cancel(new_run_id())


def test_cancelling_a_superseded_run_leaves_the_pointer_to_its_successor(world: World) -> None:
    old = world.started("k")
    new = world.submit("k", reuse=Reuse.FRESH)
    world.cancel(old.run_id)
    assert world.pointer("k") == {"live": new.id}
