"""jobkit itself: a job class, a kit and its store. Nobody performs: a run is in flight until it is settled by hand."""
# ruff: noqa: ARG002  (a job need not use its progress)

from __future__ import annotations

import asyncio
import itertools
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from msgspec import json

from benchmarks.bare import bare_get
from benchmarks.by_hand import Hands
from benchmarks.peers import DPI, HOUR, MONTH, PAGES, REGION, RESULT, Act, Peer, Place, bulks, second_handle
from benchmarks.rounds import each
from jobkit import ALL, JobKit, Progress, ProgressJob
from jobkit.cache_key import cache_key
from jobkit.job import spec_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.rounds import Batch

DATABASE = 0
GET = "GET, jobkit's client"
GET_ASYNC = "GET, jobkit's async client"
HIT = "jobkit, submit + result"
JOIN = "jobkit, submit"
NEW = "jobkit, submit"
BULK = "jobkit, submit_many"
L1_HIT = "jobkit, l1_ttl, submit + result"


class Report(ProgressJob[dict[str, float]]):
    month: str
    region: str
    dpi: float
    pages: int
    job_name = "memo.Report"
    cache_key = ALL
    cache_ttl = HOUR

    def perform(self, progress: Progress) -> dict[str, float]:
        return RESULT


class NearReport(Report):
    job_name = "memo.NearReport"
    l1_ttl = HOUR


@contextmanager
def opened(place: Place) -> Iterator[Peer]:
    """The memo is of `PAGES` pages; what is in flight has none."""
    with JobKit(place.url(DATABASE)) as kit, asyncio.Runner() as runner:
        remember(kit, job())
        numbers = itertools.count(PAGES + 1)
        get = bare_get(kit)
        yield Peer(
            name="jobkit",
            version=version("jobkit-progress"),
            acts=[
                Act(kind="hit", name=GET, do=each(lambda: kit.store().execute(get)), beside=GET),
                Act(kind="hit", name=HIT, do=each(lambda: kit.submit(job()).result()), beside=GET),
                Act(kind="hit", name=GET_ASYNC, do=_each_awaited_get(kit, runner), beside=GET_ASYNC),
                Act(kind="hit", name=f"{HIT} (async)", do=_each_awaited_hit(kit, runner), beside=GET_ASYNC),
                *_near(kit),
                Act(kind="join", name=JOIN, do=each(lambda: kit.submit(job(0))), beside=GET),
                Act(kind="new", name=NEW, do=each(lambda: kit.submit(job(next(numbers)))), beside=GET),
                _bulk(kit, numbers),
                *_keys(),
            ],
            make_key=_key_of_any,
            seconds={"jobkit": lambda: second_handle(lambda: kit.submit(job(0)))},
        )
        runner.run(kit.aclose())


def job(pages: int = PAGES) -> Report:
    return Report(month=MONTH, region=REGION, dpi=DPI, pages=pages)


def remember(kit: JobKit, job: ProgressJob[Any]) -> None:
    """Its run has been performed, and answers from now on."""
    kit.submit(job)
    Hands(kit).perform_all("default", json.encode(RESULT))
    assert kit.submit(job).result() == RESULT


def _near(kit: JobKit) -> list[Act]:
    near = NearReport(month=MONTH, region=REGION, dpi=DPI, pages=PAGES)
    remember(kit, near)
    return [
        Act(kind="hit", name=L1_HIT, do=each(lambda: kit.submit(near).result())),
        Act(
            kind="hit",
            name=f"{L1_HIT}, job made anew",
            do=each(lambda: kit.submit(NearReport(month=MONTH, region=REGION, dpi=DPI, pages=PAGES)).result()),
        ),
    ]


def _bulk(kit: JobKit, numbers: Iterator[int]) -> Act:
    def bulk(times: int) -> None:
        for size in bulks(times):
            kit.submit_many([job(next(numbers)) for _ in range(size)])

    return Act(kind="bulk", name=BULK, do=bulk)


def _keys() -> list[Act]:
    """Of a job that is valid, of one whose values may have been changed since it was made, and of arguments."""
    spec, made = spec_of(Report), job()
    return [
        Act(kind="key", name="jobkit, of a job", do=each(lambda: spec.key_of(made))),
        Act(kind="key", name="jobkit, of a job, validated again", do=each(lambda: spec.cache_key(made))),
        Act(kind="key", name="jobkit, job made, validated twice", do=each(lambda: spec.cache_key(job()))),
    ]


def _key_of_any(*arguments: object) -> str:
    return cache_key("memo.Report", 1, dict(zip(Report.__struct_fields__, arguments, strict=True)))


def _each_awaited_hit(kit: JobKit, runner: asyncio.Runner) -> Batch:
    async def batch(times: int) -> None:
        for _ in itertools.repeat(None, times):
            await (await kit.asubmit(job())).aresult()

    return lambda times: runner.run(batch(times))


def _each_awaited_get(kit: JobKit, runner: asyncio.Runner) -> Batch:
    get = bare_get(kit)

    async def batch(times: int) -> None:
        for _ in itertools.repeat(None, times):
            await kit.async_store().execute(get)

    return lambda times: runner.run(batch(times))
