"""What a herd costs: python benchmarks/herd.py [--json FILE].

* herd: 500 near-simultaneous identical submissions of a one-second job, by 4 processes with 125 threads each; how often
  it was performed, how long until each had its handle, and how many got the result;
* takeover: a run whose performing process is killed (-9), and one whose whole worker is killed, with a 2 s lease and a
  second worker that stays; how long until `perform` begins again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from jobkit import ALL, JobKit, Progress, ProgressJob, State  # noqa: E402
from tests import servers  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROCESSES, THREADS = 4, 125
CHILDREN = 2
"""Of each worker."""
LEASE = 2.0
ROUNDS = 5
PATIENCE = 60.0


class Slow(ProgressJob[str]):
    """Takes a second, and writes down that it was performed."""

    journal: str
    cache_key = ALL
    cache_ttl = 60

    def perform(self, progress: Progress) -> str:
        with Path(self.journal).open("a") as journal:
            journal.write("performed\n")
        for _ in progress.track(range(100)):
            time.sleep(0.01)
        return "the result"


class Long(ProgressJob[None]):
    """Says where and when it begins, and goes on until it is allowed to end."""

    journal: str
    lease = LEASE

    def perform(self, progress: Progress) -> None:
        with Path(self.journal).open("a") as journal:
            journal.write(f"{os.getpid()} {os.getppid()} {time.time()}\n")
        while not Path(f"{self.journal}.end").exists():
            progress.advance()
            time.sleep(0.01)


kit = JobKit(jobs=[Slow, Long])


def main() -> None:
    match sys.argv[1:]:
        case ["submit", url, journal, moment]:
            submit(url, journal, float(moment))
        case _:
            parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
            parser.add_argument("--json", type=Path, help="write the figures here too")
            options = parser.parse_args()
            figures = measured()
            for name, value in figures.items():
                print(f"{name:<44} {value:>10,.3f}")  # noqa: T201
            if options.json:
                options.json.write_text(json.dumps(figures, indent=1) + "\n")


def measured() -> dict[str, float]:
    with store() as url, tempfile.TemporaryDirectory() as folder:
        with worker(url, "jobkit"):
            figures = herd(url, Path(folder) / "herd")
        children = [takeover(url, Path(folder) / f"child-{n}", _kill_child) for n in range(ROUNDS)]
        workers = [takeover(url, Path(folder) / f"worker-{n}", _kill_worker) for n in range(ROUNDS)]
    return {
        **figures,
        "performed again, child killed, median s": statistics.median(children),
        "performed again, child killed, worst s": max(children),
        f"performed again, worker killed, lease {LEASE:g} s, median s": statistics.median(workers),
        f"performed again, worker killed, lease {LEASE:g} s, worst s": max(workers),
    }


@contextmanager
def store() -> Iterator[str]:
    with servers.running(servers.valkey_binary()) as server, tempfile.TemporaryDirectory() as files:
        os.environ["JOBKIT_FILES"] = files
        yield server.url


@contextmanager
def worker(url: str, namespace: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "jobkit.cli", "worker", "benchmarks.herd:kit", "--log-level", "WARNING",
         "--concurrency", str(CHILDREN)],
        cwd=ROOT,
        env=os.environ | {"JOBKIT_URL": url, "JOBKIT_NAMESPACE": namespace},
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def herd(url: str, journal: Path) -> dict[str, float]:
    moment = time.time() + 3
    command = [sys.executable, "-m", "benchmarks.herd", "submit", url, str(journal), str(moment)]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
    answers = [answer for process in processes for answer in json.loads(process.communicate()[0])]
    handles = sorted(answer["handle"] for answer in answers)
    return {
        "herd: submissions": len(answers),
        "herd: performed": len(journal.read_text().splitlines()),
        "herd: runs": len({answer["run"] for answer in answers}),
        "herd: equal results": sum(answer["result"] == "the result" for answer in answers),
        "herd: handle p50 ms": 1000 * handles[len(handles) // 2],
        "herd: handle p99 ms": 1000 * handles[int(len(handles) * 0.99)],
    }


def submit(url: str, journal: str, moment: float) -> None:
    with JobKit(url) as here, ThreadPoolExecutor(THREADS) as threads:
        together = threading.Barrier(THREADS)

        def one(_: int) -> dict[str, Any]:
            together.wait()
            time.sleep(max(0.0, moment - time.time()))
            begun = time.perf_counter()
            run = here.submit(Slow(journal=journal))
            handle = time.perf_counter() - begun
            return {"run": run.id, "handle": handle, "result": run.result(PATIENCE)}

        sys.stdout.write(json.dumps(list(threads.map(one, range(THREADS)))))


def takeover(url: str, journal: Path, kill: Callable[[int, int], None]) -> float:
    """Seconds from the kill to the second `perform`."""
    with (
        worker(url, "jobkit"),
        worker(url, "jobkit"),
        JobKit(url) as here,
    ):
        run = here.submit(Long(journal=str(journal)))
        child, supervisor, _ = _begun(journal, 1)
        killed = time.time()
        kill(int(child), int(supervisor))
        _, _, again = _begun(journal, 2)
        journal.with_name(f"{journal.name}.end").touch()
        run.result(PATIENCE)
        assert run.snapshot().state is State.SUCCEEDED
        return float(again) - killed


def _begun(journal: Path, count: int) -> list[str]:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        lines = journal.read_text().splitlines() if journal.exists() else []
        if len(lines) >= count:
            return lines[count - 1].split()
        time.sleep(0.005)
    raise TimeoutError(f"{journal.name} was not performed {count} times within {PATIENCE:g} s")


def _kill_child(child: int, _supervisor: int) -> None:
    os.kill(child, signal.SIGKILL)


def _kill_worker(_child: int, supervisor: int) -> None:
    os.kill(supervisor, signal.SIGKILL)


if __name__ == "__main__":
    main()
