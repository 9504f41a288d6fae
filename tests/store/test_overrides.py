"""Limits that are changed while they are in use: for runs that wait already, at once, and back again."""

from jobkit.store.replies import Lease, Override
from tests.store.test_limits import OTHER, PACED, TWO, parked, take_all
from tests.store.world import World

JOB = "job:reports.Sales"


def change(world: World, limit: str, number: int | None) -> bool:
    return world.execute(world.operations.limit(limit.split()[0], number, JOB))


def test_a_raised_limit_lets_runs_that_wait_start_at_once(world: World) -> None:
    runs = [world.submit(limits=TWO) for _ in range(6)]
    first = take_all(world)
    assert change(world, TWO, 4)
    assert world.members("ready:default") == [run.id for run in runs[2:4]]
    assert [lease.run_id for lease in (*first, *take_all(world))] == [run.id for run in runs[:4]]


def test_raising_a_limit_wakes_workers(world: World) -> None:
    for _ in range(3):
        world.submit(limits=TWO)
    take_all(world)
    assert world.raw.llen(f"{world.prefix}bell:default") == 0
    change(world, TWO, 3)
    assert world.raw.llen(f"{world.prefix}bell:default") == 1


def test_a_lowered_limit_stops_nothing_and_holds_for_the_next(world: World) -> None:
    for _ in range(4):
        world.submit(limits=TWO)
    running = take_all(world)
    change(world, TWO, 1)
    world.settle(running[0])
    assert take_all(world) == []
    world.settle(running[1])
    assert len(take_all(world)) == 1


def test_going_back_offers_the_room_that_its_runs_brought_along(world: World) -> None:
    for _ in range(4):
        world.submit(limits=TWO)
    change(world, TWO, 1)
    assert len(take_all(world)) == 1
    assert change(world, TWO, None)
    assert len(take_all(world)) == 1
    assert not world.raw.hexists(f"{world.prefix}partition", "overridden")


def test_other_limits_keep_their_numbers(world: World) -> None:
    change(world, TWO, 5)
    for _ in range(2):
        world.submit(limits=OTHER)
    assert len(take_all(world)) == 1


def test_a_faster_rate_counts_at_once_for_who_waits_for_the_slower_one(world: World) -> None:
    for _ in range(2):
        world.submit(limits=PACED)
    assert len(take_all(world)) == 1
    assert len(parked(world, PACED)) == 1
    change(world, PACED, 1)
    assert isinstance(world.look("w/9"), Lease)


def test_a_slower_rate_counts_from_the_next_start_on(world: World) -> None:
    for _ in range(3):
        world.submit(limits="r:eeee 1000")
    change(world, "r:eeee", 60_000_000)
    assert len(take_all(world)) == 1
    world.skew(1)
    assert take_all(world) == []
    world.skew(61)
    assert len(take_all(world)) == 1


def test_many_that_wait_are_let_in_over_several_looks(world: World) -> None:
    for _ in range(42):
        world.submit(limits=TWO)
    take_all(world)
    change(world, TWO, 1000)
    assert len(take_all(world)) == 40


def test_changes_are_listed_and_saying_them_again_changes_nothing(world: World) -> None:
    assert world.execute(world.operations.limits()) == ()
    assert [change(world, TWO, 5), change(world, TWO, 5), change(world, PACED, 7)] == [True, False, True]
    found = world.execute(world.operations.limits())
    assert set(found) == {Override("m:bbbb", 5, JOB), Override("r:dddd", 7, JOB)}
    assert [change(world, TWO, None), change(world, TWO, None)] == [True, False]
    assert world.execute(world.operations.limits()) == (Override("r:dddd", 7, JOB),)
