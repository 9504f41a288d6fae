"""Operations: what the store can be asked, as values.

An `Operation` is data: a script, its key and arguments, and how to read the reply. It does no I/O, so the sync and
the async client share every one of them. What each script guarantees stands at the head of its file in `scripts/`.

All keys of a partition share one hash tag, `{namespace:partition}`, and a run id carries its partition
(`0-01J9…`), so every operation touches one slot of a cluster.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from jobkit.errors import BadArguments, RunNotFound, StoreMisconfigured
from jobkit.store import replies
from jobkit.store.location import MOST_PARTITIONS
from jobkit.store.replies import FORMAT, FORMAT_BEFORE, SettledAndTaken
from jobkit.store.script import LIBRARY, SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobkit.incident import Incident
    from jobkit.lifecycle import Outcome, State
    from jobkit.store.replies import (
        Admitted,
        Announced,
        Backlog,
        Cancelling,
        Fired,
        Full,
        Lease,
        Listed,
        Loaded,
        NoWork,
        Opened,
        Override,
        Recalled,
        Renewals,
        Reported,
        Scheduled,
        ScheduleRow,
        Stored,
        Swept,
        Verdict,
    )

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Word = bytes | str
"""What a command is made of, and nothing else: hiredis crashes the process when a signal breaks into what it has to
write out itself, such as a number."""
Words = list[Word]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RUN_ID = re.compile(r"(0|[1-9]\d{0,3})-[0-9A-HJKMNP-TV-Z]{26}")
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]
_LETTERS = (_CROCKFORD * 8).encode()
"""A letter for each of the 256 bytes: every letter for eight of them, so all are equally likely."""
_FUNCTIONS = {script: LIBRARY.function(script) for script in SCRIPTS}
_CURSOR = re.compile(r"\d{1,20} \d{1,5}-[0-9A-Z]{26}")


class Operation(msgspec.Struct, Generic[T_co], frozen=True, gc=False):
    """One atomic script call, safe to send again when its reply was lost."""

    function: str
    partition: int
    keys: tuple[str, str]
    """The partition's own, and one that never exists.

    While a cluster moves a slot, some of its keys are here and some there, and a script would take those that it misses
    for ones that are not. A server refuses a call that declares such a key, before the script begins.
    """
    arguments: tuple[Word, ...]
    read: Callable[[Any], T_co]
    """Reads the reply; None from a partition that the namespace does not have, so nothing is kept there."""

    def command(self) -> tuple[Word, ...]:
        return ("FCALL", self.function, "2", *self.keys, *self.arguments)


class Reuse(StrEnum):
    """Which existing runs may answer a submission: any, only one that has not begun, or none."""

    ANY = "any"
    FRESH = "fresh"
    NONE = "none"


class Mark(StrEnum):
    """What a supervisor sees of a start."""

    STALLED = "stalled"
    MOVING = "moving"
    KILLING = "killing"


@dataclass(frozen=True, slots=True)
class Witness:
    """The newest token that a client knows of, and the server that gave it."""

    server: str = ""
    token: str = "0"


NOTHING_WITNESSED = Witness()
CONTROL = "control"
"""The channel of requests to workers, as `tell` takes it."""


class Terms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a job's class says of its runs. Kept with each as JSON; durations are milliseconds, flags 0 or 1."""

    max_attempts: int
    max_crashes: int
    keep: int
    undeliverable: int
    lease: int | None = None
    cache_ttl: int | None = None
    stale_ttl: int | None = None
    failure_ttl: int | None = None
    refresh: int = 0
    throttle: int | None = None
    debounce: int | None = None
    longest_debounce: int | None = None
    abandon_after: int | None = None
    expires: int | None = None
    max_queued: int | None = None
    public_result: int = 0
    retry_of: str | None = None
    """Of this very submission: the run that it is to do again."""
    trace: dict[str, str] | None = None
    """The submitter's, not the class's: headers that a worker's span goes on from (`with_trace`)."""


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What submissions of one class under the same wishes have in common.

    `terms` is the JSON of `Terms`; `labels` are `job:NAME` and `tag:TAG`, with spaces between, and `tags` those of them
    that hold for an older run that answers, too; `start` is '' for now, `+ms` from now, or epoch milliseconds; `starts`
    is how many a run had that its store has lost; `interest` names the stake, '' for a ticket of each submission's own;
    `queue_limits` are those of its queue, as of a `Submission`; `share` is the limit by which owners take turns, '' for
    none; `work` is how the work of each begins (`work_of`).
    """

    job: str
    queue: str
    terms: bytes
    labels: str
    tags: str = ""
    owner: str = ""
    reuse: Reuse = Reuse.ANY
    priority: int = 0
    start: str = ""
    starts: int = 0
    interest: str = ""
    queue_limits: str = ""
    share: str = ""
    work: bytes = b""


class Submission(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All the store needs to admit a run.

    `key` is its cache key, or ''. `limits` are pairs `NAME NUMBER`: `m:…` with the most that may run, `r:…` with the µs
    between two starts, `s:…` with 1. `work` is what a worker gets with its lease (`work_of`).
    """

    id: str
    conditions: Conditions
    key: str
    limits: str
    work: bytes

    @property
    def interest(self) -> str:
        """The name of the stake that this submission makes."""
        return self.conditions.interest or ticket_of(self.id)

    @property
    def arguments(self) -> bytes:
        return self.work.split(b"\n", 2)[2]


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as somebody declares it: its name, the JSON of its ticks, what it submits, and a mark of all that.

    The id of its submission only says in which partition both live.
    """

    name: str
    schedule: str
    mark: str
    submission: Submission

    @property
    def partition(self) -> int:
        return partition_of(self.submission.id)

    def run_id(self, tick: int) -> str:
        """The id of the run for a tick: whoever fires it comes to the same."""
        chance = sha256(f"{self.name}\n{self.mark}\n{tick}".encode()).digest()
        return _run_id(self.partition, tick, chance[:16])


class Operations:
    """Builds the operations of one namespace."""

    def __init__(self, namespace: str = "jobkit") -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", namespace):
            raise StoreMisconfigured(
                f"The namespace {namespace!r} is not usable: take 1 to 64 letters, digits or any of _ . : -"
            )
        self.namespace = namespace
        self._keys: dict[int, tuple[str, str]] = {}

    def prefix(self, run_id: str = "0-") -> str:
        """What all keys and channels of the run's partition begin with; `7-` will do for partition 7."""
        return f"{{{self.namespace}:{run_id.partition('-')[0]}}}:"

    def snapshots_channel(self, run_id: str) -> str:
        return f"{self.prefix(run_id)}snapshots:{run_id}"

    def worker_channel(self, worker: str, partition: int = 0) -> str:
        """Where a worker hears which of its runs of a partition to stop, as `slot run token`."""
        return f"{self.prefix(f'{partition}-')}worker:{worker}"

    def invalidations_channel(self) -> str:
        """Where the whole namespace hears what was invalidated: `key:DIGEST`, `job:NAME` or `tag:TAG`."""
        return f"{{{self.namespace}}}:invalidated"

    def control_channel(self) -> str:
        """Where all workers of the namespace hear what they are asked to do."""
        return f"{self.prefix()}{CONTROL}"

    def replies_channel(self, request: str) -> str:
        """Where who asked hears what they answer."""
        return f"{self.prefix()}{replies_to(request)}"

    def bell(self, queue: str, partition: int = 0) -> str:
        return f"{self.prefix(f'{partition}-')}bell:{queue}"

    def open(self, partition: int = 0, witnessed: Witness = NOTHING_WITNESSED, founding: int = 0) -> Operation[Opened]:
        """Learn a partition's identity, and, `founding` so many partitions, make it if it is not there.

        `witnessed` is the newest token this client knows of: a store that is older than that has lost data, and says so
        by a new incarnation.

        Raises:
            StoreMisconfigured: it keeps runs in another format.
        """
        incarnation, secret = os.urandom(8).hex(), os.urandom(32).hex()
        return self._operation(
            "open", partition, FORMAT, FORMAT_BEFORE, incarnation, secret, witnessed.server, witnessed.token,
            str(founding), read=replies.opened,
        )  # fmt: skip

    def submit(self, submission: Submission) -> Operation[Admitted]:
        """Admit a run, or find the one that answers.

        Raises:
            QueueFull: as many wait as the class allows.
        """
        return self._submit((submission,), replies.admitted)

    def submit_many(self, submissions: Sequence[Submission]) -> Operation[tuple[Admitted | Full, ...]]:
        """Admit several of the same conditions and partition at once, in this order."""
        return self._submit(submissions, replies.all_admitted)

    def take(
        self,
        slot: str,
        nonce: str,
        queues: Sequence[str],
        lease: float = 15.0,
        partition: int = 0,
        *,
        in_turn: bool = False,
    ) -> Operation[Lease | NoWork]:
        """Pop and lease in one step. `slot` is `worker/child`, never used again after its death.

        `lease` (s) is for jobs that name none of their own. The best run of all these queues is taken, or, `in_turn`,
        the best of the first of them that has any.

        Raises:
            SlotDead: the slot's supervisor has given it up.
        """
        order = "first" if in_turn else "best"
        return self._operation("take", partition, slot, nonce, _ms(lease), order, *queues, read=replies.taken)

    def renew(
        self, worker: str, queues: Sequence[str], slots: Sequence[str], partition: int = 0
    ) -> Operation[Renewals]:
        """A worker's heartbeat: renew the leases of these slots, and count it as serving these queues."""
        return self._operation("renew", partition, worker, str(len(queues)), *queues, *slots, read=replies.renewed)

    def retire(self, worker: str, queues: Sequence[str], partition: int = 0, *, stays: bool = False) -> Operation[None]:
        """Count a worker as serving these queues no more, and list it no more unless it `stays`."""
        return self._operation("retire", partition, worker, _flag(stays), *queues, read=replies.nothing)

    def announce(self, worker: str, about: bytes, memory: float) -> Operation[None]:
        """List a worker with what it tells of itself, for `memory` seconds after it has last told."""
        return self._operation("announce", 0, worker, about, _ms(memory), read=replies.nothing)

    def workers(self) -> Operation[tuple[Announced, ...]]:
        """What workers told of themselves, by name; those that fell silent lately too."""
        return self._operation("workers", 0, read=replies.announced)

    def tell(self, channel: str, message: bytes) -> Operation[int]:
        """Publish to the `control` or a `replies:…` channel; answers how many hear it, where the server knows."""
        return self._operation("tell", 0, channel, message, read=int)

    def report(self, lease: Lease, sequence: int, progress: bytes, checkpoint: bytes = b"") -> Operation[Reported]:
        """Write a `ProgressView`'s JSON, and a checkpoint, through the lease.

        A `sequence` that is not above the last is passed over.
        """
        return self._operation(
            "report", partition_of(lease.run_id), lease.run_id, lease.token, lease.incarnation, str(sequence),
            progress, checkpoint, read=replies.reported,
        )  # fmt: skip

    def settle(
        self,
        lease: Lease,
        outcome: Outcome,
        *,
        progress: bytes = b"",
        result: bytes = b"null",
        failure: bytes = b"",
        traceback: str = "",
        delay: float = 0.0,
        reason: str = "",
        retry_after: float | None = None,
        incident: bytes = b"",
        checkpoint: bytes = b"",
    ) -> Operation[Verdict]:
        """End this start.

        `failure` is a failure's head (`failure_head`); `delay` (s) and `reason` are of a release; `retry_after` (s) is
        of a failure that another attempt may follow; `incident` is an `Account`'s JSON, of what befell it. An
        empty `checkpoint` leaves the last one; a run that ends keeps none.
        """
        return self._operation(
            "settle", partition_of(lease.run_id), lease.run_id, lease.token, lease.incarnation, outcome.value, progress,
            result, failure, traceback, _ms(delay), reason, checkpoint, _ms_or_never(retry_after), incident,
            read=replies.verdict,
        )  # fmt: skip

    def settle_and_take(
        self, settling: Operation[Verdict], taking: Operation[Lease | NoWork]
    ) -> Operation[SettledAndTaken]:
        """Both in one step, of one partition: `taking` is by the slot that performed what is settled.

        Raises:
            SlotDead: as `take`. What was to be settled is, if it could be; of a run that the store has lost (`unknown`)
                nothing is said but that.
        """

        def read(reply: Any) -> SettledAndTaken:
            return SettledAndTaken(settling.read(reply[0]), taking.read(reply[1]))

        words = (*settling.arguments, *taking.arguments)
        return self._operation("settle_and_take", settling.partition, *words, read=read)

    def reassert(self, lease: Lease, slot: str) -> Operation[Verdict]:
        """Say that a run is performed, to a store that lost it or is an older copy of the one that leased it.

        `slot` is where; empty for a run that has come to its end there, and is only to be settled.
        """
        return self._operation(
            "reassert", partition_of(lease.run_id), slot, lease.run_id, lease.token, lease.incarnation,
            str(lease.start), str(lease.failures), _ms(lease.duration), *lease.kept, read=replies.verdict,
        )  # fmt: skip

    def release(
        self,
        slot: str,
        *,
        crashed: bool,
        failure: bytes,
        failed: bool = False,
        retry_after: float | None = None,
        incident: bytes = b"",
        token: str = "",
        partition: int = 0,
    ) -> Operation[tuple[Verdict, str]]:
        """Declare a slot dead and give back what it holds; with a `token`, only if it holds the start of that one.

        `crashed` counts a crash, `failed` a failure of the job's own (which another attempt may follow `retry_after` so
        many seconds), neither nothing at all.
        """
        how = "crashed" if crashed else "failed" if failed else "handback"
        return self._operation(
            "release", partition, slot, how, failure, token, incident, _ms_or_never(retry_after), read=replies.released
        )

    def mark(self, run_id: str, token: str, what: Mark, incident: bytes = b"") -> Operation[Verdict]:
        """Say what is seen of a start that is being performed; nothing of any other start."""
        return self._operation("mark", partition_of(run_id), run_id, token, what.value, incident, read=replies.verdict)

    def cancel(self, run_id: str, interest: str, *, force: bool = False) -> Operation[Cancelling]:
        """Withdraw an interest, and stop the run when it was the last, or when forced.

        Raises:
            RunNotFound: no such run is kept.
        """
        read = partial(replies.cancelling, run_id=run_id)
        return self._operation("cancel", partition_of(run_id), run_id, interest, _flag(force), read=read)

    def invalidate(self, *, key: str = "", label: str = "", partition: int = 0) -> Operation[None]:
        """From now on neither join nor serve what began before, under this cache key or this label."""
        return self._operation("invalidate", partition, key, label, read=replies.nothing)

    def sweep(
        self, interval: float, failure: bytes, limit: int = 200, partition: int = 0, *, incident: bytes = b""
    ) -> Operation[Swept]:
        """Do what time alone brings, at most once in `interval` seconds and to `limit` runs of a kind.

        `failure` is the head of the failure of a run whose crash budget is spent, `incident` what befell each whose
        lease ran out.
        """
        return self._operation("sweep", partition, _ms(interval), str(limit), failure, incident, read=replies.swept)

    def pause(self, queue: str, partition: int = 0, *, paused: bool = True) -> Operation[bool]:
        """Let nothing be taken from a queue any more, or again; answers whether that changed anything."""
        return self._operation("pause", partition, queue, _flag(paused), read=bool)

    def queues(self, names: Sequence[str] = (), partition: int = 0) -> Operation[tuple[Backlog, ...]]:
        """How each queue stands that has something in it, is paused, or is named here."""
        return self._operation("queues", partition, *names, read=replies.backlogs)

    def limit(self, name: str, number: int | None, of: str, partition: int = 0) -> Operation[bool]:
        """Set another number for a limit, or None for what its runs brought along; answers whether that is new.

        `of` is what a reader is told that it is a limit of: `job:NAME` or `queue:NAME`.
        """
        text = "" if number is None else str(number)
        return self._operation("limit", partition, name, text, of, read=bool)

    def limits(self, partition: int = 0) -> Operation[tuple[Override, ...]]:
        """The limits that have another number than their runs brought along."""
        return self._operation("limits", partition, read=replies.overrides)

    def load(self, run_id: str, *, watch: float = 0.0, result: bool = False, interest: str = "") -> Operation[Loaded]:
        """A run as it stands; `watch` marks it watched for so many seconds, `result` brings its result too.

        Read in the name of an `interest`, it is not abandoned.

        Raises:
            RunNotFound: no such run is kept.
        """
        return self._load(run_id, watch, result, interest, partial(replies.loaded, run_id=run_id))

    def load_stored(
        self, run_id: str, *, watch: float = 0.0, result: bool = False, interest: str = ""
    ) -> Operation[Stored | None]:
        """As `load`, for who passes it on: in bytes, and None for an unknown run."""
        return self._load(run_id, watch, result, interest, replies.stored)

    def incidents(self, run_id: str) -> Operation[tuple[Incident, ...]]:
        """What befell the starts of a run, oldest first.

        Raises:
            RunNotFound: no such run is kept.
        """
        read = partial(replies.incidents, run_id=run_id)
        return self._operation("incidents", partition_of(run_id), run_id, read=read)

    def recall(self, run_id: str) -> Operation[Recalled]:
        """What a run was submitted with.

        Raises:
            RunNotFound: no such run is kept.
        """
        return self._operation("recall", partition_of(run_id), run_id, read=partial(replies.recalled, run_id=run_id))

    def owned(self, run_id: str, owner: str) -> Operation[bool]:
        """Whether this owner submitted the run, joins and memo hits included.

        Raises:
            RunNotFound: no such run is kept.
        """
        return self._operation("owned", partition_of(run_id), run_id, owner, read=partial(replies.owned, run_id=run_id))

    def list(
        self,
        state: State | None = None,
        limit: int = 50,
        cursor: str = "",
        owner: str | None = None,
        partition: int = 0,
    ) -> Operation[Listed]:
        """Snapshots of a partition, newest first, of one state or one owner, after the `cursor` of an earlier page.

        Raises:
            BadArguments: no page gave this cursor, or both a state and an owner were named.
        """
        if cursor != "" and not (isinstance(cursor, str) and _CURSOR.fullmatch(cursor)):
            raise BadArguments(f"cursor={cursor!r:.80}: give the cursor of an earlier page, or none for the first.")
        if state is not None and owner is not None:
            raise BadArguments("Give a state or an owner, not both.")
        index = f"state:{state}" if state is not None else f"owner:{owner}" if owner is not None else "runs"
        return self._operation("list", partition, index, str(limit), cursor, read=replies.listed)

    # Schedules

    def schedules(self, declared: Sequence[tuple[str, str]] = (), partition: int = 0) -> Operation[Scheduled]:
        """The schedules of a partition. `declared` are names and marks of those that the caller declares."""
        words = [word for pair in declared for word in pair]
        return self._operation("schedules", partition, *words, read=replies.scheduled)

    def declare(
        self,
        declaration: Declaration,
        next_tick: int,
        *,
        instead_of: ScheduleRow | None = None,
        paused: bool = False,
    ) -> Operation[bool]:
        """Make a schedule, or put it in the place of another that was seen there; False if that has changed.

        `paused` is for one that is new here.
        """
        words = self._words((declaration.submission,))
        return self._declare(declaration, declaration.partition, instead_of, str(next_tick), _flag(paused), *words)

    def move_away(self, declaration: Declaration, row: ScheduleRow, partition: int) -> Operation[bool]:
        """Have nobody fire this row of a partition any more, for the schedule now lives in another."""
        return self._declare(declaration, partition, row, "", _flag(row.paused))

    def fire(
        self,
        declaration: Declaration,
        expected: int,
        following: int,
        tick: int | None = None,
        *,
        last_tick: int | None = None,
    ) -> Operation[Fired]:
        """Fire the `tick` (ms) of a schedule whose next one is `expected`.

        None passes over what came, if none was fired since `last_tick`.
        """
        run_id = "" if tick is None else declaration.run_id(tick)
        return self._operation(
            "fire", declaration.partition, declaration.name, declaration.mark, str(expected),
            _text(last_tick if tick is None else tick), str(following), run_id, read=replies.fired,
        )  # fmt: skip

    def run_schedule(self, name: str, partition: int) -> Operation[Admitted | None]:
        """Submit what a schedule is for; None if there is no such schedule.

        Raises:
            QueueFull: as many wait as the class allows.
        """
        return self._operation("run_schedule", partition, name, new_run_id(partition), read=replies.admitted_if_any)

    def pause_schedule(self, row: ScheduleRow, partition: int) -> Operation[bool]:
        return self._operation("pause_schedule", partition, row.name, "1", "", "", read=replies.flag)

    def resume_schedule(self, row: ScheduleRow, next_tick: int, partition: int) -> Operation[bool]:
        """Have a schedule go on with this tick; False if it is not as it was seen."""
        return self._operation(
            "pause_schedule", partition, row.name, "0", str(row.next_tick), str(next_tick), read=replies.flag
        )

    # Within

    def _declare(
        self, declaration: Declaration, partition: int, seen: ScheduleRow | None, *words: Word
    ) -> Operation[bool]:
        next_tick, *rest = words
        return self._operation(
            "declare", partition, declaration.name, "" if seen is None else seen.seen, declaration.mark,
            declaration.schedule, next_tick, *rest, read=replies.flag,
        )  # fmt: skip

    def _submit(self, submissions: Sequence[Submission], read: Callable[[Any], T]) -> Operation[T]:
        return self._operation("submit", partition_of(submissions[0].id), *self._words(submissions), read=read)

    def _words(self, submissions: Sequence[Submission]) -> Words:
        common = submissions[0].conditions
        words: list[Word] = [
            common.job, common.queue, common.terms, common.labels, common.tags, common.owner, common.reuse.value,
            str(common.priority), common.start, str(common.starts), common.interest,
        ]  # fmt: skip
        for each in submissions:
            words += (each.id, each.key, each.limits, each.work)
        return words

    def _load(self, run_id: str, watch: float, result: bool, interest: str, read: Callable[[Any], T]) -> Operation[T]:
        return self._operation("load", partition_of(run_id), run_id, _ms(watch), _flag(result), interest, read=read)

    def _operation(self, script: str, partition: int, *arguments: Word, read: Callable[[Any], T]) -> Operation[T]:
        keys = self._keys.get(partition)
        if keys is None:
            key = f"{self.prefix(f'{partition}-')}partition"
            keys = self._keys[partition] = (key, f"{key}?")
        return Operation(_FUNCTIONS[script], partition, keys, arguments, read)


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))


def _ms_or_never(seconds: float | None) -> str:
    return "" if seconds is None else _ms(seconds)


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def _flag(whether: bool) -> str:
    return "1" if whether else "0"


def replies_to(request: str) -> str:
    """The channel for the replies to a request, as `tell` takes it."""
    return f"replies:{request}"


def work_of(job: str, cache_version: str, arguments: bytes) -> bytes:
    """What a worker gets with its lease (`Lease`): job, cache version and arguments, a line each.

    What a schedule submits has a line more: the tick that it is for (ms).
    """
    return b"%b\n%b\n%b" % (job.encode(), cache_version.encode(), arguments)


def with_trace(conditions: Conditions, headers: dict[str, str]) -> Conditions:
    """The same, for a run that carries these headers; what carries none is not made anew for that."""
    terms = conditions.terms.removesuffix(b"}") + b',"trace":' + msgspec.json.encode(headers) + b"}"
    return msgspec.structs.replace(conditions, terms=terms)


def ticket_of(run_id: str) -> str:
    """The name of the stake of a submission that names no owner."""
    return f"ticket:{run_id}"


def new_run_id(partition: int = 0) -> str:
    """A fresh id: its partition, then a ULID (48 bits of milliseconds, 80 random bits)."""
    return _run_id(partition, int(time.time() * 1000), os.urandom(16))


def _run_id(partition: int, ms: int, chance: bytes) -> str:
    moment = _PAIRS[ms >> 40] + _PAIRS[ms >> 30 & 1023] + _PAIRS[ms >> 20 & 1023] + _PAIRS[ms >> 10 & 1023]
    return f"{partition}-{moment}{_PAIRS[ms & 1023]}{chance.translate(_LETTERS).decode()}"


def partition_of(run_id: str) -> int:
    return 0 if run_id.startswith("0-") else int(run_id.partition("-")[0])


def sole_partition(operations: Sequence[Operation[Any]]) -> int | None:
    """The partition of all of these, if it is one."""
    partition = operations[0].partition if operations else None
    for operation in operations:
        if operation.partition != partition:
            return None
    return partition


def checked_run_id(text: str) -> str:
    """The id, when it is one.

    Raises:
        RunNotFound: this cannot be the id of a run.
    """
    if not isinstance(text, str):
        raise RunNotFound(f"{text!r:.80} is not the id of a run: give it as text, as `run.id` tells it.")
    match = _RUN_ID.fullmatch(text)
    if match is None or int(match[1]) >= MOST_PARTITIONS:
        raise RunNotFound(f"{text[:80]!r} is not the id of a run.", run_id=text[:80])
    return text


def failure_head(message: str, *, public: bool = False) -> bytes:
    """A failure's JSON up to its reference, which the store appends."""
    flag = b"true" if public else b"false"
    return b'{"message":' + msgspec.json.encode(message) + b',"public":' + flag + b',"reference":"'


def reference(run_id: str, start: int) -> str:
    """What a failure's reader tells support, as the scripts write it."""
    return f"{run_id[-8:]}-{start}"
