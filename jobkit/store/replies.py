"""Replies: what the store's scripts answer, as values, and how each is read from the wire."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from jobkit.errors import QueueFull, RunNotFound, StoreMisconfigured
from jobkit.incident import Incident
from jobkit.lifecycle import State
from jobkit.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = "2"
FORMAT_BEFORE = "1"
"""The number of the stored format, and the one before it, which is read too; any other is refused, not misread."""


class Admission(StrEnum):
    """What `submit` decided."""

    NEW = "new"
    JOINED = "joined"
    CACHED = "cached"
    STALE = "stale"
    REFUSED = "refused"


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """The reply to a submission: the run that answers it, and its result when it has one.

    `refresh_id` is the run that makes a memo anew, if one does. `seconds` is for how long a cached result is still
    fresh, or until when (epoch) a failure refuses.
    """

    admission: Admission
    id: str
    result: bytes | None
    refresh_id: str = ""
    seconds: float = 0.0


class Full(msgspec.Struct, frozen=True, gc=False):
    """The reply to a submission that was not admitted: the queue may have room after `retry_after` seconds."""

    retry_after: float


class Lease(msgspec.Struct, frozen=True, gc=False):
    """The right to perform one start of a run.

    `duration` is in seconds; `watched` is a first hint for reporting; `checkpoint` is what an earlier start left, or
    None; `kept` is what the record holds, for a store that loses it (`Operations.reassert`); `tick` (ms) is the moment
    for which a schedule started the run, or None; `server` is as in `Renewals`.
    """

    run_id: str
    token: str
    incarnation: str
    job: str
    cache_version: str
    arguments: bytes
    start: int
    failures: int
    duration: float
    max_attempts: int
    watched: bool
    checkpoint: bytes | None = None
    kept: tuple[bytes, ...] = ()
    key: str = ""
    tick: int | None = None
    server: str = ""

    @property
    def queue(self) -> str:
        return self.kept[_QUEUE].decode()

    @property
    def waited(self) -> float:
        """Seconds from when the run might start until this start, by the store's clock: a token is a moment."""
        might_start = float(self.kept[_SCORE]) + HEAD_START * int(self.kept[_PRIORITY] or 0)
        return max(0.0, int(self.token) / 1_000_000 - might_start / 1000)

    @property
    def trace(self) -> dict[str, str]:
        """The headers that its submitter left (`jobkit.tracing`); none where nobody did."""
        terms = self.kept[_TERMS]
        return _TRACED.decode(terms).trace if terms.startswith(b"{") else {}  # (as format 1 wrote them)


class _Traced(msgspec.Struct):
    trace: dict[str, str] = {}


_TRACED = msgspec.json.Decoder(_Traced)
_QUEUE, _TERMS, _PRIORITY, _SCORE = 1, 5, 8, 9
"""Places in `Lease.kept`."""
HEAD_START = 60_000
"""ms that one step of priority is worth, as in shared/limits.lua."""


class NoWork(msgspec.Struct, frozen=True, gc=False):
    """Nothing to take. `next_due` is in seconds from now; None when nothing is scheduled."""

    next_due: float | None


class SettledAndTaken(NamedTuple):
    """The reply to both in one step."""

    verdict: Verdict
    work: Lease | NoWork


class SlotDead(Exception):
    """The supervisor declared this slot dead; its process must end."""


class Verdict(StrEnum):
    """What the store answers to a holder."""

    OK = "ok"
    IDLE = "idle"
    CANCEL = "cancel"
    ENDED = "ended"
    LOST = "lost"
    UNKNOWN = "unknown"
    """The store lost the run, or is an older copy of itself: whoever performs it may assert it anew."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """What one slot's heartbeat was answered; `run_id` and `token` are empty for an idle slot."""

    slot: str
    verdict: Verdict
    run_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Renewals:
    """The answer to a worker's heartbeat. Another incarnation than before: the store has lost data.

    `server` is the one that the partition was last opened on; empty where it does not say.
    """

    incarnation: str
    slots: tuple[Renewed, ...]
    server: str = ""


class Reported(msgspec.Struct, frozen=True, gc=False):
    """The answer to a report; `watched` says whether anybody reads it, and so how soon the next one is worth it."""

    verdict: Verdict
    watched: bool


class Cancelling(StrEnum):
    """What `cancel` did."""

    STOPPING = "stopping"
    LEFT = "left"
    STRANGER = "stranger"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did. `next_due` is in seconds from now, None when nothing is scheduled; `more`: sweep again now."""

    swept: bool
    expired: int
    next_due: float | None
    more: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """A run as it stands. `result` only when asked for; `traceback` is for the run's authors, never for browsers.

    `retry_at` (epoch seconds) is until when its failure answers equal submissions; None when it never does.
    """

    snapshot: Snapshot
    result: bytes | None
    lost_worker: bool
    traceback: str | None
    retry_at: float | None = None
    incident: Incident | None = None
    """What befell a failed run last, when its result was asked for."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A run as it stands, undecoded: the JSON of its snapshot, and that of its result where it was asked for and is."""

    snapshot: bytes
    result: bytes | None


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a run was submitted with, as the record keeps it, and whether it has ended; `terms` are JSON."""

    state: State
    job: str
    """Its name as JSON."""
    queue: str
    terms: bytes
    labels: tuple[str, ...]
    priority: int
    owner: str
    key: str
    limits: str
    work: bytes


@dataclass(frozen=True, slots=True)
class Listed:
    """One partition's part of a page: snapshots with their scores, and whether it has more."""

    more: bool
    rows: tuple[tuple[str, Snapshot], ...]


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as one partition keeps it. Moments are ms.

    `mark` is of what was declared, and `schedule` the JSON of its ticks. `next_tick` is None where the schedule has
    moved to another partition; `declared` is when somebody last declared it.
    """

    name: str
    mark: str
    schedule: str
    job: str
    queue: str
    next_tick: int | None
    paused: bool
    last_tick: int | None
    last_at: int | None
    last_run: str
    declared: int

    @property
    def seen(self) -> str:
        """What `declare` is told of it, so as to replace nothing else."""
        return f"{self.mark} {_text(self.next_tick)} {_text(self.last_tick)}"


class Scheduled(msgspec.Struct, frozen=True):
    """The schedules of one partition, and what time it is there (ms)."""

    now: int
    rows: tuple[ScheduleRow, ...]


class Firing(StrEnum):
    """What became of a tick that somebody wanted to fire."""

    FIRED = "fired"
    PASSED = "passed"
    """It was not for the caller to fire: somebody else has, or has declared something else, or it was passed over."""
    EARLY = "early"
    PAUSED = "paused"
    FULL = "full"


class Fired(msgspec.Struct, frozen=True):
    """The answer to a firing: the run and its admission, if it was fired; when a full queue may have room (s)."""

    firing: Firing
    run_id: str = ""
    admission: Admission | None = None
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Page:
    """Snapshots, newest first; `cursor` continues the list and is empty at its end."""

    snapshots: tuple[Snapshot, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class Announced:
    """What a worker told of itself (JSON), `silence` seconds ago."""

    worker: str
    silence: float
    about: bytes


@dataclass(frozen=True, slots=True)
class Override:
    """A number that was set for a limit while it was in use. `of` is `job:NAME` or `queue:NAME`."""

    limit: str
    number: int
    of: str


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue stands.

    `waiting` runs are queued in it, `parked` of these by a limit; `running` runs came out of it and go on. `workers`
    serve it. `wait` (s) is for how long the next to be taken has waited by now; None when there is none.
    """

    queue: str
    waiting: int
    parked: int
    running: int
    workers: int
    paused: bool
    wait: float | None


@dataclass(frozen=True, slots=True)
class Opened:
    """A partition's identity. Another incarnation under the same name means that the store lost data.

    `server` is the run id of the server that answered; empty where it does not say.
    """

    incarnation: str
    secret: bytes
    server: str = ""
    partitions: int = 1
    """How many there are, as this partition was told when it was founded."""


def opened(reply: list[bytes]) -> Opened:
    if reply[0].decode() != FORMAT:
        raise StoreMisconfigured(
            f"The store keeps runs in format {reply[0].decode()}, this jobkit reads format {FORMAT}: "
            "use the jobkit version that wrote it, or another namespace."
        )
    return Opened(reply[1].decode(), reply[2], reply[3].decode(), int(reply[4] or 1))


def admitted(reply: list[Any]) -> Admitted:
    answer = _admitted(*reply)
    if isinstance(answer, Full):
        raise QueueFull(
            "As many runs wait in the queue as the job's max_queued allows:"
            f" try again in {answer.retry_after:.0f} s, or start more workers.",
            retry_after=answer.retry_after,
        )
    return answer


def all_admitted(reply: list[Any]) -> tuple[Admitted | Full, ...]:
    return tuple([_admitted(*reply[first : first + 5]) for first in range(0, len(reply), 5)])


def _admitted(admission: bytes, run_id: bytes, result: bytes | None, refresh_id: bytes, ms: int) -> Admitted | Full:
    known = _ADMISSIONS.get(admission)
    if known is None:
        return Full(ms / 1000)
    return Admitted(known, run_id.decode(), result, refresh_id.decode(), ms / 1000)


_ADMISSIONS = {admission.value.encode(): admission for admission in Admission}


def taken(reply: list[Any]) -> Lease | NoWork:
    match reply:
        case [b"lease", *fields]:
            return _lease(fields)
        case [b"none", due]:
            return NoWork(_seconds(due))
        case _:
            raise SlotDead


class Work(NamedTuple):
    """What is to be performed, and for which tick (ms) of a schedule, if for any."""

    job: str
    cache_version: str
    arguments: bytes
    tick: int | None


def work_in(text: bytes) -> Work:
    """The work in what `work_of` has written down, and a schedule has added to."""
    job, version, arguments = text.split(b"\n", 2)
    tick = b""
    if not arguments.endswith(b"}"):  # as JSON of arguments does
        arguments, _, tick = arguments.partition(b"\n")
    return Work(job.decode(), version.decode(), arguments, int(tick) if tick else None)


def _lease(fields: list[Any]) -> Lease:
    run_id, token, incarnation, server, start, failures, lease, attempts, watched, checkpoint, *kept = fields
    work = work_in(kept[0])
    return Lease(
        run_id=run_id.decode(),
        token=token.decode(),
        incarnation=incarnation.decode(),
        job=work.job,
        cache_version=work.cache_version,
        arguments=work.arguments,
        start=int(start),
        failures=int(failures),
        duration=int(lease) / 1000,
        max_attempts=int(attempts),
        watched=bool(watched),
        checkpoint=checkpoint,
        kept=tuple(kept),
        key=kept[2].decode(),
        tick=work.tick,
        server=server.decode(),
    )


def renewed(reply: list[bytes]) -> Renewals:
    incarnation, server, *texts = [part.decode() for part in reply]
    rows = zip(texts[0::4], texts[1::4], texts[2::4], texts[3::4], strict=True)
    return Renewals(
        incarnation, tuple(Renewed(slot, Verdict(verdict), run, token) for slot, verdict, run, token in rows), server
    )


def nothing(_reply: object) -> None:
    return None


def reported(reply: list[Any]) -> Reported:
    return Reported(_VERDICTS[reply[0]], bool(reply[1]))


def verdict(reply: bytes) -> Verdict:
    return _VERDICTS[reply]


_VERDICTS = {verdict.value.encode(): verdict for verdict in Verdict}


def released(reply: list[bytes]) -> tuple[Verdict, str]:
    return Verdict(reply[0].decode()), reply[1].decode()


def cancelling(reply: bytes | None, run_id: str) -> Cancelling:
    if reply is None or reply == b"missing":
        raise _not_found(run_id)
    return Cancelling(reply.decode())


def swept(reply: list[int]) -> Swept:
    return Swept(bool(reply[0]), reply[1], _seconds(reply[2]), bool(reply[3]))


def loaded(reply: list[Any] | None, run_id: str) -> Loaded:
    if reply is None:
        raise _not_found(run_id)
    snapshot, result, lost, traceback, refuse_until, incident = reply
    return Loaded(
        Snapshot.from_json(snapshot),
        result,
        bool(lost),
        traceback and traceback.decode(),
        int(refuse_until) / 1000 if refuse_until else None,
        Incident.from_json(incident) if incident else None,
    )


def stored(reply: list[Any] | None) -> Stored | None:
    return None if reply is None else Stored(reply[0], reply[1])


def incidents(reply: list[bytes] | None, run_id: str) -> tuple[Incident, ...]:
    if reply is None:
        raise _not_found(run_id)
    return tuple([Incident.from_json(told) for told in reply])


def recalled(reply: list[bytes] | None, run_id: str) -> Recalled:
    if reply is None:
        raise _not_found(run_id)
    *fields, work = reply
    state, job, queue, terms, labels, priority, owner, key, limits = [field.decode() for field in fields]
    return Recalled(
        State(state), job, queue, terms.encode(), tuple(labels.split()), int(priority), owner, key, limits, work
    )


def owned(reply: int | None, run_id: str) -> bool:
    if reply is None:
        raise _not_found(run_id)
    return bool(reply)


def listed(reply: list[Any]) -> Listed:
    rows = zip(reply[1::2], reply[2::2], strict=True)
    return Listed(bool(reply[0]), tuple([(score.decode(), Snapshot.from_json(text)) for score, text in rows]))


def scheduled(reply: list[bytes]) -> Scheduled:
    now, *texts = [part.decode() for part in reply]
    columns = [texts[place::_COLUMNS] for place in range(_COLUMNS)]
    return Scheduled(int(now), tuple([_schedule_row(*row) for row in zip(*columns, strict=True)]))


_COLUMNS = len(ScheduleRow.__struct_fields__)


def _schedule_row(
    name: str, mark: str, schedule: str, job: str, queue: str, next_tick: str, paused: str, last_tick: str,
    last_at: str, last_run: str, declared: str,
) -> ScheduleRow:  # fmt: skip
    return ScheduleRow(
        name=name,
        mark=mark,
        schedule=schedule,
        job=msgspec.json.decode(job, type=str) if job else "",
        queue=queue,
        next_tick=_whole(next_tick),
        paused=paused == "1",
        last_tick=_whole(last_tick),
        last_at=_whole(last_at),
        last_run=last_run,
        declared=int(float(declared)),
    )


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def _whole(text: str) -> int | None:
    return int(text) if text else None


def fired(reply: list[Any]) -> Fired:
    match reply:
        case [b"fired", run_id, admission]:
            return Fired(Firing.FIRED, run_id.decode(), _ADMISSIONS[admission])
        case [b"full", ms]:
            return Fired(Firing.FULL, retry_after=ms / 1000)
        case _:
            return Fired(Firing(reply[0].decode()))


def admitted_if_any(reply: list[Any]) -> Admitted | None:
    return admitted(reply) if reply else None


def flag(reply: int) -> bool:
    return reply == 1


def page(parts: Sequence[Listed], limit: int) -> Page:
    """The first of these lists together, each of which is in order."""
    rows = sorted([row for part in parts for row in part.rows], key=_place, reverse=True)
    taken = rows[:limit]
    more = len(rows) > limit or any(part.more for part in parts)
    cursor = f"{taken[-1][0]} {taken[-1][1].id}" if taken and more else ""
    return Page(tuple(snapshot for _, snapshot in taken), cursor)


def _place(row: tuple[str, Snapshot]) -> tuple[float, str]:
    score, snapshot = row
    return float(score), snapshot.id


def announced(reply: list[Any]) -> tuple[Announced, ...]:
    rows = zip(reply[0::3], reply[1::3], reply[2::3], strict=True)
    return tuple([Announced(worker.decode(), silence / 1000, about) for worker, silence, about in rows])


def overrides(reply: list[bytes]) -> tuple[Override, ...]:
    found = []
    for limit, value in zip(reply[0::2], reply[1::2], strict=True):
        number, _, of = value.decode().partition(" ")
        found.append(Override(limit.decode(), int(number), of))
    return tuple(found)


def backlogs(reply: list[Any]) -> tuple[Backlog, ...]:
    return tuple([_backlog(*reply[first : first + 7]) for first in range(0, len(reply), 7)])


def _backlog(queue: bytes, ready: int, parked: int, running: int, workers: int, paused: int, wait: int) -> Backlog:
    return Backlog(
        queue=queue.decode(), waiting=ready + parked, parked=parked, running=running, workers=workers,
        paused=bool(paused), wait=_seconds(wait),
    )  # fmt: skip


def all_backlogs(parts: Sequence[Sequence[Backlog]]) -> tuple[Backlog, ...]:
    """The same queues over all partitions, by name. (Every worker serves all partitions.)"""
    together: dict[str, Backlog] = {}
    for backlog in [backlog for part in parts for backlog in part]:
        other = together.get(backlog.queue)
        together[backlog.queue] = backlog if other is None else _together(other, backlog)
    return tuple(together[queue] for queue in sorted(together))


def _together(one: Backlog, other: Backlog) -> Backlog:
    return Backlog(
        queue=one.queue,
        waiting=one.waiting + other.waiting,
        parked=one.parked + other.parked,
        running=one.running + other.running,
        workers=max(one.workers, other.workers),
        paused=one.paused or other.paused,
        wait=max((wait for wait in (one.wait, other.wait) if wait is not None), default=None),
    )


def _seconds(milliseconds: int) -> float | None:
    return None if milliseconds < 0 else milliseconds / 1000


def _not_found(run_id: str) -> RunNotFound:
    return RunNotFound(f"No run {run_id} is kept: its id is wrong, or its time (`keep_for`) is over.", run_id=run_id)
