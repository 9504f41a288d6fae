"""Measures the store: what each operation costs a caller and the server, beside a bare EVALSHA and a GET.

    python -m benchmarks.store [--rounds N] [--calls N] [--json PATH]

Every round runs all operations in turn, a few calls each, and only ratios within one run count: the machine's noise
hits all alike. "Bare" is a script that does nothing, sent by redis-py itself; "this client" is jobkit's own. One
thread, one connection, a Valkey on a unix socket. The bars, job instance, validation and cache key included: a new run
is submitted at 0.6 of the rate of the bare EVALSHA; a hit costs 1.5, a join 2, a new run 3 times a GET by this client.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import redis

from benchmarks.bare import NOTHING, bare_get, bare_script
from benchmarks.by_hand import Hands
from benchmarks.rounds import each, measured
from benchmarks.server import valkey
from jobkit import ALL, JobKit, Progress, ProgressJob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.rounds import Cost

BARE: Final = "bare EVALSHA"
BARE_OURS: Final = "bare EVALSHA, this client"
GET: Final = "GET"
GET_OURS: Final = "GET, this client"
NEW_OF_BARE: Final = 0.6
"""The least rate of new runs, of the bare script's."""
MOST_OF_GET: Final = {"submit: cached": 1.5, "submit: joined": 2.0, "submit: new": 3.0}
"""What each may cost, of a GET by the same client."""


class Sum(ProgressJob[int]):
    """Two arguments, shared and remembered."""

    a: int
    b: int = 2
    cache_key = ALL
    cache_ttl = 3600

    def perform(self, progress: Progress) -> int:  # noqa: ARG002
        return self.a + self.b


class Acts:
    """The operations under measure; each call does one, on runs that earlier calls have made."""

    def __init__(self, kit: JobKit, client: Any) -> None:
        self._kit, self._client = kit, client
        self._store, self._operations = kit.store(), kit.operations
        self._hands = Hands(kit)
        self._numbers = itertools.count(1)
        self._key = f"{kit.operations.prefix()}partition"
        self._nothing = client.script_load(NOTHING)
        self._bare_script, self._bare_get = bare_script(kit, self._nothing), bare_get(kit)
        self._joined = kit.submit(Sum(a=-1), queue="joined")
        kit.submit(Sum(a=-2), queue="memo")
        kit.submit(Sum(a=-3), queue="held")
        self._hands.settle(self._hands.take("memo"), b"3")
        self._held = self._hands.take("held", slot=2)
        kit.submit(Sum(a=-4))
        self._busy = self._hands.take("default", slot=3)

    def get(self) -> None:
        self._client.get(self._key + "x")

    def get_this_client(self) -> None:
        self._store.execute(self._bare_get)

    def bare_evalsha(self) -> None:
        self._client.evalsha(self._nothing, 1, self._key, "x")

    def bare_this_client(self) -> None:
        self._store.execute(self._bare_script)

    def submit_new(self) -> None:
        self._kit.submit(Sum(a=next(self._numbers)))

    def submit_joined(self) -> None:
        self._kit.submit(Sum(a=-1))

    def submit_cached(self) -> None:
        self._kit.submit(Sum(a=-2)).result()

    def load(self) -> None:
        self._store.execute(self._operations.load(self._joined.id))

    def report(self) -> None:
        self._store.execute(self._hands.reporting(self._held))

    def renew_8_slots(self) -> None:
        self._store.execute(self._hands.renewing("default", range(2, 10)))

    def take_nothing(self) -> None:
        self._store.execute(self._hands.taking("nothing", slot=1))

    def settle_and_take(self) -> None:
        """As a worker's busy child does it."""
        self._busy = self._hands.settle_and_take(self._busy, b"3", "default", slot=3)

    def all(self) -> dict[str, Callable[[], object]]:
        return {
            GET: self.get,
            GET_OURS: self.get_this_client,
            BARE: self.bare_evalsha,
            BARE_OURS: self.bare_this_client,
            "submit: new": self.submit_new,
            "submit: joined": self.submit_joined,
            "submit: cached": self.submit_cached,
            "load": self.load,
            "report": self.report,
            "renew, 8 slots": self.renew_8_slots,
            "take, nothing there": self.take_nothing,
            "settle and take": self.settle_and_take,
        }


def judged(costs: Mapping[str, Cost]) -> dict[str, Any]:
    """The figures with their ratios, and which bars are met."""
    operations = {
        name: {
            "total_us": cost.total_us,
            "server_us": cost.server_us,
            "rate_of_bare": costs[BARE].total_us / cost.total_us,
            "rate_of_bare_this_client": costs[BARE_OURS].total_us / cost.total_us,
            "of_get_this_client": cost.total_us / costs[GET_OURS].total_us,
        }
        for name, cost in costs.items()
    }
    new = operations["submit: new"]["rate_of_bare"]
    bars = [{"what": "submit: new, rate of bare", "is": new, "bar": NEW_OF_BARE, "met": new >= NEW_OF_BARE}]
    for name, most in MOST_OF_GET.items():
        cost = operations[name]["of_get_this_client"]
        bars.append({"what": f"{name}, of a GET", "is": cost, "bar": most, "met": cost <= most})
    return {
        "benchmark": "store",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "redis_py": redis.__version__,
        "bars": bars,
        "met": all(bar["met"] for bar in bars),
        "operations": operations,
    }


def table(report: Mapping[str, Any]) -> str:
    head = f"{'':28}{'µs a call':>10}{'of it server':>14}{'calls/s':>10}{'rate / bare':>13}{'x GET, this client':>20}"
    rows = [
        f"{name:28}{row['total_us']:10.1f}{row['server_us']:14.1f}{1e6 / row['total_us']:10,.0f}"
        f"{row['rate_of_bare']:13.2f}{row['of_get_this_client']:20.2f}"
        for name, row in report["operations"].items()
    ]
    bars = [
        f"{bar['what']}: {bar['is']:.2f}; the bar is {bar['bar']}: {'met' if bar['met'] else 'MISSED'}"
        for bar in report["bars"]
    ]
    return "\n".join([head, *rows, "", *bars])


def main() -> int:
    parser = argparse.ArgumentParser(description="What the store's operations cost.")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=50, help="calls of each operation in a round")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    chosen = parser.parse_args()
    with valkey() as server, JobKit(server.url) as kit:
        client: Any = redis.Redis(unix_socket_path=str(server.socket), protocol=2)
        acts = {name: each(act) for name, act in Acts(kit, client).all().items()}
        report = judged(measured(acts, client, chosen.rounds, dict.fromkeys(acts, chosen.calls)))
        client.close()
    sys.stdout.write(f"{table(report)}\n")
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if report["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
