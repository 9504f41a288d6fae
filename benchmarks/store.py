"""Measures the store: what each operation costs a caller and the server, beside a bare EVALSHA and a GET.

    python benchmarks/store.py [--rounds N] [--calls N] [--json PATH]

Every round runs all operations in turn, a few calls each, and only ratios within one run count: the machine's noise
hits all alike. "Bare" is a script that does nothing, sent by redis-py itself; "bare, this client" is the same script
sent by jobkit's own store client. One thread, one connection, a Valkey on a unix socket. The bar: a new run is
submitted at 0.6 of the rate of the bare EVALSHA, job instance, validation and cache key included.
"""

import argparse
import itertools
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import redis

from jobkit import ALL, JobKit, Progress, ProgressJob
from jobkit.lifecycle import Outcome
from jobkit.store.embedded import server_binary
from jobkit.store.operations import Operation

BAR: Final = 0.6

Act = Callable[[], object]


class Sum(ProgressJob[int]):
    """Two arguments, shared and remembered."""

    a: int
    b: int = 2
    cache_key = ALL
    cache_ttl = 3600

    def perform(self, progress: Progress) -> int:  # noqa: ARG002
        return self.a + self.b


@contextmanager
def valkey() -> Iterator[str]:
    """A server of the benchmark's own that writes nothing to disk; its socket."""
    directory = Path(tempfile.mkdtemp(prefix="jobkit-bench-", dir="/tmp"))
    socket = directory / "v.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(directory)]
    server = subprocess.Popen([str(server_binary()), *options], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists() and server.poll() is None:
            time.sleep(0.01)
        yield str(socket)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(directory)


class Acts:
    """The operations under measure; each call does one, on runs that earlier calls have made."""

    def __init__(self, kit: JobKit, client: Any) -> None:
        self._kit, self._client = kit, client
        self._store, self._operations = kit.store(), kit.operations
        self._numbers = itertools.count(1)
        self._key = f"{kit.operations.prefix()}partition"
        self._nothing = client.script_load("return 1")
        client.function_load("#!lua name=nothing\nredis.register_function('nothing', function() return 1 end)")
        self._bare = Operation("nothing", self._key, ("x",), read=lambda reply: reply)
        self._joined = Sum(a=-1)
        self._run = kit.submit(self._joined, queue="joined")
        kit.submit(Sum(a=-2), queue="memo")
        kit.submit(Sum(a=-3), queue="held")
        lease = self._take("memo", "memo")
        self._store.execute(self._settle(lease))
        self._held = self._take("held", "held")

    def get(self) -> None:
        self._client.get(self._key + "x")

    def bare_evalsha(self) -> None:
        self._client.evalsha(self._nothing, 1, self._key, "x")

    def bare_this_client(self) -> None:
        self._store.execute(self._bare)

    def submit_new(self) -> None:
        self._kit.submit(Sum(a=next(self._numbers)))

    def submit_joined(self) -> None:
        self._kit.submit(Sum(a=-1))

    def submit_cached(self) -> None:
        self._kit.submit(Sum(a=-2))

    def load(self) -> None:
        self._store.execute(self._operations.load(self._run.id))

    def report(self) -> None:
        held = self._held
        progress = b'{"done":1200,"total":5000,"fraction":0.24,"unit":"orders","message":"Reading orders"}'
        self._store.execute(self._operations.report(held, next(self._numbers), progress))

    def renew_8_slots(self) -> None:
        self._store.execute(
            self._operations.renew("held", ["default"], ["held/1", *(f"held/{i}" for i in range(2, 9))])
        )

    def take_nothing(self) -> None:
        self._store.execute(self._operations.take("idle/1", str(next(self._numbers)), ["nothing"]))

    def take_and_settle(self) -> None:
        """Two round trips, as a benchmark's no-op; a worker's child does it in one."""
        self._store.execute(self._settle(self._take("busy", "default")))

    def _take(self, worker: str, queue: str) -> Any:
        return self._store.execute(self._operations.take(f"{worker}/1", str(next(self._numbers)), [queue]))

    def _settle(self, lease: Any) -> Any:
        return self._operations.settle(lease, Outcome.SUCCEEDED, result=b"3")

    def all(self) -> dict[str, Act]:
        return {
            "GET": self.get,
            "bare EVALSHA": self.bare_evalsha,
            "bare EVALSHA, this client": self.bare_this_client,
            "submit: new": self.submit_new,
            "submit: joined": self.submit_joined,
            "submit: cached": self.submit_cached,
            "load": self.load,
            "report": self.report,
            "renew, 8 slots": self.renew_8_slots,
            "take, nothing there": self.take_nothing,
            "take + settle": self.take_and_settle,
        }


def measure(acts: dict[str, Act], client: Any, rounds: int, calls: int) -> dict[str, dict[str, float]]:
    """Microseconds per call: the median round for the caller, the mean for the server's share of it."""
    for act in acts.values():
        act()
    totals: dict[str, list[float]] = {name: [] for name in acts}
    servers: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds):
        for name, act in acts.items():
            client.config_resetstat()
            begun = time.perf_counter()
            for _ in range(calls):
                act()
            totals[name].append((time.perf_counter() - begun) / calls * 1e6)
            spent = client.info("commandstats")
            servers[name].append(
                sum(spent.get(f"cmdstat_{kind}", {}).get("usec", 0) for kind in ("evalsha", "fcall", "get")) / calls
            )
    return {
        name: {"total_us": statistics.median(totals[name]), "server_us": statistics.median(servers[name])}
        for name in acts
    }


def table(figures: dict[str, dict[str, float]]) -> str:
    lines = [f"{'':28}{'µs a call':>10}{'of it server':>14}{'calls/s':>10}{'rate / bare':>13}{'/ this client':>15}"]
    lines += [
        f"{name:28}{row['total_us']:10.1f}{row['server_us']:14.1f}{1e6 / row['total_us']:10,.0f}"
        f"{row['ratio']:13.2f}{row['ratio_this_client']:15.2f}"
        for name, row in figures.items()
    ]
    return "\n".join(lines)


def judged(figures: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The figures with their ratios, and whether the bar is met."""
    for row in figures.values():
        row["ratio"] = figures["bare EVALSHA"]["total_us"] / row["total_us"]
        row["ratio_this_client"] = figures["bare EVALSHA, this client"]["total_us"] / row["total_us"]
    return {
        "benchmark": "store",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "redis_py": redis.__version__,
        "bar": BAR,
        "met": figures["submit: new"]["ratio"] >= BAR,
        "operations": figures,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="What the store's operations cost.")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with valkey() as socket, JobKit(f"unix://{socket}") as kit:
        client: Any = redis.Redis(unix_socket_path=socket, protocol=2)
        report = judged(measure(Acts(kit, client).all(), client, chosen.rounds, chosen.calls))
        client.close()
    reached, verdict = report["operations"]["submit: new"]["ratio"], "met" if report["met"] else "MISSED"
    sys.stdout.write(f"{table(report['operations'])}\n\nsubmit: new at {reached:.2f}; the bar is {BAR}: {verdict}\n")
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if report["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
