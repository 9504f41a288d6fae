"""`python -m tests.fuzz`: walks through the store until so many steps are done, and prints the books.

    .venv/bin/python -m tests.fuzz --steps 1000000 --jobs 2      # what `make fuzz` does
    .venv/bin/python -m tests.fuzz --seed 7 --steps 1234         # the walk of seed 7 again, to its step 1234

Long ways are walked as many walks of WALK steps, with the seeds N, N + 1, …, each on a server of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from tests import servers
from tests.fuzz.coverage import Coverage
from tests.fuzz.ledger import BOOKS
from tests.fuzz.namespace import Namespace
from tests.fuzz.walk import Walk, WalkFailed

WALK = 50_000


@dataclass(frozen=True, slots=True)
class Walked:
    """What came of one walk; `failure` is its story, empty when there is none."""

    seed: int
    counts: Counter[str]
    coverage: Coverage
    failure: str


def main() -> int:
    asked = _arguments()
    began = time.monotonic()
    sys.stderr.write(f"seed {asked.seed}\n")
    counts, coverage, failures = Counter[str](dict.fromkeys(BOOKS, 0)), Coverage(), []
    lengths = [min(WALK, asked.steps - first) for first in range(0, asked.steps, WALK)]
    with ProcessPoolExecutor(asked.jobs) as pool:
        for walked in pool.map(walk, range(asked.seed, asked.seed + len(lengths)), lengths):
            counts += walked.counts
            coverage.add(walked.coverage)
            sys.stderr.write(f"walked seed {walked.seed}: {walked.counts['steps']:,} steps\n")
            if walked.failure:
                failures.append(walked.failure)
                pool.shutdown(wait=False, cancel_futures=True)
                break
    misses = [] if failures else coverage.misses()
    _print_books(counts, asked.seed, time.monotonic() - began)
    sys.stdout.writelines(f"{trouble}\n" for trouble in [*failures, *(f"Too seldom met: {miss}" for miss in misses)])
    return 1 if failures or misses else 0


def walk(seed: int, steps: int) -> Walked:
    """One seed's walk, on a server of its own."""
    failure = ""
    with servers.running(servers.valkey_binary()) as server, closing(Namespace(server.socket, "fuzz")) as namespace:
        walker = Walk(namespace, seed)
        try:
            walker.go(steps)
        except WalkFailed as error:
            failure = str(error)
        return Walked(seed, walker.ledger.counts, walker.coverage, failure)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Walk the store, compare, keep books.")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9), help="of the first walk; new each time")
    return parser.parse_args()


def _print_books(counts: Counter[str], seed: int, seconds: float) -> None:
    rows = {name: counts[name] for name in BOOKS}
    sys.stdout.writelines(f"{name:<22}{number:>12,}\n" for name, number in rows.items())
    sys.stdout.write(json.dumps({"seed": seed, "seconds": round(seconds, 1), **rows}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
