"""Leases: whoever holds the token may write, nobody else may, and an outage is not a death."""

import pytest
from msgspec.structs import replace

from jobkit.lifecycle import Outcome, State
from jobkit.store.replies import Lease, Renewed, Reported, Verdict
from tests.store.world import FAILED, LOST, World


def taken_by_another(world: World) -> tuple[Lease, Lease]:
    """A run whose lease ran out while its holder was frozen; another worker has it now."""
    zombie = world.started(slot="w/1")
    world.lapse(zombie.run_id)
    holder = world.take("other/1", (world.load(zombie.run_id).snapshot.queue.name,))
    assert holder.run_id == zombie.run_id
    return zombie, holder


# Reporting ------------------------------------------------------------------------------------------------------------


def test_a_report_is_shown_and_renews_the_lease(world: World) -> None:
    lease = world.started()
    world.raw.zadd(f"{world.prefix}leases", {lease.run_id: 0})
    assert world.report(lease, done=3) == Reported(Verdict.OK, watched=False)
    assert world.load(lease.run_id).snapshot.done == 3
    assert world.raw.zscore(f"{world.prefix}leases", lease.run_id) > world.now()


def test_a_report_sent_again_or_out_of_order_changes_nothing(world: World) -> None:
    lease = world.started()
    world.report(lease, 2, done=20)
    version = world.load(lease.run_id).snapshot.version
    assert world.report(lease, 2, done=20).verdict is Verdict.OK
    assert world.report(lease, 1, done=10).verdict is Verdict.OK
    snapshot = world.load(lease.run_id).snapshot
    assert (snapshot.done, snapshot.version) == (20, version)


def test_each_report_shows_what_the_one_before_did_not(world: World) -> None:
    lease = world.started()
    for sequence in (1, 2, 7):
        world.report(lease, sequence, done=sequence)
        assert world.load(lease.run_id).snapshot.done == sequence


def test_a_report_says_whether_anybody_watches(world: World) -> None:
    lease = world.started()
    world.load(lease.run_id, watch=30.0)
    assert world.report(lease).watched
    world.raw.hset(world.record_key(lease.run_id), "watched", world.now() - 1)
    assert not world.report(lease, 2).watched


def test_a_token_that_was_never_given_writes_nothing(world: World) -> None:
    lease = world.started()
    world.settle(lease, Outcome.RELEASED)
    for token in ("", "0", "nil"):
        operation = world.operations.report(replace(lease, token=token), 1, b'{"done":1}')
        assert world.execute(operation).verdict is Verdict.LOST
    assert world.load(lease.run_id).snapshot.done == 0


def test_a_report_on_a_run_that_is_not_kept_is_lost(world: World) -> None:
    lease = world.started()
    world.settle(lease)
    world.raw.delete(world.record_key(lease.run_id))
    assert world.report(lease).verdict is Verdict.LOST


def test_a_report_without_a_checkpoint_keeps_the_one_before(world: World) -> None:
    lease = world.started()
    world.report(lease, 1)
    assert "checkpoint" not in world.record(lease.run_id)
    world.report(lease, 2, checkpoint=b"half")
    world.report(lease, 3)
    assert world.record(lease.run_id)["checkpoint"] == "half"


def taken_again(world: World, lease: Lease, slot: str) -> Lease:
    again = world.take(slot, (world.load(lease.run_id).snapshot.queue.name,))
    assert again.run_id == lease.run_id
    return again


def test_a_start_that_is_given_back_leaves_the_checkpoint_that_its_settlement_carries(world: World) -> None:
    lease = world.started()
    world.report(lease, checkpoint=b"half")
    world.settle(lease, Outcome.RELEASED, checkpoint=b"more")
    again = taken_again(world, lease, "w/2")
    assert (again.start, again.failures, again.checkpoint) == (2, 0, b"more")
    world.settle(again, Outcome.RELEASED)
    assert taken_again(world, lease, "w/3").checkpoint == b"more", "a settlement without one leaves the last"


def test_a_checkpoint_comes_with_a_lease_also_after_a_delay(world: World) -> None:
    lease = world.started()
    world.settle(lease, Outcome.RELEASED, delay=60.0, checkpoint=b"half")
    world.ripen(lease.run_id)
    assert taken_again(world, lease, "w/2").checkpoint == b"half"


def test_a_settlement_under_an_old_token_leaves_no_checkpoint(world: World) -> None:
    """A start is declared dead and its run taken by another; then its own settlement arrives."""
    lease = world.started(slot="w/1")
    world.release("w/1")
    again = taken_again(world, lease, "w/2")
    assert world.settle(lease, Outcome.FAILED, checkpoint=b"late") is Verdict.LOST
    world.settle(lease, Outcome.RELEASED, checkpoint=b"late")
    assert "checkpoint" not in world.record(lease.run_id)
    world.settle(again, Outcome.RELEASED)
    assert taken_again(world, lease, "w/3").checkpoint is None


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED])
def test_a_run_that_has_ended_keeps_no_checkpoint(world: World, outcome: Outcome) -> None:
    lease = world.started()
    world.report(lease, checkpoint=b"half")
    world.settle(lease, outcome, checkpoint=b"more")
    assert not {"checkpoint", "checkpoint_by", "checkpoint_at"} & world.record(lease.run_id).keys()


def test_a_run_that_ends_while_it_waits_keeps_no_checkpoint(world: World) -> None:
    lease = world.started()
    world.settle(lease, Outcome.RELEASED, checkpoint=b"half")
    world.cancel(lease.run_id, force=True)
    assert world.state(lease.run_id) is State.CANCELLED
    assert not {"checkpoint", "checkpoint_by", "checkpoint_at"} & world.record(lease.run_id).keys()


def test_a_scheduled_run_has_no_holder(world: World) -> None:
    """No operation leaves a token that is good there; should one be there all the same, it writes nothing."""
    lease = world.started()
    world.settle(lease, Outcome.RELEASED, delay=60.0)
    token = world.record(lease.run_id)["token"]
    assert world.report(replace(lease, token=token)).verdict is Verdict.LOST
    assert world.settle(replace(lease, token=token)) is Verdict.LOST
    assert world.state(lease.run_id) is State.SCHEDULED


# Settling -------------------------------------------------------------------------------------------------------------


def test_a_success_is_final_and_carries_the_last_progress(world: World) -> None:
    lease = world.started()
    assert world.settle(lease, result=b"7", progress=b'{"done":9}') is Verdict.OK
    loaded = world.load(lease.run_id, result=True)
    assert (loaded.snapshot.state, loaded.snapshot.done, loaded.result) == (State.SUCCEEDED, 9, b"7")
    assert loaded.snapshot.finished_at is not None


def test_a_failure_says_why_and_which_attempt_it_was(world: World) -> None:
    lease = world.started()
    world.settle(lease, Outcome.FAILED, traceback="Traceback: …")
    loaded = world.load(lease.run_id)
    assert loaded.snapshot.error is not None
    assert (loaded.snapshot.error.message, loaded.snapshot.error.public) == ("It did not work.", True)
    assert loaded.snapshot.error.reference == f"{lease.run_id[-8:]}-1"
    assert (loaded.snapshot.attempt, loaded.snapshot.max_attempts) == (1, 1)
    assert loaded.traceback == "Traceback: …"


@pytest.mark.parametrize("first", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED])
@pytest.mark.parametrize("second", list(Outcome))
def test_only_the_first_outcome_is_accepted(world: World, first: Outcome, second: Outcome) -> None:
    lease = world.started()
    assert world.settle(lease, first, result=b'"first"') is Verdict.OK
    before = world.record(lease.run_id)
    assert world.settle(lease, second, result=b'"second"') is Verdict.ENDED
    assert world.record(lease.run_id) == before


def test_a_release_sent_again_is_answered_as_the_first(world: World) -> None:
    lease = world.started()
    assert world.settle(lease, Outcome.RELEASED) is Verdict.OK
    before = world.record(lease.run_id)
    assert world.settle(lease, Outcome.RELEASED) is Verdict.OK
    assert world.record(lease.run_id) == before


@pytest.mark.parametrize("late", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED])
def test_a_holder_that_gave_its_run_back_cannot_end_it(world: World, late: Outcome) -> None:
    lease = world.started()
    world.settle(lease, Outcome.RELEASED)
    assert world.settle(lease, late) is Verdict.LOST
    assert world.report(lease).verdict is Verdict.LOST
    assert world.state(lease.run_id) is State.QUEUED


@pytest.mark.parametrize("late", [Outcome.SUCCEEDED, Outcome.RELEASED])
def test_a_child_whose_supervisor_gave_its_run_back_is_not_told_that_its_result_was_taken(
    world: World, late: Outcome
) -> None:
    """The settlement was on its way when the supervisor released the slot: it must not read like a success."""
    lease = world.started(slot="w/1")
    world.release("w/1", crashed=False)
    expected = Verdict.OK if late is Outcome.RELEASED else Verdict.LOST
    assert world.settle(lease, late) is expected
    assert world.state(lease.run_id) is State.QUEUED


def test_a_success_after_the_cancel_flag_counts_but_is_not_remembered(world: World) -> None:
    lease = world.started("k", cache_ttl=60_000)
    world.cancel(lease.run_id)
    assert world.settle(lease) is Verdict.OK
    assert world.state(lease.run_id) is State.SUCCEEDED
    assert world.pointer("k") == {}


def test_a_release_after_the_cancel_flag_is_the_end(world: World) -> None:
    lease = world.started()
    world.cancel(lease.run_id)
    world.settle(lease, Outcome.RELEASED)
    assert world.state(lease.run_id) is State.CANCELLED


def test_a_postponed_run_waits_for_its_time(world: World) -> None:
    lease = world.started()
    world.settle(lease, Outcome.RELEASED, delay=60.0)
    assert world.state(lease.run_id) is State.SCHEDULED
    assert world.report(lease).verdict is Verdict.LOST


def test_a_postponed_run_is_due_after_its_delay_however_short(world: World) -> None:
    lease = world.started()
    world.settle(lease, Outcome.RELEASED, delay=60.0)
    assert 59_000 < world.raw.zscore(f"{world.prefix}due", lease.run_id) - world.now() <= 60_000
    shortly = world.started()
    world.settle(shortly, Outcome.RELEASED, delay=0.001)
    assert world.state(shortly.run_id) is State.SCHEDULED


def test_a_run_that_was_given_back_names_no_slot(world: World) -> None:
    lease = world.started()
    world.settle(lease, Outcome.RELEASED)
    assert world.record(lease.run_id)["slot"] == ""


def test_a_run_that_no_worker_knows_goes_round_until_its_time_is_up(world: World) -> None:
    lease = world.started(slot="w/1")
    queue = (world.load(lease.run_id).snapshot.queue.name,)
    world.settle(lease, Outcome.RELEASED, reason="no worker for reports.Sales")
    again = world.take("w/2", queue)
    world.raw.hset(world.record_key(lease.run_id), "undeliverable_since", world.now() - 600_001)
    world.settle(again, Outcome.RELEASED, reason="no worker for reports.Sales")
    snapshot = world.load(lease.run_id).snapshot
    assert (snapshot.state, snapshot.start) == (State.FAILED, 2)


def test_however_often_it_goes_round_only_the_time_since_the_first_counts(world: World) -> None:
    lease = world.started(slot="w/1", undeliverable=60_000)
    queue = (world.load(lease.run_id).snapshot.queue.name,)
    for seconds in (0, 30, 59):
        world.skew(seconds)
        assert world.settle(lease, Outcome.RELEASED, reason="no worker", failure=FAILED) is Verdict.OK
        assert world.state(lease.run_id) is State.QUEUED
        lease = world.take(f"w/{seconds}", queue)
    world.skew(61)
    world.settle(lease, Outcome.RELEASED, reason="no worker", failure=FAILED)
    error = world.load(lease.run_id).snapshot.error
    assert (error and error.message, error and error.reference) == ("It did not work.", f"{lease.run_id[-8:]}-4")


def test_a_worker_that_knew_the_run_after_all_starts_that_time_anew(world: World) -> None:
    lease = world.started(slot="w/1")
    queue = (world.load(lease.run_id).snapshot.queue.name,)
    world.settle(lease, Outcome.RELEASED, reason="no worker for reports.Sales")
    world.raw.hset(world.record_key(lease.run_id), "undeliverable_since", world.now() - 600_001)
    world.settle(world.take("w/2", queue), Outcome.RELEASED)
    world.settle(world.take("w/3", queue), Outcome.RELEASED, reason="no worker for reports.Sales")
    assert world.state(lease.run_id) is State.QUEUED


# Zombies --------------------------------------------------------------------------------------------------------------


def test_an_old_holder_is_refused_everything_once_another_has_its_run(world: World) -> None:
    zombie, holder = taken_by_another(world)
    before = world.record(zombie.run_id)
    assert world.report(zombie, 99, done=99).verdict is Verdict.LOST
    assert [world.settle(zombie, outcome) for outcome in Outcome] == [Verdict.LOST] * 4
    assert world.renew("w/1") == (Renewed("w/1", Verdict.LOST, zombie.run_id, zombie.token),)
    assert world.release("w/1") == (Verdict.LOST, zombie.run_id)
    assert world.record(zombie.run_id) == before
    assert world.settle(holder) is Verdict.OK


def test_an_old_holder_is_refused_everything_once_another_has_ended_its_run(world: World) -> None:
    zombie, holder = taken_by_another(world)
    world.settle(holder, result=b'"right"')
    assert world.report(zombie, 99).verdict is Verdict.LOST
    assert world.settle(zombie, result=b'"wrong"') is Verdict.LOST
    assert world.renew("w/1")[0].verdict is Verdict.LOST
    assert world.load(zombie.run_id, result=True).result == b'"right"'


@pytest.mark.parametrize("how", ["report", "renew", "settle", "release"])
def test_a_cut_off_holder_takes_its_run_back_and_the_crash_is_not_counted(world: World, how: str) -> None:
    lease = world.started(slot="w/1")
    world.lapse(lease.run_id)
    assert (world.state(lease.run_id), world.record(lease.run_id)["crashes"]) == (State.QUEUED, "1")
    match how:
        case "report":
            assert world.report(lease).verdict is Verdict.OK
        case "renew":
            assert world.renew("w/1") == (Renewed("w/1", Verdict.OK, lease.run_id, lease.token),)
        case "settle":
            assert world.settle(lease) is Verdict.OK
        case _:
            assert world.release("w/1", crashed=False) == (Verdict.OK, lease.run_id)
    expected = {"settle": State.SUCCEEDED, "release": State.QUEUED}.get(how, State.RUNNING)
    assert (world.state(lease.run_id), world.record(lease.run_id)["crashes"]) == (expected, "0")


def test_a_slot_freed_by_a_lapse_may_take_the_same_run_again(world: World) -> None:
    lease = world.started(slot="w/1")
    world.lapse(lease.run_id)
    again = world.take("w/1", (world.load(lease.run_id).snapshot.queue.name,))
    assert (again.run_id, again.start) == (lease.run_id, 2)
    assert world.report(lease).verdict is Verdict.LOST


@pytest.mark.parametrize("late", [Outcome.SUCCEEDED, Outcome.CANCELLED])
def test_what_a_slot_held_before_it_lapsed_does_not_touch_what_it_holds_now(world: World, late: Outcome) -> None:
    """Nobody took the lapsed run, so its old token is still good; but its slot has gone on to another run."""
    before = world.started(slot="w/1")
    world.lapse(before.run_id)
    now = world.started(slot="w/1")
    if late is Outcome.CANCELLED:
        world.cancel(before.run_id)
    else:
        assert world.settle(before) is Verdict.OK
    assert world.renew("w/1") == (Renewed("w/1", Verdict.OK, now.run_id, now.token),)
    assert world.settle(now) is Verdict.OK


# Renewing -------------------------------------------------------------------------------------------------------------


def test_a_heartbeat_renews_every_slot_of_the_worker(world: World) -> None:
    leases = [world.started(slot=f"w/{slot}") for slot in (1, 2)]
    world.raw.zadd(f"{world.prefix}leases", {lease.run_id: 0 for lease in leases})
    renewed = world.renew("w/1", "w/2", "w/3")
    assert [each.verdict for each in renewed] == [Verdict.OK, Verdict.OK, Verdict.IDLE]
    assert min(world.raw.zscore(f"{world.prefix}leases", lease.run_id) for lease in leases) > world.now()


def test_a_heartbeat_does_not_make_a_newer_snapshot(world: World) -> None:
    lease = world.started(slot="w/1")
    before = world.load(lease.run_id).snapshot.version
    world.renew("w/1")
    assert world.load(lease.run_id).snapshot.version == before


def test_a_heartbeat_hears_of_a_cancel_and_of_an_end(world: World) -> None:
    flagged, ended = world.started(slot="w/1"), world.started(slot="w/2")
    world.cancel(flagged.run_id)
    world.lapse(ended.run_id)
    world.cancel(ended.run_id)
    assert [each.verdict for each in world.renew("w/1", "w/2")] == [Verdict.CANCEL, Verdict.ENDED]


def test_after_a_settlement_the_slot_is_idle(world: World) -> None:
    world.settle(world.started(slot="w/1"))
    assert world.renew("w/1")[0] == Renewed("w/1", Verdict.IDLE, "", "")


# Releasing ------------------------------------------------------------------------------------------------------------


def test_a_dead_childs_run_is_queued_at_once_and_the_crash_counted(world: World) -> None:
    lease = world.started(slot="w/1")
    assert world.release("w/1") == (Verdict.OK, lease.run_id)
    assert (world.state(lease.run_id), world.record(lease.run_id)["crashes"]) == (State.QUEUED, "1")


def test_a_run_handed_back_loses_no_attempt(world: World) -> None:
    lease = world.started(slot="w/1")
    world.release("w/1", crashed=False)
    assert "crashes" not in world.record(lease.run_id)


def test_a_release_sent_again_finds_the_slot_empty(world: World) -> None:
    world.started(slot="w/1")
    world.release("w/1")
    assert world.release("w/1") == (Verdict.IDLE, "")


def test_a_slot_whose_run_another_has_holds_nothing_once_it_is_released(world: World) -> None:
    zombie, _ = taken_by_another(world)
    assert world.release("w/1") == (Verdict.LOST, zombie.run_id)
    assert world.slot("w/1") == {"nonce": world.slot("w/1")["nonce"], "dead": "1"}
    assert world.release("w/1") == (Verdict.IDLE, "")


def test_a_slot_whose_record_was_removed_by_hand_is_lost_not_unknown(world: World) -> None:
    """The partition is the one that gave the lease, so nobody may assert the run anew."""
    lease = world.started(slot="w/1")
    world.raw.delete(world.record_key(lease.run_id))
    for name in ("runs", "leases", "state:running"):
        world.raw.zrem(world.prefix + name, lease.run_id)
    run = world.store.execute
    assert run(world.operations.renew("w", ["default"], ["w/1"])).slots[0].verdict is Verdict.LOST
    assert run(world.operations.release("w/1", crashed=True, failure=LOST)) == (Verdict.LOST, lease.run_id)


def test_a_spent_crash_budget_is_a_lost_worker(world: World) -> None:
    lease = world.started(slot="w/1", max_crashes=1)
    world.release("w/1")
    world.take("w/2", (world.load(lease.run_id).snapshot.queue.name,))
    world.release("w/2")
    loaded = world.load(lease.run_id)
    assert (loaded.snapshot.state, loaded.lost_worker) == (State.FAILED, True)
    assert loaded.snapshot.error is not None
    assert loaded.snapshot.error.message == "Its worker was lost."


def test_work_that_must_not_run_twice_fails_with_its_first_worker(world: World) -> None:
    lease = world.started(max_crashes=0)
    world.lapse(lease.run_id)
    assert world.state(lease.run_id) is State.FAILED
    assert world.settle(lease) is Verdict.ENDED


@pytest.mark.parametrize("crashed", [True, False])
def test_a_run_that_was_to_stop_anyway_ends_with_its_worker(world: World, crashed: bool) -> None:
    lease = world.started(slot="w/1")
    world.cancel(lease.run_id)
    world.release("w/1", crashed=crashed)
    assert world.state(lease.run_id) is State.CANCELLED


# Sweeping -------------------------------------------------------------------------------------------------------------


def test_only_one_sweep_an_interval_does_anything(world: World) -> None:
    assert [world.sweep().swept for _ in range(3)] == [True, False, False]


def test_a_sweep_requeues_what_nobody_renewed(world: World) -> None:
    leases = [world.started(slot=f"w/{slot}") for slot in range(3)]
    assert world.lapse(*(lease.run_id for lease in leases[:2])).expired == 2
    assert [world.state(lease.run_id) for lease in leases] == [State.QUEUED, State.QUEUED, State.RUNNING]


@pytest.mark.parametrize("gap", [6.0, 3600.0, -3600.0])
def test_after_an_outage_or_a_clock_step_every_lease_is_whole_again(world: World, gap: float) -> None:
    """Nobody swept for more than a third of the lease, or the clock went back: holders had no chance to renew."""
    lease = world.started()
    ends = world.now() + (-1 if gap > 0 else 7_200_000)
    world.raw.zadd(f"{world.prefix}leases", {lease.run_id: ends})
    world.swept_ago(gap)
    assert world.sweep().expired == 0
    left = world.raw.zscore(f"{world.prefix}leases", lease.run_id) - world.now()
    assert 14_000 < left <= 15_000
    assert world.state(lease.run_id) is State.RUNNING


def test_a_short_pause_of_the_sweeps_excuses_nobody(world: World) -> None:
    lease = world.started()
    world.raw.zadd(f"{world.prefix}leases", {lease.run_id: world.now() - 1})
    world.swept_ago(4.0)
    assert world.sweep().expired == 1


def test_a_lease_shorter_than_the_pace_of_the_sweeps_still_runs_out(world: World) -> None:
    lease = world.started(lease=1_000)
    assert world.lapse(lease.run_id).expired == 1


def test_one_sweep_expires_a_bounded_number_and_the_next_goes_on(world: World) -> None:
    leases = [world.started(slot=f"w/{slot}").run_id for slot in range(3)]
    world.raw.zadd(f"{world.prefix}leases", dict.fromkeys(leases, 1))
    for expired in (2, 1):
        world.swept_ago(1.0)
        assert world.execute(world.operations.sweep(1.0, LOST, limit=2)).expired == expired


@pytest.mark.parametrize(("lease", "gap", "expired"), [(3_000, 2.5, 0), (3_000, 1.5, 1), (15_000, 4.0, 1)])
def test_a_gap_is_an_outage_when_it_is_longer_than_two_sweeps_and_a_third_of_the_lease(
    world: World, lease: int, gap: float, expired: int
) -> None:
    run = world.started(lease=lease)
    world.raw.zadd(f"{world.prefix}leases", {run.run_id: world.now() - 1})
    world.swept_ago(gap)
    assert world.sweep().expired == expired


def test_after_an_outage_the_leases_of_all_are_whole_again(world: World) -> None:
    leases = [world.started(slot=f"w/{slot}").run_id for slot in range(5)]
    world.raw.zadd(f"{world.prefix}leases", dict.fromkeys(leases, 1))
    world.swept_ago(60.0)
    assert world.sweep().expired == 0
    assert min(world.raw.zscore(f"{world.prefix}leases", run_id) for run_id in leases) > world.now() + 14_000


def test_a_sweep_brings_what_is_due(world: World) -> None:
    run = world.submit(start="+60000")
    world.ripen(run.id)
    world.swept_ago(1.0)
    assert world.sweep().next_due is None
    assert world.state(run.id) is State.QUEUED


def test_a_sweep_forgets_what_is_no_longer_kept(world: World) -> None:
    for _ in range(3):
        lease = world.succeeded()
        world.raw.zadd(f"{world.prefix}forget", {lease.run_id: 0})
    kept = world.succeeded()
    world.swept_ago(1.0)
    world.sweep()
    assert world.members("runs") == world.members("state:succeeded") == world.members("forget") == [kept.run_id]


def test_a_sweep_that_has_more_to_forget_may_be_followed_by_the_next_at_once(world: World) -> None:
    ids = {f"0-{number:026d}": 0 for number in range(700)}
    for name in ("forget", "runs", "state:succeeded"):
        world.raw.zadd(f"{world.prefix}{name}", ids)
    world.store.open()
    sweep = world.operations.sweep(1.0, b"")
    assert [world.store.execute(sweep).more for _ in range(2)] == [True, False]
    assert world.members("runs") == world.members("forget") == []
    assert not world.store.execute(sweep).swept


def test_a_sweep_that_follows_at_once_excuses_nobody(world: World) -> None:
    lease = world.started()
    ids = {f"{lease.run_id[:1]}-{number:026d}": 0 for number in range(600)}
    for name in ("forget", "runs", "state:succeeded"):
        world.raw.zadd(f"{world.prefix}{name}", ids)
    world.swept_ago(1.0)
    assert world.sweep().more
    world.raw.zadd(f"{world.prefix}leases", {lease.run_id: world.now() - 1})
    assert world.sweep().expired == 1


def test_a_lease_without_a_record_is_dropped(world: World) -> None:
    lease = world.started(slot="w/1")
    world.raw.delete(world.record_key(lease.run_id), f"{world.prefix}slot:w/1")
    assert world.lapse(lease.run_id).expired == 0
    assert world.members("leases") + world.members("runs") == []


def test_a_report_of_a_run_that_its_slot_has_left_brings_nothing_back(world: World) -> None:
    """Nobody would renew its lease: a supervisor renews what the slot holds."""
    left = world.started(slot="w/1")
    world.lapse(left.run_id)
    other = world.submit(queue="other")
    assert world.take("w/1", ("other",)).run_id == other.id
    assert world.report(left).verdict is Verdict.LOST
    assert world.load(left.run_id).snapshot.state is State.QUEUED
    assert world.settle(left) is Verdict.OK  # what was performed is not thrown away
