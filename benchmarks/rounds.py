"""Rounds: acts are measured in turn, a few calls each, so that the machine's noise hits all alike.

Only ratios within one run count. What is told of an act is its median round: the caller's time by the clock, and the
server's share as the server itself counts it (`INFO commandstats`).
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from itertools import repeat
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Batch = Callable[[int], object]
    """Does its act so many times."""

LONG_ENOUGH = 0.003
"""Seconds that one act has in a round."""
MOST_CALLS = 20_000
TRIES = 3
EMPTY: Mapping[str, int] = MappingProxyType({})
_SCRIPTS = ("evalsha", "eval", "fcall")
_OUR_OWN = ("config", "info")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one call: µs for its caller, those of them in the server, and the commands that the server was sent."""

    total_us: float
    server_us: float
    commands: float


def each(act: Callable[[], object]) -> Batch:
    def batch(times: int) -> None:
        for _ in repeat(None, times):
            act()

    return batch


def measured(acts: Mapping[str, Batch], client: Any, rounds: int, calls: Mapping[str, int] = EMPTY) -> dict[str, Cost]:
    """The median cost of every act; `client` is a redis-py client of the server they go to.

    An act that is not in `calls` is called as often in a round as some milliseconds allow.
    """
    calls = {name: calls.get(name) or _calls_for(act) for name, act in acts.items()}
    costs: dict[str, list[Cost]] = {name: [] for name in acts}
    for _ in range(rounds):
        for name, act in acts.items():
            costs[name].append(_cost(act, calls[name], client))
    return {name: _median(found) for name, found in costs.items()}


def served(client: Any) -> tuple[float, int]:
    """µs and number of the commands that the server has carried out since its statistics were reset.

    What a script does is part of the script, so where there are scripts only they count.
    """
    commands = {
        name.removeprefix("cmdstat_"): spent
        for name, spent in client.info("commandstats").items()
        if not name.startswith(tuple(f"cmdstat_{own}" for own in _OUR_OWN))
    }
    counted = [commands[name] for name in _SCRIPTS if name in commands] or list(commands.values())
    return sum(spent["usec"] for spent in counted), sum(spent["calls"] for spent in counted)


def _calls_for(act: Batch) -> int:
    act(1)  # what only happens once is over
    calls = 1
    while calls < MOST_CALLS:
        taken = min(_seconds(act, calls) for _ in range(TRIES))  # without what else the machine did meanwhile
        if taken >= LONG_ENOUGH / 2:
            return max(1, int(calls * LONG_ENOUGH / taken))
        calls *= 4
    return MOST_CALLS


def _seconds(act: Batch, calls: int) -> float:
    begun = time.perf_counter()
    act(calls)
    return time.perf_counter() - begun


def _cost(act: Batch, calls: int, client: Any) -> Cost:
    client.config_resetstat()
    taken = _seconds(act, calls)
    server_us, commands = served(client)
    return Cost(taken / calls * 1e6, server_us / calls, commands / calls)


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.total_us for cost in costs),
        statistics.median(cost.server_us for cost in costs),
        statistics.median(cost.commands for cost in costs),
    )
