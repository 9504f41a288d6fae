"""Taking: one script pops and leases, so a worker that dies in between loses nothing."""

import msgspec
import pytest

from jobkit.lifecycle import Outcome, State
from jobkit.store.operations import new_run_id, partition_of
from jobkit.store.replies import Lease, NoWork, Renewed, SlotDead, Swept, Verdict
from tests.store.world import SWEEP_EVERY, World, submission


def test_take_leases_the_run_that_waits_longest(world: World) -> None:
    first, _second = world.submit(), world.submit()
    lease = world.take()
    assert (lease.run_id, lease.start, lease.failures, lease.job) == (first.id, 1, 0, "reports.Sales")
    assert world.state(first.id) is State.RUNNING


def test_the_earliest_run_of_all_asked_queues_is_taken_first(world: World) -> None:
    runs = [world.submit(queue=queue) for queue in ("a", "b", "a")]
    assert [world.take(f"w/{slot}", ("b", "a")).run_id for slot in range(3)] == [run.id for run in runs]


def test_one_step_of_priority_is_worth_a_minute_in_the_queue(world: World) -> None:
    old, urgent = world.submit(), world.submit(priority=1)
    world.raw.zincrby(f"{world.prefix}ready:default", -30_000, old.id)
    assert world.take("w/1").run_id == urgent.id
    later = world.submit(priority=1)
    world.raw.zincrby(f"{world.prefix}ready:default", -90_000, old.id)
    assert world.take("w/2").run_id == old.id
    assert world.take("w/3").run_id == later.id


def test_of_runs_that_wait_equally_long_the_one_of_the_first_named_queue_is_taken(world: World) -> None:
    runs = {queue: world.submit(queue=queue).id for queue in ("a", "b", "c")}
    for queue, run_id in runs.items():
        world.raw.zadd(f"{world.prefix}ready:{queue}", {run_id: 1})
    assert [world.take(f"w/{slot}", ("b", "c", "a")).run_id for slot in range(3)] == [runs[name] for name in "bca"]


def test_another_queue_is_left_alone(world: World) -> None:
    world.submit(queue="slow")
    assert world.look() == NoWork(None)


def test_a_queue_that_is_named_as_something_else_that_is_sent_is_left_alone_too(world: World) -> None:
    for queue in ("w/1", "7", "15000"):
        world.submit(queue=queue)
    assert world.look("w/1", nonce="7") == NoWork(None)


def test_a_jobs_own_lease_wins_over_the_workers(world: World) -> None:
    world.submit(lease=4_000)
    world.submit()
    leases = [world.execute(world.operations.take(f"w/{slot}", "1", ["default"], lease=9.0)) for slot in (1, 2)]
    assert [lease.duration for lease in leases if not isinstance(lease, NoWork)] == [4.0, 9.0]


def test_a_take_sent_again_answers_the_same_lease_and_takes_nothing_more(world: World) -> None:
    world.submit()
    world.submit()
    assert world.take(nonce="7") == world.take(nonce="7")
    assert len(world.members("ready:default")) == 1


def test_a_take_that_arrives_again_after_its_run_was_settled_takes_nothing(world: World) -> None:
    """The first copy was answered, the run performed and settled; then the copy that was stuck in the network comes."""
    world.submit()
    world.submit()
    world.settle(world.take(nonce="7"))
    assert world.look(nonce="7") == NoWork(0.0)
    assert len(world.members("ready:default")) == 1


def test_a_slot_that_asks_for_a_second_run_has_lost_track_and_must_end(world: World) -> None:
    """A late copy of an unanswered take leased a run that its child knows nothing of; the supervisor gives it back."""
    run = world.submit()
    world.submit()
    world.take(nonce="7")
    with pytest.raises(SlotDead):
        world.take(nonce="8")
    assert world.release() == (Verdict.OK, run.id)
    assert world.state(run.id) is State.QUEUED


def test_a_dead_slot_takes_nothing_even_by_a_take_on_its_way(world: World) -> None:
    world.submit()
    world.release("w/9")
    with pytest.raises(SlotDead):
        world.take("w/9")
    assert len(world.members("ready:default")) == 1


def test_a_run_taken_again_starts_over_with_a_higher_start_and_no_progress(world: World) -> None:
    first = world.started(slot="w/1")
    world.report(first, done=5)
    world.settle(first, Outcome.RELEASED)
    assert world.load(first.run_id).snapshot.done == 5, "until it is taken, what it had done is shown"
    again = world.take("w/2", (world.load(first.run_id).snapshot.queue.name,))
    snapshot = world.load(first.run_id).snapshot
    assert (again.start, snapshot.start, snapshot.done) == (2, 2, 0)
    assert int(again.token) > int(first.token)


def test_a_run_that_was_taken_says_since_when_it_is_performed(world: World) -> None:
    run = world.submit()
    waiting = world.load(run.id).snapshot
    assert (waiting.started_at, waiting.start) == (None, 0)
    world.take()
    assert abs((world.load(run.id).snapshot.started_at or 0) - world.now() / 1000) < 5


def test_failures_are_told_to_who_takes_and_who_reads(world: World) -> None:
    run = world.submit(max_attempts=5)
    world.raw.hset(world.record_key(run.id), "failures", 2)
    assert (world.take().failures, world.load(run.id).snapshot.attempt) == (2, 3)


def test_a_given_back_run_keeps_its_place(world: World) -> None:
    first, second = world.submit(), world.submit()
    world.settle(world.take("w/1"), Outcome.RELEASED)
    assert world.members("ready:default") == [first.id, second.id]


def test_a_token_is_the_time_of_its_take(world: World) -> None:
    before = world.now()
    assert before <= int(world.started().token) // 1000 <= world.now()


def test_tokens_only_rise_even_when_the_servers_clock_falls(world: World) -> None:
    first = world.started(slot="w/1")
    ahead = int(first.token) + 3_600_000_000
    world.raw.hset(f"{world.prefix}partition", "clock", ahead)
    assert int(world.started(slot="w/2").token) == ahead + 1


def test_versions_only_rise_even_when_the_servers_clock_falls(world: World) -> None:
    lease = world.started()
    ahead = world.now() + 3_600_000
    world.raw.hset(world.record_key(lease.run_id), "version", ahead)
    world.report(lease)
    assert world.load(lease.run_id).snapshot.version == ahead + 1


def test_an_id_without_a_record_is_passed_over_and_forgotten(world: World) -> None:
    ghost, real = world.submit(), world.submit()
    world.raw.delete(world.record_key(ghost.id))
    assert world.take().run_id == real.id
    assert ghost.id not in world.members("runs") + world.members("state:queued") + world.members("ready:default")


def test_a_due_id_without_a_record_is_passed_over_and_forgotten(world: World) -> None:
    ghost = world.submit(start="+60000")
    world.raw.delete(world.record_key(ghost.id))
    world.ripen(ghost.id)
    assert world.look() == NoWork(None)
    assert world.members("due") + world.members("runs") + world.members("state:scheduled") == []


def test_work_rings_the_bell_and_no_work_silences_it(world: World) -> None:
    bell = world.operations.bell("default")
    for _ in range(70):
        world.store.execute(world.operations.submit(submission()))
    assert world.raw.llen(bell) == 64
    for slot in range(70):
        world.store.execute(world.operations.take(f"w/{slot}", "1", ["default"]))
    world.look("w/70")
    assert world.raw.exists(bell) == 0


def test_a_take_that_leaves_work_wakes_another_worker(world: World) -> None:
    bell = world.operations.bell("b")
    for _ in range(2):
        world.submit(queue="b")
    for slot, markers in ((1, 1), (2, 0)):
        world.raw.delete(bell)
        world.take(f"w/{slot}", ("a", "b"))
        assert world.raw.llen(bell) == markers


def test_who_was_woken_rings_for_all_queues_that_it_leaves_work_in(world: World) -> None:
    """It may have used up the marker of any of them."""
    for queue in ("a", "a", "b", "b"):
        world.submit(queue=queue)
    bells = [world.operations.bell(queue) for queue in ("a", "b", "c")]
    world.raw.delete(*bells)
    world.take("w/1", ("a", "b", "c"))
    assert [world.raw.llen(bell) for bell in bells] == [1, 1, 0]


def test_the_next_due_time_is_that_of_the_earliest_and_none_is_in_the_past(world: World) -> None:
    for seconds in (60, 30, 90):
        world.submit(start=f"+{seconds}000")
    waiting = world.look()
    assert isinstance(waiting, NoWork)
    assert 29 < (waiting.next_due or 0) <= 30
    world.swept_ago(0.0)
    world.skew(40)
    world.raw.hset(f"{world.prefix}partition", "swept", world.now() + 40_000)
    assert world.sweep() == Swept(swept=False, expired=0, next_due=0.0)


def test_a_child_that_looks_again_holds_nothing_of_what_it_lost(world: World) -> None:
    lease = world.started(slot="w/1")
    world.lapse(lease.run_id)
    assert isinstance(world.look("w/1"), NoWork)
    assert world.renew("w/1") == (Renewed("w/1", Verdict.IDLE, "", ""),)


def test_a_take_brings_a_bounded_number_of_what_is_due(world: World) -> None:
    ids = [world.store.execute(world.operations.submit(submission(start="+60000"))).id for _ in range(40)]
    world.raw.zadd(f"{world.prefix}due", dict.fromkeys(ids, 1))
    world.take()
    assert len(world.members("due")) == 8


def test_a_waiting_worker_is_woken_by_a_submission(world: World) -> None:
    world.submit()
    world.store.wait(["default"], timeout=5.0)
    assert world.take() is not None


def test_waiting_ends_by_itself(world: World) -> None:
    world.store.wait(["default"], timeout=0.01)


def test_runs_submitted_within_one_millisecond_are_taken_in_the_order_they_came(world: World) -> None:
    """One round trip; the ids fall, so that the ids' own order would be the wrong one."""
    ids = sorted((new_run_id() for _ in range(20)), reverse=True)
    world.store.execute_all([world.operations.submit(submission(id=each)) for each in ids])
    assert [world.take(f"w/{number}").run_id for number in range(20)] == ids


# Settling and taking in one step --------------------------------------------------------------------------------------


def settle_and_take(world: World, lease: Lease, slot: str = "w/1") -> tuple[Verdict, Lease | NoWork]:
    settling = world.operations.settle(lease, Outcome.SUCCEEDED, result=b"1")
    return world.execute(world.operations.settle_and_take(settling, world.operations.take(slot, "next", ("default",))))


def held_by(world: World, slot: str) -> tuple[dict[str, str], int]:
    """What a slot holds, and its TTL in seconds (-1: none)."""
    kept = {name.decode(): value.decode() for name, value in world.raw.hgetall(f"{world.prefix}slot:{slot}").items()}
    return {name: kept[name] for name in ("run", "token") if name in kept}, world.raw.ttl(f"{world.prefix}slot:{slot}")


def test_a_busy_slot_settles_and_takes_in_one_step(world: World) -> None:
    first, second = world.submit(), world.submit()
    verdict, lease = settle_and_take(world, world.take())
    assert verdict is Verdict.OK
    assert isinstance(lease, Lease)
    assert (world.state(first.id), lease.run_id, lease.start) == (State.SUCCEEDED, second.id, 1)
    assert held_by(world, "w/1") == ({"run": second.id, "token": lease.token}, -1)


def test_when_there_is_nothing_to_take_the_slot_is_free(world: World) -> None:
    world.submit()
    assert settle_and_take(world, world.take()) == (Verdict.OK, NoWork(None))
    held, seconds = held_by(world, "w/1")
    assert not held
    assert 86_300 < seconds <= 86_400


def test_a_step_that_is_sent_again_settles_nothing_twice_and_takes_the_same(world: World) -> None:
    first, second, third = (world.submit() for _ in range(3))
    lease = world.take()
    once, again = settle_and_take(world, lease), settle_and_take(world, lease)
    assert (once[0], again[0]) == (Verdict.OK, Verdict.ENDED)
    assert once[1] == again[1]
    assert [world.state(run.id) for run in (first, second, third)] == [State.SUCCEEDED, State.RUNNING, State.QUEUED]


def test_who_may_settle_no_more_still_takes(world: World) -> None:
    world.submit()
    lease = world.take("w/1")
    world.release("w/1")
    again = world.take("w/2")
    second = world.submit()
    verdict, taken = settle_and_take(world, lease, "w/3")
    assert verdict is Verdict.LOST
    assert isinstance(taken, Lease)
    assert taken.run_id == second.id
    assert held_by(world, "w/2")[0] == {"run": again.run_id, "token": again.token}


def test_the_slot_of_a_run_that_another_one_settles_is_free(world: World) -> None:
    world.submit(), world.submit()
    lease = world.take("w/1")
    verdict, taken = settle_and_take(world, lease, "w/2")
    assert verdict is Verdict.OK
    assert isinstance(taken, Lease)
    held, seconds = held_by(world, "w/1")
    assert not held
    assert seconds > 0


def test_a_slot_that_was_given_an_end_has_none_while_it_holds_the_next(world: World) -> None:
    """Its run was asserted anew without it, so it was to be forgotten one day."""
    world.submit(), world.submit()
    lease = world.take()
    world.lapse(lease.run_id)
    assert world.execute(world.operations.reassert(lease, "")) is Verdict.OK
    assert held_by(world, "w/1")[1] > 0
    assert settle_and_take(world, lease)[0] is Verdict.OK
    assert held_by(world, "w/1")[1] == -1


def test_a_dead_slot_settles_what_it_may_and_takes_nothing(world: World) -> None:
    first, second = world.submit(), world.submit()
    lease = world.take("w/1")
    world.release("w/2")
    with pytest.raises(SlotDead):
        settle_and_take(world, lease, "w/2")
    assert [world.state(run.id) for run in (first, second)] == [State.SUCCEEDED, State.QUEUED]


def test_a_client_remembers_the_token_that_it_was_given(world: World) -> None:
    """For an older copy of the store, which is known by it."""
    world.submit(), world.submit()
    _, lease = settle_and_take(world, world.take())
    assert isinstance(lease, Lease)
    assert lease.token in world.store.known.opening(partition_of(lease.run_id)).arguments


def test_a_slot_that_parks_all_that_it_looks_at_is_free(world: World) -> None:
    world.submit()
    lease = world.take()
    for _ in range(34):
        world.submit(limits="m:x 1", queue="limited")
    world.take("w/2", ("limited",))
    settling = world.operations.settle(lease, Outcome.SUCCEEDED)
    taking = world.operations.take("w/1", "next", ("limited",))
    assert world.execute(world.operations.settle_and_take(settling, taking)) == (Verdict.OK, NoWork(0))
    held, seconds = held_by(world, "w/1")
    assert not held
    assert seconds > 0


def test_what_the_store_has_lost_is_asserted_before_anything_is_taken(world: World) -> None:
    """Else what was performed might be thrown away, when the slot is said to be dead."""
    lease = world.succeeded()
    world.raw.delete(world.record_key(lease.run_id))
    waiting = world.submit()
    lost = msgspec.structs.replace(lease, incarnation="of another store")
    assert settle_and_take(world, lost) == (Verdict.UNKNOWN, NoWork(0))
    assert world.state(waiting.id) is State.QUEUED


def test_who_was_busy_wakes_nobody_unless_there_is_new_work(world: World) -> None:
    """The marker that rang for what is left is still there, or has woken somebody who comes."""
    bell = world.operations.bell("default")
    for _ in range(4):
        world.submit()
    lease = world.take()
    world.raw.delete(bell)
    _, lease = settle_and_take(world, lease)
    assert world.raw.llen(bell) == 0
    assert isinstance(lease, Lease)
    settling = world.operations.settle(lease, Outcome.RELEASED)
    world.execute(world.operations.settle_and_take(settling, world.operations.take("w/1", "n", ("default",))))
    assert world.raw.llen(bell) == 1
    world.take("w/2")
    assert world.raw.llen(bell) == 2  # who comes rings for the next one


# What comes up by itself ----------------------------------------------------------------------------------------------


def alarm(world: World) -> int:
    return int(world.raw.hget(f"{world.prefix}partition", "alarm"))


def test_the_alarm_is_the_first_of_all_moments(world: World) -> None:
    assert world.look() == NoWork(None)
    assert alarm(world) == 9_999_999_999_999
    late, soon = (world.now() + seconds * 1000 for seconds in (600, 60))
    world.submit(start=str(late))
    assert alarm(world) == late
    sooner = world.submit(start=str(soon))
    assert alarm(world) == soon
    world.submit(start=str(late))
    assert alarm(world) == soon
    world.cancel(sooner.id)
    assert alarm(world) == soon  # too early, which costs a look
    world.skew(61)
    world.look()
    assert alarm(world) == late


def test_an_alarm_that_is_too_late_is_set_right_by_who_finds_nothing(world: World) -> None:
    """A worker of an older version makes runs due, and does not know of the alarm."""
    run = world.submit(start="+600000")
    world.look()
    world.raw.zadd(f"{world.prefix}due", {run.id: world.now() - 1})
    assert world.look() == NoWork(0)
    assert world.take().run_id == run.id


def test_an_alarm_that_is_too_late_is_set_right_by_the_sweep(world: World) -> None:
    run = world.submit(start="+600000")
    world.sweep()
    world.raw.zadd(f"{world.prefix}due", {run.id: world.now() - 1})
    world.skew(SWEEP_EVERY + 1)
    world.sweep()
    assert world.state(run.id) is State.QUEUED


def test_more_than_one_take_moves_are_all_moved_by_those_after_it(world: World) -> None:
    world.look()
    runs = {world.submit(start="+1000").id for _ in range(40)}
    world.skew(2)
    assert {world.take(f"w/{number}").run_id for number in range(40)} == runs
