"""Tries every mutant: is it Lua at all, which tests reach it, and does one of them fail."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import redis

from tests import servers
from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.forks import Lost, Trial
from tests.mutation.mutants import composed
from tests.mutation.reach import marked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.mutation.forks import Ending, Forks
    from tests.mutation.mutants import Mutant, Place, Source


class Verdict(StrEnum):
    """What became of a mutant. Killed and hung count for the tests, survived and unreached against them."""

    KILLED = "killed"
    HUNG = "hung"
    SURVIVED = "survived"
    UNREACHED = "unreached"
    EQUIVALENT = "equivalent"
    STILLBORN = "stillborn"


@dataclass(frozen=True, slots=True)
class Tried:
    """A mutant, its verdict, and the test that showed it."""

    mutant: Mutant
    verdict: Verdict
    test: str = ""
    why: str = ""
    tests: int = 0
    seconds: float = 0.0


class Campaign:
    """Tries the mutants of these sources; `told` hears of each as it is tried."""

    def __init__(self, sources: Sequence[Source], mutants: Sequence[Mutant], told: Callable[[Tried], None]) -> None:
        self.tried: list[Tried] = []
        self._sources = sources
        self._mutants = mutants
        self._told = told
        self._any: list[str] = []
        self._reaching: dict[Place, list[str]] = {}
        self._kills: Counter[tuple[str, str]] = Counter()

    def drive(self, forks: Forks) -> None:
        """With `forks` at hand: first the scripts as they are, which every test must pass, then the mutants."""
        for trial, ending in forks.run([self._as_they_are(forks)]):
            self._learn(forks, trial, ending)
        for trial, ending in forks.run(self._trials(forks)):
            self._judge(trial, ending)

    def _as_they_are(self, forks: Forks) -> Trial:
        library, places = marked(self._sources)
        return Trial(places, library, forks.tests, record=True)

    def _learn(self, forks: Forks, trial: Trial, ending: Ending) -> None:
        if ending.failed or ending.hung:
            raise Lost(f"{ending.failed or ending.hung} does not pass as things are: {ending.why or 'it hangs'}")
        places: list[Place] = trial.of
        for record in ending.records:
            forks.usual[record["test"]] = record["seconds"]
            if record["reached"]:
                self._any.append(record["test"])
            for mark in record["reached"]:
                self._reaching.setdefault(places[mark], []).append(record["test"])

    def _trials(self, forks: Forks) -> Iterator[Trial]:
        with servers.running(servers.valkey_binary()) as server, redis.Redis.from_url(server.url) as client:
            for mutant in self._mutants:
                library = composed(self._sources, {mutant.file: mutant.text})
                tests = self._reaching.get(mutant.place, []) if mutant.place else self._any
                if not _compiles(client, library.source):
                    self._tell(Tried(mutant, Verdict.STILLBORN))
                elif not tests:
                    self._tell(Tried(mutant, Verdict.UNREACHED))
                else:
                    yield Trial(mutant, library, self._in_order(mutant, tests, forks.usual))

    def _in_order(self, mutant: Mutant, tests: Sequence[str], seconds: dict[str, float]) -> list[str]:
        """First those that killed neighbours, then the quick ones."""
        return sorted(tests, key=lambda test: (-self._kills[mutant.file, test], seconds[test]))

    def _judge(self, trial: Trial, ending: Ending) -> None:
        mutant: Mutant = trial.of
        if ending.failed:
            verdict = Verdict.KILLED
            self._kills[mutant.file, ending.failed] += 1
        elif ending.hung:
            verdict = Verdict.HUNG
        else:
            verdict = Verdict.EQUIVALENT if any(each.means(mutant) for each in EQUIVALENT) else Verdict.SURVIVED
        test = ending.failed or ending.hung
        self._tell(Tried(mutant, verdict, test, ending.why, len(trial.tests), ending.seconds))

    def _tell(self, tried: Tried) -> None:
        self.tried.append(tried)
        self._told(tried)


def _compiles(client: Any, source: str) -> bool:
    try:
        client.function_load(source)
        client.function_flush()
    except redis.ResponseError:
        return False
    return True
