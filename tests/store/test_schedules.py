"""Schedules in the store: a tick is fired once, whoever asks, and however often."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jobkit.errors import QueueFull
from jobkit.lifecycle import Outcome, State
from jobkit.schedule import Every, as_text
from jobkit.store.client import Store
from jobkit.store.operations import Declaration, Reuse
from jobkit.store.replies import Admission, Cancelling, Fired, Firing
from tests.store.world import LOST, SWEEP_EVERY, submission

if TYPE_CHECKING:
    from jobkit.store.replies import ScheduleRow
    from tests.store.world import World

NIGHTLY = "nightly"
WEEK = 7 * 86400.0


def declaration(mark: str = "a", partition: int = 0, **changes: Any) -> Declaration:
    changes = {"reuse": Reuse.FRESH, "interest": f"schedule:{NIGHTLY}"} | changes
    return Declaration(
        name=NIGHTLY, schedule=as_text(Every(60)), mark=mark, submission=submission(id=f"{partition}-", **changes)
    )


def declared(world: World, mark: str = "a", next_in: int = -1, **changes: Any) -> tuple[Declaration, int]:
    """A schedule, and its next tick."""
    mine = declaration(mark, **changes)
    tick = world.now() + next_in
    assert world.execute(world.operations.declare(mine, tick))
    return mine, tick


def row(world: World) -> ScheduleRow:
    (only,) = world.execute(world.operations.schedules()).rows
    return only


def fire(world: World, mine: Declaration, tick: int, following: int = 0) -> Fired:
    return world.execute(world.operations.fire(mine, tick, following or tick + 60_000, tick))


def test_a_schedule_is_listed_as_it_was_declared(world: World) -> None:
    mine, tick = declared(world, job="reports.Sales", queue="reports")
    listed = row(world)
    assert (listed.name, listed.mark, listed.schedule, listed.job, listed.queue, listed.next_tick, listed.paused) == (
        NIGHTLY, "a", mine.schedule, "reports.Sales", "reports", tick, False,
    )  # fmt: skip
    assert (listed.last_tick, listed.last_at, listed.last_run) == (None, None, "")


def test_a_tick_that_has_come_is_fired_and_its_run_says_for_when_it_is(world: World) -> None:
    mine, tick = declared(world, arguments=b'{"month":"2026-11"}')
    world.skew(5)
    fired = fire(world, mine, tick)
    assert fired == Fired(Firing.FIRED, mine.run_id(tick), Admission.NEW)
    lease = world.take()
    assert (lease.run_id, lease.tick, lease.arguments) == (fired.run_id, tick, b'{"month":"2026-11"}')
    listed = row(world)
    assert (listed.next_tick, listed.last_tick, listed.last_run) == (tick + 60_000, tick, fired.run_id)
    assert listed.last_at == pytest.approx(world.now() + 5000, abs=1000)


def test_all_schedules_are_listed_by_name_and_what_was_removed_by_hand_is_not(world: World) -> None:
    for name in ("a", "b", "c", "d"):
        mine = msgspec.structs.replace(declaration(name), name=name)
        world.execute(world.operations.declare(mine, world.now()))
    world.raw.delete(f"{world.prefix}schedule:b")
    world.skew(1)
    rows = world.execute(world.operations.schedules([("a", "a"), ("c", "c"), ("d", "x")])).rows
    assert [each.name for each in rows] == ["d", "a", "c"], "by when they were last declared"
    assert sorted(world.members("schedules")) == ["a", "c", "d"]


def test_what_is_kept_of_a_schedule_is_what_the_protocol_says(world: World) -> None:
    mine, tick = declared(world)
    fire(world, mine, tick)
    assert {field.decode() for field in world.raw.hkeys(f"{world.prefix}schedule:{NIGHTLY}")} == {
        "mark", "schedule", "next", "paused", "last_tick", "fired", "last_run", "last_at",
        "job", "queue", "terms", "labels", "tags", "owner", "reuse", "priority", "start", "starts", "interest",
        "id", "key", "limits", "work",
    }  # fmt: skip


def test_a_run_that_no_schedule_started_is_for_no_tick(world: World) -> None:
    assert world.started().tick is None


def test_a_tick_that_is_still_to_come_is_not_fired(world: World) -> None:
    mine, tick = declared(world, next_in=60_000)
    assert fire(world, mine, tick) == Fired(Firing.EARLY)
    assert world.members("runs") == []


def test_a_tick_is_fired_once_however_often_it_is_sent(world: World) -> None:
    mine, tick = declared(world)
    first, before = fire(world, mine, tick), row(world)
    world.skew(10)
    assert fire(world, mine, tick) == first
    assert row(world) == before
    assert fire(world, mine, tick - 1) == Fired(Firing.PASSED)
    assert world.members("runs") == [first.run_id]


def test_of_two_clients_that_fire_the_same_ticks_one_does(world: World) -> None:
    mine, tick = declared(world, next_in=-100)
    barrier = threading.Barrier(2)
    answers: list[Fired] = []

    def fire_all(store: Store) -> None:
        for number in range(100):
            barrier.wait()
            answers.append(store.execute(world.operations.fire(mine, tick + number, tick + number + 1, tick + number)))

    stores = [Store(world.store.location, world.operations) for _ in range(2)]
    threads = [threading.Thread(target=fire_all, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    world.check()
    assert len(world.members("runs")) == 100
    assert {answer.run_id for answer in answers} - {""} == set(world.members("runs"))


def test_a_paused_schedule_fires_nothing_and_goes_on_with_what_it_is_told(world: World) -> None:
    mine, tick = declared(world)
    assert world.execute(world.operations.pause_schedule(row(world), 0))
    assert fire(world, mine, tick) == Fired(Firing.PAUSED)
    later = world.now() + 60_000
    for _ in range(2):
        assert world.execute(world.operations.resume_schedule(row(world), later, 0))
    assert (row(world).paused, row(world).next_tick) == (False, later)


def test_what_is_not_there_is_neither_paused_nor_resumed(world: World) -> None:
    declared(world)
    seen = row(world)
    world.raw.delete(f"{world.prefix}schedule:{NIGHTLY}", f"{world.prefix}schedules")
    assert not world.execute(world.operations.pause_schedule(seen, 0))
    assert not world.execute(world.operations.resume_schedule(seen, 1, 0))
    assert world.execute(world.operations.schedules()).rows == ()


def test_who_resumes_what_goes_on_already_changes_nothing(world: World) -> None:
    _, tick = declared(world)
    world.execute(world.operations.pause_schedule(row(world), 0))
    assert world.execute(world.operations.pause_schedule(row(world), 0))
    seen = row(world)
    world.execute(world.operations.resume_schedule(seen, tick + 1, 0))
    assert world.execute(world.operations.resume_schedule(seen, tick + 2, 0))
    assert row(world).next_tick == tick + 1


def test_a_new_schedule_may_be_paused_from_the_start(world: World) -> None:
    assert world.execute(world.operations.declare(declaration(), world.now(), paused=True))
    assert row(world).paused


def test_who_resumes_what_was_declared_anew_meanwhile_is_told(world: World) -> None:
    declared(world)
    world.execute(world.operations.pause_schedule(row(world), 0))
    seen = row(world)
    world.execute(world.operations.declare(declaration("b"), world.now() + 1000, instead_of=seen))
    assert not world.execute(world.operations.resume_schedule(seen, world.now() + 2000, 0))
    assert row(world).paused


def test_a_new_declaration_takes_the_place_of_the_one_that_it_has_seen(world: World) -> None:
    mine, tick = declared(world)
    newer = declaration("b")
    assert world.execute(world.operations.declare(newer, tick, instead_of=row(world)))
    assert fire(world, mine, tick).firing is Firing.PASSED
    assert fire(world, newer, tick).firing is Firing.FIRED


def test_a_declaration_replaces_nothing_that_it_has_not_seen(world: World) -> None:
    """Two workers of two versions start at once: the second one has to look again, and then stands back or not."""
    declared(world)
    assert not world.execute(world.operations.declare(declaration("b"), world.now()))
    assert row(world).mark == "a"


def test_a_declaration_that_was_made_before_a_tick_was_fired_does_not_bring_it_back(world: World) -> None:
    mine, tick = declared(world)
    seen = row(world)
    fire(world, mine, tick)
    assert not world.execute(world.operations.declare(declaration("b"), tick, instead_of=seen))


def test_declaring_again_changes_nothing(world: World) -> None:
    mine, tick = declared(world)
    fire(world, mine, tick)
    assert world.execute(world.operations.declare(mine, tick))
    assert row(world).next_tick == tick + 60_000


def test_ticks_are_passed_over_without_a_run(world: World) -> None:
    mine, tick = declared(world)
    for _ in range(2):
        assert world.execute(world.operations.fire(mine, tick, tick + 60_000)) == Fired(Firing.PASSED)
    assert (row(world).next_tick, world.members("runs")) == (tick + 60_000, [])


def test_a_late_copy_of_a_passing_over_brings_no_fired_tick_back(world: World) -> None:
    """The clock went back, so ticks that were far ahead were passed over; those before them have been fired since."""
    mine, tick = declared(world, next_in=-60_001)
    for _ in range(2):
        world.execute(world.operations.fire(mine, tick, tick - 60_000))
        fire(world, mine, tick - 60_000, tick)
    assert (row(world).next_tick, row(world).last_tick) == (tick, tick - 60_000)
    assert fire(world, mine, tick).firing is Firing.FIRED


def test_a_late_copy_of_a_declaration_brings_no_fired_tick_back(world: World) -> None:
    first, tick = declared(world, next_in=-60_001)
    seen = row(world)
    world.execute(world.operations.declare(declaration("b"), tick - 60_000, instead_of=seen))
    fire(world, declaration("b"), tick - 60_000, tick)
    world.execute(world.operations.declare(first, tick, instead_of=row(world)))
    assert not world.execute(world.operations.declare(declaration("b"), tick - 60_000, instead_of=seen))
    assert row(world).next_tick == tick


def test_a_store_that_has_forgotten_that_it_fired_makes_no_second_run_while_it_has_the_first(world: World) -> None:
    """As when the store's last second was lost, and the run was asserted anew by its holder."""
    mine, tick = declared(world)
    first = fire(world, mine, tick)
    lease = world.take()
    world.raw.delete(f"{world.prefix}schedule:{NIGHTLY}", f"{world.prefix}schedules")
    world.execute(world.operations.declare(mine, tick))
    assert fire(world, mine, tick).run_id == first.run_id
    assert world.settle(lease, Outcome.SUCCEEDED)
    assert world.members("runs") == [first.run_id]


def test_a_clock_that_goes_back_fires_nothing_twice(world: World) -> None:
    world.skew(3600)
    mine, tick = declared(world, next_in=3_599_000)
    fire(world, mine, tick)
    world.skew(0)
    assert fire(world, mine, tick + 60_000).firing is Firing.EARLY
    assert len(world.members("runs")) == 1


def test_a_full_queue_leaves_the_tick_to_be_fired(world: World) -> None:
    mine, tick = declared(world, max_queued=1)
    other = world.submit(max_queued=1)
    assert fire(world, mine, tick) == Fired(Firing.FULL, retry_after=1.0)
    assert row(world).next_tick == tick
    world.cancel(other.id)
    assert fire(world, mine, tick).firing is Firing.FIRED


def test_a_memo_does_not_answer_a_tick(world: World) -> None:
    memo = world.succeeded("key", cache_ttl=3_600_000)
    mine, tick = declared(world, key="key", cache_ttl=3_600_000)
    assert fire(world, mine, tick).run_id != memo.run_id


def test_a_tick_joins_the_last_ones_run_that_has_not_begun(world: World) -> None:
    mine, tick = declared(world, next_in=-60_001, key="key")
    first = fire(world, mine, tick)
    second = fire(world, mine, tick + 60_000)
    assert (second.admission, second.run_id) == (Admission.JOINED, first.run_id)


def test_run_submits_now_whatever_the_ticks_are(world: World) -> None:
    _, tick = declared(world, next_in=60_000)
    world.execute(world.operations.pause_schedule(row(world), 0))
    admitted = world.execute(world.operations.run_schedule(NIGHTLY, 0))
    assert admitted is not None
    assert (row(world).last_run, row(world).next_tick, row(world).last_tick) == (admitted.id, tick, None)
    assert world.record(admitted.id)["work"] == submission().work.decode()
    assert world.take().tick is None


def test_run_is_resent_safely(world: World) -> None:
    declared(world, next_in=60_000)
    operation = world.operations.run_schedule(NIGHTLY, 0)
    assert world.execute(operation) == world.execute(operation)
    assert len(world.members("runs")) == 1


def test_run_of_an_unknown_schedule_and_of_a_full_queue(world: World) -> None:
    assert world.execute(world.operations.run_schedule("nobody", 0)) is None
    declared(world, max_queued=1)
    world.submit(max_queued=1)
    with pytest.raises(QueueFull):
        world.execute(world.operations.run_schedule(NIGHTLY, 0))
    assert row(world).last_at is None


def test_what_has_moved_away_fires_and_runs_nothing(world: World) -> None:
    mine, tick = declared(world)
    newer = msgspec.structs.replace(mine, mark="b")
    assert world.execute(world.operations.move_away(newer, row(world), 0))
    assert fire(world, mine, tick).firing is Firing.PASSED
    assert world.execute(world.operations.run_schedule(NIGHTLY, 0)) is None
    assert not world.execute(world.operations.pause_schedule(row(world), 0))
    assert (row(world).next_tick, row(world).paused) == (None, False)
    assert world.execute(world.operations.declare(mine, tick, instead_of=row(world)))
    assert fire(world, mine, tick).firing is Firing.FIRED


@pytest.mark.parametrize("paused", [True, False])
def test_what_comes_back_is_paused_as_it_was_where_it_has_been(world: World, paused: bool) -> None:
    mine, tick = declared(world)
    if not paused:
        world.execute(world.operations.pause_schedule(row(world), 0))
    world.execute(world.operations.move_away(msgspec.structs.replace(mine, mark="b"), row(world), 0))
    assert world.execute(world.operations.declare(mine, tick, instead_of=row(world), paused=paused))
    assert row(world).paused is paused


def test_a_schedule_that_nobody_declares_for_a_week_is_dropped_by_the_sweep(world: World) -> None:
    declared(world)
    for days, kept in ((6.9, 1), (7.1, 0)):
        world.skew(days * 86400)
        world.raw.hset(f"{world.prefix}partition", "swept", world.now() + int((days * 86400 - SWEEP_EVERY) * 1000))
        world.execute(world.operations.sweep(SWEEP_EVERY, LOST))
        assert len(world.execute(world.operations.schedules()).rows) == kept


def test_a_schedule_that_somebody_declares_stays(world: World) -> None:
    declared(world)
    world.skew(WEEK + 1)
    world.execute(world.operations.schedules([(NIGHTLY, "a")]))
    world.raw.hset(f"{world.prefix}partition", "swept", world.now() + int((WEEK + 1 - SWEEP_EVERY) * 1000))
    world.execute(world.operations.sweep(SWEEP_EVERY, LOST))
    assert row(world).declared >= world.now() + int(WEEK * 1000)


def test_after_a_time_without_anybody_who_comes_back_is_waited_for(world: World) -> None:
    declared(world)
    for later, kept in ((1.0, 1), (3.0, 1), (3600.0, 1), (3603.0, 0)):  # an hour, for it takes time to start
        world.skew(WEEK + later)
        if later > 1.0:
            world.raw.hset(f"{world.prefix}partition", "swept", world.now() + int((WEEK + later - SWEEP_EVERY) * 1000))
        world.execute(world.operations.sweep(SWEEP_EVERY, LOST))
        assert len(world.execute(world.operations.schedules()).rows) == kept


def test_a_clock_that_is_set_right_does_not_leave_a_schedule_declared_for_long(world: World) -> None:
    world.skew(WEEK)
    world.sweep()
    declared(world)
    world.skew(0)
    world.sweep()
    assert row(world).declared <= world.now()


def test_who_declares_something_else_does_not_keep_a_schedule(world: World) -> None:
    declared(world)
    before = row(world).declared
    world.skew(10)
    world.execute(world.operations.schedules([(NIGHTLY, "b")]))
    assert row(world).declared == before


def test_a_schedules_run_is_stopped_by_nobody_who_joined_it(world: World) -> None:
    mine, tick = declared(world, key="key")
    fired = fire(world, mine, tick)
    assert world.submit("key", interest="owner:ann").id == fired.run_id
    assert world.cancel(fired.run_id, "owner:ann") is Cancelling.LEFT
    assert world.state(fired.run_id) is State.QUEUED
