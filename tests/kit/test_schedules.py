"""What a kit has the clock start: declared, listed, paused, resumed, run by hand, and fired by whoever is there."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jobkit import ALL, BadArguments, BadJob, Cron, Every, JobKit, Progress, ProgressJob, UnknownJob
from jobkit.limits import Queue
from jobkit.store.replies import Admission
from jobkit.submission import partition_of_queue
from jobkit.testing import Clock, worker
from jobkit.testing.commands import Command
from jobkit.timetable import SET_BACK, TAKE_OVER, Timetable
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR = timedelta(hours=1)


class Report(ProgressJob[str]):
    region: str = "EU"
    cache_key = ("region",)
    cache_ttl = HOUR

    def perform(self, progress: Progress) -> str:
        return f"{self.region} {progress.scheduled_for:%H}" if progress.scheduled_for else self.region


class Nightly(Report):
    schedule = Cron("0 3 * * *", tz="Europe/Berlin")
    queue = "nights"


class Plain(ProgressJob[None]):
    def perform(self, progress: Progress) -> None: ...


@pytest.fixture
def new_kit(store_url: str, namespace: str) -> Iterator[Any]:
    """A kit of Report and Plain in the test's namespace."""
    kits: list[JobKit] = []

    def new(*jobs: type[ProgressJob[Any]], partitions: int = 1) -> JobKit:
        url = f"{store_url}?partitions={partitions}"
        kits.append(JobKit(url, jobs=[Report, Plain, *jobs], namespace=namespace))
        return kits[-1]

    yield new
    for kit in kits:
        kit.close()


@pytest.fixture
def kit(new_kit: Any) -> JobKit:
    kit: JobKit = new_kit()
    return kit


class Somebody:
    """Who declares and fires what a kit says, step by step, as a worker does."""

    def __init__(self, kit: JobKit, queues: tuple[str, ...] = ("default", "nights")) -> None:
        self.kit = kit
        self.queues = queues
        self.timetable = Timetable(kit.operations)
        self.timetable.declare(kit.declarations(kit.store().partitions()))

    def act(self, rounds: int = 100) -> float:
        """Until nothing is to be done; answers for how many seconds."""
        store = self.kit.store()
        for _ in range(rounds):
            for partition, look in enumerate(store.execute_all(self.timetable.looks(range(store.partitions())))):
                self.timetable.heed(partition, look)
            steps, seconds = self.timetable.plan(self.queues)
            if not steps:
                return seconds
            for step in steps:
                self.timetable.take_in(step, store.execute(step.operation))
        raise AssertionError(f"there is still something to be done: {steps}")

    def runs(self) -> int:
        return len(self.kit.runs(limit=1000).snapshots)


# Declaring ------------------------------------------------------------------------------------------------------------


def test_a_class_is_scheduled_under_its_name_with_its_default_arguments(new_kit: Any) -> None:
    kit = new_kit(Nightly)
    Somebody(kit).act()
    (status,) = kit.schedules()
    assert (status.name, status.job, status.queue) == (f"{__name__}.Nightly", f"{__name__}.Nightly", "nights")
    assert (status.schedule, status.missed, status.paused, status.declared) == (
        "0 3 * * * Europe/Berlin", "once", False, True,
    )  # fmt: skip
    assert status.next_at is not None
    assert (status.next_at.hour, status.next_at > datetime.now(UTC)) == (3, True)
    assert (status.last_at, status.last_run_id, status.last_tick) == (None, None, None)


def test_a_schedule_of_the_kit_names_job_time_queue_and_owner(kit: JobKit) -> None:
    kit.schedule(
        "us", Report(region="US"), "0 3 * * *", tz="America/New_York", missed="all", queue="nights", owner="ann"
    )
    somebody = Somebody(kit)
    somebody.act()
    (status,) = kit.schedules()
    assert (status.queue, status.missed, status.schedule) == ("nights", "all", "0 3 * * * America/New_York")
    run = kit.run_schedule("us")
    assert kit.runs(owner="ann").snapshots[0].id == run.id


@pytest.mark.parametrize(
    ("when", "options", "why"),
    [
        ("0 3 * *", {}, "has 4 fields"),
        ("0 3 * * *", {"tz": "Berlin"}, "there is no time zone 'Berlin'"),
        ("0 3 * * *", {"missed": "never"}, '"once", "skip" or "all"'),
        (timedelta(minutes=5), {"tz": "Europe/Berlin"}, "an interval is the same in all time zones"),
        (Every(minutes=5), {"missed": "all"}, r"named in Every\(...\)"),
        (Cron("0 3 * * *"), {"tz": "Europe/Berlin"}, r"named in Cron\(...\)"),
        (0.5, {}, "from 1 s to ten years"),
        (None, {}, "is no schedule"),
        ("0 3 * * *", {"reuse": "some"}, "reuse='some'"),
        ("0 3 * * *", {"queue": "no such"}, "queue='no such'"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_declared(
    kit: JobKit, when: Any, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(BadArguments, match=why):
        kit.schedule("nightly", Report(), when, **options)


DECLARING = """
from jobkit import JobKit, ProgressJob
class Several(ProgressJob[None]):
    names: set[str]
    def perform(self, progress): ...
kit = JobKit(jobs=[Several])
kit.schedule("nightly", Several(names={"a", "b", "c", "d"}), 60)
print(kit.declarations(1)[0].mark)
"""


def test_every_process_declares_the_same() -> None:
    marks = {
        subprocess.run(
            [sys.executable, "-c", DECLARING], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(marks) == 1


def test_names_are_words_and_each_is_given_once(new_kit: Any) -> None:
    kit = new_kit(Nightly)
    with pytest.raises(BadArguments, match=r"name='two words' must be"):
        kit.schedule("two words", Report(), 60)
    kit.schedule("one", Report(), 60)
    with pytest.raises(BadArguments, match="Two schedules are called one"):
        kit.schedule("one", Report(region="US"), 60)
    with pytest.raises(BadArguments, match="Two schedules are called"):
        kit.schedule(f"{__name__}.Nightly", Report(), 60)


def test_a_job_that_no_worker_of_the_kit_would_perform_is_refused(kit: JobKit, store_url: str) -> None:
    with pytest.raises(UnknownJob, match="not registered"):
        kit.schedule("nightly", Nightly(), 60)
    with pytest.raises(UnknownJob, match="not registered"):
        JobKit(store_url).schedule("nightly", Nightly(), 60)


def test_a_job_that_stops_when_nobody_waits_is_refused(kit: JobKit) -> None:
    class Abandoned(Plain):
        job_name = "abandoned"
        abandon_after = 60

    with pytest.raises(BadJob, match="nobody waits for what a schedule starts"):

        class Scheduled(Abandoned):
            schedule = 60

    assert kit.declarations(1) == []


def test_a_class_with_arguments_that_must_be_given_is_refused() -> None:
    with pytest.raises(BadJob, match=r"'month' has none. Give it one, or .* kit.schedule\('nightly', Monthly"):

        class Monthly(ProgressJob[None]):
            month: str
            schedule = "0 3 1 * *"

            def perform(self, progress: Progress) -> None: ...


@pytest.mark.parametrize("schedule", ["0 3 * *", 0.1, "every day", ("0 3 * * *",), True])
def test_a_bad_schedule_of_a_class_is_refused_where_it_is_defined(schedule: Any) -> None:
    with pytest.raises(BadJob, match=r"schedule = .*(is no schedule|must be a line of cron)"):
        type(ProgressJob)("Bad", (Plain,), {"__module__": __name__, "schedule": schedule})


class Different(ProgressJob[None]):
    number: float = msgspec.field(default_factory=iter([1.0, 2.0, 3.0]).__next__)
    schedule = 60

    def perform(self, progress: Progress) -> None: ...


def test_default_arguments_that_differ_each_time_are_refused(kit: JobKit) -> None:
    with pytest.raises(BadArguments, match="they differ each time"):
        kit.register(Different)


# Firing ---------------------------------------------------------------------------------------------------------------


def test_a_tick_is_fired_by_a_worker_and_the_job_knows_for_when_it_is(kit: JobKit) -> None:
    kit.schedule("hourly", Report(), "0 * * * *")
    clock = Clock(kit)
    with worker(kit):
        wait_until(kit.schedules, "it is declared")
        upcoming = kit.schedules()[0].next_at
        assert upcoming is not None
        clock.advance(hours=1)
        wait_until(lambda: kit.schedules()[0].last_run_id, "its tick is fired")
        run = kit.run(kit.schedules()[0].last_run_id or "", Report)
        assert run.result(timeout=10) == f"EU {upcoming:%H}"
    assert kit.schedules()[0].last_tick == upcoming
    clock.reset()


def test_a_schedules_run_that_is_done_once_more_is_for_the_same_tick(kit: JobKit) -> None:
    kit.schedule("hourly", Report(), HOUR)
    clock, somebody = Clock(kit), Somebody(kit)
    somebody.act()
    clock.advance(HOUR)
    somebody.act()
    with worker(kit):
        run = kit.run(kit.schedules()[0].last_run_id or "", Report)
        first = run.result(timeout=10)
        assert kit.retry(run.id).result(timeout=10) == first


def test_the_limits_of_a_queue_hold_for_what_a_schedule_starts(store_url: str, namespace: str) -> None:
    with JobKit(
        f"{store_url}?partitions=3", jobs=[Plain], namespace=namespace, queues={"slow": Queue(max_running=1)}
    ) as kit:
        kit.schedule("often", Plain(), 10, queue="slow", reuse="none")
        assert {kit.declarations(3)[0].partition for _ in range(5)} == {partition_of_queue("slow", 3)}
        assert kit.declarations(3)[0].submission.limits
        somebody = Somebody(kit, queues=("slow",))
        somebody.act()
        for _ in range(2):
            Clock(kit).advance(10)
            somebody.act()
        assert {snapshot.queue.name for snapshot in kit.runs().snapshots if snapshot.queue} == {"slow"}


def test_of_two_workers_one_fires_a_tick_and_a_memo_does_not_answer_it(kit: JobKit) -> None:
    kit.schedule("hourly", Report(), HOUR)
    first, second = Somebody(kit), Somebody(kit)
    clock = Clock(kit)
    for hours in (1, 2, 3):
        first.act()
        second.act()
        clock.advance(HOUR)
        second.act()
        first.act()
        with worker(kit):
            kit.run(kit.schedules()[0].last_run_id or "").result(timeout=10)
        assert first.runs() == hours


@pytest.mark.parametrize(("missed", "runs"), [("once", 1), ("skip", 0), ("all", 5)])
def test_what_was_missed_is_made_up_for_as_the_schedule_says(kit: JobKit, missed: str, runs: int) -> None:
    kit.schedule("hourly", Plain(), Every(HOUR, anchor=1800 + datetime.now(UTC).timestamp(), missed=missed))
    Somebody(kit).act()
    Clock(kit).advance(hours=5)
    late = Somebody(kit)
    late.act()
    assert late.runs() == runs
    upcoming = kit.schedules()[0].next_at
    assert upcoming is not None
    Clock(kit).reset()


def test_a_worker_that_does_not_serve_the_queue_does_not_fill_it(kit: JobKit) -> None:
    kit.schedule("hourly", Plain(), HOUR, queue="nights")
    elsewhere = Somebody(kit, queues=("default",))
    elsewhere.act()
    Clock(kit).advance(HOUR)
    elsewhere.act()
    assert elsewhere.runs() == 0
    there = Somebody(kit)
    there.act()
    assert there.runs() == 1


def test_the_newest_declaration_wins_while_anybody_stands_behind_it(new_kit: Any) -> None:
    """A rolling deploy, taken back: the old version fires again when all of the new one are gone."""
    old_kit, new = new_kit(), new_kit()
    old_kit.schedule("often", Report(region="US"), 10)
    new.schedule("often", Report(region="EU"), 10)
    clock = Clock(old_kit)
    old, newer = Somebody(old_kit), Somebody(new)
    old.act()
    newer.act()
    clock.advance(10)
    old.act()
    assert old.runs() == 0
    newer.act()
    assert old.runs() == 1
    clock.advance(TAKE_OVER - 1)
    old.act()
    assert old.runs() == 1
    clock.advance(2)
    old.act()
    assert old.runs() == 2, "nobody has stood behind the new one for long enough"
    clock.advance(10)
    newer.act()
    assert newer.runs() == 2, "the new one is not declared again by itself"


def test_a_schedule_whose_job_moves_to_another_partition_is_fired_in_one(new_kit: Any) -> None:
    """Another argument makes another cache key, whose partition may be another: each version would fire in its own."""
    kits = [new_kit(partitions=3) for _ in range(12)]
    for number, kit in enumerate(kits):
        kit.schedule("often", Report(region=f"R{number}"), Every(10, missed="all"), reuse="none")
    assert len({kit.declarations(3)[0].partition for kit in kits}) == 3
    clock, workers = Clock(kits[0]), [Somebody(kit) for kit in kits]
    for each in workers:
        each.act()
    for ticks in (1, 2):
        clock.advance(10)
        for each in workers:
            each.act()
        assert workers[0].runs() == ticks
        assert len(kits[0].schedules()) == 1
        assert kits[0].schedules()[0].last_run_id.split("-")[0] == str(kits[-1].declarations(3)[0].partition)
    clock.advance(TAKE_OVER + 1)
    workers[0].act()
    workers[-1].act()
    assert len(kits[0].schedules()) == 1
    assert kits[0].schedules()[0].last_run_id.split("-")[0] == str(kits[0].declarations(3)[0].partition)


def test_a_pause_outlives_a_new_declaration_and_a_move(new_kit: Any) -> None:
    kits = [new_kit(partitions=3) for _ in range(8)]
    for number, kit in enumerate(kits):
        kit.schedule("hourly", Report(region=f"R{number}"), HOUR)
        Somebody(kit).act()
        if number == 0:
            kit.pause_schedule("hourly")
        assert [status.paused for status in kit.schedules()] == [True]


def in_two_partitions(new_kit: Any) -> tuple[JobKit, JobKit]:
    """Two versions of one schedule, which live in different partitions."""
    kits = [new_kit(partitions=3) for _ in range(8)]
    for number, kit in enumerate(kits):
        kit.schedule("hourly", Report(region=f"R{number}"), HOUR)
    places = [kit.declarations(3)[0].partition for kit in kits]
    return kits[0], kits[next(number for number, place in enumerate(places) if place != places[0])]


def test_a_pause_outlives_a_move_that_is_taken_back(new_kit: Any) -> None:
    """The row that the first move has left behind was told nothing of the pause."""
    old, new = in_two_partitions(new_kit)
    Somebody(old).act()
    Somebody(new).act()
    old.pause_schedule("hourly")
    Somebody(old).act()
    assert [status.paused for status in old.schedules()] == [True]
    old.resume_schedule("hourly")
    Somebody(new).act()
    assert [status.paused for status in old.schedules()] == [False]


def test_a_schedule_that_moves_while_it_is_paused_is_paused_where_it_is(
    new_kit: Any, store_url: str, namespace: str
) -> None:
    """A deploy comes between looking where it is and pausing it there."""
    old, new = in_two_partitions(new_kit)
    Somebody(old).act()
    deploys = [Somebody(new)]

    class Slow(JobKit):
        def _look(self) -> list[Any]:
            looks = super()._look()
            if deploys:
                deploys.pop().act()
            return looks

    with Slow(f"{store_url}?partitions=3", namespace=namespace) as slow:
        slow.pause_schedule("hourly")
    assert [status.paused for status in new.schedules()] == [True]


def test_what_could_not_be_moved_away_is_when_nobody_stands_behind_it_any_more(new_kit: Any) -> None:
    """Its partition was away when the new version was declared in another one."""
    old, new = in_two_partitions(new_kit)
    Somebody(old).act()
    somebody, place = Somebody(new), new.declarations(3)[0].partition
    somebody.timetable.heed(place, new.store().execute(somebody.timetable.looks([place])[0]))
    for step in somebody.timetable.plan(somebody.queues)[0]:
        new.store().execute(step.operation)
    somebody.act()
    assert len(old.schedules()) == 2
    Clock(old).advance(TAKE_OVER + 1)
    somebody.act()
    assert len(old.schedules()) == 1
    Somebody(old).act()
    assert len(old.schedules()) == 1


def test_a_schedule_that_the_store_has_lost_is_declared_anew_and_goes_on_with_the_next_tick(kit: JobKit) -> None:
    kit.schedule("hourly", Plain(), Every(HOUR, missed="all"))
    somebody = Somebody(kit)
    clock = Clock(kit)
    somebody.act()
    clock.advance(HOUR)
    somebody.act()
    upcoming = kit.schedules()[0].next_at
    prefix = kit.operations.prefix()
    kit.store().execute(Command("DEL", f"{prefix}schedule:hourly", f"{prefix}schedules").in_partition(0))
    assert kit.schedules() == []
    somebody.act()
    assert kit.schedules()[0].next_at == upcoming
    assert somebody.runs() == 1


def test_a_clock_that_was_far_ahead_and_is_set_right_does_not_silence_a_schedule(kit: JobKit) -> None:
    kit.schedule("hourly", Plain(), HOUR)
    clock, somebody = Clock(kit), Somebody(kit)
    clock.advance(days=300)
    somebody.act()
    clock.advance(HOUR)
    somebody.act()
    assert somebody.runs() == 1
    clock.reset()
    somebody.act()
    status = kit.schedules()[0]
    assert status.next_at is not None
    assert status.next_at < datetime.now(UTC) + 2 * HOUR


def test_a_clock_that_is_set_back_a_little_brings_no_tick_back(kit: JobKit) -> None:
    kit.schedule("often", Plain(), 5)
    clock, somebody = Clock(kit), Somebody(kit)
    clock.advance(SET_BACK / 2)
    somebody.act()
    clock.advance(5)
    somebody.act()
    fired = kit.schedules()[0]
    clock.reset()
    assert somebody.act() == pytest.approx(2.0), "nothing comes before what was fired"
    assert kit.schedules()[0].next_at == fired.next_at


def test_a_full_queue_is_left_alone_for_a_while(new_kit: Any) -> None:
    kit = new_kit(OneAtMost)
    kit.schedule("often", OneAtMost(), 5)
    clock, somebody = Clock(kit), Somebody(kit)
    somebody.act()
    clock.advance(5)
    somebody.act()
    clock.advance(5)
    assert somebody.act() > 0
    assert somebody.runs() == 1


class OneAtMost(Plain):
    max_queued = 1


# By hand --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hourly(kit: JobKit) -> JobKit:
    """A kit with a schedule that somebody has declared."""
    kit.schedule("hourly", Report(), HOUR)
    Somebody(kit).act()
    return kit


def test_a_paused_schedule_starts_nothing_and_makes_up_for_nothing(hourly: JobKit) -> None:
    clock, somebody = Clock(hourly), Somebody(hourly)
    hourly.pause_schedule("hourly")
    assert (hourly.schedules()[0].paused, hourly.schedules()[0].next_at) == (True, None)
    clock.advance(hours=3)
    somebody.act()
    hourly.resume_schedule("hourly")
    hourly.resume_schedule("hourly")
    somebody.act()
    assert somebody.runs() == 0
    clock.advance(HOUR)
    somebody.act()
    assert somebody.runs() == 1


def test_run_starts_it_now_and_its_tick_comes_all_the_same(hourly: JobKit) -> None:
    before = hourly.schedules()[0]
    run = hourly.run_schedule("hourly")
    after = hourly.schedules()[0]
    assert run.admission is Admission.NEW
    assert (after.last_run_id, after.next_at, after.last_tick) == (run.id, before.next_at, None)
    with worker(hourly):
        assert run.result(timeout=10) == "EU"


def test_an_unknown_schedule_is_refused_with_those_there_are(hourly: JobKit) -> None:
    for ask in (hourly.pause_schedule, hourly.resume_schedule, hourly.run_schedule):
        with pytest.raises(BadArguments, match=r"no schedule 'daily'\. There are hourly"):
            ask("daily")


def test_of_no_schedules_none_is_known(kit: JobKit) -> None:
    assert kit.schedules() == []
    with pytest.raises(BadArguments, match="There are none: a schedule is there once a worker has declared it"):
        kit.run_schedule("daily")


def test_a_schedule_that_no_worker_has_any_more_says_so(hourly: JobKit) -> None:
    Clock(hourly).advance(seconds=TAKE_OVER + 1)
    assert not hourly.schedules()[0].declared
    Clock(hourly).reset()


@pytest.mark.anyio
async def test_all_of_it_is_there_for_event_loops(hourly: JobKit) -> None:
    async with hourly:
        await hourly.apause_schedule("hourly")
        assert (await hourly.aschedules())[0].paused
        await hourly.aresume_schedule("hourly")
        run = await hourly.arun_schedule("hourly")
        status = (await hourly.aschedules())[0]
        assert (status.paused, status.last_run_id) == (False, run.id)


def test_a_schedule_is_shared_as_any_submission_is(kit: JobKit) -> None:
    class Joined(ProgressJob[None]):
        cache_key = ALL
        schedule = 60

        def perform(self, progress: Progress) -> None: ...

    with pytest.raises(BadJob, match="defined inside a function"):
        kit.register(Joined)
