"""The real store, one event at a time: performs it at a given moment, and brings its answer and all that is stored.

The one module that knows how `jobkit.store.operations` is asked and how its replies read. Each event is one round trip
and one transaction: set the partition's clock, call the script, read every key. A transaction sees one server time, so
the script runs at exactly the µs that the model reckons with, and a walk is the same whenever it is repeated.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from jobkit.errors import QueueFull, RunNotFound
from jobkit.incident import Account, Incident, IncidentKind
from jobkit.lifecycle import Outcome, State
from jobkit.store import replies as answered
from jobkit.store.operations import (
    Conditions,
    Mark,
    Operations,
    Reuse,
    Submission,
    Terms,
    Witness,
    failure_head,
    work_of,
)
from jobkit.store.replies import SlotDead
from jobkit.store.script import LIBRARY, Library
from tests.fuzz import calls
from tests.fuzz.stored import Stored
from tests.fuzz.wire import Command, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobkit.store.operations import Operation
    from tests.fuzz.calls import Accident, Answer, Call, Event, Kind

HERE = Path(__file__).parent
SET_CLOCK = (HERE / "set_clock.lua").read_text("utf-8")
READ_ALL = (HERE / "read_all.lua").read_text("utf-8")
LOST = failure_head("Its worker was lost.")
FAILED = failure_head("It did not work.")
BEFELL = Account(kind=IncidentKind.CRASHED, message="It broke.", lines=('{"at":1}',)).to_json()
ELSEWHERE = "another-server"


class Namespace:
    """One namespace of a server that nobody else uses. `published` is what the last event published."""

    def __init__(self, address: Path, name: str, library: Library = LIBRARY) -> None:
        self._wire = Wire(address)
        self._operations = Operations(name)
        self._prefix = self._operations.prefix()
        self._partition = f"{self._prefix}partition"
        self._library = library
        loading: list[Command] = [("SCRIPT", "LOAD", SET_CLOCK), ("SCRIPT", "LOAD", READ_ALL)]
        clock, read, loaded = self._wire.send([*loading, ("FUNCTION", "LOAD", "REPLACE", library.source)])
        assert not isinstance(loaded, Exception), f"the server refuses the library: {loaded}"
        self._clock, self._read = clock.decode(), read.decode()
        self._wire.listen(f"{self._prefix}*")
        self._wire.listen(self._operations.invalidations_channel())
        self._incarnations: list[str] = []
        self._leases: dict[tuple[str, ...], answered.Lease] = {}
        """By id, token, and what may have changed of the run when its take is answered again."""
        self._copy: list[tuple[bytes, bytes, int]] = []
        self._server = ""
        self.stored = Stored()
        self._found()

    @property
    def published(self) -> list[tuple[str, str]]:
        return [(channel.removeprefix(self._prefix), text) for channel, text in self._wire.published]

    def perform(self, now_us: int, event: Event, over: Sequence[str]) -> Answer:
        """Let it happen at this moment; the keys named in `over` have come to their end by then."""
        self._wire.published.clear()
        if isinstance(event, calls.Flush | calls.Rollback):
            self.stored = Stored()
        read: Callable[[Any], Answer] = _nothing
        if isinstance(event, calls.Accident):
            commands = self._commands(event)
        else:
            operation, put = self._asked(event)
            commands, read = [self._command(operation)], partial(_answer, operation, put)
        clock = ("EVALSHA", self._clock, 1, self._partition, now_us, *(self._prefix + name for name in over))
        reading = ("EVALSHA", self._read, 0, self._prefix)
        replies = self._wire.send([("MULTI",), clock, *commands, reading, ("EXEC",)])[-1]
        trouble = next((reply for reply in (replies, *replies) if isinstance(reply, Exception)), None)
        assert trouble is None, f"the server answered {trouble}"
        self.stored.read(replies[-1])
        if isinstance(event, calls.Copy):
            self._take_copy()
        return read(replies[1:-1])

    def close(self) -> None:
        self._wire.send([("DEL", *self._keys())])
        self._wire.close()

    def _command(self, operation: Operation[Any]) -> Command:
        name = operation.function.replace(LIBRARY.name, self._library.name)
        return ("FCALL", name, *operation.command()[2:])

    # Calls ------------------------------------------------------------------------------------------------------------

    def _asked(self, call: Call) -> tuple[Operation[Any], Callable[[Any], Answer]]:
        """The operation of a call, and how its reply is put as the model puts it."""
        asking = {
            calls.Submit: self._submit, calls.SubmitMany: self._submit_many, calls.Take: self._take,
            calls.Report: self._report, calls.Settle: self._settle,
            calls.SettleAndTake: self._settle_and_take, calls.Reassert: self._reassert,
            calls.Open: self._open, calls.Release: self._release, calls.Mark: self._mark, calls.Renew: self._renew,
            calls.Retire: self._retire, calls.Cancel: self._cancel, calls.Sweep: self._sweep,
            calls.Invalidate: self._invalidate, calls.Load: self._load, calls.Owned: self._owned,
            calls.ListRuns: self._list, calls.Pause: self._pause,
            calls.Limit: self._limit,
        }  # fmt: skip
        asked: tuple[Operation[Any], Callable[[Any], Answer]] = asking[type(call)](call)  # type: ignore[operator]
        return asked

    def _submit(self, call: calls.Submit) -> Any:
        return self._operations.submit(_submission(call)), _admitted

    def _submit_many(self, call: calls.SubmitMany) -> Any:
        first, *others = [_submission(each) for each in call.each]
        same = [msgspec.structs.replace(each, conditions=first.conditions) for each in others]
        return self._operations.submit_many([first, *same]), lambda answers: tuple(_admitted(each) for each in answers)

    def _take(self, call: calls.Take) -> Any:
        operation = self._operations.take(call.slot, call.nonce, call.queues, call.lease / 1000, in_turn=call.in_turn)
        return operation, self._taken

    def _taken(self, taken: Any) -> Answer:
        if not isinstance(taken, answered.Lease):
            return calls.NoWork(_milliseconds(taken.next_due))
        labels, priority, owner = (taken.kept[place].decode() for place in (4, 8, 10))
        self._leases[taken.run_id, taken.token, labels, priority or "0", owner] = taken
        return calls.Leased(
            id=taken.run_id,
            token=int(taken.token),
            incarnation=self._number(taken.incarnation),
            start=taken.start,
            failures=taken.failures,
            duration=round(taken.duration * 1000),
            work=taken.arguments.decode(),
            watched=taken.watched,
            restored=None if taken.checkpoint is None else taken.checkpoint.decode(),
        )

    def _report(self, call: calls.Report) -> Any:
        lease = self._lease(call.id, call.token, call.incarnation)
        progress, checkpoint = _progress(call.done), call.checkpoint.encode()
        return self._operations.report(lease, call.sequence, progress, checkpoint), _reported

    def _settle(self, call: calls.Settle) -> Any:
        operation = self._operations.settle(
            self._lease(call.id, call.token, call.incarnation),
            Outcome(call.outcome),
            progress=b"" if call.done is None else _progress(call.done),
            result=call.result.encode(),
            failure=FAILED,
            delay=call.delay / 1000,
            reason=call.reason,
            retry_after=None if call.retry is None else call.retry / 1000,
            checkpoint=call.checkpoint.encode(),
            incident=BEFELL if call.outcome == "failed" else b"",
        )
        return operation, str

    def _settle_and_take(self, call: calls.SettleAndTake) -> Any:
        (settling, put_verdict), (taking, put_work) = self._settle(call.settle), self._take(call.take)
        operation = self._operations.settle_and_take(settling, taking)

        def read(reply: list[Any]) -> Any:
            return _answer(settling, put_verdict, reply[:1]), _answer(taking, put_work, reply[1:])

        return msgspec.structs.replace(operation, read=read), tuple

    def _reassert(self, call: calls.Reassert) -> Any:
        kept = call.lease.kept
        assert kept is not None, "the model says what a lease keeps"
        of_then = (" ".join(kept.labels), str(kept.priority), kept.owner)
        lease = self._leases[call.lease.id, str(call.lease.token), *of_then]
        return self._operations.reassert(lease, call.slot), str

    def _open(self, call: calls.Open) -> Any:
        witness = Witness(ELSEWHERE if call.elsewhere else self._server, str(call.token))
        return self._operations.open(witnessed=witness), lambda opened: self._number(opened.incarnation)

    def _release(self, call: calls.Release) -> Any:
        token = "" if call.token is None else str(call.token)
        operation = self._operations.release(
            call.slot,
            crashed=call.crashed,
            failed=call.failed,
            failure=LOST,
            token=token,
            retry_after=None if call.retry is None else call.retry / 1000,
            incident=BEFELL if call.failed or call.crashed else b"",
        )
        return operation, _released

    def _mark(self, call: calls.Mark) -> Any:
        incident = BEFELL if call.what == "stalled" else b""
        return self._operations.mark(call.id, str(call.token), Mark(call.what), incident), str

    def _renew(self, call: calls.Renew) -> Any:
        return self._operations.renew(call.worker, call.queues, call.slots), self._renewed

    def _renewed(self, answers: Any) -> Answer:
        slots = [
            calls.Renewed(each.slot, str(each.verdict), each.run_id, int(each.token) if each.token else None)
            for each in answers.slots
        ]
        return calls.Renewals(self._number(answers.incarnation), tuple(slots))

    def _retire(self, call: calls.Retire) -> Any:
        return self._operations.retire(call.worker, call.queues), _nothing

    def _pause(self, call: calls.Pause) -> Any:
        return self._operations.pause(call.queue, paused=call.paused), bool

    def _limit(self, call: calls.Limit) -> Any:
        return self._operations.limit(call.name, call.number, "job:any"), bool

    def _cancel(self, call: calls.Cancel) -> Any:
        return self._operations.cancel(call.id, call.interest, force=call.force), str

    def _sweep(self, call: calls.Sweep) -> Any:
        return self._operations.sweep(call.interval / 1000, LOST, incident=BEFELL), _swept

    def _invalidate(self, call: calls.Invalidate) -> Any:
        return self._operations.invalidate(key=call.key, label=call.label), _nothing

    def _load(self, call: calls.Load) -> Any:
        return self._operations.load(call.id, watch=call.watch / 1000, result=True, interest=call.interest), _loaded

    def _owned(self, call: calls.Owned) -> Any:
        return self._operations.owned(call.id, call.owner), bool

    def _list(self, call: calls.ListRuns) -> Any:
        state = State(call.state) if call.state else None
        return self._operations.list(state, call.limit, owner=call.owner or None), _listed

    def _lease(self, run_id: str, token: int, incarnation: int) -> answered.Lease:
        """As its holder has it; of a lease only these are told."""
        return answered.Lease(
            run_id, str(token), self._incarnations[incarnation], "", "", b"", 1, 0, 1.0, 1, watched=False
        )

    def _number(self, incarnation: str) -> int:
        if incarnation not in self._incarnations:
            self._incarnations.append(incarnation)
        return self._incarnations.index(incarnation)

    # Accidents --------------------------------------------------------------------------------------------------------

    def _commands(self, accident: Accident) -> list[Command]:
        match accident:
            case calls.Evict():
                return [("DEL", f"{self._prefix}run:{accident.id}")]
            case calls.PopMarker():
                return [("LPOP", f"{self._prefix}bell:{accident.queue}")]
            case calls.Rollback():
                restored = [("RESTORE", name, end, dump) for name, dump, end in self._copy]
                return [("DEL", *self._keys()), *restored, ("HSET", self._partition, "server", ELSEWHERE)]
            case calls.Flush():
                founding = self._operations.open(founding=1)
                self._number(str(founding.arguments[2]))
                return [("DEL", *self._keys()), self._command(founding)]
            case _:
                return []

    def _found(self) -> None:
        operation = self._operations.open(founding=1)
        opened = operation.read(self._wire.send([self._command(operation)])[0])
        self._number(opened.incarnation)
        self._server = opened.server

    def _take_copy(self) -> None:
        keys = self._keys()
        replies = self._wire.send([(command, key) for key in keys for command in ("DUMP", "PTTL")])
        dumps = zip(keys, replies[0::2], replies[1::2], strict=True)
        self._copy = [(key, dump, 0 if end < 0 else max(end, 1)) for key, dump, end in dumps]

    def _keys(self) -> list[bytes]:
        return list(self._wire.send([("KEYS", f"{self._prefix}*")])[0])


# How calls are put as the store is asked ------------------------------------------------------------------------------


def _submission(call: calls.Submit) -> Submission:
    kind = call.kind
    conditions = Conditions(
        job=json.dumps(kind.name),
        queue=kind.queue,
        terms=_terms(kind),
        labels=" ".join([f"job:{kind.name}", *call.tag_labels]),
        tags=" ".join(call.tag_labels),
        owner=call.owner,
        reuse=Reuse(call.reuse),
        priority=call.priority,
        start=str(call.at) if call.at is not None else f"+{call.delay}" if call.delay else "",
        interest=call.interest if call.owner else "",
    )
    limits = " ".join(f"{name} {number}" for name, number in call.limits)
    return Submission(
        id=call.id, conditions=conditions, key=call.key, limits=limits, work=work_of(kind.name, "1", call.work.encode())
    )


def _terms(kind: Kind) -> bytes:
    terms = Terms(
        max_attempts=kind.max_attempts,
        max_crashes=kind.max_crashes,
        keep=kind.keep,
        undeliverable=kind.undeliverable,
        lease=kind.lease,
        cache_ttl=kind.cache_ttl,
        stale_ttl=kind.stale_ttl or None,
        failure_ttl=kind.failure_ttl or None,
        refresh=int(kind.refresh),
        throttle=kind.throttle or None,
        debounce=kind.debounce or None,
        longest_debounce=kind.longest_debounce or None,
        abandon_after=kind.abandon_after,
        expires=kind.expires,
        max_queued=kind.max_queued,
        public_result=1,
    )
    return msgspec.json.encode(terms)


def _progress(done: int) -> bytes:
    return b'{"done":%d}' % done


# How the store's answers are put as the model's -----------------------------------------------------------------------


def _answer(operation: Operation[Any], put: Callable[[Any], Answer], replies: list[Any]) -> Answer:
    try:
        return put(operation.read(replies[0]))
    except RunNotFound:
        return calls.Missing()
    except SlotDead:
        return calls.Dead()
    except QueueFull:
        return calls.Full()


def _nothing(_reply: object) -> None:
    return None


def _admitted(admitted: Any) -> Any:
    if isinstance(admitted, answered.Full):
        return calls.Full()
    result = None if admitted.result is None else admitted.result.decode()
    ms = round(admitted.seconds * 1000)
    return calls.Admitted(str(admitted.admission), admitted.id, result, admitted.refresh_id, ms)


def _reported(reported: Any) -> Answer:
    return calls.Reported(str(reported.verdict), reported.watched)


def _released(released: Any) -> Answer:
    return calls.Released(str(released[0]), released[1])


def _swept(swept: Any) -> Answer:
    return calls.Swept(swept.swept, swept.expired, _milliseconds(swept.next_due))


def _loaded(loaded: Any) -> Answer:
    snapshot = loaded.snapshot
    return calls.Loaded(
        state=str(snapshot.state),
        start=snapshot.start,
        attempt=snapshot.attempt,
        due=_milliseconds(snapshot.due_at),
        explained=snapshot.error is not None,
        done=snapshot.progress.done,
        position=snapshot.queue.position,
        workers=snapshot.queue.workers,
        paused=snapshot.queue.paused,
        cancellable=snapshot.cancellable,
        stopping=snapshot.stopping,
        stalled=snapshot.stalled,
        befell=_befell(loaded.incident),
        result=None if loaded.result is None else loaded.result.decode(),
        lost=loaded.lost_worker,
        refuse_until=_milliseconds(loaded.retry_at),
    )


def _befell(incident: Incident | None) -> tuple[int, int, int] | None:
    return None if incident is None else (incident.start, incident.attempt, int(incident.progress.done))


def _listed(page: Any) -> Answer:
    return tuple(snapshot.id for _, snapshot in page.rows)


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
