"""Mutation testing of the store's Lua: python -m tests.mutation [--seed N] [--sample N] [--script NAME] [--jobs N]

Makes a small mistake in one file of `jobkit/store/scripts/`, runs the tests that reach it, and expects one to fail; and
so for every such mistake. What survives is a hole in the tests, or code without a use. Exits with 1 below the bar.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from tests.mutation import books
from tests.mutation.campaign import Campaign, Tried
from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.forks import Forks
from tests.mutation.mutants import Mutant, mutants, sources

RESULTS = Path(__file__).parent / "results"
TESTS = ("tests/store", "tests/fuzz/test_walks.py")
FLAGS = ("-q", "-x", "--capture=no", "--tb=line", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
"""(At the end of a session hypothesis' plugin imports all of hypothesis: seconds of every trial.)"""


def main(arguments: list[str]) -> int:
    asked = _asked(arguments)
    random.seed(asked.seed)
    files = sources()
    every = [mutant for source in files for mutant in mutants(source)]
    chosen = _chosen(every, asked)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    log = asked.json.with_suffix(".log")
    out = _taken_over_output(log)
    progress = _Progress(out, len(chosen))
    campaign = Campaign(files, chosen, progress.show)
    forks = Forks(campaign.drive, asked.jobs)
    progress.say(f"seed {asked.seed}: {len(chosen)} of {len(every)} mutants; first the scripts as they are")
    code = pytest.main([*FLAGS, *asked.tests], plugins=[forks])
    if forks.in_child:
        os._exit(code)
    if forks.trouble or code != pytest.ExitCode.OK:
        trouble = forks.trouble or f"pytest ended with {code!r}"
        progress.say(f"The tests could not be run: {trouble} (the log: {log})")
        return 2
    return _closed(campaign, every, forks.usual, asked, progress)


def _closed(
    campaign: Campaign, every: list[Mutant], tests: dict[str, float], asked: argparse.Namespace, progress: _Progress
) -> int:
    order = {mutant.name: number for number, mutant in enumerate(every)}
    tried = sorted(campaign.tried, key=lambda each: order[each.mutant.name])
    books.save(asked.json, asked.seed, tried, tests)
    survivors = books.survivors(tried)
    progress.say(f"\n{books.table(tried)}\n")
    if survivors:
        progress.say(f"Survivors:\n{survivors}\n")
    stale = books.stale(EQUIVALENT, every, tried)
    for entry in stale:
        progress.say(f"Stale in equivalent.txt: {entry.file}: {entry.was} => {entry.became}")
    score = books.score(tried)
    progress.say(f"{score:.1%} killed, the bar is {books.BAR:.0%}; all verdicts are in {asked.json}")
    return int(score < books.BAR or bool(stale))


class _Progress:
    """Says how far the campaign is: in one line on a terminal, now and then elsewhere."""

    def __init__(self, out: IO[str], count: int) -> None:
        self._out = out
        self._count = count
        self._tried: list[Tried] = []
        self._began = time.monotonic()

    def show(self, tried: Tried) -> None:
        self._tried.append(tried)
        number = len(self._tried)
        line = f"{number}/{self._count}  {books.score(self._tried):.1%} killed  {time.monotonic() - self._began:.0f} s"
        if self._out.isatty():
            self._out.write(f"\r\033[K{line}  {tried.mutant.name} {tried.verdict.value}")
            self._out.flush()
        elif number % 50 == 0:
            self.say(line)

    def say(self, text: str) -> None:
        self._out.write(f"\r\033[K{text}\n" if self._out.isatty() else f"{text}\n")
        self._out.flush()


def _asked(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description="Mutation testing of the store's Lua."
    )
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the sample and the random walks")
    parser.add_argument("--sample", type=int, help="try only so many mutants, chosen by the seed")
    parser.add_argument("--script", action="append", default=[], help="only mutants of this file (submit, clock, …)")
    parser.add_argument("--again", type=Path, help="only mutants that survived in these verdicts")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at once")
    parser.add_argument("--json", type=Path, default=RESULTS / "mutants.json", help="where all verdicts go")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="what is to kill them, as pytest is told")
    return parser.parse_args(arguments)


def _chosen(every: list[Mutant], asked: argparse.Namespace) -> list[Mutant]:
    wanted = [each for each in every if not asked.script or Path(each.file).stem in asked.script]
    if not wanted:
        sys.exit(f"There is no script {' or '.join(asked.script)}.")
    if asked.again:
        wanted = [each for each in wanted if each.name in books.survived(asked.again)]
    return wanted if asked.sample is None else random.sample(wanted, min(asked.sample, len(wanted)))


def _taken_over_output(log: Path) -> IO[str]:
    """Ours alone from here on: what pytest and its forks write goes into the log."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    with log.open("wb") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    return out


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
