"""One of the processes of a storm: submits as fast as it can, and tells what it was answered.

Reads one command a line from its standard input, and answers each with one line of JSON on its standard output:
`storm NAMESPACE SUBMISSIONS` submits, `results` asks every run that answered for its result.
Started by the storm only: python -m tests.chaos.stormer URL NUMBER SEED KEYS JOURNAL
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter, defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from jobkit import JobKit
from jobkit.store.replies import Admission
from tests.chaos.jobs import Report, answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobkit import Run

OWNED = 0.3
"""The share of submissions under the process's own name; each of the others is a stake of its own."""
BATCH = 50
"""So many jobs at once are submitted by every fourth process; the others submit them one by one."""


class Stormer:
    def __init__(self, url: str, number: int, seed: int, keys: int, journal: str) -> None:
        self._url = url
        self._owner = f"process {number}"
        self._batch = BATCH if number % 4 == 3 else 1
        self._dice = random.Random(seed * 1000 + number)
        self._first = random.Random(seed).sample(range(keys), keys)
        self._journal = journal
        self._answering: dict[int, Run[int]] = {}

    def storm(self, namespace: str, submissions: str) -> dict[str, Any]:
        """Tells for each key which runs answered, and how many stakes are to be counted; and the admissions of all."""
        kit = JobKit(self._url, namespace=namespace, patience=60)
        runs: dict[int, set[str]] = defaultdict(set)
        stakes: dict[int, int] = Counter()
        owned: set[int] = set()
        admissions: Counter[str] = Counter()
        wrong = 0
        for number, owner, run in self._submitted(kit, self._numbers(int(submissions))):
            runs[number].add(run.id)
            admissions[str(run.admission)] += 1
            self._answering[number] = run
            if run.admission is Admission.CACHED:
                wrong += run.result() != answer(number)
            elif owner is None:
                stakes[number] += 1
            else:
                owned.add(number)
        for number in owned:
            stakes[number] += 1
        return {
            "runs": {number: sorted(ids) for number, ids in runs.items()},
            "stakes": stakes,
            "admissions": admissions,
            "wrong": wrong,
        }

    def results(self) -> dict[str, Any]:
        wrong = [number for number, run in self._answering.items() if run.result(timeout=120) != answer(number)]
        return {"wrong": len(wrong), "right": len(self._answering) - len(wrong)}

    def _submitted(self, kit: JobKit, numbers: Iterator[int]) -> Iterator[tuple[int, str | None, Run[int]]]:
        """Submit one after the other, or many at once; each with its owner and the run that answers."""
        while batch := list(islice(numbers, self._batch)):
            owner = self._owner if self._dice.random() < OWNED else None
            jobs = [Report(number=number, journal=self._journal) for number in batch]
            runs = [kit.submit(jobs[0], owner=owner)] if self._batch == 1 else kit.submit_many(jobs, owner=owner)
            for number, run in zip(batch, runs, strict=True):
                yield number, owner, run

    def _numbers(self, submissions: int) -> Iterator[int]:
        """First every key, all processes in the same order, so that they meet; then as chance has it."""
        yield from self._first[:submissions]
        for _ in range(submissions - len(self._first)):
            yield self._dice.choice(self._first)


def main(url: str, number: str, seed: str, keys: str, journal: str) -> None:
    stormer = Stormer(url, int(number), int(seed), int(keys), journal)
    _tell("ready")
    for line in sys.stdin:
        command, *arguments = line.split()
        _tell(stormer.storm(*arguments) if command == "storm" else stormer.results())


def _tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
