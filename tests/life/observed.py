"""Jobs whose worker is looked at: what it logs, and which hooks it calls.

The module sets up a handler of its own, as an application does; it writes to the file that OBSERVED_LOG names.
"""
# ruff: noqa: ARG002  (a job need not use its progress)

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from jobkit import JobKit, Progress, ProgressJob, PublicError, Start
from jobkit.otel import OpenTelemetry
from jobkit.tracing import NO_TRACING
from tests.life.jobs import begin, has, put

library = logging.getLogger("a.library")
own = logging.getLogger("own")
if "OBSERVED_LOG" in os.environ:
    handler = logging.FileHandler(os.environ["OBSERVED_LOG"])
    handler.setFormatter(logging.Formatter("%(run_id)s/%(attempt)d %(message)s"))
    own.addHandler(handler)
own.info("imported")


def tell(folder: str, text: str) -> None:
    with Path(folder, "told").open("a") as told:
        told.write(f"{text}\n")


class Logs(ProgressJob[None]):
    async def perform(self, progress: Progress) -> None:
        library.info("in the run", extra={"rows": 5, "start": "theirs"})
        own.warning("to its own handler")
        await asyncio.to_thread(library.info, "in its thread")


class Hooked(ProgressJob[int]):
    folder: str
    how: str
    cancel_grace = 5

    def perform(self, progress: Progress) -> int:
        tell(self.folder, f"{self.how}: performed")
        begin(self.folder)
        if self.how == "fail":
            raise PublicError("not today")
        while self.how == "cancel":
            progress.check()
            os.sched_yield()
        return 7

    async def on_start(self, run: Start) -> None:
        tell(self.folder, f"{self.how}: starts, {run.attempt} of {run.max_attempts}")
        library.info("in a hook")
        raise LookupError("a hook that raises")

    def on_success(self, run: Start, result: int) -> None:
        tell(self.folder, f"{self.how}: succeeded with {result}")

    def on_failure(self, run: Start, error: BaseException) -> None:
        tell(self.folder, f"{self.how}: failed with {error}")
        raise SystemExit(3)

    def on_cancel(self, run: Start) -> None:
        tell(self.folder, f"{self.how}: cancelled")


class DiesOnce(ProgressJob[int]):
    folder: str

    def perform(self, progress: Progress) -> int:
        begin(self.folder)
        if has(self.folder, "died"):
            return 7
        put(self.folder, "died")
        os._exit(1)


def spans_to(path: str) -> TracerProvider:
    """A line for each span that has ended."""
    provider = TracerProvider()
    out = open(path, "a", buffering=1)  # noqa: PTH123, SIM115  (for as long as the process lives)
    exporter = ConsoleSpanExporter(out=out, formatter=lambda span: f"{json.dumps(json.loads(span.to_json()))}\n")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


tracing = OpenTelemetry(spans_to(os.environ["OBSERVED_SPANS"])) if "OBSERVED_SPANS" in os.environ else NO_TRACING
kit = JobKit(jobs=[Logs, Hooked, DiesOnce], tracing=tracing)


@kit.on_success
async def succeeded(run: Start, result: object) -> None:
    if isinstance(run.job, Hooked):
        tell(run.job.folder, f"{run.job.how}: its kit heard {result}")


@kit.on_failure
def failed(run: Start, error: BaseException) -> None:
    if isinstance(run.job, Hooked):
        tell(run.job.folder, f"{run.job.how}: its kit heard {error}")
        put(run.job.folder, run.run_id)
