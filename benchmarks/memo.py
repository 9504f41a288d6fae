"""Measures what sharing and remembering cost, beside the tools that do the same job.

    python -m benchmarks memo [--rounds N] [--json PATH]

hit     the answer of earlier work, decoded, in the caller's hands
join    a second submission while the first is in flight; and what a second caller gets from each tool
new     nothing is known: the work is queued (jobkit, celery) or, as it returns at once, done and stored (caches)
bulk    as `new`, a thousand at a time
key     what the arguments are looked up by; and which arguments it confuses

All in one run and on one server, over TCP, for one of the tools knows nothing else; the acts take turns, medians are
told. Each is held to a bare GET by the very client that it uses. A tool that is not installed is told, and left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import redis

from benchmarks.peers import BULK, Act, Peer, Place, ours
from benchmarks.rounds import measured
from benchmarks.server import valkey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.rounds import Cost

PEERS: Final = ("ours", "dogpile_cache", "cashews", "diskcache", "celery_singleton", "floors")
KINDS: Final = {
    "hit": "hit: the answer in the caller's hands",
    "join": "join: a second submission while the first is in flight",
    "new": "new: nothing is known",
    "bulk": f"bulk: new ones, {BULK} at a time, an item",
    "key": "key: what arguments are looked up by",
}
CONFUSABLE: Final = {
    "1 and '1'": ((1, "x"), ("1", "x")),
    "1 and True": ((1, "x"), (True, "x")),
    "('a b', 'c') and ('a', 'b c')": (("a b", "c"), ("a", "b c")),
    "('a:region:b', 'c') and ('a', 'b:region:c')": (("a:region:b", "c"), ("a", "b:region:c")),
}
"""Arguments that differ, by pairs."""
MOST_OF_GET: Final = {("hit", ours.HIT): 1.5, ("join", ours.JOIN): 2.0, ("new", ours.NEW): 3.0}
LEAST_BULK_A_SECOND: Final = 40_000
MOST_L1_US: Final = 2.0

Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    chosen = parser.parse_args()
    report = compared(chosen.rounds)
    sys.stdout.write(f"{told(report)}\n")
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if any(bar["met"] is False for bar in report["bars"]) else 0


def compared(rounds: int) -> dict[str, Any]:
    with ExitStack() as stack:
        server = stack.enter_context(valkey())
        client = stack.enter_context(redis.Redis(unix_socket_path=str(server.socket)))
        place = Place(url=server.tcp_url, folder=Path(stack.enter_context(tempfile.TemporaryDirectory())))
        peers, missing = _opened(stack, place)
        rows = _measured(peers, client, rounds)
        seconds = [{"tool": name, **asdict(second())} for peer in peers for name, second in peer.seconds.items()]
    return {
        "benchmark": "memo",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {peer.name: peer.version for peer in peers},
        "missing": missing,
        "bars": judged(rows),
        "acts": rows,
        "second_caller": seconds,
        "keys_that_confuse": {peer.name: confused(peer.make_key) for peer in peers if peer.make_key},
    }


def _opened(stack: ExitStack, place: Place) -> tuple[list[Peer], dict[str, str]]:
    """All that are installed, and why the others are missing."""
    peers: list[Peer] = []
    missing: dict[str, str] = {}
    for name in PEERS:
        try:
            module = importlib.import_module(f"benchmarks.peers.{name}")
        except ImportError as error:
            missing[name] = f"{error}"
        else:
            peers.append(stack.enter_context(module.opened(place)))
    return peers, missing


def _measured(peers: Sequence[Peer], client: Any, rounds: int) -> list[Row]:
    acts = {f"{act.kind} {act.name}": act for peer in peers for act in peer.acts}
    bulks = {name: BULK for name, act in acts.items() if act.kind == "bulk"}
    costs = measured({name: act.do for name, act in acts.items()}, client, rounds, bulks)
    return [_row(act, costs[name], costs) for name, act in acts.items()]


def _row(act: Act, cost: Cost, costs: Mapping[str, Cost]) -> Row:
    bare = costs.get(f"hit {act.beside}")
    return {
        "kind": act.kind,
        "name": act.name,
        "us": cost.total_us,
        "server_us": cost.server_us,
        "commands": cost.commands,
        "beside": act.beside or None,
        "of_get": cost.total_us / bare.total_us if bare else None,
    }


def confused(make_key: Callable[..., object]) -> list[str]:
    """Of which different arguments it makes equal keys."""
    rest = (150.0, 20)
    return [what for what, (one, other) in CONFUSABLE.items() if make_key(*one, *rest) == make_key(*other, *rest)]


def judged(rows: Sequence[Row]) -> list[Row]:
    found = {(row["kind"], row["name"]): row for row in rows}
    bars = [
        _bar(f"{kind}, of a GET", found[kind, name]["of_get"], most, at_least=False)
        for (kind, name), most in MOST_OF_GET.items()
    ]
    bulk, near = found["bulk", ours.BULK], found["hit", ours.L1_HIT]
    asked_nobody = near["commands"] == 0
    bars.append(_bar("submit_many, a second", 1e6 / bulk["us"], LEAST_BULK_A_SECOND, at_least=True))
    bars.append(_bar("hit with l1_ttl, µs", near["us"] if asked_nobody else None, MOST_L1_US, at_least=False))
    return bars


def _bar(what: str, reached: float | None, bar: float, *, at_least: bool) -> Row:
    """Met is None where there is nothing to measure yet."""
    met = None if reached is None else (reached >= bar if at_least else reached <= bar)
    return {"what": what, "is": reached, "bar": bar, "met": met}


def told(report: Mapping[str, Any]) -> str:
    lines = [f"{tool} {number}" for tool, number in report["versions"].items()]
    lines += [f"{tool} is left out: {why} (pip install '.[bench]')" for tool, why in report["missing"].items()]
    for kind, title in KINDS.items():
        lines += ["", f"{title:<58}{'µs':>9}{'/s':>12}{'x GET':>8}{'of it server':>14}{'commands':>10}"]
        lines += [_line(row) for row in report["acts"] if row["kind"] == kind]
    lines += [
        "",
        f"{'a second equal call, 200 ms after which the first ends':<58}{'performed':>9}{'got':>14}{'after ms':>12}",
    ]
    lines += [
        f"  {row['tool']:<56}{row['performed']:>9}{row['got']:>14}{row['waited_ms']:>12.1f}"
        for row in report["second_caller"]
    ]
    lines += ["", "keys that are equal for different arguments"]
    lines += [f"  {tool:<30}{'; '.join(what) or 'none'}" for tool, what in report["keys_that_confuse"].items()]
    return "\n".join([*lines, "", *map(_verdict, report["bars"])])


def _line(row: Row) -> str:
    ratio = f"{row['of_get']:8.2f}" if row["of_get"] else f"{'':8}"
    server = f"{row['server_us']:14.1f}{row['commands']:10.2f}" if row["commands"] else ""
    return f"  {row['name']:<56}{row['us']:9.2f}{1e6 / row['us']:12,.0f}{ratio}{server}".rstrip()


def _verdict(bar: Row) -> str:
    if bar["met"] is None:
        return f"{bar['what']}: not there yet; the bar is {bar['bar']:,}"
    return f"{bar['what']}: {bar['is']:,.2f}; the bar is {bar['bar']:,}: {'met' if bar['met'] else 'MISSED'}"


if __name__ == "__main__":
    sys.exit(main())
