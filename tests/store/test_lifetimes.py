"""How long what is stored is kept: every key that nobody owns ends by itself, and not before its use is over."""

import pytest

from jobkit.lifecycle import Outcome
from tests.store.test_limits import PACED
from tests.store.world import World

DAY = 86_400
HOUR = 3_600


def left(world: World, name: str) -> float:
    """Seconds until the key ends."""
    return float(world.raw.pttl(world.prefix + name)) / 1000


def forgotten_in(world: World, run_id: str) -> float:
    """Seconds until the sweep forgets it."""
    return (float(world.raw.zscore(f"{world.prefix}forget", run_id)) - world.now()) / 1000


def test_markers_of_a_queue_that_nobody_serves_end_after_a_minute(world: World) -> None:
    world.submit()
    assert 59 < left(world, "bell:default") <= 60


@pytest.mark.parametrize("how", ["settled", "dead", "ended elsewhere", "left for nothing"])
def test_a_slot_that_holds_nothing_is_remembered_for_a_day(world: World, how: str) -> None:
    lease = world.started(slot="w/1")
    assert left(world, "slot:w/1") < 0
    match how:
        case "settled":
            world.settle(lease)
        case "dead":
            world.release("w/1")
        case "ended elsewhere":
            world.lapse(lease.run_id)
            world.cancel(lease.run_id)
        case _:
            world.lapse(lease.run_id)
            world.look("w/1")
    assert DAY - 1 < left(world, "slot:w/1") <= DAY
    assert set(world.slot("w/1")) <= {"nonce", "dead"} or how == "ended elsewhere"


def test_a_worker_counts_for_half_a_minute_after_its_last_heartbeat(world: World) -> None:
    run = world.submit()
    world.renew()
    assert 59 < left(world, "workers:default") <= 60
    for seconds, workers in ((29, 1), (31, 0)):
        world.skew(seconds)
        assert world.load(run.id).snapshot.queue.workers == workers


def test_a_heartbeat_counts_its_own_queues_and_drops_silent_workers_from_them(world: World) -> None:
    for seconds, worker in ((0, "silent"), (10, "slow"), (31, "quick")):
        world.skew(seconds)
        world.execute(world.operations.renew(worker, ["a", "b"], [f"{worker}/1", f"{worker}/2"]))
    assert world.members("workers:a") == world.members("workers:b") == ["slow", "quick"]
    assert len(world.raw.keys(f"{world.prefix}workers:*")) == 2


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED])
def test_an_ended_run_is_kept_as_long_as_its_class_says(world: World, outcome: Outcome) -> None:
    lease = world.started("k", keep=10_000)
    world.settle(lease, outcome)
    assert 9 < forgotten_in(world, lease.run_id) <= 10
    assert HOUR + 9 < left(world, f"run:{lease.run_id}") <= HOUR + 10  # should nobody sweep


@pytest.mark.parametrize(("stale", "ends"), [({"stale_ttl": 30_000}, 90), ({}, 60)])
def test_a_memo_is_kept_until_it_is_stale_and_its_pointer_with_it(
    world: World, stale: dict[str, int], ends: int
) -> None:
    lease = world.succeeded("k", keep=1_000, cache_ttl=60_000, **stale)
    assert ends - 1 < forgotten_in(world, lease.run_id) <= ends
    assert ends - 1 < left(world, "key:k") <= ends


def test_a_throttle_is_remembered_until_it_is_over(world: World) -> None:
    lease = world.started("k", throttle=10_000)
    world.settle(lease)
    assert 9 < left(world, "key:k") <= 10


def test_a_failure_is_kept_while_it_refuses_and_its_pointer_with_it(world: World) -> None:
    lease = world.started("k", keep=1_000, failure_ttl=60_000)
    world.settle(lease, Outcome.FAILED)
    assert 59 < forgotten_in(world, lease.run_id) <= 60
    assert 59 < left(world, "key:k") <= 60


def test_a_rate_remembers_its_last_start_for_as_long_as_it_matters(world: World) -> None:
    world.submit(limits=PACED)
    world.take()
    assert 5.9 < left(world, f"tat:{PACED.split()[0]}") <= 6
