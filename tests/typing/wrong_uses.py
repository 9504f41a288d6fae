"""Wrong uses of the public types: mypy --strict and pyright must each flag every line marked WRONG. Never run."""
# ruff: noqa: ARG002, RUF012
# pyright: strict

from typing import Any

from jobkit.hooks import Start
from jobkit.job import ProgressJob
from jobkit.kit import JobKit
from jobkit.progress import Progress


class SalesReport(ProgressJob[dict[str, float]]):
    month: str
    region: str = "EU"

    def perform(self, progress: Progress) -> dict[str, float]:
        return {}


class Untyped(ProgressJob):  # WRONG the type of the result is missing
    def perform(self, progress: Progress) -> Any:
        return 1


class OtherResult(ProgressJob[int]):
    def perform(self, progress: Progress) -> str:  # WRONG not the declared result
        return ""


class AsyncOtherResult(ProgressJob[int]):
    async def perform(self, progress: Progress) -> str:  # WRONG not the declared result
        return ""


class NoProgress(ProgressJob[int]):
    def perform(self) -> int:  # WRONG the progress is missing
        return 1


class Hooked(ProgressJob[int]):
    def on_start(self) -> None:  # WRONG the start is missing
        pass

    def on_failure(self, run: Start) -> None:  # WRONG the error is missing
        pass


def hooks(kit: JobKit) -> None:
    @kit.on_failure  # WRONG the error is missing
    def _(run: Start) -> None: ...

    @kit.on_start
    def _told(run: Start) -> None: ...

    print(_told)  # noqa: T201


class Options(ProgressJob[int]):
    month: str
    cache_key = "month"  # WRONG text is no tuple
    cache_ttl = "1h"  # WRONG no duration
    schedule = ("0", "3")  # WRONG no schedule
    queue = 1  # WRONG no name
    priority = "high"  # WRONG no number
    stages = {"read": "much"}  # WRONG no weight
    submittable = "yes"  # WRONG no flag


SalesReport()  # WRONG month is missing
SalesReport("2026-01")  # WRONG arguments are given by name
SalesReport(month=202601)  # WRONG not text
SalesReport(month="2026-01", year=2026)  # WRONG no such argument
SalesReport(month="2026-01", cache_ttl=1)  # WRONG an option is no argument
SalesReport(month="2026-01").month = "2026-02"  # WRONG a job cannot be changed
SalesReport(month="2026-01").year  # WRONG no such argument  # noqa: B018


def submitted(kit: JobKit) -> None:
    kit.submit(SalesReport)  # WRONG a class is no job
    kit.submit("SalesReport")  # WRONG text is no job
    kit.schedule("nightly", SalesReport, "0 3 * * *")  # WRONG a class is no job
    kit.schedule("nightly", SalesReport(month="2026-01"))  # WRONG no schedule
    number: int = kit.submit(SalesReport(month="2026-01")).result()  # WRONG another type
    text: str = kit.run("0-01J", SalesReport).result()  # WRONG another type
    print(number, text)  # noqa: T201


def after(cursor: int | None) -> list[str]:
    return [str(cursor)]


def resumed(progress: Progress) -> None:
    progress.resume(after)  # WRONG the cursor is missing
    progress.resume(3)  # WRONG nothing to go over
    progress.resume(["a"], cursor="id")  # WRONG no function
