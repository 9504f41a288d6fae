"""Forger: says what a zombie might say, again and again: reports and outcomes under tokens that are known to be old.

Real zombies are few and late; the forger makes every takeover into two stale writes at once. All must be refused. One
that was not would show in the snapshots too: what it writes is no start's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from jobkit.lifecycle import Outcome
from jobkit.store.operations import failure_head, partition_of
from jobkit.store.replies import Lease, Verdict
from tests.chaos.jobs import LEASE
from tests.chaos.journal import Event

if TYPE_CHECKING:
    from tests.chaos.books import Books
    from tests.chaos.scene import Scene

FORGED = b'{"done":1000000,"message":"forged"}'
REFUSALS = {Verdict.LOST, Verdict.ENDED}
OFTEN = 3
"""So often an old token is tried."""


class Forger:
    def __init__(self, here: Scene) -> None:
        self.forged = 0
        """Starts in whose name something was forged: a report and an outcome each time."""
        self.refused = 0
        self._written: Counter[str] = Counter()
        self._here = here
        self._store = here.kit.async_store()

    async def write(self) -> None:
        """Under every token that another start has overtaken so far."""
        tokens: dict[int, set[str]] = defaultdict(set)
        for entry in self._here.journal.entries:
            if entry.event is Event.BEGAN:
                tokens[entry.number].add(entry.token)
        for number, begun in tokens.items():
            for old in begun - {max(begun, key=int)}:
                if self._written[old] < OFTEN and self._here.load.account(number).run_id:
                    self._written[old] += 1
                    await self._write(number, old)

    def tell(self, books: Books) -> None:
        fleet = self._here.fleet
        books.must_be("forged writes accepted", 2 * self.forged - self.refused, 0)
        books.enter(forged_writes_refused=self.refused)
        books.enter(
            outcomes_of_zombies_refused=fleet.count(r"its outcome was refused \(lost"),
            outcomes_already_known=fleet.count(r"its outcome was refused \(ended"),
            zombies_stopped=fleet.count(r"no longer ours after"),
        )

    async def _write(self, number: int, token: str) -> None:
        self.forged += 1
        account = self._here.load.account(number)
        operations = self._here.kit.operations
        lease = await self._lease(account.run_id, token)
        reported, settled = await self._store.execute_all(
            [
                operations.report(lease, 10**9, FORGED),
                operations.settle(lease, Outcome.SUCCEEDED, result=b'"forged"', failure=failure_head("forged")),
            ]
        )
        for what, verdict in (("report", reported.verdict), ("outcome", settled)):
            self._here.books.must(
                verdict in REFUSALS,
                f"Run {account.run_id}: a {what} under the old token {token} was answered {verdict}",
            )
            self.refused += verdict in REFUSALS

    async def _lease(self, run_id: str, token: str) -> Lease:
        """As its old holder has it, as far as the store looks."""
        return Lease(
            run_id=run_id,
            token=token,
            incarnation=await self._store.incarnation(partition_of(run_id)),
            job="",
            cache_version="",
            arguments=b"",
            start=1,
            failures=0,
            duration=LEASE,
            max_attempts=1,
            watched=False,
        )
