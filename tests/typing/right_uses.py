"""Right uses of the public types: mypy --strict and pyright must accept all of it. Never run."""
# ruff: noqa: ARG002  a perform that needs no progress takes it all the same
# pyright: strict

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Generic, TypeVar, assert_type

import msgspec

from jobkit.checkpoint import Checkpoint
from jobkit.files import File
from jobkit.fleet import WorkerInfo
from jobkit.hooks import Start
from jobkit.job import ALL, ProgressJob
from jobkit.kit import JobKit
from jobkit.limits import Queue
from jobkit.progress import Progress
from jobkit.retrying import Retry
from jobkit.run import Run
from jobkit.schedule import Cron, Every
from jobkit.store.replies import Backlog
from jobkit.timetable import ScheduleStatus
from jobkit.worker import Worker

R = TypeVar("R")


class SalesReport(ProgressJob[dict[str, float]]):
    month: str
    region: str = "EU"
    cache_key = ("month", "region")
    cache_ttl = timedelta(hours=1)

    def perform(self, progress: Progress) -> dict[str, float]:
        assert_type(self.month, str)
        return {self.month: 1.0}


class Fetch(ProgressJob[bytes]):
    url: str
    names: list[str] = msgspec.field(default_factory=list[str])
    since: date | None = None
    job_name = "fetch"
    cache_key = ALL
    cache_version = 2
    cache_ttl = 3600
    tags = ("net", "io")
    keep_for = timedelta(days=2)
    queue = "network"
    priority = 5
    expires = timedelta(minutes=10)
    max_attempts = 3
    backoff = (1, timedelta(seconds=10))
    retry_on = (OSError, ValueError)
    give_up_on = FileNotFoundError
    max_crashes = 0
    cancel_grace = 0.5
    lease = 30
    stages = {"read": 3, "write": 1.5}  # noqa: RUF012
    submittable = True

    async def perform(self, progress: Progress, /) -> bytes:
        if progress.total is None:
            raise Retry("not yet", after=timedelta(seconds=3))
        raise Retry(after=3) from OSError()


class Handing(ProgressJob[int]):
    cache_key = ()
    cache_ttl = None
    stages = None

    def perform(self, progress: Progress) -> Awaitable[int]:
        raise NotImplementedError


class Weekly(SalesReport):
    week: int
    cache_ttl = timedelta(minutes=1)


class Twice(ProgressJob[list[R]], Generic[R]):
    value: R

    def perform(self, progress: Progress) -> list[R]:
        return [self.value, self.value]


class Export(ProgressJob[File | None]):
    schedule = Cron("0 3 * * *", tz="Europe/Berlin")

    def perform(self, progress: Progress) -> File:
        return File("a.csv", filename="b.csv", media_type="text/csv")


@dataclass
class Summary:
    rows: int


class Summarize(ProgressJob[Summary]):
    def perform(self, progress: Progress) -> Summary:
        return Summary(rows=1)

    async def on_start(self, run: Start) -> None:
        assert_type(run.will_retry, bool)

    def on_success(self, run: Start, result: Summary) -> None: ...

    def on_failure(self, run: Start, error: BaseException) -> None: ...


def hooked(kit: JobKit) -> None:
    @kit.on_failure
    def tell(run: Start, error: BaseException) -> str:
        return f"{run.run_id}: {error}"

    @kit.on_success
    async def later(_run: Start, _result: object) -> None: ...

    assert_type(tell(Start(run_id="", name="", job=None, attempt=1, max_attempts=1, start=1, token=""), OSError()), str)
    kit.on_success(later)


def blocking(kit: JobKit) -> None:
    assert_type(kit.submit(SalesReport(month="2026-01")), Run[dict[str, float]])
    assert_type(kit.submit(SalesReport(month="2026-01")).result(), dict[str, float])
    assert_type(kit.submit(Fetch(url="x", since=None)).result(timeout=3), bytes)
    assert_type(kit.submit(Handing()).result(), int)
    assert_type(kit.submit(Weekly(month="2026-01", week=3)).result(), dict[str, float])
    assert_type(kit.submit(Twice(value=1)).result(), list[int])
    assert_type(kit.submit(Export()).result(), File | None)
    assert_type(kit.submit(Summarize()).result(), Summary)
    assert_type(kit.perform(SalesReport(month="2026-01")), dict[str, float])
    assert_type(kit.perform(Fetch(url="x")), bytes)
    assert_type(kit.run("0-01J", SalesReport).result(), dict[str, float])
    assert_type(kit.run("0-01J", Fetch).result(), bytes)
    assert_type(kit.retry("0-01J", owner="ann"), Run[Any])


def by_the_clock(kit: JobKit) -> None:
    kit.schedule("nightly", SalesReport(month="2026-01"), "0 3 * * *", tz="Europe/Berlin", missed="all", owner="ann")
    kit.schedule("often", Export(), timedelta(minutes=5))
    kit.schedule("weekly", Export(), Every(days=7, anchor=datetime.now(UTC)))
    assert_type(kit.schedules(), list[ScheduleStatus])
    assert_type(kit.schedules()[0].next_at, datetime | None)
    assert_type(Cron("0 3 * * *").next_after(0.0), datetime)
    assert_type(Progress().scheduled_for, datetime | None)


async def asynchronous(kit: JobKit) -> None:
    assert_type(await kit.asubmit(SalesReport(month="2026-01")), Run[dict[str, float]])
    assert_type(await (await kit.asubmit(Fetch(url="x"))).aresult(), bytes)
    assert_type(await kit.aperform(Handing()), int)


def controlled(kit: JobKit) -> None:
    assert_type(kit.workers(), tuple[WorkerInfo, ...])
    assert_type(kit.backlog(), tuple[Backlog, ...])
    assert_type([reply.value for reply in kit.control.stats()], list[WorkerInfo | None])
    assert_type([reply.value for reply in kit.control.grow(2, "host-1")], list[int | None])
    kit.control.limit(SalesReport, max_running=3)
    kit.control.limit(queue="mail", rate=(10, timedelta(seconds=1)))
    JobKit(queues={"mail": Queue(max_running=2, rate="10/s")})
    Worker("reports:kit", queues={"critical": 6, "low": 1})


def performed() -> None:
    assert_type(SalesReport(month="2026-01").perform(Progress()), dict[str, float])


def rows_after(after: int | None) -> list[tuple[int, str]]:
    return [((after or 0) + 1, "Ann")]


async def pages_after(after: str | None) -> AsyncIterator[bytes]:
    yield (after or "").encode()


def first_number(row: tuple[int, str]) -> int:
    return row[0]


def resumed(progress: Progress, names: list[str]) -> None:
    for name in progress.resume(names):
        assert_type(name, str)
    for name in progress.resume(names, cursor=str.upper, total=3, message="Names", state=lambda: {"a": 1}):
        assert_type(name, str)
    for row in progress.resume(rows_after, cursor=first_number):
        assert_type(row, tuple[int, str])
    for row in progress.resume(rows_after, cursor=lambda row: row[0]):
        assert_type(row, tuple[int, str])
    progress.checkpoint({"page": 1})
    assert_type(progress.checkpointed(), Checkpoint | None)
    with progress.stage("write") as stage:
        for name in stage.resume(names):
            assert_type(name, str)


async def resumed_async(progress: Progress) -> None:
    async for page in progress.resume(pages_after(None), total=3):
        assert_type(page, bytes)
    async for page in progress.resume(pages_after, cursor=lambda page: page.decode()):
        assert_type(page, bytes)


def any_sequence_of_results(job: ProgressJob[object]) -> ProgressJob[object]:
    """R is covariant: a job of something more special is a job of this."""
    return job


any_sequence_of_results(SalesReport(month="2026-01"))
assert_type(SalesReport(month="2026-01").region, str)
assert_type(Fetch(url="x").names, list[str])
