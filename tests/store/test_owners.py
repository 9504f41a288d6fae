"""Owners: whoever submitted finds their runs again, and nothing of them is left when the runs are forgotten."""

from jobkit.lifecycle import State
from jobkit.store.replies import page
from tests.store.world import World


def mine(world: World, owner: str, **where: object) -> list[str]:
    found = world.execute(world.operations.list(owner=owner, **where))  # type: ignore[arg-type]
    return [snapshot.id for _, snapshot in found.rows]


def test_an_owner_finds_what_they_submitted_joined_or_were_answered_newest_first(world: World) -> None:
    own = world.submit(owner="ann")
    shared = world.submit("k", owner="bob", cache_ttl=60_000)
    world.skew(1)
    world.submit("k", owner="ann")
    assert mine(world, "ann") == [shared.id, own.id]
    assert mine(world, "bob") == [shared.id]
    assert mine(world, "cleo") == []


def test_a_run_submitted_again_moves_to_the_top(world: World) -> None:
    first = world.submit("k", owner="ann")
    world.skew(1)
    second = world.submit(owner="ann")
    assert mine(world, "ann") == [second.id, first.id]
    world.skew(2)
    world.submit("k", owner="ann")
    assert mine(world, "ann") == [first.id, second.id]


def test_pages_of_an_owner_follow_each_other(world: World) -> None:
    ids = []
    for seconds in range(5):
        world.skew(seconds)
        ids.append(world.submit(owner="ann").id)
    first = page([world.execute(world.operations.list(limit=2, owner="ann"))], 2)
    rest = mine(world, "ann", limit=9, cursor=first.cursor)
    assert [*(each.id for each in first.snapshots), *rest] == ids[::-1]


def test_a_forgotten_run_is_in_nobodys_list(world: World) -> None:
    run = world.submit("k", owner="ann", keep=1_000)
    world.submit("k", owner="bob")
    world.settle(world.take())
    assert world.state(run.id) is State.SUCCEEDED
    world.skew(2)
    world.sweep()
    assert mine(world, "ann") == mine(world, "bob") == []
    assert not world.raw.exists(world.record_key(run.id))
