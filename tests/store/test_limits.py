"""Limits: how many may run at once, start in a time, and wait; and what becomes of those that must wait."""

import pytest

from jobkit.errors import QueueFull
from jobkit.lifecycle import Outcome, State
from jobkit.store.operations import failure_head
from jobkit.store.replies import Lease, NoWork, Verdict
from tests.store.world import World, submission

ONE = "m:aaaa 1"
TWO = "m:bbbb 2"
OTHER = "m:cccc 1"
PACED = "r:dddd 5000000"  # a start every 5 s


def parked(world: World, limit: str = ONE, queue: str = "default") -> list[str]:
    return world.members(f"parked:{limit.split()[0]}:{queue}")


def holders(world: World, limit: str = ONE) -> set[str]:
    return {each.decode() for each in world.raw.smembers(f"{world.prefix}holders:{limit.split()[0]}")}


def take_all(world: World, queues: tuple[str, ...] = ("default",)) -> list[Lease]:
    leases = []
    while isinstance(taken := world.look(f"w/{next(world.numbers)}", queues), Lease):
        leases.append(taken)
    return leases


# At once --------------------------------------------------------------------------------------------------------------


def test_no_more_run_at_once_than_the_limit_allows_and_the_next_starts_when_one_ends(world: World) -> None:
    runs = [world.submit(limits=TWO) for _ in range(5)]
    first, second = take_all(world)
    assert [first.run_id, second.run_id] == [runs[0].id, runs[1].id]
    assert holders(world, TWO) == {first.run_id, second.run_id}
    for ended, following in ((first, runs[2]), (second, runs[3])):
        world.settle(ended)
        assert [lease.run_id for lease in take_all(world)] == [following.id]


def test_runs_without_the_limit_pass_by(world: World) -> None:
    world.submit(limits=ONE)
    waiting = world.submit(limits=ONE)
    free, other = world.submit(), world.submit(limits=OTHER)
    assert [lease.run_id for lease in take_all(world)][1:] == [free.id, other.id]
    assert parked(world) == [waiting.id]


def test_a_run_that_finds_its_limit_full_is_parked_when_it_is_submitted(world: World) -> None:
    world.submit(limits=ONE)
    world.take()
    run = world.submit(limits=ONE)
    snapshot = world.load(run.id).snapshot
    assert (snapshot.state, snapshot.queue.position) == (State.QUEUED, 1)
    assert parked(world) == [run.id]
    assert world.members("ready:default") == []


@pytest.mark.parametrize("outcome", list(Outcome))
def test_however_a_run_ends_its_place_is_free(world: World, outcome: Outcome) -> None:
    world.submit(limits=ONE)
    waiting = world.submit(limits=ONE)
    lease = world.take()
    world.settle(lease, outcome)
    if outcome is Outcome.RELEASED:  # it is still the first in line
        world.settle(world.take("w/9"))
    assert [each.run_id for each in take_all(world)] == [waiting.id]


def test_a_lost_worker_holds_no_place(world: World) -> None:
    world.submit(limits=ONE)
    waiting = world.submit(limits=ONE)
    lost = world.take("w/1")
    world.release("w/1")
    again = world.take("w/2")
    assert again.run_id == lost.run_id
    world.lapse(again.run_id)
    world.cancel(lost.run_id, force=True)
    assert [each.run_id for each in take_all(world)] == [waiting.id]


def test_a_holder_that_was_only_cut_off_goes_on_beside_who_took_its_place(world: World) -> None:
    """Its process never stopped, so the books say what is: two are running until one ends."""
    world.submit(limits=ONE)
    waiting = world.submit(limits=ONE, priority=9)
    cut_off = world.take("w/1")
    assert cut_off.run_id == waiting.id
    world.lapse(cut_off.run_id)
    world.raw.zadd(f"{world.prefix}ready:default", {cut_off.run_id: 1e15})  # others are before it in the queue
    other = world.take("w/2")
    assert world.report(cut_off).verdict is Verdict.OK
    assert holders(world) == {cut_off.run_id, other.run_id}


def test_a_limit_that_frees_places_by_ends_alone_is_not_brought_up_by_time(world: World) -> None:
    world.submit(limits=ONE)
    world.take()
    world.submit(limits=ONE)
    assert world.members("paced") == []
    assert world.look("w/2") == NoWork(None)


def test_a_run_that_was_parked_has_its_place_in_the_queue_like_any_other(world: World) -> None:
    world.submit(limits=ONE)
    holder = world.take()
    waiting = world.submit("k", limits=ONE)
    world.settle(holder)
    first, last = world.submit(priority=3), world.submit()
    world.submit("k", limits=ONE, priority=2)
    assert world.members("ready:default") == [first.id, waiting.id, last.id]
    assert world.load(waiting.id).snapshot.queue.position == 2


def test_the_most_urgent_of_the_parked_comes_first(world: World) -> None:
    world.submit(limits=ONE)
    holder = world.take()
    late, urgent = world.submit(limits=ONE), world.submit("k", limits=ONE)
    world.submit("k", limits=ONE, priority=5)
    assert parked(world) == [urgent.id, late.id]
    world.settle(holder)
    assert [each.run_id for each in take_all(world)] == [urgent.id]


def test_a_cancelled_run_leaves_the_line_and_a_ready_one_leaves_its_place_to_the_next(world: World) -> None:
    world.submit(limits=ONE)
    holder = world.take()
    first, second, third = (world.submit(limits=ONE) for _ in range(3))
    world.cancel(second.id)
    world.settle(holder)
    assert world.members("ready:default") == [first.id]
    world.cancel(first.id)
    assert world.members("ready:default") == [third.id]
    assert parked(world) == []


def test_a_queue_that_nobody_serves_does_not_keep_the_place_from_another(world: World) -> None:
    world.submit(limits=ONE)
    holder = world.take()
    unserved, served = world.submit(limits=ONE, queue="unserved"), world.submit(limits=ONE)
    world.settle(holder)
    assert [each.run_id for each in take_all(world)] == [served.id]
    world.settle(world_lease(world, served.id))
    assert world.members("ready:unserved") == [unserved.id]


def world_lease(world: World, run_id: str) -> Lease:
    record = world.record(run_id)
    return Lease(run_id, record["token"], world.raw.hget(f"{world.prefix}partition", "incarnation").decode(),
                 "", "", b"", 1, 0, 15.0, 1, watched=False)  # fmt: skip


def test_a_run_with_two_limits_needs_room_in_both(world: World) -> None:
    both = f"{ONE} {OTHER}"
    world.submit(limits=ONE)
    world.submit(limits=OTHER)
    one, other = take_all(world)
    run = world.submit(limits=both)
    assert parked(world) == [run.id]
    world.settle(one)
    assert parked(world, OTHER) == [run.id]
    following = world.submit(limits=ONE)
    assert [each.run_id for each in take_all(world)] == [following.id]
    world.settle(other)
    assert parked(world) == [run.id]
    world.settle(world_lease(world, following.id))
    assert [each.run_id for each in take_all(world)] == [run.id]


def test_a_take_parks_a_bounded_number_and_asks_to_be_called_again(world: World) -> None:
    for _ in range(50):
        world.submit(limits=ONE)
    free = world.submit()
    world.take("w/1")
    assert world.look("w/2") == NoWork(0.0)
    assert len(parked(world)) == 32
    assert world.take("w/2").run_id == free.id
    assert len(parked(world)) == 49


def test_what_one_offer_leaves_unseen_is_brought_up_by_the_next_look(world: World) -> None:
    """40 runs wait for the one limit, all blocked by the other; behind them one that is not."""
    both = f"{ONE} {OTHER}"
    world.submit(limits=ONE)
    holder = world.take("w/1")
    for _ in range(40):
        world.submit(limits=both)
    last = world.submit(limits=ONE)
    world.submit(limits=OTHER)
    world.take("w/2")
    world.settle(holder)
    assert len(parked(world)) == 9
    assert world.take("w/3").run_id == last.id


def test_one_offer_looks_at_a_bounded_number_over_all_queues(world: World) -> None:
    """40 runs in each of three queues wait for the one limit, and all are blocked by the other."""
    world.submit(limits=ONE)
    holder = world.take("w/1")
    for queue in ("a", "b", "c"):
        for _ in range(40):
            world.store.execute(world.operations.submit(submission(queue=queue, limits=f"{ONE} {OTHER}")))
    world.submit(limits=OTHER)
    world.take("w/2")
    world.settle(holder)
    assert sum(len(parked(world, ONE, queue)) for queue in ("a", "b", "c")) == 120 - 32


def test_a_place_that_is_left_by_who_is_parked_elsewhere_goes_to_the_next(world: World) -> None:
    """The best was offered one limit's place, but another run takes its other limit's before it is taken itself."""
    world.submit(limits=OTHER)
    holder = world.take("w/1")
    best = world.submit(limits=f"{ONE} {OTHER}", priority=1)
    waiting = world.submit(limits=OTHER)
    world.settle(holder)
    assert world.members("ready:default") == [best.id]
    urgent = world.submit(limits=ONE, priority=9)
    assert world.take("w/2").run_id == urgent.id
    assert world.take("w/3").run_id == waiting.id
    assert parked(world) == [best.id]


def test_a_holder_that_was_removed_by_hand_makes_room_for_one(world: World) -> None:
    world.submit(limits=ONE)
    gone = world.take("w/1")
    for _ in range(3):
        world.submit(limits=ONE)
    world.raw.delete(world.record_key(gone.run_id), f"{world.prefix}slot:w/1")
    for index in ("leases", "runs", "state:running"):
        world.raw.zrem(world.prefix + index, gone.run_id)
    world.submit(limits=ONE)
    assert len(take_all(world)) == 1


def test_a_holder_that_was_removed_by_hand_holds_nothing(world: World) -> None:
    world.submit(limits=ONE)
    lease = world.take("w/1")
    waiting = world.submit(limits=ONE)
    world.raw.delete(world.record_key(lease.run_id), f"{world.prefix}slot:w/1")
    world.raw.zrem(f"{world.prefix}leases", lease.run_id)
    for index in ("runs", "state:running"):
        world.raw.zrem(world.prefix + index, lease.run_id)
    world.submit(limits=ONE)
    assert waiting.id in {each.run_id for each in take_all(world)} | set(parked(world))
    assert holders(world) <= set(world.members("leases"))


# How often ------------------------------------------------------------------------------------------------------------


def test_starts_are_as_far_apart_as_the_rate_says(world: World) -> None:
    runs = [world.submit(limits=PACED) for _ in range(3)]
    assert world.take("w/1").run_id == runs[0].id
    waiting = world.look("w/2")
    assert isinstance(waiting, NoWork)
    assert 4 < (waiting.next_due or 0) <= 5.001
    for seconds, run in ((5.1, runs[1]), (10.2, runs[2])):
        world.skew(seconds)
        assert [each.run_id for each in take_all(world)] == [run.id]


def test_a_run_that_a_rate_blocks_when_it_is_submitted_comes_up_in_time(world: World) -> None:
    world.submit(limits=PACED)
    world.take("w/1")
    run = world.submit(limits=PACED)
    assert parked(world, PACED) == [run.id]
    world.skew(5.1)
    assert world.take("w/2").run_id == run.id
    assert world.look("w/3") == NoWork(None)


def test_the_next_due_time_is_that_of_the_limit_that_comes_up_first(world: World) -> None:
    for number, rate in enumerate(("r:slow 90000000", "r:quick 30000000", "r:slower 95000000")):
        for _ in range(2):
            world.submit(limits=rate)
        world.take(f"w/{number}")
    waiting = world.look("w/9")
    assert isinstance(waiting, NoWork)
    assert 29 < (waiting.next_due or 0) <= 30


def test_of_many_that_a_rate_holds_back_one_at_a_time_comes_up(world: World) -> None:
    world.submit(limits=PACED)
    world.take("w/1")
    for _ in range(3):
        world.submit(limits=PACED)
    world.skew(6)
    world.sweep()
    assert (len(world.members("ready:default")), len(parked(world, PACED))) == (1, 2)


def test_a_pause_saves_no_starts_up(world: World) -> None:
    world.submit(limits=PACED)
    take_all(world)
    world.skew(100)
    for _ in range(3):
        world.submit(limits=PACED)
    assert len(take_all(world)) == 1


def test_a_start_that_is_repeated_counts_as_one_too(world: World) -> None:
    world.submit(limits=PACED)
    world.take("w/1")
    world.release("w/1")
    assert isinstance(world.look("w/2"), NoWork)
    world.skew(5.1)
    assert world.take("w/2").start == 2


def test_a_sweep_brings_up_what_a_rate_allows_again(world: World) -> None:
    world.submit(limits=PACED)
    waiting = world.submit(limits=PACED)
    world.take("w/1")
    assert isinstance(world.look("w/2"), NoWork)
    assert parked(world, PACED) == [waiting.id]
    world.skew(6)
    world.sweep()
    assert world.members("ready:default") == [waiting.id]


# Whose turn -----------------------------------------------------------------------------------------------------------

ANN, BOB = "s:aaaa 1", "s:bbbb 1"


def test_owners_take_turns_however_much_each_has_submitted(world: World) -> None:
    anns = [world.submit(limits=ANN).id for _ in range(4)]
    bobs = [world.submit(limits=BOB).id for _ in range(2)]
    order = [lease.run_id for lease in take_all(world)]
    assert order == [anns[0], bobs[0], anns[1], bobs[1], anns[2], anns[3]]


def test_who_comes_later_waits_for_one_run_of_each_other_only(world: World) -> None:
    anns = [world.submit(limits=ANN).id for _ in range(50)]
    world.take("w/1")
    bob = world.submit(limits=BOB).id
    assert [world.take("w/2").run_id, world.take("w/3").run_id] == [anns[1], bob]


def test_an_owners_urgent_run_is_their_next(world: World) -> None:
    anns = [world.submit(limits=ANN).id for _ in range(3)]
    urgent = world.submit(limits=ANN, priority=1).id
    assert [lease.run_id for lease in take_all(world)] == [anns[0], urgent, anns[1], anns[2]]


def test_an_owners_urgent_run_is_before_those_of_others_when_its_turn_comes(world: World) -> None:
    world.submit(limits=ANN)
    urgent = world.submit(limits=ANN, priority=1).id
    bob = world.submit(limits=BOB).id
    assert [lease.run_id for lease in take_all(world)][1:] == [urgent, bob]


def test_a_run_that_was_given_back_keeps_its_place_beside_its_owners_next(world: World) -> None:
    first, second = (world.submit(limits=ANN).id for _ in range(2))
    bob = world.submit(limits=BOB).id
    world.settle(world.take("w/1"), Outcome.RELEASED)
    assert [lease.run_id for lease in take_all(world)] == [first, bob, second]


def test_a_cancelled_run_lets_its_owners_next_in(world: World) -> None:
    first, second = (world.submit(limits=ANN).id for _ in range(2))
    world.cancel(first)
    assert world.members("ready:default") == [second]


def test_an_owner_whose_next_is_blocked_by_a_limit_is_not_held_up_by_it(world: World) -> None:
    world.submit(limits=ONE)
    world.take("w/1")
    world.submit(limits=f"{ONE} {ANN}")
    free = world.submit(limits=ANN)
    assert world.take("w/2").run_id == free.id


def test_a_clock_that_steps_back_holds_up_no_rate(world: World) -> None:
    """By the stored moments alone, the next start would be allowed when the clock has come round again."""
    runs = [world.submit(limits=PACED) for _ in range(3)]
    assert [each.run_id for each in take_all(world)] == [runs[0].id]
    world.sweep()
    world.skew(-600)
    world.sweep()
    assert [each.run_id for each in take_all(world)] == [runs[1].id]
    world.skew(-594)
    assert [each.run_id for each in take_all(world)] == [runs[2].id]


# How many wait --------------------------------------------------------------------------------------------------------


def test_a_queue_that_is_full_refuses_and_says_when_to_try_again(world: World) -> None:
    for _ in range(3):
        world.submit(max_queued=3)
    before = world.members("runs")
    with pytest.raises(QueueFull) as refused:
        world.submit(max_queued=3)
    assert refused.value.retry_after >= 1
    assert world.members("runs") == before
    world.take()
    world.submit(max_queued=3)


def test_the_time_to_try_again_follows_the_wait_of_the_first_in_the_queue(world: World) -> None:
    first, _ = world.submit(), world.submit()
    world.raw.zincrby(f"{world.prefix}ready:default", -60_000, first.id)
    with pytest.raises(QueueFull) as refused:
        world.submit(max_queued=2)
    assert 29 < refused.value.retry_after < 31  # two waited for a minute: one is taken every 30 s


def test_parked_runs_count_as_waiting(world: World) -> None:
    world.submit(limits=ONE)
    world.take()
    world.submit(limits=ONE)
    with pytest.raises(QueueFull):
        world.submit(max_queued=1)


def test_joining_and_hitting_need_no_room(world: World) -> None:
    memo = world.succeeded("memo", cache_ttl=60_000)
    live = world.submit("live")
    assert world.submit("live", max_queued=1).id == live.id
    assert world.submit("memo", max_queued=1).id == memo.run_id


def test_of_many_submitted_together_those_beyond_are_told_apart(world: World) -> None:
    first = submission(max_queued=2)
    many = [first, *(submission() for _ in range(4))]
    many = [type(first)(id=each.id, conditions=first.conditions, key="", limits="", work=each.work) for each in many]
    answers = world.execute(world.operations.submit_many(many))
    assert [type(answer).__name__ for answer in answers] == ["Admitted", "Admitted", "Full", "Full", "Full"]


def test_an_undeliverable_run_leaves_its_place(world: World) -> None:
    world.submit(limits=ONE, undeliverable=1)
    waiting = world.submit(limits=ONE)
    for seconds in (0, 10):
        world.skew(seconds)
        lease = world.take("w/1")
        world.settle(lease, Outcome.RELEASED, reason="no worker", failure=failure_head("There is no worker."))
    assert world.state(lease.run_id) is State.FAILED
    assert [each.run_id for each in take_all(world)] == [waiting.id]
