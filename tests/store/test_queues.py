"""Queues: paused and resumed, asked in turn, and how they stand."""

import pytest

from jobkit.lifecycle import Outcome, State
from jobkit.store.replies import Backlog, Lease, NoWork, all_backlogs
from tests.store.world import World

ONE = "m:aaaa 1"
CRITICAL_FIRST = ("critical", "default", "low")


def pause(world: World, queue: str = "default") -> bool:
    return world.execute(world.operations.pause(queue))


def resume(world: World, queue: str = "default") -> bool:
    return world.execute(world.operations.pause(queue, paused=False))


def bell(world: World, queue: str = "default") -> int:
    return int(world.raw.llen(f"{world.prefix}bell:{queue}"))


def backlogs(world: World, *names: str) -> dict[str, Backlog]:
    return {backlog.queue: backlog for backlog in world.execute(world.operations.queues(names))}


# Paused ---------------------------------------------------------------------------------------------------------------


def test_nothing_is_taken_from_a_paused_queue_and_others_are_served_on(world: World) -> None:
    held, other = world.submit(), world.submit(queue="other")
    assert pause(world)
    assert world.take(queues=("default", "other")).run_id == other.id
    assert world.look("w/2", ("default", "other")) == NoWork(None)
    assert world.state(held.id) is State.QUEUED


def test_a_resumed_queue_is_served_again_in_its_old_order(world: World) -> None:
    first, second = world.submit(), world.submit()
    pause(world)
    third = world.submit()
    assert resume(world)
    assert [world.take(f"w/{n}").run_id for n in range(3)] == [first.id, second.id, third.id]


def test_pausing_again_changes_nothing_nor_does_resuming_what_is_not_paused(world: World) -> None:
    assert [pause(world), pause(world), resume(world), resume(world)] == [True, False, True, False]
    assert not world.raw.hexists(f"{world.prefix}partition", "paused")


def test_queues_whose_names_contain_each_other_are_paused_by_themselves(world: World) -> None:
    for queue in ("mail:eu", "e-mail", "m-il", "m.il", "mail"):
        world.submit(queue=queue)
        pause(world, queue)
    resume(world, "mail")
    resume(world, "m.il")
    assert [name for name, backlog in backlogs(world).items() if backlog.paused] == ["e-mail", "m-il", "mail:eu"]
    assert isinstance(world.look("w/1", ("e-mail", "mail:eu")), NoWork)
    assert isinstance(world.look("w/1", ("mail",)), Lease)


def test_nobody_is_woken_for_a_paused_queue_but_when_it_is_resumed(world: World) -> None:
    world.submit()
    assert bell(world) == 1
    pause(world)
    world.submit()
    assert bell(world) == 0
    resume(world)
    assert bell(world) == 1


def test_resuming_an_empty_queue_wakes_nobody(world: World) -> None:
    pause(world)
    resume(world)
    assert bell(world) == 0


def test_what_is_running_goes_on_and_ends_in_a_paused_queue(world: World) -> None:
    world.submit()
    lease = world.take()
    pause(world)
    assert world.settle(lease) is not None
    assert world.state(lease.run_id) is State.SUCCEEDED


def test_a_run_that_is_given_back_waits_in_its_paused_queue(world: World) -> None:
    run = world.submit()
    lease = world.take()
    pause(world)
    world.settle(lease, Outcome.RELEASED)
    assert world.look() == NoWork(None)
    resume(world)
    assert world.take().run_id == run.id


def test_a_scheduled_run_of_a_paused_queue_comes_due_and_waits(world: World) -> None:
    run = world.submit(start="+60000")
    pause(world)
    assert world.load(run.id).snapshot.queue.paused
    world.ripen(run.id)
    assert isinstance(world.look(), NoWork)
    assert world.state(run.id) is State.QUEUED
    resume(world)
    assert world.take().run_id == run.id


@pytest.mark.parametrize("state", list(State))
def test_the_snapshot_says_of_runs_that_wait_whether_their_queue_is_paused(world: World, state: State) -> None:
    run_id = world.in_state(state)
    queue = world.record(run_id)["queue"]
    assert not world.load(run_id).snapshot.queue.paused
    pause(world, queue)
    assert world.load(run_id).snapshot.queue.paused == (state in (State.QUEUED, State.SCHEDULED))


def test_a_paused_queue_keeps_no_room_of_a_limit_from_another(world: World) -> None:
    world.submit(limits=ONE)
    holder = world.take()
    world.submit(limits=ONE)
    other = world.submit(limits=ONE, queue="other")
    pause(world)
    world.settle(holder)
    assert world.take(queues=("default", "other")).run_id == other.id


# In turn --------------------------------------------------------------------------------------------------------------


def test_asked_in_turn_the_first_queue_that_has_a_run_gives_it_however_long_others_wait(world: World) -> None:
    low, critical = world.submit(queue="low", priority=9), world.submit(queue="critical")
    assert world.take("w/1", CRITICAL_FIRST, in_turn=True).run_id == critical.id
    assert world.take("w/2", CRITICAL_FIRST, in_turn=True).run_id == low.id
    assert world.look("w/3", CRITICAL_FIRST, in_turn=True) == NoWork(None)


def test_asked_in_turn_a_queue_whose_runs_are_all_blocked_is_passed_over(world: World) -> None:
    world.submit(queue="critical", limits=ONE)
    world.submit(queue="critical", limits=ONE)
    low = world.submit(queue="low")
    world.take("w/1", CRITICAL_FIRST, in_turn=True)
    assert world.take("w/2", CRITICAL_FIRST, in_turn=True).run_id == low.id


def test_asked_in_turn_a_paused_queue_is_passed_over(world: World) -> None:
    world.submit(queue="critical")
    low = world.submit(queue="low")
    pause(world, "critical")
    assert world.take("w/1", CRITICAL_FIRST, in_turn=True).run_id == low.id


def test_asked_in_turn_an_id_whose_record_is_gone_is_passed_over(world: World) -> None:
    gone, low = world.submit(queue="critical"), world.submit(queue="low")
    world.raw.delete(world.record_key(gone.id))
    assert world.take("w/1", CRITICAL_FIRST, in_turn=True).run_id == low.id


# How they stand -------------------------------------------------------------------------------------------------------


def test_a_backlog_counts_what_waits_what_is_parked_and_what_is_running(world: World) -> None:
    for _ in range(3):
        world.submit(limits=ONE, queue="mail")
    world.take("w/1", ("mail",))
    assert isinstance(world.look("w/2", ("mail",)), NoWork)
    world.submit(queue="mail")
    world.execute(world.operations.renew("w", ["mail"], []))
    assert backlogs(world)["mail"] == Backlog(
        queue="mail", waiting=3, parked=2, running=1, workers=1, paused=False, wait=pytest.approx(0.0, abs=2.0)
    )


def test_the_wait_is_that_of_the_next_run_from_when_it_was_to_start(world: World) -> None:
    world.submit(priority=5)
    other = world.submit(queue="other")
    world.skew(30)
    world.submit()
    world.submit(queue="other")
    assert backlogs(world)["other"].wait == pytest.approx(30.0, abs=2.0)
    assert world.take("w/9", ("other",)).run_id == other.id
    assert backlogs(world)["default"].wait == pytest.approx(30.0, abs=2.0)
    world.take()
    assert backlogs(world)["default"].wait == pytest.approx(0.0, abs=2.0)


def test_a_queue_is_listed_for_what_is_running_or_parked_alone(world: World) -> None:
    for queue in ("mail", "reports"):
        world.submit(queue=queue, limits=ONE if queue == "mail" else "m:bbbb 1")
        world.take(f"w/{queue}", (queue,))
        world.submit(queue=f"{queue}:later", limits=ONE if queue == "mail" else "m:bbbb 1")
    stands = {name: (each.waiting, each.parked, each.running) for name, each in backlogs(world).items()}
    assert stands == {
        "mail": (0, 0, 1), "mail:later": (1, 1, 0), "reports": (0, 0, 1), "reports:later": (1, 1, 0),
    }  # fmt: skip


def test_queues_that_are_named_are_told_of_also_when_they_are_empty(world: World) -> None:
    empty = Backlog(queue="mail", waiting=0, parked=0, running=0, workers=0, paused=False, wait=None)
    assert backlogs(world, "mail") == {"mail": empty}
    assert backlogs(world) == {}


def test_a_queue_is_known_for_as_long_as_it_has_runs(world: World) -> None:
    """The name is dropped with the bell, so that whoever rings next writes it down again."""
    for _ in range(2):
        world.submit(queue="mail")
        world.take(f"w/{next(world.numbers)}", ("mail",))
        world.submit(queue="mail")
        assert backlogs(world)["mail"].waiting == 1
        world.take(f"w/{next(world.numbers)}", ("mail",))
        assert backlogs(world)["mail"].waiting == 0
        assert not world.raw.smembers(f"{world.prefix}queues")


def test_the_sweep_drops_the_names_of_empty_queues(world: World) -> None:
    for queue in ("mail", "reports"):
        world.submit(queue=queue)
        world.take(f"w/{queue}", (queue,))
    for _ in range(2):
        world.swept_ago(10)
        world.sweep()
    assert not world.raw.smembers(f"{world.prefix}queues")


def test_the_backlogs_of_several_partitions_are_one() -> None:
    one = Backlog(queue="b", waiting=2, parked=1, running=1, workers=2, paused=False, wait=None)
    other = Backlog(queue="b", waiting=1, parked=0, running=3, workers=1, paused=True, wait=4.0)
    alone = Backlog(queue="a", waiting=0, parked=0, running=1, workers=0, paused=False, wait=None)
    together = Backlog(queue="b", waiting=3, parked=1, running=4, workers=2, paused=True, wait=4.0)
    assert all_backlogs([[one], [other, alone]]) == (alone, together)
