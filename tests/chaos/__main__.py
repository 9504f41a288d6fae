"""Runs campaigns against the store's promises: python -m tests.chaos [NAME…] [--seed N] [--short]

Books go to the terminal, JSON to benchmarks/results/chaos-NAME.json. Exits with 1 when a book does not balance, or a
bar is missed; what happened to which run is told, and journal and logs are kept.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from typing import TYPE_CHECKING

from tests.chaos import everything, freeze, kill, network, outage, storm
from tests.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.chaos.books import Books

RESULTS = ROOT / "benchmarks" / "results"

CAMPAIGNS: dict[str, tuple[Callable[..., Awaitable[Books]], object, object]] = {
    "storm": (storm.campaign, storm.SHORT, storm.LONG),
    "kill": (kill.campaign, kill.SHORT, kill.LONG),
    "freeze": (freeze.campaign, freeze.SHORT, freeze.LONG),
    "network": (network.campaign, network.SHORT, network.LONG),
    "store": (outage.campaign, outage.SHORT, outage.LONG),
    "everything": (everything.campaign, everything.SHORT, everything.LONG),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(CAMPAIGNS)}; all when left out")
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    parser.add_argument("--short", action="store_true", help="as in the test suite")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(CAMPAIGNS)
    if unknown:
        parser.error(f"no campaign is called {', '.join(sorted(unknown))}: choose from {', '.join(CAMPAIGNS)}")
    return sum(not _went_well(name, chosen.seed, short=chosen.short) for name in chosen.names or CAMPAIGNS) and 1


def _went_well(name: str, seed: int, *, short: bool) -> bool:
    campaign, brief, full = CAMPAIGNS[name]
    _say(f"\n{name} begins, seed {seed}")
    books = asyncio.run(campaign(seed, brief if short else full))
    _say(str(books))
    RESULTS.mkdir(exist_ok=True)
    books.write(RESULTS / f"chaos-{name}.json")
    return books.balanced and not books.missed


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
