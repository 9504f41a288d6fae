"""Timetable: what a kit has the clock start, as the store keeps it, and what a worker does next about that. No I/O.

There is no process that beats: each worker looks at the store's schedules every other second, and fires what has come
due. The store turns to the next tick in the step that submits the run, so whoever comes first fires it and the others
find it fired. A worker fires only what it declares itself and whose queue it serves: so when nobody is there who would
perform it, ticks are missed, and made up for as the schedule says, instead of piling up in a queue.

A schedule is what was declared last: by the worker that started last, as in a rolling deploy. Those that declare
another leave it alone while anybody stands behind it, and put theirs in its place when nobody has for `TAKE_OVER`
seconds.

A schedule and its runs live in one partition, which its job's cache key chooses. One whose key has changed moves: its
row in the old place stays, as one that nobody fires, so that who still declares the old one sees the new one there.
"""

from __future__ import annotations

import logging
import time
import zlib
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  (msgspec reads the annotation)
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from jobkit.cache_key import canonical
from jobkit.errors import BadArguments
from jobkit.job import UNWATCHED, spec_of
from jobkit.schedule import NEVER, as_text, due, from_text
from jobkit.store.operations import Declaration, partition_of
from jobkit.store.replies import Firing
from jobkit.submission import NO_RULES, Wishes, submission_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from jobkit.job import ProgressJob
    from jobkit.schedule import Schedule
    from jobkit.store.operations import Operation, Operations
    from jobkit.store.replies import Fired, Scheduled, ScheduleRow
    from jobkit.submission import Rules

LOOK = 2.0
"""Seconds between two looks at the store: a schedule that was changed from outside is seen so soon."""
TAKE_OVER = 30.0
"""Seconds without anybody who declares it, after which a schedule is another's to declare."""
SET_BACK = 3600.0
"""Seconds by which a clock that went back may lie before the last tick. Until then ticks that were fired stay fired; a
clock that was wrong by more is set right, and with it what comes next."""
SHORTEST_WAIT = 0.001

_log = logging.getLogger("jobkit.worker")


# Declaring ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a kit's timetable: this job, under these wishes, at the ticks of this schedule."""

    name: str
    job: ProgressJob[Any]
    schedule: Schedule
    wishes: Wishes

    def declaration(self, partitions: int, rules: Rules = NO_RULES) -> Declaration:
        """What a namespace of so many partitions is told, under the rules of some queues."""
        submission = submission_of(self.job, self.wishes, partitions, rules)
        conditions = submission.conditions
        if not conditions.interest:
            conditions = msgspec.structs.replace(conditions, interest=f"schedule:{self.name}")
        place = partition_of(submission.id)
        if not (submission.key or spec_of(self.job).limits or conditions.queue_limits):  # anywhere, but always there
            place = zlib.crc32(self.name.encode()) % partitions
        kept = msgspec.structs.replace(submission, id=f"{place}-", conditions=conditions)
        text = as_text(self.schedule)
        marked = (text, msgspec.structs.replace(kept, work=conditions.work + _arguments(self.job)))
        mark = sha256(msgspec.json.encode(marked)).hexdigest()[:16]
        return Declaration(name=self.name, schedule=text, mark=mark, submission=kept)


def _arguments(job: ProgressJob[Any]) -> bytes:
    """In one form: the JSON of a set has another order in each process, and every worker is to declare the same."""
    try:
        return canonical({name: getattr(job, name) for name in job.__struct_fields__})
    except BadArguments:
        return spec_of(job).encode_arguments(job)


def entry_of(job_class: type[ProgressJob[Any]]) -> Entry | None:
    """What the class itself has the clock start.

    Raises:
        BadArguments: its default arguments do not make a job, or not the same one twice.
        BadJob: a worker could not find it.
    """
    spec = spec_of(job_class)
    if spec.options.schedule is None:
        return None
    job = job_class()
    if job != job_class():
        raise BadArguments(
            f"{spec.name}: schedule performs the job with its default arguments, and they differ each time. Look for"
            " what changes in perform (progress.scheduled_for says for when it is)."
        )
    return checked_entry(spec.name, job, spec.options.schedule, Wishes(reuse="fresh"))


def checked_entry(name: str, job: ProgressJob[Any], schedule: Schedule, wishes: Wishes) -> Entry:
    """A line as a caller wants it.

    Raises:
        BadArguments: the job's class, or a wish, does not fit.
        BadJob: a worker could not find the class.
    """
    entry = Entry(name, job, schedule, wishes)
    entry.declaration(1)  # its checks are those of a submission
    if spec_of(job).options.abandon_after is not None:
        raise BadArguments(f"{spec_of(job).name}: {UNWATCHED}")
    return entry


# Reading --------------------------------------------------------------------------------------------------------------


class ScheduleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as the store knows it. Moments are aware, in its own time zone.

    `next_at` is None while it is paused; `last_at` and `last_run_id` are of its last run, started by hand or by the
    clock, for the tick `last_tick`. `declared` is whether any worker still has it.
    """

    name: str
    job: str
    queue: str
    schedule: str
    missed: str
    paused: bool
    declared: bool
    next_at: datetime | None
    last_tick: datetime | None
    last_at: datetime | None
    last_run_id: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A schedule in its partition, and what time it is there (ms)."""

    row: ScheduleRow
    partition: int
    now: int

    @property
    def status(self) -> ScheduleStatus:
        row, when = self.row, from_text(self.row.schedule)
        upcoming = None if row.paused or row.next_tick == NEVER else row.next_tick
        return ScheduleStatus(
            name=row.name,
            job=row.job,
            queue=row.queue,
            schedule=str(when),
            missed=when.missed,
            paused=row.paused,
            declared=self.now - row.declared < TAKE_OVER * 1000,
            next_at=None if upcoming is None else when.at_ms(upcoming),
            last_tick=None if row.last_tick is None else when.at_ms(row.last_tick),
            last_at=None if row.last_at is None else when.at_ms(row.last_at),
            last_run_id=row.last_run or None,
        )

    @property
    def resumed_at(self) -> int:
        """The tick with which it goes on after a pause."""
        assert self.row.next_tick is not None
        return max(self.row.next_tick, from_text(self.row.schedule).next_ms(self.now))


def found(looks: Sequence[Scheduled]) -> list[Found]:
    """All schedules of all partitions, by name."""
    rows = [
        Found(row, partition, look.now)
        for partition, look in enumerate(looks)
        for row in look.rows
        if row.next_tick is not None
    ]
    return sorted(rows, key=lambda each: each.row.name)


def named(name: str, looks: Sequence[Scheduled]) -> Found:
    """The schedule of this name.

    Raises:
        BadArguments: there is none; the text lists those there are.
    """
    known = found(looks)
    one = next((each for each in known if each.row.name == name), None)
    if one is None:
        there = f"There are {', '.join(each.row.name for each in known)}." if known else "There are none:"
        advice = "" if known else " a schedule is there once a worker has declared it."
        raise BadArguments(f"There is no schedule {name!r:.120}. {there}{advice}")
    return one


# Firing ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """Something to be said to the store about one schedule."""

    declaration: Declaration
    operation: Operation[Any]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A partition's schedules by name, at its time `now` (ms), which was `at` by our monotonic clock."""

    now: int
    at: float
    rows: Mapping[str, ScheduleRow]


class Timetable:
    """The schedules that one worker declares, and what it last saw of them.

    Whoever drives it looks (`looks`, `heed`), takes the steps that `plan` names, tells it what was answered
    (`take_in`), and looks again; or waits for as long as `plan` says.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._declared: dict[str, Declaration] = {}
        self._unsaid: set[str] = set()
        """Names that are to be declared, whatever is there: their declaration is new."""
        self._seen: dict[int, _Seen] = {}
        self._resting: dict[str, float] = {}
        """Names whose queue was full, and until when (monotonic) they are left alone."""

    def declare(self, declarations: Iterable[Declaration]) -> bool:
        """What the kit has now; whether anything of it is new."""
        declared = {each.name: each for each in declarations}
        new = {name for name, each in declared.items() if self._declared.get(name) != each}
        self._unsaid = self._unsaid.intersection(declared) | new
        self._declared = declared
        return bool(new)

    @property
    def empty(self) -> bool:
        return not self._declared

    def looks(self, partitions: Iterable[int]) -> list[Operation[Scheduled]]:
        marks = [(each.name, each.mark) for each in self._declared.values()]
        return [self._operations.schedules(marks, partition) for partition in partitions]

    def heed(self, partition: int, look: Scheduled) -> None:
        self._seen[partition] = _Seen(look.now, time.monotonic(), {row.name: row for row in look.rows})

    def plan(self, queues: Collection[str]) -> tuple[list[Step], float]:
        """What to do now, for a worker that serves these queues; and in how many seconds to look again."""
        steps: list[Step] = []
        waits = [LOOK]
        for declaration in self._declared.values():
            now = self._now(declaration.partition)
            if now is None:
                continue
            row = self._row(declaration, declaration.partition)
            if row is None or row.mark != declaration.mark:
                steps += self._declaring(declaration, row, now)
                continue
            self._unsaid.discard(declaration.name)
            steps += self._clearing_away(declaration)
            if row.paused or row.queue not in queues or self._rests(declaration.name):
                continue
            firing = self._firing(declaration, row, now)
            if firing is None:
                waits.append(((row.next_tick or NEVER) - now) / 1000)
            else:
                steps.append(firing)
        return steps, max(SHORTEST_WAIT, min(waits))

    def take_in(self, step: Step, answer: Fired | bool) -> None:
        """What the store said to a step."""
        if isinstance(answer, bool):
            return
        name = step.declaration.name
        if answer.firing is Firing.FIRED:
            _log.info("Schedule %s: its time has come, run %s (%s).", name, answer.run_id, answer.admission)
        elif answer.firing is Firing.FULL:
            self._resting[name] = time.monotonic() + answer.retry_after
            _log.warning("Schedule %s: its queue is full, trying again in %.0f s.", name, answer.retry_after)

    def _declaring(self, declaration: Declaration, row: ScheduleRow | None, now: int) -> list[Step]:
        """Nothing while somebody stands behind another schedule of this name, wherever that is."""
        others = {
            partition: other
            for partition in self._seen
            if (other := self._row(declaration, partition)) is not None and other.mark != declaration.mark
        }
        stood_behind = any(self._is_stood_behind(other, partition) for partition, other in others.items())
        if stood_behind and declaration.name not in self._unsaid:
            return []
        moving = [
            Step(declaration, self._operations.move_away(declaration, other, partition))
            for partition, other in others.items()
            if partition != declaration.partition
        ]
        before = max(others.values(), key=lambda other: (other.next_tick is not None, other.declared), default=None)
        declare = self._operations.declare(
            declaration,
            self._next_tick(declaration, before, now),
            instead_of=row,
            paused=before is not None and before.paused,
        )
        return [*moving, Step(declaration, declare)]

    def _clearing_away(self, declaration: Declaration) -> list[Step]:
        """A row that was to be moved here, and whose partition did not answer then, once nobody stands behind it."""
        return [
            Step(declaration, self._operations.move_away(declaration, row, partition))
            for partition in self._seen
            if (row := self._row(declaration, partition)) is not None
            and row.mark != declaration.mark
            and row.next_tick is not None
            and not self._is_stood_behind(row, partition)
        ]

    def _is_stood_behind(self, row: ScheduleRow, partition: int) -> bool:
        now = self._now(partition)
        return now is not None and now - row.declared < TAKE_OVER * 1000

    def _next_tick(self, declaration: Declaration, before: ScheduleRow | None, now: int) -> int:
        """Where only what is submitted has changed, the ticks go on as they were."""
        if before is not None and before.schedule == declaration.schedule and before.next_tick is not None:
            return before.next_tick
        return _next_after(declaration, before, now)

    def _firing(self, declaration: Declaration, row: ScheduleRow, now: int) -> Step | None:
        assert row.next_tick is not None, "its mark is ours, so it is the row that we declared"
        right = _next_after(declaration, row, now)
        if row.next_tick > right:  # the clock was far ahead
            return Step(declaration, self._operations.fire(declaration, row.next_tick, right, last_tick=row.last_tick))
        if row.next_tick > now:
            return None
        tick, following = due(from_text(declaration.schedule), row.next_tick, now)
        return Step(
            declaration,
            self._operations.fire(declaration, row.next_tick, following, tick, last_tick=row.last_tick),
        )

    def _rests(self, name: str) -> bool:
        return time.monotonic() < self._resting.get(name, 0.0)

    def _row(self, declaration: Declaration, partition: int) -> ScheduleRow | None:
        return self._seen[partition].rows.get(declaration.name)

    def _now(self, partition: int) -> int | None:
        """What time it is there (ms); None where nobody has looked yet."""
        seen = self._seen.get(partition)
        return None if seen is None else seen.now + int((time.monotonic() - seen.at) * 1000)


def _next_after(declaration: Declaration, row: ScheduleRow | None, now: int) -> int:
    """The tick that follows now, and what was fired already."""
    last = None if row is None else row.last_tick
    fired = last is not None and last - now <= SET_BACK * 1000
    return from_text(declaration.schedule).next_ms(max(now, last) if last is not None and fired else now)
