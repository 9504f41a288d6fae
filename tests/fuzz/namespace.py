"""The real store, one event at a time: performs it at a given moment, and brings its answer and all that is stored.

The one module that knows how `jobkit.store.operations` is asked and how its replies read. Each event is one round trip
and one transaction: set the partition's clock, run the script, read every key. A transaction sees one server time, so
the script runs at exactly the µs that the model reckons with, and a walk is the same whenever it is repeated.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobkit.errors import RunNotFound
from jobkit.lifecycle import Outcome, State
from jobkit.store import operations as asking
from jobkit.store.operations import Operation, Operations, Reuse, Script, Submission, failure_head
from jobkit.store.replies import Lease, SlotDead
from tests.fuzz.calls import (
    Accident,
    Admitted,
    Answer,
    Call,
    Cancel,
    Copy,
    Dead,
    Event,
    Evict,
    Expire,
    Flush,
    Leased,
    ListRuns,
    Load,
    Loaded,
    Missing,
    NoWork,
    Owned,
    PopMarker,
    Release,
    Released,
    Renew,
    Renewed,
    Report,
    Reported,
    Retire,
    Rollback,
    Settle,
    Submit,
    Sweep,
    Swept,
    Take,
)
from tests.fuzz.stored import Stored
from tests.fuzz.wire import Command, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).parent
SET_CLOCK = (HERE / "set_clock.lua").read_text("utf-8")
READ_ALL = (HERE / "read_all.lua").read_text("utf-8")
LOST = failure_head("Its worker was lost.")
ENDING = ("run:", "key:", "slot:")
SHORT = 60_000
"""ms; what ends sooner is prolonged, so that a slow machine does not end it before the walk does."""
FAILED = failure_head("It did not work.")


class Namespace:
    """One namespace of a server that nobody else uses. `published` is what the last event published."""

    def __init__(self, address: Path, name: str) -> None:
        self._wire = Wire(address)
        self._operations = Operations(name)
        self._prefix = self._operations.prefix()
        self._partition = f"{self._prefix}partition"
        self._clock, self._read = [reply.decode() for reply in self._wire.send(_loading(SET_CLOCK, READ_ALL))]
        self._scripts = {name: _with_skew(script) for name, script in asking.SCRIPTS.items()}
        for name, reply in zip(self._scripts, self._wire.send(_loading(*self._sources())), strict=True):
            assert not isinstance(reply, Exception), f"{name}.lua: {reply}"
        self._wire.listen(f"{self._prefix}*")
        self._incarnations: list[str] = []
        self._copy: list[tuple[bytes, bytes, int]] = []
        self.stored = Stored()
        self._open()

    @property
    def published(self) -> list[tuple[str, str]]:
        return [(channel.removeprefix(self._prefix), text) for channel, text in self._wire.published]

    def perform(self, now_us: int, event: Event, over: Sequence[str]) -> Answer:
        """Let it happen at this moment; the keys named in `over` have come to their end by then."""
        self._wire.published.clear()
        if isinstance(event, Flush | Rollback):
            self.stored = Stored()
        clock = self._set_clock(now_us, over)
        match event:
            case Evict() | Expire() | PopMarker() | Copy() | Rollback() | Flush():
                commands: list[Command] = self._commands(event)
                read: Callable[[Any], Answer] = _nothing
            case _:
                operation, read = self._asked(event)
                commands = [
                    ("EVALSHA", self._scripts[operation.script.name].sha, 1, operation.key, *operation.arguments)
                ]
                read = partial(_answer, operation, read)
        last = ("EVALSHA", self._read, 0, self._prefix)
        replies = self._wire.send([("MULTI",), clock, *commands, last, ("EXEC",)])[-1]
        trouble = next((reply for reply in (replies, *replies) if isinstance(reply, Exception)), None)
        if trouble is not None:
            raise AssertionError(f"The server answered {trouble}")
        self.stored.read(replies[-1])
        if isinstance(event, Copy):
            self._take_copy()
        return read(replies[1:-1])

    def close(self) -> None:
        self._wire.send([("DEL", *keys)] if (keys := self._keys()) else [])
        self._wire.close()

    def _sources(self) -> list[str]:
        return [script.source for script in self._scripts.values()]

    def _set_clock(self, now_us: int, over: Sequence[str]) -> Command:
        short = [name for name, end in self.stored.ttl.items() if 0 < end < SHORT and name.startswith(ENDING)]
        keys = [self._prefix + name for name in (*over, *short)]
        return ("EVALSHA", self._clock, 1, self._partition, now_us, len(over), *keys)

    # Calls ------------------------------------------------------------------------------------------------------------

    def _asked(self, call: Call) -> tuple[Operation[Any], Callable[[Any], Answer]]:
        """The operation of a call, and how its reply is put as the model puts it."""
        ask = self._operations
        match call:
            case Submit():
                return ask.submit(_submission(call)), _admitted
            case Take():
                return ask.take(call.slot, call.nonce, call.queues, call.lease / 1000), self._taken
            case Report():
                progress = b'{"done":%d}' % call.done
                return ask.report(call.id, str(call.token), call.sequence, progress), _reported
            case Settle():
                return self._settling(call), str
            case Release():
                token = "" if call.token is None else str(call.token)
                return ask.release(call.slot, crashed=call.crashed, failure=LOST, token=token), _released
            case Renew():
                return ask.renew(call.worker, call.queues, call.slots), _renewed
            case Retire():
                return ask.retire(call.worker, call.queues), _nothing
            case Cancel():
                return ask.cancel(call.id, call.interest, force=call.force), str
            case Sweep():
                return ask.sweep(call.interval / 1000, LOST), _swept
            case Load():
                return ask.load(call.id, watch=call.watch / 1000, result=True), _loaded
            case Owned():
                return ask.owned(call.id, call.owner), bool
            case ListRuns():
                return ask.list(State(call.state) if call.state else None, call.limit), _listed
            case _:
                raise NotImplementedError(f"the store's scripts cannot do this yet: {call}")

    def _settling(self, call: Settle) -> Operation[Any]:
        progress = b"" if call.done is None else b'{"done":%d}' % call.done
        return self._operations.settle(
            call.id, str(call.token), Outcome(call.outcome), progress=progress, result=call.result.encode(),
            failure=FAILED, delay=call.delay / 1000, reason=call.reason,
        )  # fmt: skip

    def _taken(self, taken: Any) -> Answer:
        if not isinstance(taken, Lease):
            return NoWork(_milliseconds(taken.next_due))
        return Leased(
            taken.run_id, int(taken.token), self._incarnations.index(taken.incarnation), taken.start,
            round(taken.duration * 1000), taken.arguments.decode(), taken.watched,
        )  # fmt: skip

    # Accidents --------------------------------------------------------------------------------------------------------

    def _commands(self, accident: Accident) -> list[Command]:
        match accident:
            case Evict():
                return [("DEL", f"{self._prefix}run:{accident.id}")]
            case PopMarker():
                return [("LPOP", f"{self._prefix}bell:{accident.queue}")]
            case Rollback():
                return [("DEL", *self._keys()), *(("RESTORE", name, end, dump) for name, dump, end in self._copy)]
            case Flush():
                operation = self._operations.open()
                founding = ("EVAL", operation.script.source, 1, operation.key, *operation.arguments)
                self._incarnations.append(str(operation.arguments[1]))
                return [("DEL", *self._keys()), founding]
            case _:
                return []

    def _open(self) -> None:
        operation = self._operations.open()
        reply = self._wire.send([("EVAL", operation.script.source, 1, operation.key, *operation.arguments)])[0]
        self._incarnations.append(operation.read(reply).incarnation)

    def _take_copy(self) -> None:
        keys = self._keys()
        replies = self._wire.send([(command, key) for key in keys for command in ("DUMP", "PTTL")])
        self._copy = [
            (key, dump, max(end, 0)) for key, dump, end in zip(keys, replies[0::2], replies[1::2], strict=True)
        ]

    def _keys(self) -> list[bytes]:
        return list(self._wire.send([("KEYS", f"{self._prefix}*")])[0])


def _loading(*sources: str) -> list[Command]:
    return [("SCRIPT", "LOAD", source) for source in sources]


def _with_skew(script: Script) -> Script:
    """The script as it will be when the partition has a `skew`: until then that one line is put in."""
    if "skew" in script.source or "now_us" not in script.source:
        return script
    plain = "local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])"
    assert script.source.count(plain) == 1, "the prelude reads the clock in another way: teach tests/fuzz about it"
    source = script.source.replace(plain, f"{plain} + tonumber(redis.call('HGET', KEYS[1], 'skew') or '0') * 1000")
    return Script(script.name, source, sha1(source.encode(), usedforsecurity=False).hexdigest())


def _submission(call: Submit) -> Submission:
    kind = call.kind
    return Submission(
        id=call.id,
        head=b'{"id":"%s","job":"%s"' % (call.id.encode(), kind.name.encode()),
        job=kind.name,
        queue=kind.queue,
        key=call.key,
        arguments=call.work.encode(),
        priority=call.priority,
        delay=call.delay,
        at=call.at,
        lease=kind.lease,
        max_attempts=1,
        max_crashes=kind.max_crashes,
        keep=kind.keep,
        cache_ttl=kind.cache_ttl,
        undeliverable=kind.undeliverable,
        public_result=True,
        cache_version="1",
        interest=call.interest,
        owner=call.owner,
        reuse=Reuse(call.reuse),
        tags=b"[]",
    )


# How the store's answers are put as the model's ------------------------------------------------------------------------


def _answer(operation: Operation[Any], put: Callable[[Any], Answer], replies: list[Any]) -> Answer:
    try:
        return put(operation.read(replies[0]))
    except RunNotFound:
        return Missing()
    except SlotDead:
        return Dead()


def _nothing(_reply: object) -> None:
    return None


def _admitted(admitted: Any) -> Answer:
    result = None if admitted.result is None else admitted.result.decode()
    return Admitted(str(admitted.admission), admitted.id, result)


def _reported(reported: Any) -> Answer:
    return Reported(str(reported.verdict), reported.watched)


def _released(released: Any) -> Answer:
    return Released(str(released[0]), released[1])


def _renewed(answers: Any) -> Answer:
    return tuple(
        Renewed(slot.slot, str(slot.verdict), slot.run_id, int(slot.token) if slot.token else None) for slot in answers
    )


def _swept(swept: Any) -> Answer:
    return Swept(swept.swept, swept.expired, _milliseconds(swept.next_due))


def _loaded(loaded: Any) -> Answer:
    snapshot = loaded.snapshot
    return Loaded(
        state=str(snapshot.state),
        start=snapshot.start,
        done=snapshot.progress.done,
        position=snapshot.queue.position,
        workers=snapshot.queue.workers,
        cancellable=snapshot.cancellable,
        result=None if loaded.result is None else loaded.result.decode(),
        lost=loaded.lost_worker,
    )


def _listed(page: Any) -> Answer:
    return tuple(snapshot.id for snapshot in page.snapshots)


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
