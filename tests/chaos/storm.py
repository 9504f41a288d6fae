"""Storm: many processes submit equal jobs at once: each key has one run, whoever asks, and every stake is counted.

Twice: while nobody performs, so all join; and beside a worker, so that some start, some join and some are remembered.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import redis

from jobkit.store.operations import Operations
from tests import servers
from tests.chaos.books import Books
from tests.chaos.fleet import Fleet
from tests.chaos.jobs import answer
from tests.chaos.journal import Journal
from tests.store.world import Stored
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATIENCE = 300.0
"""Seconds within which a worker performs what was submitted."""


@dataclass(frozen=True)
class Plan:
    processes: int
    keys: int
    submissions: int
    """In all, each time."""


SHORT = Plan(processes=6, keys=50, submissions=6_000)
LONG = Plan(processes=16, keys=1_000, submissions=1_000_000)


async def campaign(seed: int, plan: Plan) -> Books:
    books = Books("storm", seed)
    books.enter(processes=plan.processes, keys=plan.keys)
    with (
        servers.running(servers.valkey_binary()) as server,
        tempfile.TemporaryDirectory(prefix="jobkit-chaos-storm-", dir="/tmp") as folder,
        _stormers(server.url, seed, plan, Path(folder) / "journal") as stormers,
    ):
        for is_performed in (False, True):
            storm = Storm(books, server, Path(folder), plan, stormers)
            await storm.rage(is_performed=is_performed)
    return books


class Stormers:
    """The processes, spoken to all at once."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self._pipes = [(_pipe(process.stdin), _pipe(process.stdout)) for process in processes]
        self.hear()

    def ask(self, command: str) -> list[Any]:
        for into, _ in self._pipes:
            into.write(f"{command}\n")
            into.flush()
        return self.hear()

    def hear(self) -> list[Any]:
        return [json.loads(out.readline()) for _, out in self._pipes]


class Storm:
    """One storm on a namespace of its own."""

    def __init__(self, books: Books, server: servers.Server, folder: Path, plan: Plan, stormers: Stormers) -> None:
        self._books = books
        self._namespace = f"storm-{uuid.uuid4().hex[:8]}"
        self._operations = Operations(self._namespace)
        self._raw: Any = redis.Redis.from_url(server.url, protocol=2)
        self._journal = Journal(folder / "journal")
        self._before = len(self._journal.entries)
        self._fleet = Fleet({"JOBKIT_URL": server.url, "JOBKIT_NAMESPACE": self._namespace}, folder)
        self._plan = plan
        self._stormers = stormers

    async def rage(self, *, is_performed: bool) -> None:
        """Storm, then have everything performed, if it was not meanwhile, and look at what is there."""
        name = "beside a worker" if is_performed else "nobody performs"
        if is_performed:
            self._fleet.enlist()
            await self._fleet.whole()
        began = time.monotonic()
        answers = self._stormers.ask(f"storm {self._namespace} {self._plan.submissions // self._plan.processes}")
        took = time.monotonic() - began
        if not is_performed:
            self._check_interests(name, answers)
            self._fleet.enlist()
        await await_until(self._all_performed, "all is performed", PATIENCE, 0.1)
        results = self._stormers.ask("results")
        self._fleet.end()
        self._check_answers(name, answers, results)
        self._check_interests(name, answers)
        self._check_runs(name)
        self._count(name, answers, took)
        self._raw.close()

    def _all_performed(self) -> bool:
        succeeded: int = self._raw.zcard(f"{self._operations.prefix()}state:succeeded")
        return succeeded >= self._plan.keys

    def _check_answers(self, name: str, answers: list[Any], results: list[Any]) -> None:
        """Each key was answered by one run, the same in all processes, and every result is the key's."""
        books, keys = self._books, self._plan.keys
        runs = {(key, run_id) for told in answers for key, ids in told["runs"].items() for run_id in ids}
        books.must_be(f"{name}: runs that answered", len(runs), keys)
        books.must_be(f"{name}: wrong results", sum(told["wrong"] for told in (*answers, *results)), 0)
        books.figures |= {f"{name}: right results": sum(told["right"] for told in results)}

    def _check_interests(self, name: str, answers: list[Any]) -> None:
        wanted: Counter[str] = Counter()
        for told in answers:
            for key, stakes in told["stakes"].items():
                wanted[told["runs"][key][0]] += stakes
        counted = {run_id: int(record["interests"]) for run_id, record in self._stored().runs.items()}
        for run_id, stakes in wanted.items():
            self._books.must(
                counted.get(run_id) == stakes,
                f"{name}: run {run_id} counts {counted.get(run_id)} interests, there are {stakes}",
            )
        self._books.figures |= {f"{name}: interests counted": sum(counted.values())}

    def _check_runs(self, name: str) -> None:
        stored, plan = self._stored(), self._plan
        stored.check()
        self._books.must_be(f"{name}: runs", len(stored.runs), plan.keys)
        self._books.must_be(f"{name}: performed", len(self._journal.entries) - self._before, plan.keys)
        for run_id, record in stored.runs.items():
            number = int(record["work"].rpartition("\n")[2].partition('"number":')[2].partition(",")[0])
            self._books.must(record["result"] == str(answer(number)), f"{name}: run {run_id} has a wrong result")
            self._books.must(record["start"] == "1", f"{name}: run {run_id} was begun {record['start']} times")

    def _count(self, name: str, answers: list[Any], took: float) -> None:
        admissions: Counter[str] = sum((Counter(told["admissions"]) for told in answers), Counter())
        total = sum(admissions.values())
        self._books.figures |= {f"{name}: submissions": total}
        self._books.figures |= {f"{name}: {admission}": number for admission, number in sorted(admissions.items())}
        self._books.must(admissions["new"] == self._plan.keys, f"{name}: {admissions['new']} submissions were new")
        self._books.figures |= {f"{name}: submissions a second": round(total / took)}

    def _stored(self) -> Stored:
        return Stored(self._raw, self._operations.prefix())


@contextmanager
def _stormers(url: str, seed: int, plan: Plan, journal: Path) -> Iterator[Stormers]:
    command = [sys.executable, "-m", "tests.chaos.stormer", url]
    processes = [
        subprocess.Popen(
            [*command, str(number), str(seed), str(plan.keys), str(journal)],
            cwd=servers.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(plan.processes)
    ]
    try:
        yield Stormers(processes)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _pipe(end: IO[str] | None) -> IO[str]:
    assert end is not None
    return end
