"""The helpers for users' tests: a worker in the background, a clock, an emptied store."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobkit import JobKit, Progress, ProgressJob, RunCancelled, RunFailed, State
from jobkit.decision import StopReason
from jobkit.store.replies import Admission
from jobkit.testing import Clock, empty, inline, worker
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


class Count(ProgressJob[int]):
    """Counts up to `n`; without end when there is none."""

    job_name = "testing.Count"
    n: int | None = None
    cache_key = ("n",)
    cache_ttl = timedelta(hours=1)

    def perform(self, progress: Progress) -> int:
        done = 0
        while done != self.n:
            progress.advance()
            progress.check()
            done += 1
        return done


class CountOnALoop(Count):
    job_name = "testing.CountOnALoop"
    queue = "elsewhere"

    async def perform(self, progress: Progress) -> int:  # type: ignore[override]
        return super().perform(progress)  # type: ignore[return-value]


class Remembered(Count):
    job_name = "testing.Remembered"
    l1_ttl = timedelta(minutes=30)


class Interrupted(ProgressJob[None]):
    job_name = "testing.Interrupted"

    def perform(self, progress: Progress) -> None:
        progress.advance()
        signal.raise_signal(signal.SIGINT)


class HandsItselfBack(ProgressJob[list[int]]):
    """Leaves its first start in the middle, as if its worker shut down."""

    job_name = "testing.HandsItselfBack"

    def perform(self, progress: Progress) -> list[int]:
        state = progress.restored or {"starts": 0, "items": []}
        state["starts"] += 1
        for item in progress.resume(range(6), state=lambda: state):
            state["items"].append(item)
            if state["starts"] == 1 and item == 3:
                progress.interrupt(StopReason.HANDED_BACK)
        return [state["starts"], *state["items"]]


class Waits(ProgressJob[int]):
    """For another run, which no job may."""

    job_name = "testing.Waits"
    url: str
    namespace: str

    def perform(self, progress: Progress) -> int:
        progress.advance()
        with JobKit(self.url, jobs=[Count], namespace=self.namespace) as kit, inline(kit):
            return kit.submit(Count(n=1)).result()


class Fails(ProgressJob[None]):
    job_name = "testing.Fails"

    def perform(self, progress: Progress) -> None:
        progress.advance()
        raise OSError("the disk is on fire")


@pytest.fixture(params=["", "?partitions=3"], ids=["one partition", "three"])
def kit(request: pytest.FixtureRequest, store_url: str, namespace: str) -> Iterator[JobKit]:
    jobs = [Count, CountOnALoop, Fails, Remembered, HandsItselfBack, Interrupted, Waits]
    with JobKit(store_url + request.param, jobs=jobs, namespace=namespace) as kit:
        yield kit


def test_a_background_worker_performs_blocking_and_async_jobs_of_all_queues(kit: JobKit) -> None:
    with worker(kit, concurrency=2):
        runs = [kit.submit(job(n=n)) for job in (Count, CountOnALoop) for n in range(5)]
        assert [run.result(timeout=20) for run in runs] == [0, 1, 2, 3, 4] * 2


def test_a_background_worker_serves_one_queue_that_is_named_as_text(kit: JobKit) -> None:
    with worker(kit, queues="slow"):
        assert kit.submit(Count(n=1), queue="slow").result(timeout=20) == 1


def test_a_background_worker_tells_failures_and_goes_on(kit: JobKit) -> None:
    with worker(kit):
        with pytest.raises(RunFailed, match="the disk is on fire"):
            kit.submit(Fails()).result(timeout=20)
        assert kit.submit(Count(n=1)).result(timeout=20) == 1


def test_a_job_in_a_background_worker_is_watched_and_cancelled(kit: JobKit) -> None:
    with worker(kit):
        run = kit.submit(Count())
        next(snapshot for snapshot in run.watch() if snapshot.done > 0)
        assert run.cancel()
        with pytest.raises(RunCancelled):
            run.result(timeout=20)


def test_a_background_worker_leaves_nothing_running(kit: JobKit) -> None:
    with worker(kit):
        run = kit.submit(Count(n=1))
        run.result(timeout=20)
    waiting = kit.submit(Count(n=2))
    assert waiting.snapshot().queue.workers == 0
    assert waiting.snapshot().state is State.QUEUED


def test_time_passes_when_the_test_says_so(kit: JobKit) -> None:
    clock = Clock(kit)
    with inline(kit):
        first = kit.submit(Count(n=3))
        clock.advance(minutes=59)
        assert kit.submit(Count(n=3)).admission is Admission.CACHED
        clock.advance(timedelta(minutes=2))
        assert kit.submit(Count(n=3)).id != first.id
    assert clock.ahead == timedelta(minutes=61)
    with pytest.raises(ValueError, match="goes on only"):
        clock.advance(-1)
    clock.reset()


def test_a_schedule_comes_due_when_the_clock_is_advanced(kit: JobKit) -> None:
    clock = Clock(kit)
    with worker(kit):
        run = kit.submit(Count(n=3), after=timedelta(days=1))
        assert run.snapshot().state is State.SCHEDULED
        clock.advance(days=1)
        assert run.result(timeout=20) == 3
    clock.reset()


def test_what_has_come_due_is_performed_inline_when_asked_for(kit: JobKit) -> None:
    with inline(kit) as engine:
        run = kit.submit(Count(n=3), after=60)
        clock = Clock(kit)
        clock.advance(seconds=61)
        assert engine.perform_due(["default"]) == 1
        assert run.result(timeout=0) == 3
        clock.reset()
    assert kit.submit(Count(n=4)).snapshot().state is State.QUEUED  # the kit is as it was


def test_what_a_process_remembers_ends_with_the_time_too(kit: JobKit) -> None:
    with inline(kit):
        first = kit.submit(Remembered(n=2))
        wait_until(lambda: kit.submit(Remembered(n=2)) is kit.submit(Remembered(n=2)), "this process remembers it")
        clock = Clock(kit)
        clock.advance(hours=2)
        assert kit.submit(Remembered(n=2)).id != first.id
        clock.reset()


def test_a_run_that_is_performed_inline_again_goes_on_from_its_checkpoint(kit: JobKit) -> None:
    with inline(kit):
        run = kit.submit(HandsItselfBack())
        assert run.result(timeout=0) == [2, 0, 1, 2, 3, 4, 5]
        assert (run.snapshot().start, run.snapshot().attempt) == (2, 1)


def test_ctrl_c_in_an_inline_job_ends_the_job_and_reaches_its_caller(kit: JobKit) -> None:
    with inline(kit), pytest.raises(KeyboardInterrupt):
        kit.submit(Interrupted())
    assert [snapshot.state for snapshot in kit.runs().snapshots] == [State.FAILED]
    with inline(kit):
        assert kit.submit(Count(n=1)).result() == 1


def test_a_job_that_waits_for_another_fails_inline_as_it_does_with_a_worker(kit: JobKit, namespace: str) -> None:
    with inline(kit):
        run = kit.submit(Waits(url=kit.url, namespace=namespace))
    with pytest.raises(RunFailed, match="submit it and return"):
        run.result(timeout=0)


def test_an_async_job_is_performed_inline_where_a_loop_is_running(kit: JobKit) -> None:
    async def submit() -> int:
        run = await kit.asubmit(CountOnALoop(n=3))
        value = await kit.aperform(CountOnALoop(n=3)) + await run.aresult(timeout=0)
        await kit.aclose()
        return value

    with inline(kit):
        assert asyncio.run(submit()) == 6


def test_an_emptied_store_knows_nothing(kit: JobKit, store_url: str, namespace: str) -> None:
    with JobKit(store_url, jobs=[Count], namespace=f"{namespace}x") as other, inline(other), inline(kit):
        kept, run = other.submit(Count(n=1)), kit.submit(Count(n=1))
        empty(kit)
        assert kit.runs().snapshots == ()
        assert kit.submit(Count(n=1)).id != run.id
        assert other.submit(Count(n=1)).id == kept.id


def test_a_result_is_waited_for_not_slept_for(kit: JobKit) -> None:
    run = kit.submit(Count(n=2))
    with worker(kit):
        wait_until(lambda: run.snapshot().state is State.SUCCEEDED, "it is performed")
