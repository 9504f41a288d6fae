"""Incidents: what befell the starts of a run is kept with it, and what is seen of a start while it runs."""

from typing import TYPE_CHECKING

import pytest

from jobkit.errors import RunNotFound
from jobkit.incident import Account, IncidentKind
from jobkit.lifecycle import Outcome, State
from jobkit.store.operations import Mark, new_run_id
from jobkit.store.replies import Verdict
from tests.store.world import World

if TYPE_CHECKING:
    from jobkit.store.replies import Lease


def told(message: str = "It broke.", kind: IncidentKind = IncidentKind.CRASHED) -> bytes:
    return Account(kind=kind, message=message).to_json()


def started_again(world: World, lease: "Lease") -> "Lease":
    queue = world.load(lease.run_id).snapshot.queue.name
    return world.take(f"again/{world.now()}-{next(world.numbers)}", (queue,))


# Noting ---------------------------------------------------------------------------------------------------------------


def test_the_store_adds_when_and_where_it_was_and_how_far_the_run_was(world: World) -> None:
    lease = world.started(slot="w/1")
    world.report(lease, done=7)
    world.release("w/1", incident=told())
    (incident,) = world.incidents(lease.run_id)
    assert (incident.kind, incident.message) == (IncidentKind.CRASHED, "It broke.")
    assert (incident.start, incident.attempt, incident.slot, incident.progress.done) == (1, 1, "w/1", 7)
    assert abs(incident.at - world.now() / 1000) < 5


def test_a_failure_that_is_settled_is_noted_with_the_last_progress(world: World) -> None:
    lease = world.started()
    world.settle(lease, Outcome.FAILED, progress=b'{"done":9}', incident=told(kind=IncidentKind.FAILED))
    (incident,) = world.incidents(lease.run_id)
    assert (incident.kind, incident.progress.done) == (IncidentKind.FAILED, 9)


def test_it_is_told_how_far_the_run_was_at_its_checkpoint(world: World) -> None:
    lease = world.started(slot="w/1")
    world.release("w/1", incident=told())
    again = started_again(world, lease)
    world.report(again, 1, done=5, checkpoint=b"half")
    world.report(again, 2, done=7)
    world.release(world.record(lease.run_id)["slot"], incident=told())
    first, second = world.incidents(lease.run_id)
    assert first.checkpoint_at is None
    assert second.checkpoint_at is not None
    assert (second.progress.done, second.checkpoint_at.done) == (7, 5)


def test_a_checkpoint_that_comes_with_the_failure_is_one_to_go_on_from(world: World) -> None:
    lease = world.started(max_attempts=2)
    world.report(lease, done=3)
    world.settle(lease, Outcome.FAILED, retry_after=0.0, checkpoint=b"half", incident=told())
    (incident,) = world.incidents(lease.run_id)
    assert incident.checkpoint_at == incident.progress
    assert incident.progress.done == 3
    assert started_again(world, lease).checkpoint == b"half"


def test_what_is_sent_again_is_noted_once(world: World) -> None:
    first, second = world.started(slot="w/1"), world.started()
    for _ in range(2):
        world.release("w/1", incident=told())
        world.settle(second, Outcome.FAILED, incident=told())
    assert [len(world.incidents(lease.run_id)) for lease in (first, second)] == [1, 1]


def test_a_fenced_holder_notes_nothing(world: World) -> None:
    lease = world.started(slot="w/1")
    world.lapse(lease.run_id)
    started_again(world, lease)
    assert world.settle(lease, Outcome.FAILED, incident=told()) is Verdict.LOST
    assert world.release("w/1", incident=told())[0] is Verdict.LOST
    assert world.incidents(lease.run_id) == ()


def test_a_lease_that_ran_out_is_noted_by_the_sweep(world: World) -> None:
    lease = world.started(slot="w/1")
    world.raw.zadd(f"{world.prefix}leases", {lease.run_id: world.now() - 1}, xx=True)
    world.swept_ago(1.0)
    assert world.sweep(told("It fell silent.", IncidentKind.LOST)).expired == 1
    (incident,) = world.incidents(lease.run_id)
    assert (incident.kind, incident.slot, incident.start) == (IncidentKind.LOST, "w/1", 1)


def test_only_the_last_ten_are_kept(world: World) -> None:
    lease = world.started(slot="w/0", max_crashes=100)
    for number in range(1, 14):
        world.release(world.record(lease.run_id)["slot"], incident=told(f"Number {number}."))
        lease = started_again(world, lease)
    kept = world.incidents(lease.run_id)
    assert [incident.message for incident in kept] == [f"Number {number}." for number in range(4, 14)]
    assert [incident.start for incident in kept] == list(range(4, 14))


def test_a_run_that_nothing_befell_has_none_and_an_unknown_run_is_not_found(world: World) -> None:
    assert world.incidents(world.succeeded().run_id) == ()
    with pytest.raises(RunNotFound):
        world.incidents(new_run_id())


def test_who_asks_for_the_result_of_a_failed_run_gets_the_last_one(world: World) -> None:
    lease = world.started(slot="w/1", max_crashes=1)
    world.release("w/1", incident=told("It broke before."))
    lease = started_again(world, lease)
    assert world.load(lease.run_id, result=True).incident is None
    world.release(world.record(lease.run_id)["slot"], incident=told())
    assert world.load(lease.run_id).incident is None
    loaded = world.load(lease.run_id, result=True)
    assert loaded.incident is not None
    assert (loaded.incident.message, loaded.lost_worker) == ("It broke.", True)


# A start that has failed, though its process cannot say so ------------------------------------------------------------


def test_a_release_may_say_that_the_start_has_failed(world: World) -> None:
    lease = world.started(slot="w/1")
    assert world.release("w/1", crashed=False, failed=True, incident=told()) == (Verdict.OK, lease.run_id)
    loaded = world.load(lease.run_id)
    assert (loaded.snapshot.state, loaded.lost_worker) == (State.FAILED, False)
    assert loaded.snapshot.error is not None
    assert loaded.snapshot.error.message == "Its worker was lost."
    assert "crashes" not in world.record(lease.run_id)


def test_another_attempt_may_follow_it(world: World) -> None:
    lease = world.started(slot="w/1", max_attempts=2)
    world.release("w/1", crashed=False, failed=True, retry_after=60.0, incident=told())
    snapshot = world.load(lease.run_id).snapshot
    assert (snapshot.state, snapshot.attempt) == (State.SCHEDULED, 2)
    world.release("w/1", crashed=False, failed=True, retry_after=60.0, incident=told(), token=lease.token)
    assert [incident.attempt for incident in world.incidents(lease.run_id)] == [1]


def test_a_start_that_was_to_stop_anyway_is_cancelled_not_failed(world: World) -> None:
    lease = world.started(slot="w/1")
    world.cancel(lease.run_id)
    world.release("w/1", crashed=False, failed=True)
    assert world.state(lease.run_id) is State.CANCELLED


def test_a_start_fails_by_release_only_under_its_own_token(world: World) -> None:
    before = world.started(slot="w/1")
    world.settle(before)
    now = world.take("w/1", (world.submit(queue="next") and "next",))
    assert world.release("w/1", crashed=False, failed=True, token=before.token)[0] is Verdict.IDLE
    assert world.state(now.run_id) is State.RUNNING


# Marks ----------------------------------------------------------------------------------------------------------------


def test_a_stalled_start_says_so_until_it_moves_again(world: World) -> None:
    lease = world.started()
    assert world.mark(lease, Mark.STALLED, told()) is Verdict.OK
    assert world.load(lease.run_id).snapshot.stalled
    assert world.mark(lease, Mark.MOVING) is Verdict.OK
    assert not world.load(lease.run_id).snapshot.stalled
    assert len(world.incidents(lease.run_id)) == 1


def test_a_mark_sent_again_notes_no_second_incident(world: World) -> None:
    lease = world.started()
    for _ in range(2):
        assert world.mark(lease, Mark.STALLED, told()) is Verdict.OK
    assert len(world.incidents(lease.run_id)) == 1


def test_what_is_marked_of_a_start_says_nothing_of_the_next(world: World) -> None:
    lease = world.started(slot="w/1")
    world.mark(lease, Mark.STALLED)
    world.mark(lease, Mark.KILLING)
    world.release("w/1")
    queued = world.load(lease.run_id).snapshot
    again = started_again(world, lease)
    running = world.load(lease.run_id).snapshot
    assert [(seen.stalled, seen.stopping) for seen in (queued, running)] == [(False, None)] * 2
    assert world.mark(lease, Mark.STALLED) is Verdict.LOST
    assert not world.load(again.run_id).snapshot.stalled


def test_an_ended_run_takes_no_mark(world: World) -> None:
    lease = world.succeeded()
    for what in Mark:
        assert world.mark(lease, what) is Verdict.LOST


def test_a_cancel_is_seen_to_escalate(world: World) -> None:
    lease = world.started(slot="w/1")
    seen = [world.load(lease.run_id).snapshot.stopping]
    world.cancel(lease.run_id)
    seen.append(world.load(lease.run_id).snapshot.stopping)
    world.mark(lease, Mark.KILLING)
    seen.append(world.load(lease.run_id).snapshot.stopping)
    world.release("w/1", crashed=False)
    seen.append(world.load(lease.run_id).snapshot.stopping)
    assert seen == [None, "cancelling", "killing", None]
