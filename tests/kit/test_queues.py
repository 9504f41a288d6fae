"""Queues of a kit on a real store: limited, paused, and changed while they are in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobkit import JobKit, Progress, ProgressJob, Queue
from jobkit.control import ChangedLimit
from jobkit.store.replies import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator


class Send(ProgressJob[str]):
    job_name = "kit.Send"
    to: str
    queue = "mail"

    def perform(self, _progress: Progress) -> str:
        return self.to


class Export(ProgressJob[None]):
    job_name = "kit.Export"
    max_running = 2

    def perform(self, _progress: Progress) -> None: ...


RULES = {"mail": Queue(max_running=1)}


@pytest.fixture(params=[1, 5])
def kit(request: pytest.FixtureRequest, store_url: str, namespace: str) -> Iterator[JobKit]:
    """In one partition, and in several."""
    url = store_url + ("&" if "?" in store_url else "?") + f"partitions={request.param}"
    with JobKit(url, jobs=[Send, Export], namespace=namespace, queues=RULES) as kit:
        yield kit


class Takes:
    """Takes all that may start now, of all partitions."""

    def __init__(self, kit: JobKit) -> None:
        self._kit = kit
        self._slots = iter(range(1_000_000))

    def __call__(self, *queues: str) -> list[Lease]:
        leases = []
        for partition in range(self._kit.store().partitions()):
            while isinstance(taken := self._take(queues, partition), Lease):
                leases.append(taken)
        return leases

    def _take(self, queues: tuple[str, ...], partition: int) -> Any:
        take = self._kit.operations.take(f"w/{next(self._slots)}", "once", queues, partition=partition)
        return self._kit.store().execute(take)


def test_a_limit_of_a_queue_holds_for_all_its_jobs_and_is_changed_for_who_waits(kit: JobKit) -> None:
    take = Takes(kit)
    kit.submit_many([Send(to=f"{number}") for number in range(5)])
    kit.submit(Export(), queue="mail")
    assert len(take("mail")) == 1
    kit.control.limit(queue="mail", max_running=3)
    assert kit.control.limits() == (ChangedLimit(queue="mail", max_running=3),)
    assert len(take("mail")) == 2
    kit.control.restore_limits(queue="mail")
    assert kit.control.limits() == ()
    assert take("mail") == []


def test_a_limit_of_a_job_is_changed_by_its_class_or_its_name(kit: JobKit) -> None:
    take = Takes(kit)
    for _ in range(6):
        kit.submit(Export())
    assert len(take("default")) == 2
    kit.control.limit(Export, max_running=3)
    assert len(take("default")) == 1
    kit.control.limit("kit.Export", max_running=5)
    assert len(take("default")) == 2


def test_a_paused_queue_is_paused_in_all_partitions(kit: JobKit) -> None:
    take = Takes(kit)
    runs = [kit.submit(Send(to=f"{number}"), queue="other") for number in range(20)]
    assert kit.pause_queue("other")
    assert not kit.pause_queue("other")
    assert take("other") == []
    (standing,) = [each for each in kit.backlog() if each.queue == "other"]
    assert (standing.waiting, standing.paused, standing.running) == (20, True, 0)
    assert runs[0].snapshot().queue.paused
    assert kit.resume_queue("other")
    assert len(take("other")) == 20
    (standing,) = [each for each in kit.backlog() if each.queue == "other"]
    assert (standing.waiting, standing.paused, standing.running) == (0, False, 20)


def test_the_backlog_has_the_queues_that_the_kit_names_and_those_with_runs(kit: JobKit) -> None:
    kit.submit(Send(to="x"), queue="other")
    assert [each.queue for each in kit.backlog()] == ["default", "mail", "other"]


@pytest.mark.anyio
async def test_awaiting_callers_do_the_same(kit: JobKit) -> None:
    async with kit:
        await kit.asubmit(Send(to="x"))
        assert await kit.apause_queue("mail")
        assert [each.waiting for each in await kit.abacklog() if each.paused] == [1]
        assert await kit.aresume_queue("mail")
        await kit.control.alimit(queue="mail", max_running=4)
        assert await kit.control.alimits() == (ChangedLimit(queue="mail", max_running=4),)
        await kit.control.arestore_limits(queue="mail")
        assert await kit.aworkers() == ()
        assert len(await kit.control.aping()) == 0


def test_performed_inline_a_paused_queue_waits_too(store_url: str, namespace: str) -> None:
    with JobKit(store_url, jobs=[Send], namespace=namespace, engine="inline") as kit:
        kit.pause_queue("mail")
        run = kit.submit(Send(to="x"))
        assert run.snapshot().state == "queued"
        kit.resume_queue("mail")
        kit.submit(Send(to="y"))
        assert run.result(timeout=0) == "x"
