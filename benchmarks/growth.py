"""Measures how costs grow with what the store holds: from 100 to a million live and as many remembered runs.

    python -m benchmarks growth
    python -m benchmarks.growth [--largest N | --quick] [--json PATH]

For every power of ten there is a server that holds so many queued runs, each the live one of its cache key, and so many
ended ones, each the memo of its own. Rounds go over all servers in turn, so that the machine's noise hits all sizes
alike, and visit runs at random. Told are the µs that each operation takes in the server (`INFO commandstats`; the
median round) and the bytes that a run takes (`INFO memory`). Once without limits, and then, queued runs only, under a
`max_running` that lets next to none of them start, and with a `fair_share` for up to 2,000 owners.

An operation is no slower than logarithmic if the exponent x of its growth (µs ~ n^x, fitted to all sizes) is not above
that of log n over the same sizes. `--quick` ends at 10,000: a look in a minute.
"""
# ruff: noqa: ARG002  (a job need not use its progress)

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import random
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import redis

from benchmarks.bare import NOTHING
from benchmarks.by_hand import Hands
from benchmarks.rounds import served
from benchmarks.server import valkey
from jobkit import ALL, JobKit, Progress, ProgressJob, State
from jobkit.job import spec_of
from jobkit.store.operations import failure_head
from jobkit.store.replies import Lease
from jobkit.submission import Wishes, submission_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jobkit.store.operations import Operation

SMALLEST: Final = 100
LARGEST: Final = 1_000_000
QUICK: Final = 10_000
CALLS: Final = 10
"""Of an operation in a round."""
ROUNDS: Final = 25
FILLERS: Final = 2
"""Threads that fill the store: one encodes while the other's runs are admitted."""
CHUNK: Final = 500
PAGE: Final = 20
NOISE: Final = 0.04
"""What an exponent may be above that of log n."""
WEEK: Final = 7 * 24 * 3600
PATIENCE: Final = 600.0
"""Seconds for a server that a busy machine keeps from answering: an hour of filling is not to end there."""
SEED: Final = 20_261_125


class Live(ProgressJob[int]):
    """Arguments of a usual size, as they decide how a server stores the record."""

    number: int
    month: str = "2026-07"
    region: str = "EU"
    dpi: float = 150.0
    pages: int = 20
    job_name = "growth.Live"
    OWNERS = 10
    cache_key = ALL
    queue = "live"

    def perform(self, progress: Progress) -> int:
        return self.number


class Remembered(Live):
    job_name = "growth.Remembered"
    cache_ttl = WEEK
    keep_for = WEEK
    queue = "remembered"


class Limited(Live):
    job_name = "growth.Limited"
    max_running = CALLS


class Fair(Live):
    job_name = "growth.Fair"
    OWNERS = LARGEST
    fair_share = True


@dataclass(frozen=True, kw_only=True)
class Size:
    """What was measured with so many runs of each kind."""

    runs: int
    seconds_to_fill: float
    bytes_a_run: dict[str, float]
    server_us: dict[str, float] = field(default_factory=dict)


class Holdings:
    """What the store holds, as far as the acts have to know it."""

    def __init__(self, kit: JobKit, live: type[Live], client: Any) -> None:
        self.kit = kit
        self.live = live
        self.ids: list[str] = []
        """Of live runs, by number; those in `gone` are live no more."""
        self.gone: set[str] = set()
        self.remembered = 0
        self._client = client
        self._random = random.Random(SEED)

    @property
    def size(self) -> int:
        """Live runs."""
        return len(self.ids) - len(self.gone)

    def fill_live(self, size: int) -> float:
        """Up to so many; the bytes that each took."""
        missing = size - self.size
        return self._bytes_each(missing, lambda: self._submit(missing))

    def fill_remembered(self, size: int) -> float:
        missing = size - self.remembered
        return self._bytes_each(missing, lambda: self._remember(missing))

    def any_live(self, newest: float = 1.0) -> int:
        """The number of one of them, or of one of this newest share."""
        first = len(self.ids) - round(self.size * newest) if newest < 1.0 else 0
        while True:
            number = self._random.randrange(first, len(self.ids))
            if self.ids[number] not in self.gone:
                return number

    def any_remembered(self) -> int:
        return self._random.randrange(self.remembered)

    def _submit(self, count: int) -> None:
        def submit(numbers: range) -> list[str]:
            return submitted(self.kit, [self.live(number=number) for number in numbers])

        with ThreadPoolExecutor(FILLERS) as fillers:
            for ids in fillers.map(submit, _chunks(len(self.ids), count)):
                self.ids += ids

    def _remember(self, count: int) -> None:
        """A chunk is performed before the next is submitted, so that the queue stays short."""
        workers = itertools.count(1)

        def remember(numbers: range) -> None:
            submitted(self.kit, [Remembered(number=number) for number in numbers])
            Hands(self.kit, f"filler-{self.remembered}-{next(workers)}").perform_all("remembered", b"1")

        with ThreadPoolExecutor(FILLERS) as fillers:
            list(fillers.map(remember, _chunks(self.remembered, count)))
        self.remembered += count

    def _bytes_each(self, count: int, fill: Callable[[], None]) -> float:
        before = self._client.info("memory")["used_memory"]
        fill()
        return (self._client.info("memory")["used_memory"] - before) / max(1, count)


def _chunks(first: int, count: int) -> list[range]:
    return [range(at, min(at + CHUNK, first + count)) for at in range(first, first + count, CHUNK)]


def submitted(kit: JobKit, jobs: Sequence[Live]) -> list[str]:
    """The ids of their runs, all submitted by one of some owners."""
    owner = f"user-{jobs[0].number // CHUNK % jobs[0].OWNERS}"
    return [run.id for run in kit.submit_many(jobs, owner=owner)]


class Rounds:
    """Carries out each operation on what one store holds, a few times a round."""

    def __init__(self, holdings: Holdings, client: Any) -> None:
        self._holdings, self._client = holdings, client
        self._store, self._operations = holdings.kit.store(), holdings.kit.operations
        self._hands = Hands(holdings.kit)
        self._random = random.Random(SEED)
        self._server_us: dict[str, list[float]] = {}

    def round(self) -> None:
        size = self._holdings.size
        self._shift()
        self._submit()
        self._perform()
        self._read()
        self._stop()
        self._maintain()
        self._holdings.fill_live(size)

    def forget(self) -> None:
        self._server_us.clear()

    def medians(self) -> dict[str, float]:
        """The µs in the server of every operation."""
        return {name: statistics.median(times) for name, times in self._server_us.items()}

    def _shift(self) -> None:
        """The server collects Lua's garbage at every 50th script: not always the same operation is to pay for it."""
        for _ in range(self._random.randrange(50)):
            self._client.eval(NOTHING, 0)

    def _submit(self) -> None:
        holdings = self._holdings
        first = len(holdings.ids)
        new = [submission_of(holdings.live(number=first + n), Wishes(owner="user-0")) for n in range(CALLS)]
        self._time("submit: new", [self._operations.submit(submission) for submission in new])
        holdings.ids += [submission.id for submission in new]
        self._time(
            "submit: joined", [self._submitting(holdings.live(number=holdings.any_live())) for _ in range(CALLS)]
        )
        if holdings.remembered:
            hits = [self._submitting(Remembered(number=holdings.any_remembered())) for _ in range(CALLS)]
            self._time("submit: cached", hits)

    def _perform(self) -> None:
        slots = range(1, CALLS + 1)
        leases = self._time("take", [self._hands.taking("live", slot) for slot in slots])
        assert all(isinstance(lease, Lease) for lease in leases)
        self._time("report", [self._hands.reporting(lease) for lease in leases])
        self._time("renew 8 slots", [self._hands.renewing("live", range(1, 9)) for _ in range(CALLS)])
        self._time("settle", [self._hands.settling(lease, b"1") for lease in leases])
        self._holdings.gone.update(lease.run_id for lease in leases)

    def _read(self) -> None:
        ids = [
            self._holdings.ids[self._holdings.any_live(newest=0.5)] for _ in range(CALLS)
        ]  # a page is older than each
        found = self._time("load", [self._operations.load(run_id) for run_id in ids])
        self._time("owned", [self._operations.owned(run_id, "user-0") for run_id in ids])
        self._list([f"{round(loaded.snapshot.created_at * 1000)} {loaded.snapshot.id}" for loaded in found])

    def _list(self, cursors: Sequence[str]) -> None:
        page = self._operations.list
        self._time("list 20, newest", [page(limit=PAGE) for _ in range(CALLS)])
        self._time("list 20, anywhere", [page(limit=PAGE, cursor=cursor) for cursor in cursors])
        self._time("list 20, queued", [page(State.QUEUED, PAGE, cursor) for cursor in cursors])
        self._time("list 20, an owner's", [page(limit=PAGE, owner="user-0") for _ in range(CALLS)])

    def _stop(self) -> None:
        ids = {self._holdings.ids[self._holdings.any_live()] for _ in range(CALLS)}
        self._time("cancel", [self._operations.cancel(run_id, "", force=True) for run_id in ids])
        self._holdings.gone |= ids

    def _maintain(self) -> None:
        self._time("sweep", [self._operations.sweep(0, failure_head("lost")) for _ in range(CALLS)])
        numbers = {self._holdings.any_live() for _ in range(CALLS)}
        keys = [spec_of(self._holdings.live).cache_key(self._holdings.live(number=number)) for number in numbers]
        self._time("invalidate a key", [self._operations.invalidate(key=key) for key in keys])
        self._time("invalidate a tag", [self._operations.invalidate(label="tag:unused") for _ in range(CALLS)])
        # What is invalidated is queued, but joined no more: cancelled, so that each live run is its key's.
        ids = {self._holdings.ids[number] for number in numbers}
        self._store.execute_all([self._operations.cancel(run_id, "", force=True) for run_id in ids])
        self._holdings.gone |= ids

    def _submitting(self, job: Live) -> Operation[Any]:
        return self._operations.submit(submission_of(job, Wishes(owner="user-0")))

    def _time(self, name: str, operations: Sequence[Operation[Any]]) -> list[Any]:
        self._client.config_resetstat()
        answers = [self._store.execute(operation) for operation in operations]
        microseconds, calls = served(self._client)
        self._server_us.setdefault(name, []).append(microseconds / calls)
        return answers


def grown(live: type[Live], sizes: Sequence[int], *, remembering: bool) -> list[Size]:
    with ExitStack() as stack:
        measured = [_filled(stack, live, size, remembering=remembering) for size in sizes]
        for _, rounds in measured:
            rounds.round()  # what only happens once is over
            rounds.forget()
        for _ in range(ROUNDS):
            for _, rounds in measured:
                rounds.round()
        return [replace(size, server_us=rounds.medians()) for size, rounds in measured]


def _filled(stack: ExitStack, live: type[Live], runs: int, *, remembering: bool) -> tuple[Size, Rounds]:
    """A server that holds so many of each kind."""
    server = stack.enter_context(valkey())
    kit = stack.enter_context(JobKit(server.url, patience=PATIENCE))
    client = stack.enter_context(redis.Redis(unix_socket_path=str(server.socket)))
    kit.store().open()
    begun = time.monotonic()
    holdings = Holdings(kit, live, client)
    taken = {"live": holdings.fill_live(runs)}
    if remembering:
        taken["remembered"] = holdings.fill_remembered(runs)
    seconds = time.monotonic() - begun
    say(f"  {spec_of(live).name}: {runs:,} in {seconds:.1f} s")
    return Size(runs=runs, seconds_to_fill=seconds, bytes_a_run=taken), Rounds(holdings, client)


def judged(sizes: Sequence[Size]) -> dict[str, Any]:
    """The exponent of every operation's growth, and whether none is above that of log n."""
    runs = [size.runs for size in sizes]
    allowed = exponent(runs, [math.log(number) for number in runs]) + NOISE
    exponents = {name: exponent(runs, [size.server_us[name] for size in sizes]) for name in sizes[0].server_us}
    slow = [name for name, found in exponents.items() if found > allowed]
    return {"sizes": [asdict(size) for size in sizes], "exponents": exponents, "allowed": allowed, "slow": slow}


def exponent(runs: Sequence[int], costs: Sequence[float]) -> float:
    """x of the n^x that fits best: the slope of a line through the logarithms."""
    return statistics.linear_regression([math.log(n) for n in runs], [math.log(cost) for cost in costs]).slope


def table(title: str, report: Mapping[str, Any]) -> str:
    sizes = report["sizes"]
    lines = [f"{title:<26}" + "".join(f"{size['runs']:>11,}" for size in sizes) + f"{'n^x, x':>10}"]
    for name, found in report["exponents"].items():
        costs = "".join(f"{size['server_us'][name]:>11.1f}" for size in sizes)
        lines.append(f"  {name:<24}{costs}{found:>10.3f}{'  SLOWER THAN log n' if name in report['slow'] else ''}")
    for kind in sizes[0]["bytes_a_run"]:
        taken = "".join(f"{size['bytes_a_run'][kind]:>11,.0f}" for size in sizes)
        lines.append(f"  {'bytes a run, ' + kind:<24}{taken}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=LARGEST, help="runs of each kind at the end")
    parser.add_argument("--quick", action="store_true", help=f"end at {QUICK:,}")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    chosen = parser.parse_args()
    largest = QUICK if chosen.quick else chosen.largest
    sizes = [SMALLEST * 10**power for power in range(round(math.log10(largest / SMALLEST)) + 1)]
    report = {
        "without limits": judged(grown(Live, sizes, remembering=True)),
        "with max_running": judged(grown(Limited, sizes, remembering=False)),
        "with fair_share": judged(grown(Fair, sizes, remembering=False)),
    }
    for title, part in report.items():
        say(f"\n{table(f'µs in the server, {title}', part)}")
    slow = [f"{name} ({title})" for title, part in report.items() for name in part["slow"]]
    say(f"\nNo operation slower than logarithmic: {'MISSED by ' + ', '.join(slow) if slow else 'met'}")
    if chosen.json:
        machine = {"python": platform.python_version(), "machine": platform.machine()}
        chosen.json.write_text(json.dumps({"benchmark": "growth", **machine, **report}, indent=1) + "\n")
    return 1 if slow else 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
