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
from jobkit.options import BUILT_OPTIONS
from jobkit.submission import Wishes, submission_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.rounds import Batch

DATABASE = 0
GET = "GET, jobkit's client"
GET_ASYNC = "GET, jobkit's async client"
HIT = "jobkit, submit + result"
JOIN = "jobkit, submit"
NEW = "jobkit, submit"
BULK_BY_KIT = "jobkit, submit_many"
BULK_BY_HAND = "jobkit, a pipeline of submissions"
L1_HIT = "jobkit, l1_ttl, submit + result"
_AT_ONCE = 50


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


if "l1_ttl" in BUILT_OPTIONS:

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
    if "l1_ttl" not in BUILT_OPTIONS:
        return []
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
    def by_kit(times: int) -> None:
        for size in bulks(times):
            kit.submit_many([job(next(numbers)) for _ in range(size)])

    def by_hand(times: int) -> None:
        for first in range(0, times, _AT_ONCE):
            jobs = [job(next(numbers)) for _ in range(min(_AT_ONCE, times - first))]
            kit.store().execute_all([kit.operations.submit(submission_of(job, Wishes())) for job in jobs])

    if hasattr(kit, "submit_many"):
        return Act(kind="bulk", name=BULK_BY_KIT, do=by_kit)
    return Act(kind="bulk", name=BULK_BY_HAND, do=by_hand)


def _keys() -> list[Act]:
    spec, made = spec_of(Report), job()
    arguments = {"month": MONTH, "region": REGION, "dpi": DPI, "pages": PAGES}
    return [
        Act(kind="key", name="jobkit, arguments in hand", do=each(lambda: cache_key("memo.Report", 1, arguments))),
        Act(kind="key", name="jobkit, of a job (validated again)", do=each(lambda: spec.cache_key(made))),
        Act(kind="key", name="jobkit, job made and validated", do=each(lambda: spec.cache_key(job()))),
    ]


def _key_of_any(*arguments: object) -> str:
    return cache_key("memo.Report", 1, dict(enumerate(arguments)))  # type: ignore[arg-type]  # names do not matter here


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
