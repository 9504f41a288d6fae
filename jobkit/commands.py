"""Commands: what workers can be asked while they run, how they are asked, and what they answer.

A request is published on one channel that all workers of the namespace hear; each that it is meant for answers on a
channel of the request's own. Who asks hears that channel first, then asks, and waits until every living worker that is
meant has answered, or the time is over. Publishing may lose a message, so silence proves nothing but silence.

What is asked and answered is data, and `Asking` does no I/O: blocking and awaiting callers share it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import msgspec

from jobkit.errors import BadArguments, UnknownWorker
from jobkit.fleet import Performing, WorkerInfo, known_worker

if TYPE_CHECKING:
    from jobkit.store.replies import Announced

T = TypeVar("T")

Workers = str | Iterable[str] | None
"""Who is meant: a worker by its name or the beginning of it, several, or all."""

# What can be asked ----------------------------------------------------------------------------------------------------


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be done; the fields are its arguments, `answer` is the type of what a worker answers."""

    name: ClassVar[str]
    answer: ClassVar[Any] = None


class Ping(Command, frozen=True, kw_only=True):
    """Are you there?"""

    name = "ping"


class Stats(Command, frozen=True, kw_only=True):
    """How are you, as of now?"""

    name = "stats"
    answer = WorkerInfo


class Runs(Command, frozen=True, kw_only=True):
    """What are you performing?"""

    name = "runs"
    answer = tuple[Performing, ...]


class Stop(Command, frozen=True, kw_only=True):
    """End: as on SIGTERM, or by `force` as on the second one."""

    name = "stop"
    force: bool = False


class Resize(Command, frozen=True, kw_only=True):
    """Perform so many runs more, or fewer, at a time. The answer is how many."""

    name = "resize"
    answer = int
    by: int


class Queues(Command, frozen=True, kw_only=True):
    """Serve these queues too (weights, 0 for none), and no longer those. The answer is which are served."""

    name = "queues"
    answer = dict[str, int]
    add: dict[str, int] = {}
    remove: tuple[str, ...] = ()


class LogLevel(Command, frozen=True, kw_only=True):
    """Log from this level on, children included."""

    name = "log-level"
    level: str


class Restart(Command, frozen=True, kw_only=True):
    """Replace the children by new ones, each when it has nothing to perform. The answer is how many."""

    name = "restart"
    answer = int


COMMANDS: Mapping[str, type[Command]] = {
    command.name: command for command in (Ping, Stats, Runs, Stop, Resize, Queues, LogLevel, Restart)
}

# How it is asked and answered -----------------------------------------------------------------------------------------


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is published. `workers` are the names of those that are meant; None means all of them."""

    id: str
    command: str
    arguments: msgspec.Raw
    workers: tuple[str, ...] | None = None


class Answered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker publishes in return; `error` says why it did not do it."""

    worker: str
    value: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None


class Reply(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One worker's answer, after `seconds`. `error` says why it did not do what was asked; then there is no `value`."""

    worker: str
    value: T | None = None
    error: str | None = None
    seconds: float = 0.0


class Answers(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """All that was answered in time, by worker, and who should have answered and has not."""

    replies: tuple[Reply[T], ...]
    silent: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Reply[T]]:
        return iter(self.replies)

    def __len__(self) -> int:
        return len(self.replies)


class Asking(Generic[T]):
    """One request and what comes back. `over` is called, in whatever thread hears, when nobody is waited for."""

    def __init__(self, command: Command, workers: Workers, over: Callable[[], object]) -> None:
        self.id = os.urandom(8).hex()
        self._command = command
        self._wanted = _names(workers)
        self._over = over
        self._lock = threading.Lock()
        self._asked_at = time.monotonic()
        self._awaited: set[str] | None = None
        self._replies: dict[str, Reply[T]] = {}

    def message(self, known: tuple[Announced, ...]) -> bytes:
        """The request, to the workers that are meant among those that are known.

        Raises:
            UnknownWorker: somebody is meant who is not known.
        """
        listed = {each.worker: known_worker(each.worker, each.about, each.silence, 0.0).alive for each in known}
        meant = None if self._wanted is None else tuple(_meant(name, listed) for name in self._wanted)
        with self._lock:
            self._asked_at = time.monotonic()
            self._awaited = {name for name, alive in listed.items() if alive} if meant is None else set(meant)
        self._end_if_all_answered()
        arguments = msgspec.Raw(msgspec.json.encode(self._command))
        return msgspec.json.encode(Request(id=self.id, command=self._command.name, arguments=arguments, workers=meant))

    def hear(self, published: bytes | None) -> None:
        """An answer; None after a gap, in which some may have been lost."""
        if published is None:
            return
        with suppress(msgspec.MsgspecError):  # not ours, or of a version that speaks otherwise
            reply = self._read(_ANSWERED.decode(published))
            with self._lock:
                self._replies[reply.worker] = reply
            self._end_if_all_answered()

    def answers(self) -> Answers[T]:
        with self._lock:
            replies = [self._replies[worker] for worker in sorted(self._replies)]
            silent = sorted((self._awaited or set()) - self._replies.keys())
        return Answers(replies=tuple(replies), silent=tuple(silent))

    def _read(self, answered: Answered) -> Reply[T]:
        value = None
        if answered.error is None and self._command.answer is not None:
            value = msgspec.json.decode(answered.value, type=self._command.answer)
        seconds = time.monotonic() - self._asked_at
        return Reply(worker=answered.worker, value=value, error=answered.error, seconds=seconds)

    def _end_if_all_answered(self) -> None:
        with self._lock:
            over = self._awaited is not None and self._awaited <= self._replies.keys()
        if over:
            self._over()


_ANSWERED = msgspec.json.Decoder(Answered)


def _names(workers: Workers) -> tuple[str, ...] | None:
    if workers is None:
        return None
    names = (workers,) if isinstance(workers, str) else tuple(workers)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise BadArguments(f"worker={workers!r:.80}: give the name of a worker, several, or None for all of them.")
    return names


def _meant(name: str, listed: Mapping[str, bool]) -> str:
    """The worker of this name, or the only one whose name begins so; of those, one that is alive."""
    if name in listed:
        return name
    close = [other for other in listed if other.startswith(name)]
    close = [other for other in close if listed[other]] or close
    if len(close) == 1:
        return close[0]
    there = f"There are {', '.join(sorted(close or listed))}." if listed else "No worker has told of itself yet."
    what = "Several workers' names begin with" if close else "There is no worker"
    raise UnknownWorker(f"{what} {name!r:.80}. {there}")
