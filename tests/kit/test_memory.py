"""What a kit answers from memory, the store's and its own; submitting many; invalidating; performing inline."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import redis

from jobkit import ALL, BadArguments, JobKit, Progress, ProgressJob, QueueFull, RunFailed, RunTimeout, State, UnknownJob
from jobkit.store.replies import Admission
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests import servers

PERFORMED: Counter[str] = Counter()


class Square(ProgressJob[int]):
    """Remembered, also in this process."""

    job_name = "memory.Square"
    n: int
    why: str = ""
    cache_key = ("n",)
    cache_ttl = 60
    stale_ttl = 60
    failure_ttl = 60
    l1_ttl = 30
    tags = ("maths",)

    def perform(self, progress: Progress) -> int:
        PERFORMED["square"] += 1
        progress.message = f"squaring {self.n}"
        if self.n < 0:
            raise ValueError("no")
        return self.n * self.n


class Wait(ProgressJob[int]):
    """At most two wait, and one at a time is performed."""

    job_name = "memory.Wait"
    n: int
    queue = "narrow"
    max_queued = 2
    max_running = 1

    def perform(self, progress: Progress) -> int:
        progress.advance(self.n)
        return self.n


class Nested(ProgressJob[int]):
    """Submits another while it is performed."""

    job_name = "memory.Nested"
    n: int
    cache_key = ALL

    async def perform(self, progress: Progress) -> int:
        progress.advance()
        await asyncio.sleep(0)
        return self.n + 1


class Meddles(ProgressJob[str]):
    """Does what a job should not do while it is performed."""

    job_name = "memory.Meddles"
    how: str
    cache_key = ALL

    def perform(self, progress: Progress) -> str:
        progress.advance()
        assert isinstance(kit_of_meddlers, JobKit)
        match self.how:
            case "joins itself":
                kit_of_meddlers.submit(self)
            case "joins itself among others":
                kit_of_meddlers.submit_many([Square(n=1), self])
            case "waits":
                kit_of_meddlers.submit(Square(n=2), after=60).result()
            case "looks":
                run = kit_of_meddlers.submit(Square(n=3), after=60)
                with pytest.raises(RunTimeout):
                    run.result(timeout=0)
                return run.snapshot().state
        return ""


kit_of_meddlers: JobKit | None = None
JOBS = [Square, Wait, Nested, Meddles]


@pytest.fixture
def inline(store_url: str, namespace: str) -> Iterator[JobKit]:
    PERFORMED.clear()
    with JobKit(store_url, jobs=JOBS, namespace=namespace, engine="inline") as kit:
        yield kit


@pytest.fixture
def other(store_url: str, namespace: str) -> Iterator[JobKit]:
    """A kit of another process, as far as the memory is concerned."""
    with JobKit(store_url, jobs=JOBS, namespace=namespace) as kit:
        yield kit


@pytest.fixture
def remembering(inline: JobKit) -> Callable[[int], str]:
    """Submits until the answer comes from this process, and says which run that is."""

    def remember(n: int) -> str:
        inline.submit(Square(n=n)).result()
        first = inline.submit(Square(n=n))
        wait_until(lambda: inline.submit(Square(n=n)) is inline.submit(Square(n=n)), "the process remembers it")
        return first.id

    return remember


# Inline ---------------------------------------------------------------------------------------------------------------


def test_an_inline_kit_has_performed_the_job_when_submit_returns(inline: JobKit) -> None:
    run = inline.submit(Square(n=3))
    assert (run.admission, run.snapshot().state, run.result()) == (Admission.NEW, State.SUCCEEDED, 9)
    assert inline.submit(Square(n=3)).admission is Admission.CACHED
    assert PERFORMED["square"] == 1


def test_an_inline_kit_performs_async_jobs_and_serves_async_callers(inline: JobKit) -> None:
    async def submitted() -> int:
        runs = await inline.asubmit_many([Nested(n=1), Nested(n=2)])
        runs.append(await inline.asubmit(Square(n=2)))
        values = [await run.aresult() for run in runs]
        await inline.aclose()
        return sum(values)

    assert asyncio.run(submitted()) == 2 + 3 + 4


def test_an_inline_failure_is_a_failed_run_as_anywhere(inline: JobKit) -> None:
    run = inline.submit(Square(n=-1))
    with pytest.raises(RunFailed, match="ValueError: no"):
        run.result()


def test_what_is_scheduled_is_not_performed_before_its_time(inline: JobKit) -> None:
    run = inline.submit(Square(n=3), after=3600)
    assert run.snapshot().state is State.SCHEDULED
    assert PERFORMED["square"] == 0


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("joins itself", "would join itself"),
        ("joins itself among others", "would join itself"),
        ("waits", "keeps a worker from it"),
    ],
)
def test_a_job_neither_joins_itself_nor_waits_for_another(
    inline: JobKit, monkeypatch: pytest.MonkeyPatch, how: str, why: str
) -> None:
    monkeypatch.setattr("tests.kit.test_memory.kit_of_meddlers", inline)
    with pytest.raises(RunFailed, match=why):
        inline.submit(Meddles(how=how)).result()


def test_a_job_may_submit_another_and_look_at_it(inline: JobKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.kit.test_memory.kit_of_meddlers", inline)
    assert inline.submit(Meddles(how="looks")).result() == "scheduled"


# What the store remembers ---------------------------------------------------------------------------------------------


def test_a_failure_answers_for_a_while_and_says_until_when(inline: JobKit, other: JobKit) -> None:
    failed = inline.submit(Square(n=-1))
    refused = other.submit(Square(n=-1))
    assert (refused.admission, refused.id) == (Admission.REFUSED, failed.id)
    with pytest.raises(RunFailed) as raised:
        refused.result()
    assert raised.value.retry_at is not None
    assert inline.submit(Square(n=-1), reuse="fresh").admission is Admission.NEW


def test_a_stale_answer_comes_at_once_and_names_the_run_that_makes_it_anew(other: JobKit, inline: JobKit) -> None:
    memo = inline.submit(Square(n=3))
    raw = redis.Redis.from_url(inline.url, protocol=2)
    raw.hset(f"{inline.operations.prefix()}run:{memo.id}", "fresh_until", 0)
    stale = other.submit(Square(n=3))
    assert (stale.admission, stale.id, stale.result(timeout=0)) == (Admission.STALE, memo.id, 9)
    assert stale.refresh_id is not None
    assert other.run(stale.refresh_id).snapshot().state is State.QUEUED
    raw.close()


async def invalidated(kit: JobKit, tag: str) -> None:
    await kit.ainvalidate(tag=tag)
    await kit.aclose()


def test_invalidating_a_job_a_class_or_a_tag_makes_the_next_answer_new(inline: JobKit) -> None:
    inline.submit_many([Square(n=1), Square(n=2)])
    inline.invalidate(Square(n=1))
    assert [inline.submit(Square(n=n)).admission for n in (1, 2)] == [Admission.NEW, Admission.CACHED]
    inline.invalidate(Square)
    assert [inline.submit(Square(n=n)).admission for n in (1, 2)] == [Admission.NEW] * 2
    asyncio.run(invalidated(inline, tag="maths"))
    assert [inline.submit(Square(n=n)).admission for n in (1, 2)] == [Admission.NEW] * 2
    with pytest.raises(BadArguments, match="one of them"):
        inline.invalidate()


# Many at once ---------------------------------------------------------------------------------------------------------


def test_many_are_submitted_in_one_round_trip_and_answered_in_order(inline: JobKit) -> None:
    inline.submit(Square(n=5))
    jobs = [Square(n=n % 7) if n % 2 else Nested(n=n) for n in range(600)]
    runs = inline.submit_many(jobs)
    assert [run.result() for run in runs] == [job.n * job.n if isinstance(job, Square) else job.n + 1 for job in jobs]
    assert Counter(run.admission for run in runs if run is not None)[Admission.CACHED] >= 1
    assert PERFORMED["square"] == 7
    assert inline.submit_many([]) == []


def test_of_many_that_find_too_little_room_the_admitted_ones_are_in_hand(other: JobKit) -> None:
    with pytest.raises(QueueFull, match="3 of 5 jobs were not admitted") as raised:
        other.submit_many([Wait(n=n) for n in range(5)])
    first, second, *rest = raised.value.runs
    assert rest == [None, None, None]
    assert [run.snapshot().state for run in (first, second)] == [State.QUEUED] * 2
    assert raised.value.retry_after > 0


def test_nothing_is_submitted_when_one_of_many_makes_no_sense(other: JobKit) -> None:
    class Local(ProgressJob[int]):
        def perform(self, progress: Progress) -> int:
            return 1 if progress else 0

    with pytest.raises((BadArguments, UnknownJob, Exception), match="top of its module"):
        other.submit_many([Square(n=1), Local()])
    assert other.runs().snapshots == ()


def test_an_owners_runs_are_listed_for_them(inline: JobKit) -> None:
    runs = [inline.submit(Square(n=n), owner="ann") for n in (1, 2)]
    inline.submit(Square(n=3), owner="bob")
    assert {snapshot.id for snapshot in inline.runs(owner="ann").snapshots} == {run.id for run in runs}
    with pytest.raises(ValueError, match="not both"):
        inline.runs(State.QUEUED, owner="ann")


# What the process remembers -------------------------------------------------------------------------------------------


def test_a_remembered_answer_asks_nobody(inline: JobKit, remembering: Callable[[int], str]) -> None:
    run_id = remembering(3)
    again = inline.submit(Square(n=3))
    assert (again.id, again.admission, again.result()) == (run_id, Admission.CACHED, 9)
    assert inline.submit(Square(n=3, why="arguments beyond the key are another entry")).result() == 9
    assert PERFORMED["square"] == 1


def test_each_caller_gets_a_value_of_their_own(inline: JobKit, remembering: Callable[[int], str]) -> None:
    remembering(3)
    assert inline.submit(Square(n=3)) is inline.submit(Square(n=3))  # the handle may be shared: it holds no state


def test_invalidating_here_counts_at_once(inline: JobKit, remembering: Callable[[int], str]) -> None:
    for what, tag in ((Square(n=3), None), (Square, None), (None, "maths")):
        before = remembering(3)
        inline.invalidate(what, tag=tag)
        assert inline.submit(Square(n=3)).id != before


def test_a_tag_that_only_a_submission_names_is_forgotten_too(inline: JobKit, remembering: Callable[[int], str]) -> None:
    inline.submit(Square(n=3), tags=["orders"])
    before = remembering(3)
    inline.invalidate(tag="orders")
    assert inline.submit(Square(n=3)).id != before


def test_what_is_forgotten_here_is_asked_for_again(inline: JobKit, remembering: Callable[[int], str]) -> None:
    run_id = remembering(3)
    here = inline.submit(Square(n=3))
    inline.forget()
    assert inline.submit(Square(n=3)) is not here
    assert inline.submit(Square(n=3)).id == run_id


def test_invalidating_elsewhere_is_heard(inline: JobKit, other: JobKit, remembering: Callable[[int], str]) -> None:
    before = remembering(3)
    other.invalidate(Square(n=3))
    wait_until(lambda: inline.submit(Square(n=3)).id != before, "the other process is heard")


def test_an_owner_is_made_known_to_the_store_once(inline: JobKit, remembering: Callable[[int], str]) -> None:
    run_id = remembering(3)
    inline.submit(Square(n=3), owner="ann")
    assert inline.run(run_id).owned_by("ann")
    assert inline.submit(Square(n=3), owner="ann") is inline.submit(Square(n=3), owner="ann")
    assert inline.submit(Square(n=3), owner="bob").owned_by("bob")


def test_wishes_that_matter_go_to_the_store(inline: JobKit, remembering: Callable[[int], str]) -> None:
    run_id = remembering(3)
    assert inline.submit(Square(n=3), reuse="fresh").id != run_id
    assert inline.submit(Square(n=3), reuse="none").id != run_id


def test_without_hearing_the_process_answers_nothing_by_itself_and_forgets(
    namespace: str, own_server: servers.Server
) -> None:
    with JobKit(own_server.url, jobs=JOBS, namespace=namespace, engine="inline") as kit:
        kit.submit(Square(n=3)).result()
        wait_until(lambda: kit.submit(Square(n=3)) is kit.submit(Square(n=3)), "the process remembers it")
        before = kit.submit(Square(n=3))
        own_server.restart()
        wait_until(lambda: kit.submit(Square(n=3)) is not before, "the lost connection is noticed")
        wait_until(lambda: kit.submit(Square(n=3)) is kit.submit(Square(n=3)), "the process hears again")
        assert kit.submit(Square(n=3)).id == before.id


def test_what_was_asked_for_before_an_invalidation_is_not_kept_after_it(inline: JobKit) -> None:
    """Threads that hit while another invalidates: once invalidate has returned, nobody is answered by the old run."""
    inline.submit(Square(n=3)).result()
    stop = threading.Event()

    def hit() -> None:
        while not stop.is_set():
            inline.submit(Square(n=3))

    threads = [threading.Thread(target=hit) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            before = inline.submit(Square(n=3)).id
            inline.invalidate(Square)
            assert inline.submit(Square(n=3)).id != before
    finally:
        stop.set()
        for thread in threads:
            thread.join()
