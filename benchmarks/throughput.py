"""How fast runs go through a worker: python benchmarks/throughput.py [--json FILE].

Starts a Valkey and a worker of its own (the real one, two children), on the same cores as the submitter:

* idle: one run at a time; from `submit` to the first line of `perform`, and to the result in the submitter's hands;
* shared: no-op runs submitted in batches while the worker performs them; from the first `submit` to the last end;
* full: no-op runs that all lie in the queue before the worker starts; the second half of them, when all children
  are up.
"""
# ruff: noqa: ARG002  (a job need not use its progress)

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from jobkit import JobKit, Progress, ProgressJob, State  # noqa: E402
from tests import servers  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobkit.snapshot import Snapshot

CHILDREN = 2
BATCH = 50
IMPORTS = 1.0
"""Seconds until all children, the spare one too, have imported what they need."""
ROUNDS = 3
"""The median of so many is told."""


class NoOp(ProgressJob[None]):
    job_name = "throughput.NoOp"

    def perform(self, progress: Progress) -> None:
        return None


class SaysWhen(ProgressJob[float]):
    """Returns the moment at which it began."""

    job_name = "throughput.SaysWhen"

    def perform(self, progress: Progress) -> float:
        return time.time()


kit = JobKit(jobs=[NoOp, SaysWhen])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--latencies", type=int, default=500, help="runs for the idle figures")
    parser.add_argument("--runs", type=int, default=8_000, help="no-op runs for the others")
    options = parser.parse_args()
    figures = measured(options.latencies, options.runs)
    for name, value in figures.items():
        print(f"{name:<32} {value:>10,.2f}")  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def measured(latencies: int, runs: int) -> dict[str, float]:
    with store() as url, JobKit(url, jobs=[NoOp, SaysWhen], namespace="idle") as here:
        with worker(url, "idle"):
            figures = idle(here, latencies)
        shared = [submitting_beside(url, f"shared-{n}", runs) for n in range(ROUNDS)]
        full = [from_full_queue(url, f"full-{n}", runs) for n in range(ROUNDS)]
    figures["no-op runs/s, submitter beside"] = statistics.median(shared)
    figures["no-op runs/s, from a full queue"] = statistics.median(full)
    return figures


@contextlib.contextmanager
def store() -> Iterator[str]:
    with servers.running(servers.valkey_binary()) as server, tempfile.TemporaryDirectory() as files:
        os.environ["JOBKIT_FILES"] = files
        yield server.url


@contextlib.contextmanager
def worker(url: str, namespace: str, target: str = "benchmarks.throughput:kit") -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "jobkit.cli", "worker", target, "--log-level", "WARNING",
         "--concurrency", str(CHILDREN)],
        cwd=ROOT,
        env=os.environ | {"JOBKIT_URL": url, "JOBKIT_NAMESPACE": namespace},
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def idle(kit: JobKit, number: int) -> dict[str, float]:
    for _ in range(50):
        kit.submit(SaysWhen()).result(timeout=30)
    starts, results = [], []
    for _ in range(number):
        submitted = time.time()
        began = kit.submit(SaysWhen()).result(timeout=30)
        results.append((time.time() - submitted) * 1000)
        starts.append((began - submitted) * 1000)
    return {
        "submit to start p50 ms": statistics.median(starts),
        "submit to start p99 ms": percentile(starts, 99),
        "submit to result p50 ms": statistics.median(results),
        "submit to result p99 ms": percentile(results, 99),
    }


def submitting_beside(url: str, namespace: str, number: int) -> float:
    with JobKit(url, namespace=namespace) as kit, worker(url, namespace):
        kit.submit(SaysWhen()).result(timeout=30)
        time.sleep(IMPORTS)
        began = time.time()
        submit_many(kit, number)
        return number / (last_end(kit, number) - began)


def from_full_queue(url: str, namespace: str, number: int) -> float:
    with JobKit(url, namespace=namespace) as kit:
        submit_many(kit, number)
        with worker(url, namespace):
            last_end(kit, number)
        ends = sorted(snapshot.finished_at or 0.0 for snapshot in ended(kit))[number // 2 :]
        return len(ends) / (ends[-1] - ends[0])


def submit_many(kit: JobKit, number: int) -> None:
    jobs = (NoOp() for _ in range(number))
    while batch := list(itertools.islice(jobs, BATCH)):
        kit.submit_many(batch)


def last_end(kit: JobKit, number: int) -> float:
    """The moment at which the last run ended, as the store stamped it."""
    while kit.runs(State.QUEUED, limit=1).snapshots or kit.runs(State.RUNNING, limit=1).snapshots:
        time.sleep(0.05)
    snapshots = list(ended(kit))
    assert sum(snapshot.job == "throughput.NoOp" for snapshot in snapshots) == number
    return max(snapshot.finished_at or 0.0 for snapshot in snapshots)


def ended(kit: JobKit) -> Iterator[Snapshot]:
    cursor = ""
    while True:
        page: Any = kit.runs(State.SUCCEEDED, limit=500, cursor=cursor)
        yield from page.snapshots
        cursor = page.cursor
        if not cursor:
            return


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


if __name__ == "__main__":
    main()
