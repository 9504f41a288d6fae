"""What workers tell of themselves, and how they are spoken to."""

import pytest

from tests.store.world import World


def announce(world: World, worker: str, about: bytes = b"{}", memory: float = 600.0) -> None:
    world.execute(world.operations.announce(worker, about, memory))


def known(world: World) -> dict[str, bytes]:
    return {each.worker: each.about for each in world.execute(world.operations.workers())}


def test_a_worker_is_listed_with_what_it_told_last(world: World) -> None:
    announce(world, "w-1", b'{"busy":0}')
    announce(world, "w-2")
    announce(world, "w-1", b'{"busy":1}')
    announce(world, "w-3")
    assert known(world) == {"w-1": b'{"busy":1}', "w-2": b"{}", "w-3": b"{}"}
    assert len(world.execute(world.operations.workers())) == 3


def test_a_worker_that_says_no_more_is_listed_for_a_while_and_then_forgotten(world: World) -> None:
    announce(world, "gone")
    assert 590_000 < world.raw.pttl(f"{world.prefix}about:gone") <= 600_000
    world.skew(40)
    (listed,) = world.execute(world.operations.workers())
    assert listed.silence == pytest.approx(40.0, abs=2.0)
    world.skew(700)
    announce(world, "here")
    assert set(known(world)) == {"here"}


def test_a_clock_that_goes_back_makes_nobody_tell_in_the_future(world: World) -> None:
    world.skew(60)
    announce(world, "w-1")
    world.skew(0)
    assert [each.silence for each in world.execute(world.operations.workers())] == [0.0]


def test_a_worker_that_leaves_is_forgotten_at_once(world: World) -> None:
    announce(world, "w-1")
    world.execute(world.operations.retire("w-1", ["default"]))
    assert known(world) == {}


def test_a_worker_that_only_leaves_a_queue_is_listed_on(world: World) -> None:
    announce(world, "w-1")
    world.execute(world.operations.renew("w-1", ["default", "mail"], []))
    world.execute(world.operations.retire("w-1", ["mail"], stays=True))
    assert set(known(world)) == {"w-1"}
    assert [world.members(f"workers:{queue}") for queue in ("default", "mail")] == [["w-1"], []]


def test_what_is_told_reaches_who_hears_the_channel(world: World) -> None:
    hearing = world.raw.pubsub(ignore_subscribe_messages=False)
    hearing.subscribe(world.operations.control_channel())
    assert hearing.get_message(timeout=5)["type"] == "subscribe"
    assert world.execute(world.operations.tell("control", b'{"id":"1"}')) == 1
    assert hearing.get_message(timeout=5)["data"] == b'{"id":"1"}'
    hearing.close()
    assert world.operations.replies_channel("7") == f"{world.prefix}replies:7"
