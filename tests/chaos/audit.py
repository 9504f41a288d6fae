"""Audit: compares what submitters saw, what jobs wrote down, what was published and what the store keeps.

None of the four believes another. A run balances when it ended once, as it had to; when the accepted result is right
and is that of the highest token; when crashes and starts add up; when nobody saw it go back; when every stake is there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from jobkit import State
from jobkit.store.replies import Admission
from tests.chaos import jobs
from tests.chaos.books import counted_by
from tests.chaos.fleet import HANDED_BACK
from tests.chaos.journal import Event

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.chaos.books import Books
    from tests.chaos.fleet import Fleet
    from tests.chaos.journal import Entry, Journal
    from tests.chaos.load import Account, Sight
    from tests.store.world import Stored


TICK = '"tests.chaos.jobs.Tick"'
"""As a record names it."""
CLOCK_US = 1_000
"""µs: snapshots tell milliseconds."""
PACE_US = 200_000
"""µs between two starts of `jobs.Paced`."""


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    text: str


@dataclass
class Evidence:
    """All that is known when a campaign is over, its workers gone, and the server still up."""

    accounts: Sequence[Account]
    journal: Journal
    ticks: Journal
    """That of `jobs.Tick`."""
    published: dict[str, list[Sight]]
    stored: Sequence[Stored]
    """Its partitions."""
    fleet: Fleet
    stale: int = 0
    """Writes by an old token that were accepted."""
    reversals: int = 0
    lost: int = 0
    again: list[float] = field(default_factory=list)
    """Seconds of work that a resumed start did once more, of each."""
    waits: int = 0
    """Snapshots that told until when nothing may begin."""

    @property
    def runs(self) -> dict[str, dict[str, str]]:
        return {run_id: record for stored in self.stored for run_id, record in stored.runs.items()}

    @cached_property
    def clock_was_set(self) -> bool:
        return any("skew" in stored.hashes["partition"] for stored in self.stored)

    def record(self, account: Account) -> dict[str, str]:
        kept = (stored.runs[account.run_id] for stored in self.stored if account.run_id in stored.runs)
        return next(kept, {})

    def handbacks(self, account: Account) -> int:
        """How often a worker that ended may have given this run back; one may have said so, and been killed first."""
        return sum(1 for line in self.fleet.log_lines(account.run_id) if re.search(HANDED_BACK, line))

    def history(self, account: Account) -> Iterator[str]:
        """Everything that was written about one order."""
        order = account.order
        yield f"order: {order}"
        yield f"answers: {[(run.id, str(run.admission)) for run in account.runs]}, left: {account.stopping}"
        yield f"results: {account.results}, trouble: {account.trouble or 'none'}"
        told = ("state", "start", "crashes", "failures", "token", "slot", "interests", "version", "lost", "result")
        yield f"record: { {name: value for name, value in self.record(account).items() if name in told} }"
        yield from (f"journal: {entry}" for entry in self.journal.of(account.performed_as))
        yield from (f"watcher: {sight}" for sight in account.sights[-20:])
        yield from (f"published: {sight}" for sight in self.published.get(account.run_id, ())[-40:])
        if account.run_id:
            yield from self.fleet.log_lines(account.run_id)


def audit(books: Books, evidence: Evidence) -> None:
    """Every fault is a problem."""
    for account in evidence.accounts:
        for fault in faults(evidence, account):
            books.unbalanced(f"Run {account.run_id or '-'}: {fault.text}", evidence.history(account))
    count(books, evidence)
    check_store(books, evidence)
    check_limits(books, evidence)
    check_ticks(books, evidence)
    books.must_be("lost", evidence.lost, 0)
    books.must_be("stale writes accepted", evidence.stale, 0)
    books.must_be("reversals seen", evidence.reversals, 0)


def faults(evidence: Evidence, account: Account) -> Iterator[Fault]:
    record = evidence.record(account)
    if account.trouble or not record:
        evidence.lost += 1
        yield Fault("lost", f"lost: {account.trouble or 'the store keeps no such run'}")
        return
    published = evidence.published.get(account.run_id, [])
    found = {
        "admission": _admission_faults(evidence, account, record),
        "ending": _ending_faults(account, record),
        "answer": _answer_faults(evidence, account, record),
        "starts": _start_faults(evidence, account, record),
        "steps": _step_faults(evidence, account, record),
        "backoff": () if evidence.clock_was_set else early_starts(evidence, account),
        "watcher": _sight_faults(evidence, account, account.sights),
        "published": _sight_faults(evidence, account, published),
    }
    for kind, texts in found.items():
        yield from (Fault(kind, f"{kind}: {text}") for text in texts)


def _admission_faults(evidence: Evidence, account: Account, record: dict[str, str]) -> Iterator[str]:
    if len({run.id for run in account.runs}) > 1:
        yield "equal submissions got different runs"
    new = [run.admission for run in account.runs].count(Admission.NEW)
    if new != (0 if account.shares_what_it_overturns else 1):
        yield f"it was new {new} times"
    first = min((int(start.token) for start in evidence.journal.starts(account.performed_as)), default=0)
    if account.shares_what_it_overturns and 0 < first < account.since * 1e6:
        yield "it was answered by what had begun before the invalidation"
    for number, run in enumerate(account.runs):
        stake = record.get(f"interest:{run.interest}") if run.interest else None
        if run.interest and stake is None:
            yield f"the stake of submitter {number} is not there"
        if stake == "0" and number >= account.order.leaving:
            yield f"submitter {number} did not leave, but its stake is withdrawn"


def _ending_faults(account: Account, record: dict[str, str]) -> Iterator[str]:
    state = State(record["state"])
    if not state.terminal:
        yield f"it has not ended, it is {state}"
    if not account.sights or account.sights[-1].state is not state:
        yield f"its end is {state}, but its watcher saw another"
    if state not in _possible_ends(account, record):
        yield f"it should not have ended as {state}"


def _possible_ends(account: Account, record: dict[str, str]) -> set[State]:
    ends = {State.CANCELLED} if any(account.stopping) else set()
    match account.order.job:
        case jobs.Fails() | jobs.Overlong():
            ends.add(State.FAILED)
        case jobs.Flaky() if any(account.stopping):
            ends |= {State.SUCCEEDED, State.FAILED}  # a failure of what nobody wants is not tried again
        case jobs.Fragile() if int(record.get("crashes", "0")) > jobs.Fragile.max_crashes:
            ends.add(State.FAILED)
        case _:
            ends.add(State.SUCCEEDED)
    return ends


def _answer_faults(evidence: Evidence, account: Account, record: dict[str, str]) -> Iterator[str]:
    """The accepted result is right, and everybody's, and of the highest token that ever was."""
    if record["state"] != "succeeded":
        if account.results:
            yield "it has not succeeded, but somebody got a result"
        return
    if len(account.results) != len(account.runs):
        yield "not everybody got the result"
    for number, token in account.results:
        if number != jobs.answer(account.performed_as):
            yield f"the result {number} is wrong"
        if token != record["token"]:
            evidence.stale += 1
            yield f"the result is that of token {token}, but the highest is {record['token']}"
    events = [entry.event for entry in evidence.journal.of(account.performed_as) if entry.token == record["token"]]
    if events.count(Event.BEGAN) != 1 or events.count(Event.ENDED) != 1:
        yield f"its last start has written {events}"


def _start_faults(evidence: Evidence, account: Account, record: dict[str, str]) -> Iterator[str]:
    starts = int(record.get("start", "0"))
    spent = int(record.get("crashes", "0")) + int(record.get("failures", "0"))
    begun = [entry.token for entry in evidence.journal.starts(account.performed_as)]
    if len(set(begun)) != len(begun):
        yield "two starts had one token"
    if begun and max(map(int, begun)) > int(record["token"]):
        yield "a start had a higher token than the last"
    if len(begun) > starts:
        yield f"it was begun {len(begun)} times, but taken {starts} times"
    by_holder = spent == starts - 1 or spent + evidence.handbacks(account) >= starts - 1 > spent
    by_nobody = spent == starts and (record["state"] == "cancelled" or record.get("lost") == "1")
    if not (by_holder or by_nobody):
        yield f"{starts} starts and {spent} crashes and failures do not add up to one end"


def _step_faults(evidence: Evidence, account: Account, record: dict[str, str]) -> Iterator[str]:
    """A start goes on at a place that the store has acknowledged, so no later one goes on before it."""
    if not isinstance(account.order.job, jobs.Resumed):
        return
    steps: dict[int, list[Entry]] = defaultdict(list)
    for entry in evidence.journal.of(account.performed_as):
        if entry.event is Event.STEPPED:
            steps[int(entry.token)].append(entry)
    for token, done in steps.items():
        if [entry.step for entry in done] != list(range(done[0].step, done[0].step + len(done))):
            yield f"start {token} did not go on step by step"
    for (_, before), (token, after) in pairwise(sorted(steps.items())):
        if after[0].step < before[0].step:
            yield f"start {token} went on at {after[0].step}, the one before at {before[0].step}"
        again = [entry.moment for entry in before if entry.step >= after[0].step]
        evidence.again.append(before[-1].moment - again[0] if again else 0.0)
    done_steps = {entry.step for done in steps.values() for entry in done}
    if record["state"] == "succeeded" and done_steps != set(range(jobs.RESUMED_STEPS)):
        yield f"of {jobs.RESUMED_STEPS} steps it did {sorted(done_steps)}"


def early_starts(evidence: Evidence, account: Account) -> Iterator[str]:
    """I5. Tokens tell the time of a start by the store's clock, as snapshots do."""
    starts = [int(entry.token) for entry in evidence.journal.starts(account.performed_as)]
    for sight in evidence.published.get(account.run_id, ()):
        if sight.due_at is None:
            continue
        evidence.waits += 1
        early = [token for token in starts if sight.updated_at * 1e6 < token < sight.due_at * 1e6 - CLOCK_US]
        if early:
            yield f"{sight} has it wait, but {early} began"


def _sight_faults(evidence: Evidence, account: Account, sights: Sequence[Sight]) -> Iterator[str]:
    for before, after in pairwise(sights):
        went_back = after.order <= before.order or (after.start == before.start and after.done < before.done)
        if went_back:
            evidence.reversals += 1
            yield f"it went back from {before} to {after}"
        if before.state.terminal:
            yield f"{after} came after the end"
    tokens = {entry.token for entry in evidence.journal.starts(account.performed_as)}
    writers: dict[int, str] = {}
    for sight in sights:
        writer = writers.setdefault(sight.start, sight.token) if sight.token else ""
        if sight.token != writer or (sight.token and sight.token not in tokens):
            evidence.stale += 1
            yield f"{sight} was written by a stranger to this start"
    rising = [int(writers[start]) for start in sorted(writers)]
    if rising != sorted(set(rising)):
        evidence.stale += 1
        yield f"tokens do not rise with the starts: {writers}"


def check_store(books: Books, evidence: Evidence) -> None:
    """No run that nobody wanted, no key that nobody owns, nothing held by anybody."""
    ordered_by_users = {run_id for run_id, record in evidence.runs.items() if record["job"] != TICK}
    ghosts = ordered_by_users - {run.id for account in evidence.accounts for run in account.runs}
    books.must(not ghosts, f"The store keeps runs that answer nobody: {sorted(ghosts)}")
    for stored in evidence.stored:
        _check_partition(books, stored)


def _check_partition(books: Books, stored: Stored) -> None:
    try:
        stored.check()
    except AssertionError as error:
        books.unbalanced(f"The store: {error}")
    for name, members in stored.sets.items():
        if name.startswith(("ready", "due", "leases", "parked")):
            books.must(not members, f"{name} still holds {sorted(members)}")
    endless = [name for name, end in stored.ttls.items() if name.startswith("slot:") and end < 0]
    books.must(not endless, f"Slots without an end, though no worker is left: {endless}")


def check_ticks(books: Books, evidence: Evidence) -> None:
    """Every tick from the first to the last has one run, which succeeded."""
    runs = [record for record in evidence.runs.values() if record["job"] == TICK]
    books.must(all(record["state"] == "succeeded" for record in runs), "A run that the clock ordered has not succeeded")
    ticks = sorted(int(record.get("result", "0")) for record in runs)
    books.must(ticks == list(range(ticks[0], ticks[0] + len(ticks))) if ticks else True, f"These ticks came: {ticks}")
    unknown = {entry.number for entry in evidence.ticks.entries} ^ set(ticks)
    books.must(not unknown, f"These ticks were not performed, or have no run: {sorted(unknown)}")
    if ticks:
        books.enter(ticks_of_the_clock=len(ticks), starts_for_them=len(evidence.ticks.entries))


def check_limits(books: Books, evidence: Evidence) -> None:
    """By what the jobs wrote down themselves. (A holder that comes back to its lapsed lease may exceed a limit.)

    Tokens tell the time of a start, where nobody has set the clock.
    """
    starts = () if evidence.clock_was_set else _starts_of(evidence, jobs.Paced)
    paced = sorted(int(start.token) for start in starts)
    gaps = [later - earlier for earlier, later in pairwise(paced)]
    books.must(not gaps or min(gaps) >= PACE_US, f"Paced jobs were begun {min(gaps, default=0)} µs after another")
    spans = sorted(_accepted_spans(evidence, jobs.Limited))
    together = [(before, after) for before, after in pairwise(spans) if after[0] < before[1]]
    resumed = any(_was_resumed(evidence.published.get(account.run_id, [])) for account in evidence.accounts)
    books.must(resumed or not together, f"Limited jobs were performed at the same time: {together[:1]}")
    books.enter(limited_runs_performed_together=len(together), starts_of_paced_runs=len(paced))


def _starts_of(evidence: Evidence, kind: type[jobs.Count]) -> Iterator[Entry]:
    for account in evidence.accounts:
        if isinstance(account.order.job, kind):
            yield from evidence.journal.starts(account.order.number)


def _accepted_spans(evidence: Evidence, kind: type[jobs.Count]) -> Iterator[tuple[float, float]]:
    """From when to when the starts whose results were accepted went on."""
    for account in evidence.accounts:
        token = evidence.record(account).get("token")
        entries = [entry for entry in evidence.journal.of(account.order.number) if entry.token == token]
        if isinstance(account.order.job, kind) and len(entries) >= 2:
            yield entries[0].moment, entries[1].moment


def _was_resumed(sights: Sequence[Sight]) -> bool:
    """Its lease ran out, and its holder came back before anybody took it."""
    return any(
        before.state is State.QUEUED and after.state is State.RUNNING and before.start == after.start
        for before, after in pairwise(sights)
    )


def count(books: Books, evidence: Evidence) -> None:
    accounts = evidence.accounts
    records = [record for record in map(evidence.record, accounts) if record]
    books.enter(
        orders=len(accounts),
        submissions=sum(len(account.runs) for account in accounts),
        runs=len(evidence.runs),
        starts=sum(int(record.get("start", "0")) for record in records),
        crashes=sum(int(record.get("crashes", "0")) for record in records),
        failures_tried_again=sum(int(record.get("failures", "0")) for record in records),
        waits_that_were_kept=evidence.waits,
        snapshots_seen_by_watchers=sum(len(account.sights) for account in accounts),
        snapshots_published=sum(map(len, evidence.published.values())),
    )
    books.distribution("work done again by a resumed start", evidence.again)
    for state, number in counted_by([record["state"] for record in records]).items():
        books.figures |= {f"ended: {state}": number}
