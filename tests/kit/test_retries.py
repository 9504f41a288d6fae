"""Other attempts and new runs, as who holds a kit sees them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

import pytest

from jobkit import (
    BadArguments,
    JobKit,
    Progress,
    ProgressJob,
    PublicError,
    Retry,
    RunError,
    RunFailed,
    RunNotFound,
    RunTimeout,
    State,
    UnknownJob,
)
from jobkit.store.operations import new_run_id
from jobkit.testing import Clock, inline, worker

if TYPE_CHECKING:
    from collections.abc import Iterator


class Flaky(ProgressJob[int]):
    """Fails until its attempt of the number `succeeds_at`, and tells how many it took."""

    job_name = "retries.Flaky"
    name: str
    succeeds_at: int = 2
    attempts: ClassVar[dict[str, int]] = {}
    cache_key = ("name",)
    cache_ttl = 3600
    max_attempts = 3
    backoff = 60

    def perform(self, progress: Progress) -> int:
        progress.advance()
        number = self.attempts[self.name] = self.attempts.get(self.name, 0) + 1
        if number < self.succeeds_at:
            raise ConnectionError(f"no route, for the {number}. time")
        return number


class Hasty(Flaky):
    job_name = "retries.Hasty"
    queue = "hasty"
    backoff = 0.01


class Patient(ProgressJob[None]):
    """Asks for another attempt each time."""

    job_name = "retries.Patient"
    max_attempts = 2

    def perform(self, progress: Progress) -> None:
        progress.advance()
        raise Retry(after=3600) from PublicError("The bank does not answer.")


class Echo(ProgressJob[str]):
    job_name = "retries.Echo"
    text: str
    tags = ("loud",)
    fair_share = True
    max_running = {"text": 2}  # noqa: RUF012

    def perform(self, progress: Progress) -> str:
        progress.advance()
        return self.text


class EchoOfNow(Echo):
    """The same, some versions later."""

    job_name = "retries.Echo"
    cache_version = 2


JOBS: list[type[ProgressJob[object]]] = [Flaky, Hasty, Patient, Echo]  # type: ignore[list-item]


@pytest.fixture(params=["", "?partitions=3"], ids=["one partition", "three"])
def kit(request: pytest.FixtureRequest, store_url: str, namespace: str) -> Iterator[JobKit]:
    Flaky.attempts.clear()
    with JobKit(store_url + request.param, jobs=JOBS, namespace=namespace) as kit:
        yield kit


# Attempts -------------------------------------------------------------------------------------------------------------


def test_inline_another_attempt_is_performed_when_its_time_has_come(kit: JobKit) -> None:
    clock = Clock(kit)
    with inline(kit) as engine:
        run = kit.submit(Flaky(name="a"))
        snapshot = run.snapshot()
        assert (snapshot.state, snapshot.attempt, snapshot.max_attempts) == (State.SCHEDULED, 2, 3)
        assert engine.perform_due(["default"]) == 0
        with pytest.raises(RunTimeout, match=r"is scheduled, its attempt 2 of 3, and may start in \d\d s"):
            run.result(timeout=0)
        clock.advance(seconds=80)
        assert engine.perform_due(["default"]) == 1
        assert run.result(timeout=0) == 2


def test_inline_who_waits_performs_the_attempts_that_come_due_meanwhile(kit: JobKit) -> None:
    with inline(kit):
        run = kit.submit(Hasty(name="b", succeeds_at=3))
        assert run.result(timeout=20) == 3
        assert asyncio.run(_awaited(kit, Hasty(name="c", succeeds_at=3))) == 3


async def _awaited(kit: JobKit, job: ProgressJob[int]) -> int:
    async with kit:
        return await (await kit.asubmit(job)).aresult(timeout=20)


def test_who_joins_a_run_between_its_attempts_waits_for_the_next_one(kit: JobKit) -> None:
    with inline(kit):
        run = kit.submit(Flaky(name="d"))
        joined = kit.submit(Flaky(name="d"))
    assert (joined.id, joined.snapshot().state) == (run.id, State.SCHEDULED)
    assert Flaky.attempts["d"] == 1


def test_a_worker_performs_attempt_after_attempt(kit: JobKit) -> None:
    with worker(kit):
        assert kit.submit(Hasty(name="e", succeeds_at=3)).result(timeout=20) == 3
        with pytest.raises(RunFailed, match=r"ConnectionError: no route, for the 3\. time"):
            kit.submit(Hasty(name="f", succeeds_at=9)).result(timeout=20)


def test_the_job_says_when_and_its_cause_is_what_readers_see(kit: JobKit) -> None:
    clock = Clock(kit)
    with inline(kit) as engine:
        run = kit.submit(Patient())
        snapshot = run.snapshot()
        assert snapshot.due_at == pytest.approx(snapshot.updated_at + 3600, abs=0.01)
        assert snapshot.error is not None
        assert snapshot.error.message == "The bank does not answer."
        clock.advance(hours=1.01)
        engine.perform_due(["default"])
        with pytest.raises(RunFailed, match="The bank does not answer") as caught:
            run.result(timeout=0)
    assert run.snapshot().attempt == 2
    assert "Retry" not in str(caught.value)


# New runs -------------------------------------------------------------------------------------------------------------


def test_an_ended_run_is_done_once_more(kit: JobKit) -> None:
    with inline(kit):
        first = kit.submit(Echo(text="hello"), queue="loud", priority=3, owner="ann", tags=["extra"])
        again = kit.retry(first.id)
        assert again.id != first.id
        assert again.result(timeout=20) == "hello"
        snapshot = again.snapshot()
        assert (snapshot.retry_of, snapshot.queue.name) == (first.id, "loud")
        assert again.owned_by("ann")
        kept = [kit.store().execute(kit.operations.recall(run.id)) for run in (first, again)]
    assert [(each.labels, each.priority, each.limits) for each in kept[:1]] == [
        (each.labels, each.priority, each.limits) for each in kept[1:]
    ]


def test_a_remembered_result_does_not_answer_a_retry_and_its_result_is_remembered_then(kit: JobKit) -> None:
    with inline(kit):
        first = kit.submit(Hasty(name="g", succeeds_at=1))
        again = kit.retry(first.id)
        assert (first.result(timeout=20), again.result(timeout=20)) == (1, 2)
        assert kit.submit(Hasty(name="g")).id == again.id


def test_a_retry_belongs_to_whom_it_is_made_for(kit: JobKit) -> None:
    with inline(kit):
        first = kit.submit(Echo(text="mine"), owner="ann")
        again = kit.retry(first.id, owner="bob")
    assert not again.owned_by("ann")
    assert again.owned_by("bob")
    assert kit.store().execute(kit.operations.recall(again.id)).limits != ""
    assert kit.run(again.id, owner="bob").interest == again.interest


def test_two_retries_that_have_not_begun_are_one_run(kit: JobKit) -> None:
    with inline(kit):
        first = kit.submit(Hasty(name="h", succeeds_at=1))
    assert kit.retry(first.id).id == kit.retry(first.id).id


def test_only_what_has_ended_is_done_once_more(kit: JobKit) -> None:
    live = kit.submit(Echo(text="still waiting"))
    with pytest.raises(RunError, match=r"is queued, and only what has ended .* wait for its end, or cancel it"):
        kit.retry(live.id)
    for unknown in (new_run_id(), "nonsense"):
        with pytest.raises(RunNotFound):
            kit.retry(unknown)
    live.cancel()
    assert kit.retry(live.id).snapshot().retry_of == live.id


def test_a_kit_without_jobs_makes_any_run_anew_and_one_with_others_does_not(kit: JobKit, namespace: str) -> None:
    with inline(kit):
        first = kit.submit(Echo(text="from afar"))
    with JobKit(kit.url, namespace=namespace) as submitter:
        assert submitter.retry(first.id).snapshot().job == "retries.Echo"
    with (
        JobKit(kit.url, jobs=[Patient], namespace=namespace) as other,
        pytest.raises(UnknownJob, match=r"retries\.Echo"),
    ):
        other.retry(first.id)


def test_a_class_that_has_changed_since_says_so(kit: JobKit, namespace: str) -> None:
    with inline(kit):
        first = kit.submit(Echo(text="old"))
    with (
        JobKit(kit.url, jobs=[EchoOfNow], namespace=namespace) as newer,
        pytest.raises(BadArguments, match=r"version 1 of retries\.Echo, and here is version 2"),
    ):
        newer.retry(first.id)


def test_a_retry_has_an_async_twin(kit: JobKit) -> None:
    with inline(kit):
        first = kit.submit(Echo(text="again"))

        async def retry() -> str:
            async with kit:
                result: str = await (await kit.aretry(first.id)).aresult(timeout=20)
                return result

        assert asyncio.run(retry()) == "again"
