"""How operations are talked through with a server that may not answer: once, without any I/O.

`conversation` is a generator: it yields what to do next (`Send` commands, `Pause`, `Open` the partition), is sent the
replies, and returns the operations' values. The sync and the async client only carry out its wishes, so retry, script
loading, opening and errors exist once.

Sending again is safe because every script is idempotent by a name its caller made; the client library's own retry
is off, since it would hide from us that a reply was lost.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from redis import exceptions as redis_errors

from jobkit.errors import StoreError, StoreMisconfigured, StoreUnavailable
from jobkit.store.script import LIBRARY

if TYPE_CHECKING:
    from jobkit.store.operations import Operation, Operations
    from jobkit.store.replies import Opened

T = TypeVar("T")

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
OPEN_FOR = 60.0
"""Seconds after which a partition is opened again: when its data was lost, another process may have founded it anew,
with another secret."""

_PASSING = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.BusyLoadingError,
    redis_errors.ReadOnlyError,
    redis_errors.TryAgainError,
    redis_errors.MasterDownError,
    redis_errors.ClusterDownError,
)
_REFUSING = (redis_errors.AuthenticationError, redis_errors.NoPermissionError)


@dataclass(frozen=True, slots=True)
class Send:
    """Send these commands in one round trip; answer with a list of replies, or with the error that broke it."""

    commands: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Pause:
    """The connection broke: wait `seconds`, and make sure that there is a server to connect to."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Open:
    """The partition is not open (a new or an emptied store): open it."""


Wish = Send | Pause | Open
Answer = list[Any] | Exception | None
Conversation = Generator[Wish, Answer, T]


def conversation(operations: Sequence[Operation[Any]], patience: float, where: str) -> Conversation[list[Any]]:
    """Talk operations through, all in one round trip; after any trouble all are sent again.

    `patience` is for how many seconds an unreachable store is tried again.

    Raises:
        StoreUnavailable: it stayed unreachable for that long.
        StoreMisconfigured: it answers, but cannot be used.
    """
    give_up_at = time.monotonic() + patience
    pauses = backoff()
    commands = [operation.command() for operation in operations]
    while True:
        replies = yield Send(commands)
        trouble = _first_error(replies)
        match trouble:
            case None:
                assert isinstance(replies, list)
                return [op.read(reply) for op, reply in zip(operations, replies, strict=True)]
            case redis_errors.ResponseError() if "Function not found" in str(trouble):
                yield from _load_library(where)
            case redis_errors.ResponseError() if str(trouble).startswith("NOPARTITION"):
                yield Open()
            case Exception() if isinstance(trouble, _PASSING) and not isinstance(trouble, _REFUSING):
                if time.monotonic() >= give_up_at:
                    raise StoreUnavailable(f"The store at {where} does not answer: {trouble}") from trouble
                yield Pause(next(pauses))
            case _:
                raise _refused(trouble, where) from trouble


def _load_library(where: str) -> Generator[Wish, Answer, None]:
    """Teach the server the scripts. Trouble with the connection shows when they are called again."""
    trouble = _first_error((yield Send([("FUNCTION", "LOAD", LIBRARY.source)])))
    refused = isinstance(trouble, redis_errors.ResponseError) and not isinstance(trouble, _PASSING)
    if trouble is not None and refused and "already exists" not in str(trouble):  # else another client was faster
        raise _refused(trouble, where) from trouble


def opening(operations: Operations, patience: float, where: str) -> Conversation[Opened]:
    """Open the partition, of a server that is fit to keep runs.

    Raises:
        StoreUnavailable: it stayed unreachable for `patience` seconds.
        StoreMisconfigured: it keeps another format, or may throw away live runs.
    """
    opened: Opened = (yield from conversation((operations.open(),), patience, where))[0]
    memory = yield Send([("INFO", "memory")])
    if isinstance(memory, list) and isinstance(memory[0], bytes):  # some services forbid INFO
        _check_policy(memory[0], where)
    return opened


def backoff() -> Generator[float, None, None]:
    """Pauses in seconds, doubling, with full jitter, so that many clients do not come back in step."""
    pause = FIRST_PAUSE
    while True:
        yield random.uniform(pause / 2, pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def _first_error(replies: Answer) -> Exception | None:
    if isinstance(replies, Exception):
        return replies
    return next((reply for reply in replies or () if isinstance(reply, Exception)), None)


def _refused(trouble: Exception, where: str) -> StoreError:
    """The error for a store that answers, but will not serve."""
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
