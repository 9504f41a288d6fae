"""A steady load for an hour, and whether anything grows: python -m tests.soak [--minutes N] [--seed N]

Real workers, a real Valkey, users in this process. Memory, descriptors and threads of the supervisors, of their
children and of this process, and the store's memory, keys and clients are read again and again. Tells a table, writes
JSON to benchmarks/results/soak.json, and exits with 1 when something is not flat, or was answered wrongly.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from jobkit import JobKit
from tests import servers
from tests.chaos.fleet import CHILDREN, CONCURRENCY
from tests.life.workers import WorkerProcess
from tests.soak import jobs
from tests.soak.gauges import Gauge, Gauges
from tests.soak.users import Users
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RESULTS = servers.ROOT / "benchmarks" / "results"
READINGS = 300
"""In all."""
USERS = 8
POOLS = ("process", "thread", "asyncio")
"""A worker of each."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    chosen = parser.parse_args()
    _say(f"soak begins, seed {chosen.seed}, {chosen.minutes:g} minutes")
    report = asyncio.run(soaked(chosen.seed, chosen.minutes * 60))
    _say(told(report))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "soak.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0 if report["flat"] and not report["wrong"] else 1


async def soaked(seed: int, seconds: float, pools: Sequence[str] = POOLS) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobkit-soak-", dir="/tmp")))
        server = stack.enter_context(servers.running(servers.valkey_binary()))
        raw = stack.enter_context(redis.Redis.from_url(server.url, protocol=2))
        (folder / "files").mkdir()
        pids = {pool: stack.enter_context(_worker(server.url, folder, pool)).pid for pool in pools}
        kit = JobKit(server.url, jobs=jobs.kit.jobs.values(), patience=60.0)
        others = {"server": server.pid, "users": os.getpid()}
        users, gauges = Users(kit, seed, USERS), Gauges(pids, others, raw, folder / "files")
        users.come()
        began = time.monotonic()
        while (over := time.monotonic() - began) < seconds:
            gauges.read()
            await asyncio.sleep(min(seconds / READINGS, seconds - over))
        await users.go()
        await kit.aclose()
    return _report(seed, seconds, users, list(gauges))


@contextmanager
def _worker(url: str, folder: Path, pool: str) -> Iterator[WorkerProcess]:
    environment = os.environ | {"JOBKIT_URL": url, "JOBKIT_FILES": str(folder / "files")}
    options = ("--pool", pool, "--concurrency", f"{CONCURRENCY[pool]}", "--log-level", "WARNING")
    worker = WorkerProcess(environment, folder / f"{pool}.log", *options, target="tests.soak.jobs:kit")
    try:
        wait_until(lambda: len(worker.children()) >= CHILDREN[pool], "all its children are there", 30)
        yield worker
    finally:
        worker.stop()


def _report(seed: int, seconds: float, users: Users, gauges: list[Gauge]) -> dict[str, Any]:
    return {
        "seed": seed,
        "minutes": round(seconds / 60, 2),
        "orders": sum(users.counts.values()),
        "ordered": dict(users.counts),
        "wrong": users.wrong,
        "flat": all(gauge.is_flat for gauge in gauges),
        "gauges": [
            {
                "name": gauge.name,
                "second_third": round(gauge.before, 2),
                "last_third": round(gauge.after, 2),
                "most": round(gauge.most, 2),
                "flat": gauge.is_flat,
                "readings": [round(value, 2) for value in gauge.values],
            }
            for gauge in gauges
        ],
    }


def told(report: dict[str, Any]) -> str:
    lines = [f"{'':36}{'second third':>14}{'last third':>14}{'at most':>12}"]
    lines += [
        f"{row['name']:36}{row['second_third']:>14,.1f}{row['last_third']:>14,.1f}{row['most']:>12,.1f}"
        f"{'' if row['flat'] else '  GROWS'}"
        for row in report["gauges"]
    ]
    lines += [f"WRONG: {text}" for text in report["wrong"][:10]]
    lines.append(f"{report['orders']:,} orders in {report['minutes']:g} minutes, {len(report['wrong'])} wrong")
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
