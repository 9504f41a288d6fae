"""How operations are talked through with servers that may not answer: once, without any I/O.

`conversation` is a generator: it yields what to do next (`Send` commands, `Pause`), is sent the replies, and returns
the operations' values. The sync and the async client only carry out its wishes, so retry, script loading, opening and
errors exist once.

Each partition is talked to by itself: what one has answered stays, while another is still asked again. A partition is
opened before it is first used, once a minute, and after any trouble: it may have come back as another.

Sending again is safe because every script is idempotent by a name its caller made; the client library's own retry
is off, since it would hide from us that a reply was lost.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Generator, Mapping, Sequence
from enum import Enum, auto
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, assert_never, cast

import msgspec
from redis import exceptions as redis_errors

from jobkit.errors import StoreError, StoreMisconfigured, StoreUnavailable
from jobkit.store import replies
from jobkit.store.replies import Lease, Renewals, SettledAndTaken
from jobkit.store.script import LIBRARY

if TYPE_CHECKING:
    from jobkit.store.operations import Operation
    from jobkit.store.partitions import Partitions

T = TypeVar("T")

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5

_PASSING = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.BusyLoadingError,
    redis_errors.ReadOnlyError,
    redis_errors.TryAgainError,
    redis_errors.AskError,
    redis_errors.MovedError,
    redis_errors.MasterDownError,
    redis_errors.ClusterDownError,
)
_PASSING_CODES = ("NOREPLICAS",)  # the client library has no class for it
_REFUSING = (redis_errors.AuthenticationError, redis_errors.NoPermissionError)

Command = tuple[Any, ...]
Answer = list[Any] | Exception
"""The replies to some commands, or the error that broke the connection."""


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send each partition its commands, in one round trip a server; answer with what each partition answered."""

    commands: Mapping[int, list[Command]]


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Wait `seconds`, then look anew for the servers of these partitions."""

    seconds: float
    troubled: Sequence[int]


class _Topic(Enum):
    """What is said to a partition: the scripts, that it should open, or the operations themselves."""

    TEACH = auto()
    OPEN = auto()
    ASK = auto()


Wish = Send | Pause
Answers = dict[int, Answer]
Conversation = Generator[Wish, Answers | None, T]


def conversation(
    operations: Sequence[Operation[Any]], partitions: Partitions, patience: float
) -> Conversation[list[Any]]:
    """Talk operations through: those of a partition in one round trip, in this order; all of them again after trouble.

    Returns their values. Where a partition could not be used that is a StoreError: StoreUnavailable when it stayed
    unreachable for `patience` seconds, StoreMisconfigured when it answers, but not as it should.
    """
    asked: dict[int, list[Operation[Any]]] = {}
    for operation in operations:
        asked.setdefault(operation.partition, []).append(operation)
    settled = yield from _talk_through(asked, partitions, patience)
    left = {partition: iter(_values(asked[partition], answer, partitions)) for partition, answer in settled.items()}
    return [next(left[operation.partition]) for operation in operations]


def values_at_once(operations: Sequence[Operation[Any]], answer: Answer, partitions: Partitions) -> list[Any] | None:
    """The values, if a first try was answered as it nearly always is; None where there is something to talk about.

    After any trouble every partition has to be opened again.
    """
    if first_error(answer) is not None:
        partitions.close_all()
        return None
    return _values(operations, cast("list[Any]", answer), partitions)


def opening(partition: int, partitions: Partitions, patience: float) -> Conversation[None]:
    """Open a partition now; first of all partition 0 while it is not known how many there are.

    Raises:
        StoreUnavailable: it stayed unreachable for `patience` seconds.
        StoreMisconfigured: it keeps another format, or may throw away live runs.
    """
    partitions.close(partition)
    trouble = (yield from _talk_through({partition: []}, partitions, patience))[partition]
    if isinstance(trouble, StoreError):
        raise trouble


def checked(values: list[Any]) -> list[Any]:
    """The values, when all operations could be carried out.

    Raises:
        StoreError: the first of them.
    """
    for value in values:
        if isinstance(value, StoreError):
            raise value
    return values


def joined(partitions: Sequence[int], commands: Mapping[int, list[Command]]) -> list[Command]:
    """The commands to these partitions, for one server that has them all."""
    if len(partitions) == 1:
        return commands[partitions[0]]
    return [command for partition in partitions for command in commands[partition]]


def shared_out(answer: Answer, partitions: Sequence[int], commands: Mapping[int, list[Command]]) -> Answers:
    """The answer to what was `joined`, by partition again."""
    if len(partitions) == 1 or isinstance(answer, Exception):
        return dict.fromkeys(partitions, answer)
    replies = iter(answer)
    return {partition: list(islice(replies, len(commands[partition]))) for partition in partitions}


def first_error(answer: Answer) -> Exception | None:
    """What went wrong first, if anything did."""
    if isinstance(answer, Exception):
        return answer
    for reply in answer:
        if isinstance(reply, Exception):
            return reply
    return None


def backoff() -> Generator[float, None, None]:
    """Pauses in seconds, doubling, with full jitter, so that many clients do not come back in step."""
    pause = FIRST_PAUSE
    while True:
        yield random.uniform(pause / 2, pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def _talk_through(
    asked: Mapping[int, list[Operation[Any]]], partitions: Partitions, patience: float
) -> Conversation[dict[int, list[Any] | StoreError]]:
    """What each partition has answered in the end."""
    answers: Answers | None = None
    talk = _Talk(asked, partitions)
    give_up_at = time.monotonic() + patience
    pauses = backoff()
    while True:
        troubles = talk.heed(answers or {})
        if troubles:
            giving_up = time.monotonic() >= give_up_at
            yield Pause(0.0 if giving_up else next(pauses), list(troubles))
            if giving_up:
                talk.give_up(troubles)
        commands = talk.commands()
        if not commands:
            return talk.settled
        answers = yield Send(commands)


def _values(operations: Sequence[Operation[Any]], answer: list[Any] | StoreError, partitions: Partitions) -> list[Any]:
    if isinstance(answer, StoreError):
        return [answer] * len(operations)
    values = [operation.read(reply) for operation, reply in zip(operations, answer, strict=True)]
    for value in values:
        if type(value) in _WITH_TOKENS:
            partitions.witness(operations[0].partition, value)
    return values


_WITH_TOKENS = (Lease, Renewals, SettledAndTaken)


class _Talk:
    """What was said to each partition, and what it has answered in the end."""

    def __init__(self, asked: Mapping[int, list[Operation[Any]]], partitions: Partitions) -> None:
        self.settled: dict[int, list[Any] | StoreError] = {}
        self._waiting = dict(asked)
        self._partitions = partitions
        self._topics: dict[int, _Topic] = {}
        self._opened: set[int] = set()
        self._untaught: set[int] = set()
        """Those whose server lacks the scripts."""

    def commands(self) -> dict[int, list[Command]]:
        """What to say next, by partition; nothing when all have answered."""
        number = self._partitions.number
        if number is None and self._waiting:
            return {0: self._say(0, _Topic.OPEN)}
        commands = {}
        for partition, operations in tuple(self._waiting.items()):
            if partition >= (number or 0):
                self._settle(partition, [None] * len(operations))
            elif partition not in self._opened and not self._partitions.is_open(partition):
                commands[partition] = self._say(partition, _Topic.OPEN)
            elif operations:
                commands[partition] = self._say(partition, _Topic.ASK)
            else:
                self._settle(partition, [])
        return commands

    def heed(self, answers: Answers) -> dict[int, Exception]:
        """Take the answers in. Returns the troubles they tell of that may pass, by partition."""
        troubles = {}
        for partition, answer in answers.items():
            topic = self._topics.get(partition, _Topic.ASK)
            trouble = _trouble(topic, answer)
            if trouble is not None:
                if self._may_pass(partition, trouble):
                    troubles[partition] = trouble
            else:
                self._take_in(partition, topic, cast("list[Any]", answer))
        return troubles

    def give_up(self, troubles: Mapping[int, Exception]) -> None:
        for partition, trouble in troubles.items():
            error = StoreUnavailable(f"The store at {self._partitions.where} does not answer: {trouble}")
            error.__cause__ = trouble
            self._fail(partition, error)

    def _say(self, partition: int, topic: _Topic) -> list[Command]:
        topic = self._topics[partition] = _Topic.TEACH if partition in self._untaught else topic
        match topic:
            case _Topic.TEACH:
                return [("FUNCTION", "LOAD", LIBRARY.source)]
            case _Topic.OPEN:
                return [self._partitions.opening(partition).command(), ("INFO", "memory")]
            case _Topic.ASK:
                return [operation.command() for operation in self._waiting[partition]]
            case _:
                assert_never(topic)

    def _take_in(self, partition: int, topic: _Topic, answer: list[Any]) -> None:
        match topic:
            case _Topic.TEACH:
                self._untaught.discard(partition)
            case _Topic.OPEN:
                self._learn(partition, *answer)
            case _Topic.ASK:
                self._settle(partition, answer)
            case _:
                assert_never(topic)

    def _may_pass(self, partition: int, trouble: Exception) -> bool:
        """Whether waiting may help; else it is clear how to go on at once, or that there is no use in it."""
        match trouble:
            case redis_errors.ResponseError() if "Function not found" in str(trouble):
                self._untaught.add(partition)
            case redis_errors.ResponseError() if str(trouble).startswith("NOPARTITION"):
                self._close(partition)
            case Exception() if _is_passing(trouble, self._partitions.clustered):
                self._opened.clear()
                self._partitions.close_all()
                return True
            case _:
                self._fail(partition, _refused(trouble, self._partitions.where))
        return False

    def _learn(self, partition: int, found: list[bytes], memory: bytes | Exception) -> None:
        """The partition is open, on a server that is fit to keep runs."""
        try:
            opened = replies.opened(found)
            if isinstance(memory, bytes):  # some services forbid INFO
                _check_policy(memory, self._partitions.where)
            self._partitions.learn(partition, opened)
            self._opened.add(partition)
        except StoreMisconfigured as error:
            self._fail(partition, error)

    def _close(self, partition: int) -> None:
        self._partitions.close(partition)
        self._opened.discard(partition)

    def _fail(self, partition: int, error: StoreError) -> None:
        """Without partition 0 nothing is known of the others, so nobody is answered."""
        for waiting in [partition] if partition in self._waiting else tuple(self._waiting):
            self._settle(waiting, error)

    def _settle(self, partition: int, answer: list[Any] | StoreError) -> None:
        del self._waiting[partition]
        self.settled[partition] = answer


def _trouble(topic: _Topic, answer: Answer) -> Exception | None:
    """The error that keeps the answer from being one."""
    if isinstance(answer, list) and topic is _Topic.OPEN:
        return first_error(answer[:1])  # whether INFO is allowed is another matter
    error = first_error(answer)
    return None if topic is _Topic.TEACH and "already exists" in str(error) else error  # another client was faster


def _is_passing(trouble: Exception, clustered: bool) -> bool:
    """Whether it is to be expected that this ends by itself.

    A slot that is being moved is waited for, until it has arrived elsewhere: see `Operation.command`.
    """
    if isinstance(trouble, _REFUSING) or (isinstance(trouble, redis_errors.MovedError) and not clustered):
        return False
    return isinstance(trouble, _PASSING) or str(trouble).startswith(_PASSING_CODES)


def _refused(trouble: Exception, where: str) -> StoreError:
    """The error for a store that answers, but will not serve."""
    if isinstance(trouble, redis_errors.MovedError):
        return StoreMisconfigured(f"The store at {where} is a node of a cluster: name it with redis+cluster://.")
    if isinstance(trouble, redis_errors.OutOfMemoryError):
        return StoreUnavailable(f"The store at {where} is out of memory and takes no writes: {trouble}")
    if str(trouble).startswith("MISCONF"):
        return StoreMisconfigured(f"The store at {where} cannot write to its disk: {trouble}. Make room there.")
    if isinstance(trouble, _REFUSING):
        return StoreMisconfigured(
            f"The store at {where} refuses this login: {trouble}. Check the URL's user and password."
        )
    if str(trouble).startswith("unknown command"):
        return StoreMisconfigured(
            f"The store at {where} knows no functions: jobkit needs Valkey 7.2 or Redis 7.0, or later. ({trouble})"
        )
    return StoreMisconfigured(f"The store at {where} refused an operation: {trouble}")


def _check_policy(memory: bytes, where: str) -> None:
    """Refuse a server that may throw away live runs when its memory is full; `memory` is its `INFO memory`."""
    policy = re.search(rb"maxmemory_policy:(allkeys-\w+)", memory)
    if policy:
        raise StoreMisconfigured(
            f"The store at {where} evicts any key when its memory is full (maxmemory-policy {policy[1].decode()}), "
            "and so would lose queued and running jobs: set maxmemory-policy to noeviction."
        )
