"""How fast jobs go through a worker, beside other queues: python -m benchmarks throughput [QUEUE…] [--rounds N].

Every queue gets the same Valkey over TCP, emptied, two worker processes started by its own command (one of ours four),
and a submitter in a process of its own; all on the same cores. They take turns, a round each; the medians are told:

* idle: one job at a time, with a pause before each; from the call that submits to the first line of the job, and to its
  result in the submitter's hands;
* full: no-op jobs that all lie in the queue before the workers start; the second half of them, when all are up;
* beside: no-op jobs submitted while the workers perform them; from the first call to the last job.

Jobs mark what they performed in memory that all share, so each is known to have been performed once. A queue that is
not installed is told, and left out. What pins an older redis-py than the others has an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import psutil  # type: ignore[import-untyped]

from benchmarks.peers.queues.marks import SIZE, Marks
from benchmarks.server import valkey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).parent.parent
OURS: Final = "ours:process"
BUSY: Final = "ours:process-4"
"""A process of it performs one job at a time, so for a rate there are more of them than cores: the two processes of
others perform 16 or 200 jobs at a time."""
AHEAD_OF: Final = ("celery", "rq", "arq", "saq", "dramatiq", "taskiq:list", "taskiq:stream")
"""Of these `BUSY` must be; huey, whose list forgets a job when it is given away, is told only."""
QUEUES: Final = (
    OURS,
    BUSY,
    "ours:thread",
    "ours:asyncio",
    "celery",
    "rq",
    "arq",
    "saq",
    "dramatiq",
    "taskiq:list",
    "taskiq:stream",
    "huey",
)
APART: Final = {"arq": ROOT / ".tools" / "arq" / "bin" / "python"}
"""Queues that do not go together with the others."""
LASTS: Final = 2.0
"""Seconds for which no-ops are performed, about."""
FEWEST, MOST = 400, 12_000
ROOM: Final = 1.5
"""What is known of a queue's rate is mostly too low."""
STARTING: Final = 2.0
"""Seconds in which all workers are up: some take what was submitted before for lost."""
PATIENCE: Final = 60.0
LOOK_SECONDS: Final = 0.002
BARS: Final = {
    "start_p50_ms": (1.5, False),
    "start_p99_ms": (5.0, False),
    "result_p50_ms": (2.2, False),
    "beside_a_second": (2_900, True),
    "full_a_second": (4_000, True),
}
"""What jobkit's process pool must reach, `BUSY` where it is a rate; True where more is better."""

Row = dict[str, Any]


@dataclass(kw_only=True)
class Measured:
    """What came out of one queue's rounds."""

    about: Mapping[str, Any]
    starts: list[float] = field(default_factory=list)
    results: list[float] = field(default_factory=list)
    full: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    guess: float = 0.0
    """No-ops a second, about."""

    def row(self, name: str) -> Row:
        return {
            "queue": name,
            "start_p50_ms": statistics.median(self.starts),
            "start_p99_ms": percentile(self.starts, 99),
            "result_p50_ms": statistics.median(self.results),
            "result_p99_ms": percentile(self.results, 99),
            "full_a_second": statistics.median(self.full),
            "beside_a_second": statistics.median(self.beside),
            "cpu_us": statistics.median(self.cpu_us),
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("queues", nargs="*", metavar="QUEUE", help=f"{', '.join(QUEUES)}; all when left out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--asked", type=int, default=200, help="jobs of a round for the idle figures")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    chosen = parser.parse_args()
    report = compared(chosen.queues or QUEUES, chosen.rounds, chosen.asked)
    sys.stdout.write(f"{told(report)}\n")
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if all(bar["met"] for bar in report["bars"]) and not report["missing"] else 1


def compared(names: Sequence[str], rounds: int, asked: int) -> Row:
    found: dict[str, Measured] = {}
    missing: dict[str, str] = {}
    for number in range(rounds):
        for name in (name for name in names if name not in missing):
            _say(f"round {number + 1}: {name}")
            try:
                _go_round(name, found, asked)
            except (Missing, Wrong) as error:
                missing[name] = f"{error}"
    rows = [measured.row(name) for name, measured in found.items() if name not in missing]
    return {
        "benchmark": "throughput",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "load": os.getloadavg()[1],
        "about": {name: measured.about for name, measured in found.items()},
        "missing": missing,
        "bars": judged(rows),
        "queues": rows,
        "rounds": {name: asdict(measured) for name, measured in found.items()},
    }


class Missing(Exception):
    """A queue that is not installed."""


class Wrong(Exception):
    """A queue that did not do what was asked."""


# One queue's turn ----------------------------------------------------------------------------------------------------


def _go_round(name: str, found: dict[str, Measured], asked: int) -> None:
    with _stage(name, keeps_results=True) as stage:
        measured = found.setdefault(name, Measured(about=stage.submitter.about))
        with stage.workers():
            time.sleep(STARTING)
            idle = stage.submitter.tell("ask", asked // 10) and stage.submitter.tell("ask", asked)
            measured.starts += idle["starts"]
            measured.results += idle["results"]
            measured.guess = measured.guess or stage.rate_beside(stage.jobs(0.0)) * ROOM
    with _stage(name, keeps_results=False) as stage:
        jobs = stage.jobs(measured.guess)
        stage.submitter.tell("submit", jobs.start, len(jobs))
        with stage.workers():
            rate, cpu_us = stage.rate_of_second_half(jobs)
            measured.full.append(rate)
            measured.cpu_us.append(cpu_us)
            measured.beside.append(stage.rate_beside(stage.jobs(measured.guess)))
        measured.guess = measured.full[-1]


@dataclass
class Stage:
    """A server, a submitter, and the workers of one queue."""

    submitter: Submitter
    environment: Mapping[str, str]
    marks: Marks
    log: Path
    server: int
    used: int = 0
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def jobs(self, rate: float) -> range:
        """Numbers for the jobs of some seconds."""
        number = int(min(max(rate * LASTS, FEWEST), MOST, SIZE - self.used))
        self.used += number
        return range(self.used - number, self.used)

    @contextmanager
    def workers(self) -> Iterator[None]:
        commands = self.submitter.about["workers"]
        with self.log.open("wb") as log:
            self.started = [_started([self.submitter.python, *command], self.environment, log) for command in commands]
        try:
            yield
        except Wrong as error:
            raise Wrong(f"{error}; its workers wrote:\n{self.log.read_text(errors='replace')}") from error
        finally:
            for process in self.started:
                _end(process)

    def rate_of_second_half(self, jobs: range) -> tuple[float, float]:
        """A second; and µs of the cores' time that one takes of the workers and the server."""
        half, spent = self._performed(jobs, len(jobs) // 2), self._cpu_seconds()
        rest = len(jobs) - self.marks.performed(jobs)
        seconds = self._performed(jobs, len(jobs)) - half
        return rest / seconds, (self._cpu_seconds() - spent) / rest * 1e6

    def rate_beside(self, jobs: range) -> float:
        began = self.submitter.tell("submit", jobs.start, len(jobs))["began"]
        return len(jobs) / (self._performed(jobs, len(jobs)) - began)

    def _cpu_seconds(self) -> float:
        workers = [psutil.Process(process.pid) for process in self.started]
        children = [child for worker in workers for child in worker.children(recursive=True)]
        times = [process.cpu_times() for process in (psutil.Process(self.server), *workers, *children)]
        return sum(time.user + time.system for time in times)

    def _performed(self, jobs: range, number: int) -> float:
        """When so many of these have been performed."""
        deadline = time.time() + PATIENCE
        while self.marks.performed(jobs) < number:
            if time.time() > deadline:
                raise Wrong(f"performed {self.marks.performed(jobs)} of {len(jobs)} jobs within {PATIENCE:g} s")
            time.sleep(LOOK_SECONDS)
        now = time.time()
        if number == len(jobs) != self.marks.performed_once(jobs):
            raise Wrong(f"performed {len(jobs) - self.marks.performed_once(jobs)} of {len(jobs)} jobs more than once")
        return now


@contextmanager
def _stage(name: str, *, keeps_results: bool) -> Iterator[Stage]:
    file, _, variant = name.partition(":")
    with valkey() as server, tempfile.TemporaryDirectory(prefix="jobkit-bench-", dir="/tmp") as folder:
        marks = Path(folder) / "marks"
        environment = os.environ | {
            "BENCH_URL": server.tcp_url(),
            "BENCH_VARIANT": variant,
            "BENCH_RESULTS": "yes" if keeps_results else "",
            "BENCH_MARKS": str(marks),
            "JOBKIT_FILES": folder,
            "PYTHONPATH": str(ROOT),
        }
        made = Marks.new(marks)
        submitter = Submitter(file, str(APART.get(file, sys.executable)), environment)
        try:
            yield Stage(submitter, environment, made, Path(folder) / "workers.log", server.pid)
        finally:
            submitter.end()


class Submitter:
    """The process that submits."""

    def __init__(self, file: str, python: str, environment: Mapping[str, str]) -> None:
        self.python = python
        if not Path(python).exists():
            raise Missing(f"there is no {Path(python).relative_to(ROOT)}: make bench")
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.peers.queues.submitter", file],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.about: Any = self._answer()
        except Wrong as error:
            raise Missing("its submitter did not start, see above: pip install '.[bench]'") from error

    def tell(self, command: str, *numbers: int) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command} {' '.join(map(str, numbers))}\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.end()
            raise Wrong("its submitter ended, see above")
        return json.loads(line)


def _started(command: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """In a group of its own."""
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, stdout=log, stderr=log)


def _end(process: subprocess.Popen[bytes]) -> None:
    """As a terminal does, the whole group; whoever does not hear it is killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
    process.wait()


# What is told --------------------------------------------------------------------------------------------------------


def judged(rows: Sequence[Row]) -> list[Row]:
    """Bars, and that nobody is ahead."""
    found = {row["queue"]: row for row in rows}
    bars = []
    for name, (bar, at_least) in BARS.items():
        ours = found.get(BUSY if at_least else OURS)
        if ours:
            bars.append(_bar(name, ours[name], bar, at_least=at_least))
    peers = [found[name] for name in AHEAD_OF if name in found]
    for name in ("full_a_second", "beside_a_second") if BUSY in found else ():
        best = max(peers, key=lambda row: row[name], default=None)
        if best:
            bars.append(_bar(f"{name}, ahead of {best['queue']}", found[BUSY][name], best[name], at_least=True))
    return bars


def _bar(what: str, reached: float, bar: float, *, at_least: bool) -> Row:
    return {"what": what, "is": reached, "bar": bar, "met": reached >= bar if at_least else reached <= bar}


def told(report: Mapping[str, Any]) -> str:
    lines = [f"{name}: {about['versions']}; {about['configuration']}" for name, about in report["about"].items()]
    lines += [f"{name.upper()} IS LEFT OUT: {why}" for name, why in report["missing"].items()]
    lines += [
        "",
        f"{'':16}{'submit → start ms':>20}{'→ result ms':>20}{'no-ops/s, full':>18}{'beside':>10}{'of ' + BUSY:>18}",
    ]
    lines += [f"{'':16}{'p50':>10}{'p99':>10}{'p50':>10}{'p99':>10}{'':38}{'full':>10}{'beside':>8}"]
    ours = next((row for row in report["queues"] if row["queue"] == BUSY), None)
    lines += [_line(row, ours) for row in report["queues"]]
    return "\n".join([*lines, "", *map(_verdict, report["bars"])])


def _line(row: Row, ours: Row | None) -> str:
    idle = "".join(f"{row[name]:10.2f}" for name in ("start_p50_ms", "start_p99_ms", "result_p50_ms", "result_p99_ms"))
    rates = f"{row['full_a_second']:18,.0f}{row['beside_a_second']:10,.0f}{row['cpu_us']:10,.0f}"
    ratios = "".join(f"{row[name] / ours[name]:9.2f}" for name in ("full_a_second", "beside_a_second")) if ours else ""
    return f"{row['queue']:16}{idle}{rates}{ratios}"


def _verdict(bar: Row) -> str:
    return f"{bar['what']}: {bar['is']:,.2f}; the bar is {bar['bar']:,.2f}: {'met' if bar['met'] else 'MISSED'}"


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
