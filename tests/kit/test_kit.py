"""The kit: submitting, finding, performing inline, and its clients."""

from __future__ import annotations

import asyncio
import multiprocessing
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import redis

from jobkit import (
    BadArguments,
    BadJob,
    EngineUnavailable,
    JobKit,
    Progress,
    ProgressJob,
    RunNotFound,
    State,
    StoreMisconfigured,
    UnknownJob,
)
from jobkit.store.operations import new_run_id
from jobkit.store.replies import Admission
from tests.kit.conftest import Add, AddLater, Hands

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Unnamed(ProgressJob[None]):
    def perform(self, progress: Progress) -> None:
        progress.advance()


def test_making_a_kit_asks_nobody() -> None:
    kit = JobKit("redis://127.0.0.1:1", jobs=[Add])
    assert list(kit.jobs) == ["kit.Add"]
    kit.close()


def test_two_jobs_of_one_name_are_refused(kit: JobKit) -> None:
    class Other(ProgressJob[int]):
        job_name = "kit.Add"

        def perform(self, _progress: Progress) -> int:
            return 0

    with pytest.raises(BadJob, match=r"Two jobs are called kit\.Add"):
        kit.register(Other)
    assert kit.register(Add) is Add, "the same one may come again"


def test_an_engine_that_is_not_there_is_refused() -> None:
    with pytest.raises(EngineUnavailable, match='choose "native"'):
        JobKit(engine="kombu")


def test_equal_submissions_join_and_fresh_and_none_do_as_they_say(kit: JobKit, hands: Hands) -> None:
    run = kit.submit(Add(a=1))
    assert run.admission is Admission.NEW
    assert kit.submit(Add(a=1)).admission is Admission.JOINED
    assert kit.submit(Add(a=1), reuse="none").admission is Admission.NEW
    hands.take()
    fresh = kit.submit(Add(a=1), reuse="fresh")
    assert (fresh.admission, fresh.id != run.id) == (Admission.NEW, True)


def test_a_job_is_performed_inline_blocking_or_not(kit: JobKit) -> None:
    async def performed() -> tuple[int, int]:
        return await kit.aperform(Add(a=1, b=2)), await kit.aperform(AddLater(a=1, b=2))

    assert (kit.perform(Add(a=1, b=2)), kit.perform(AddLater(a=1, b=2))) == (3, 3)
    assert asyncio.run(performed()) == (3, 3)


def test_runs_are_listed_page_by_page(kit: JobKit) -> None:
    ids = [kit.submit(Add(a=number)).id for number in range(5)]
    page = kit.runs(limit=3)
    rest = kit.runs(limit=3, cursor=page.cursor)
    assert sorted(snapshot.id for snapshot in (*page.snapshots, *rest.snapshots)) == sorted(ids)
    assert kit.runs(State.RUNNING).snapshots == ()


def test_runs_of_several_partitions_are_listed_in_one_order(store_url: str, namespace: str) -> None:
    with JobKit(f"{store_url}?partitions=3", jobs=[Add], namespace=namespace) as kit:
        runs = [kit.submit(Add(a=n), owner="ann") for n in range(60)]
        assert {run.id.partition("-")[0] for run in runs} == {"0", "1", "2"}
        listed, cursor = [], ""
        while True:
            page = kit.runs(limit=7, cursor=cursor)
            listed += [(snapshot.created_at, snapshot.id) for snapshot in page.snapshots]
            cursor = page.cursor
            if not cursor:
                break
        assert listed == sorted(listed, reverse=True)
        assert {run_id for _, run_id in listed} == {run.id for run in runs}
        assert len(kit.runs(owner="ann", limit=60).snapshots) == 60
        assert kit.runs(owner="ann", limit=60).cursor == ""


def test_a_blocking_call_in_an_event_loop_warns_once_and_names_its_twin(kit: JobKit) -> None:
    async def blocked() -> None:
        with pytest.warns(RuntimeWarning, match="await asubmit"):
            kit.submit(Add(a=1))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            kit.runs()

    asyncio.run(blocked())


def test_each_event_loop_gets_a_client_of_its_own(kit: JobKit) -> None:
    async def submitted() -> int:
        await kit.asubmit(Add(a=1))
        client = id(kit.async_store())
        await kit.aclose()
        return client

    asyncio.run(submitted())
    asyncio.run(submitted())
    assert kit.submit(Add(a=1)).admission is Admission.JOINED, "the kit may be used again after it was closed"


def _submit(kit: JobKit, told: Any) -> None:
    told.put(kit.submit(Add(a=7)).id)
    kit.close()


def test_a_job_that_a_kit_with_jobs_does_not_name_is_refused(kit: JobKit) -> None:
    with pytest.raises(UnknownJob, match=r"not registered.*JobKit\(jobs=\[..., Unnamed\]\)"):
        kit.submit(Unnamed())


def test_a_kit_without_jobs_submits_any(store_url: str, namespace: str) -> None:
    with JobKit(store_url, namespace=namespace) as submitter:
        assert submitter.submit(Unnamed()).admission is Admission.NEW


def test_a_kit_survives_a_fork(kit: JobKit) -> None:
    """The parent's connections are open when it forks; parent and child must not read each other's replies."""
    run = kit.submit(Add(a=7))
    forking = multiprocessing.get_context("fork")
    told = forking.SimpleQueue()
    child = forking.Process(target=_submit, args=(kit, told))
    child.start()
    assert kit.submit(Add(a=7)).id == run.id
    assert told.get() == run.id
    child.join(10)
    assert child.exitcode == 0


def test_a_partition_that_another_process_founded_anew_is_opened_again(
    store_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data is lost; another process comes first and founds the partition; so ours is never told to open it."""
    monkeypatch.setattr("jobkit.store.partitions.OPEN_FOR", 0.0)
    with JobKit(store_url, namespace=namespace) as kit, JobKit(store_url, namespace=namespace) as other:
        kit.runs()
        lost = kit.secret()
        with redis.Redis.from_url(store_url) as raw:
            raw.delete(f"{kit.operations.prefix()}partition")
        other.runs()
        kit.runs()
        assert kit.secret() == other.secret() != lost


def test_the_secret_is_the_stores_unless_it_is_named(
    kit: JobKit, store_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JobKit(store_url, namespace=namespace) as other:
        assert kit.secret() == other.secret()
    monkeypatch.setenv("JOBKIT_SECRET", "named")
    assert kit.secret() == b"named"


def test_the_url_of_an_embedded_store_is_good_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert JobKit("embedded:here").url == f"embedded:{tmp_path / 'here'}"


def test_nobody_is_no_owner_who_might_list_the_runs_of_everybody(kit: JobKit) -> None:
    kit.submit(Add(a=1), owner="ann")
    with pytest.raises(BadArguments, match="owner=''"):
        kit.runs(owner="")
    listed = kit.store().execute(kit.operations.list(owner=""))
    assert listed.rows == ()


@pytest.mark.parametrize(
    ("use", "error", "advice"),
    [
        (lambda kit: kit.runs("succeded"), BadArguments, "choose one of"),
        (lambda kit: kit.runs(limit="abc"), BadArguments, "whole number"),
        (lambda kit: kit.runs(cursor=5), BadArguments, "cursor=5: give the cursor of an earlier page"),
        (lambda kit: kit.runs(cursor=None), BadArguments, "cursor=None"),
        (lambda kit: kit.runs(owner=5), BadArguments, "owner=5: give text"),
        (lambda kit: kit.run(5), RunNotFound, "5 is not the id of a run: give it as text"),
        (lambda kit: kit.run(None), RunNotFound, "None is not the id"),
        (lambda kit: kit.run(new_run_id(), owner=5), BadArguments, "owner=5"),
        (lambda kit: kit.run(new_run_id()).owned_by(None), BadArguments, "owner=None"),
        (lambda kit: kit.run(new_run_id()).result(timeout="1"), BadArguments, "timeout='1'"),
        (lambda kit: kit.submit_many(Add(a=1)), BadArguments, r"submit\(job\)"),
        (lambda kit: kit.submit_many(Add), BadArguments, r"submit\(job\)"),
        (lambda kit: kit.submit(Add(a=1), tags=5), BadArguments, "list of tags"),
        (lambda kit: kit.invalidate("orders"), BadArguments, "a tag is given by name: tag='orders'"),
        (lambda _: JobKit(5), StoreMisconfigured, "is text, not int"),  # type: ignore[arg-type]
        (lambda _: JobKit(patience="1"), BadArguments, "patience='1'"),  # type: ignore[arg-type]
        (lambda _: JobKit(jobs=Add), BadJob, r"jobs=Add is no list: write JobKit\(jobs=\[\.\.\.\]\)"),  # type: ignore[arg-type]
        (lambda _: JobKit(jobs=[Add(a=1)]), BadJob, "not its class: register Add"),  # type: ignore[list-item]
    ],
)
def test_what_makes_no_sense_is_refused_with_advice(
    kit: JobKit, use: Callable[[Any], object], error: type[Exception], advice: str
) -> None:
    with pytest.raises(error, match=advice):
        use(kit)


def test_tags_from_a_generator_are_those_of_every_class_in_a_batch(kit: JobKit, hands: Hands) -> None:
    submitted = kit.submit_many([Add(a=1), AddLater(a=1)], tags=(tag for tag in ("eu", "nightly")))
    for _ in submitted:
        hands.take()  # what has not begun answers all the same
    kit.invalidate(tag="eu")
    again = kit.submit_many([Add(a=1), AddLater(a=1)])
    assert not {run.id for run in submitted} & {run.id for run in again}
