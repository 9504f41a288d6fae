"""Control: the workers of a kit's namespace asked, and its limits changed, while they run: `kit.control`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from jobkit import asking
from jobkit.commands import Asking, LogLevel, Ping, Queues, Resize, Restart, Runs, Stats, Stop
from jobkit.errors import BadArguments, UnknownJob
from jobkit.job import spec_of
from jobkit.limits import MICROSECONDS, Limit, max_running, rate
from jobkit.options import queue_weights
from jobkit.store.operations import CONTROL

if TYPE_CHECKING:
    from jobkit.commands import Answers, Command, Workers
    from jobkit.fleet import Performing, WorkerInfo
    from jobkit.job import ProgressJob
    from jobkit.limits import Queue, Rate
    from jobkit.store.async_client import AsyncStore
    from jobkit.store.client import Store
    from jobkit.store.listening import Listening
    from jobkit.store.operations import Operation, Operations
    from jobkit.store.replies import Override

    Job = type[ProgressJob[Any]] | str | None

USUAL_TIMEOUT = 2.0
"""Seconds that an answer is waited for."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class ChangedLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that is another one than was declared: of a job (its name) or of a queue; `rate` in starts per second."""

    job: str | None = None
    queue: str | None = None
    max_running: int | None = None
    rate: float | None = None


class Kit(Protocol):
    """What this needs of its kit; `JobKit` fits."""

    operations: Operations

    @property
    def jobs(self) -> Mapping[str, type[ProgressJob[Any]]]: ...
    @property
    def queue_rules(self) -> Mapping[str, Queue]: ...
    def store(self) -> Store: ...
    def async_store(self) -> AsyncStore: ...
    def listening(self) -> Listening: ...
    def warn_if_blocking(self, method: str) -> None: ...


class Control:
    """Asks the workers of a kit's namespace: `kit.control`.

    `worker` names one (the beginning of its name will do), or several; None means all. `timeout` (s) is how long an
    answer is waited for. The answers tell who did not answer; a worker that cannot do what was asked says why.

    All methods raise UnknownWorker for a name that nobody bears, BadArguments, and StoreUnavailable.
    """

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def ping(self, worker: Workers = None, *, timeout: float = USUAL_TIMEOUT) -> Answers[None]:
        """Whether they are there, and how soon they answer."""
        return self._ask(Ping(), worker, timeout)

    async def aping(self, worker: Workers = None, *, timeout: float = USUAL_TIMEOUT) -> Answers[None]:
        return await self._aask(Ping(), worker, timeout)

    def stats(self, worker: Workers = None, *, timeout: float = USUAL_TIMEOUT) -> Answers[WorkerInfo]:
        """How they are at this moment; `kit.workers()` is what they last told by themselves."""
        return self._ask(Stats(), worker, timeout)

    async def astats(self, worker: Workers = None, *, timeout: float = USUAL_TIMEOUT) -> Answers[WorkerInfo]:
        return await self._aask(Stats(), worker, timeout)

    def runs(self, worker: Workers = None, *, timeout: float = USUAL_TIMEOUT) -> Answers[tuple[Performing, ...]]:
        """What they perform at this moment."""
        return self._ask(Runs(), worker, timeout)

    async def aruns(self, worker: Workers = None, *, timeout: float = USUAL_TIMEOUT) -> Answers[tuple[Performing, ...]]:
        return await self._aask(Runs(), worker, timeout)

    def stop(self, worker: Workers = None, *, force: bool = False, timeout: float = USUAL_TIMEOUT) -> Answers[None]:
        """End them, as SIGTERM does: running jobs may finish. By `force` at once: runs go back into the queue."""
        return self._ask(Stop(force=force), worker, timeout)

    async def astop(
        self, worker: Workers = None, *, force: bool = False, timeout: float = USUAL_TIMEOUT
    ) -> Answers[None]:
        return await self._aask(Stop(force=force), worker, timeout)

    def grow(self, by: int = 1, worker: Workers = None, *, timeout: float = USUAL_TIMEOUT) -> Answers[int]:
        """Let each perform so many runs more at a time. Answers how many that are."""
        return self._ask(Resize(by=_positive(by)), worker, timeout)

    async def agrow(self, by: int = 1, worker: Workers = None, *, timeout: float = USUAL_TIMEOUT) -> Answers[int]:
        return await self._aask(Resize(by=_positive(by)), worker, timeout)

    def shrink(self, by: int = 1, worker: Workers = None, *, timeout: float = USUAL_TIMEOUT) -> Answers[int]:
        """Let each perform so many runs fewer at a time, at least one; what is running may finish."""
        return self._ask(Resize(by=-_positive(by)), worker, timeout)

    async def ashrink(self, by: int = 1, worker: Workers = None, *, timeout: float = USUAL_TIMEOUT) -> Answers[int]:
        return await self._aask(Resize(by=-_positive(by)), worker, timeout)

    def queues(
        self,
        worker: Workers = None,
        *,
        add: Iterable[str] | Mapping[str, int] = (),
        remove: Iterable[str] = (),
        timeout: float = USUAL_TIMEOUT,
    ) -> Answers[dict[str, int]]:
        """Let them serve these queues too, with these weights, and no longer those. Answers which they serve."""
        return self._ask(_changed_queues(add, remove), worker, timeout)

    async def aqueues(
        self,
        worker: Workers = None,
        *,
        add: Iterable[str] | Mapping[str, int] = (),
        remove: Iterable[str] = (),
        timeout: float = USUAL_TIMEOUT,
    ) -> Answers[dict[str, int]]:
        return await self._aask(_changed_queues(add, remove), worker, timeout)

    def log_level(self, level: str, worker: Workers = None, *, timeout: float = USUAL_TIMEOUT) -> Answers[None]:
        """Let them log from "DEBUG", "INFO", "WARNING" or "ERROR" on, until they end."""
        return self._ask(LogLevel(level=_level(level)), worker, timeout)

    async def alog_level(self, level: str, worker: Workers = None, *, timeout: float = USUAL_TIMEOUT) -> Answers[None]:
        return await self._aask(LogLevel(level=_level(level)), worker, timeout)

    def restart(self, worker: Workers = None, *, timeout: float = USUAL_TIMEOUT) -> Answers[int]:
        """Replace their processes by new ones, which import the code anew; each when it has nothing to perform."""
        return self._ask(Restart(), worker, timeout)

    async def arestart(self, worker: Workers = None, *, timeout: float = USUAL_TIMEOUT) -> Answers[int]:
        return await self._aask(Restart(), worker, timeout)

    # Limits -----------------------------------------------------------------------------------------------------------

    def limit(
        self,
        job: Job = None,
        *,
        queue: str | None = None,
        max_running: int | None = None,
        rate: Rate | None = None,
    ) -> None:
        """Set another limit than a job (its class, or its name) or a queue declares, everywhere and at once.

        It holds for runs that are queued already, too, and until `restore_limits`; a lower one breaks nothing off. Only
        what was declared, of all runs of the job or the queue, can be changed.

        Raises:
            BadArguments: no such limit is declared, or this can be none.
            StoreUnavailable: the store could not be reached; where there are several partitions, say it again.
        """
        self._kit.warn_if_blocking("control.limit")
        for change in self._changes(job, queue, _limits_of(max_running, rate)):
            self._kit.store().everywhere(change)

    async def alimit(
        self,
        job: Job = None,
        *,
        queue: str | None = None,
        max_running: int | None = None,
        rate: Rate | None = None,
    ) -> None:
        for change in self._changes(job, queue, _limits_of(max_running, rate)):
            await self._kit.async_store().everywhere(change)

    def restore_limits(self, job: Job = None, *, queue: str | None = None) -> None:
        """Let what a job or a queue declares hold again."""
        self._kit.warn_if_blocking("control.restore_limits")
        for change in self._changes(job, queue, ()):
            self._kit.store().everywhere(change)

    async def arestore_limits(self, job: Job = None, *, queue: str | None = None) -> None:
        for change in self._changes(job, queue, ()):
            await self._kit.async_store().everywhere(change)

    def limits(self) -> tuple[ChangedLimit, ...]:
        """The limits that are other ones than were declared."""
        self._kit.warn_if_blocking("control.limits")
        return _changed(self._kit.store().everywhere(self._kit.operations.limits))

    async def alimits(self) -> tuple[ChangedLimit, ...]:
        return _changed(await self._kit.async_store().everywhere(self._kit.operations.limits))

    def _changes(
        self, job: Job, queue: str | None, limits: tuple[Limit, ...]
    ) -> list[Callable[[int], Operation[bool]]]:
        """For all partitions, whichever of them it matters to. Without limits: back to what is declared."""
        of, declared = self._declared(job, queue)
        numbers = {limit.kind: limit.number for limit in limits}
        missing = numbers.keys() - declared.keys()
        if missing or not declared:
            names = " or ".join(_OPTIONS[kind] for kind in sorted(missing or _OPTIONS))
            raise BadArguments(
                f"{of.partition(':')[2]} declares no {names} of all its runs, so there is none to be changed: declare "
                + ("it in the class." if queue is None else f"JobKit(queues={{{queue!r}: Queue(…)}}).")
            )
        kinds = numbers or dict.fromkeys(declared)
        return [partial(self._kit.operations.limit, declared[kind], number, of) for kind, number in kinds.items()]

    def _declared(self, job: Job, queue: str | None) -> tuple[str, dict[str, str]]:
        """Whose limits these are, and their names in the store by kind."""
        if (job is None) == (queue is None):
            raise BadArguments("Name what to limit: a job, or queue=...; one of them.")
        if queue is not None:
            name = asking.named("queue", queue)
            rule = self._kit.queue_rules.get(name)
            return f"queue:{name}", {} if rule is None else rule.names(name)
        spec = spec_of(self._job_called(job) if isinstance(job, str) else job)  # type: ignore[arg-type]
        whole = [limit for limit in spec.limits if not limit.fields]
        return f"job:{spec.name}", {limit.kind: limit.name_for(spec.name, None) for limit in whole}

    def _job_called(self, name: str) -> type[ProgressJob[Any]]:
        if name not in self._kit.jobs:
            raise UnknownJob(
                f"There is no job {name!r:.80}. The kit has {', '.join(sorted(self._kit.jobs)) or 'none'}."
            )
        return self._kit.jobs[name]

    # Asking workers ---------------------------------------------------------------------------------------------------

    def _ask(self, command: Command, workers: Workers, timeout: float) -> Answers[Any]:
        self._kit.warn_if_blocking(f"control.{command.name}")
        over, timeout = threading.Event(), asking.seconds("timeout", timeout)
        asked: Asking[Any] = Asking(command, workers, over.set)
        operations, store = self._kit.operations, self._kit.store()
        with self._kit.listening().subscribed(operations.replies_channel(asked.id), asked.hear):
            message = asked.message(store.execute(operations.workers()))
            store.execute(operations.tell(CONTROL, message))
            over.wait(timeout)
        return asked.answers()

    async def _aask(self, command: Command, workers: Workers, timeout: float) -> Answers[Any]:
        over, timeout = asyncio.Event(), asking.seconds("timeout", timeout)
        asked: Asking[Any] = Asking(command, workers, over.set)
        operations, store = self._kit.operations, self._kit.async_store()
        channel = operations.replies_channel(asked.id)
        await store.subscriptions.subscribe(channel, asked.hear)
        try:
            message = asked.message(await store.execute(operations.workers()))
            await store.execute(operations.tell(CONTROL, message))
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await over.wait()
        finally:
            store.subscriptions.unsubscribe(channel, asked.hear)
        return asked.answers()


def _positive(by: int) -> int:
    if isinstance(by, bool) or not isinstance(by, int) or not 1 <= by <= 1000:
        raise BadArguments(f"by={by!r:.80}: give a whole number, from 1 to 1000.")
    return by


def _level(level: str) -> str:
    name = level.upper() if isinstance(level, str) else ""
    if name not in LEVELS:
        raise BadArguments(f"level={level!r:.80}: choose {', '.join(LEVELS[:-1])} or {LEVELS[-1]}.")
    return name


def _changed_queues(add: Iterable[str] | Mapping[str, int], remove: Iterable[str]) -> Queues:
    try:
        added = queue_weights(add) if add else {}
        removed = queue_weights(remove if isinstance(remove, str) else tuple(remove)) if remove else ()
        return Queues(add=added, remove=tuple(removed))
    except ValueError as error:
        raise BadArguments(str(error)) from None


_OPTIONS = {"m": "max_running", "r": "rate"}


def _limits_of(running: int | None, paced: Rate | None) -> tuple[Limit, ...]:
    if running is None and paced is None:
        raise BadArguments("Give max_running=..., rate=..., or both; restore_limits goes back to what is declared.")
    if isinstance(running, Mapping) or isinstance(paced, Mapping):
        raise BadArguments("Only limits of all runs can be changed, not those of each value of an argument.")
    try:
        return (
            *(max_running(running) if running is not None else ()),
            *(rate(paced) if paced is not None else ()),
        )
    except ValueError as error:
        raise BadArguments(f"The limit {error}.") from None


def _changed(parts: list[tuple[Override, ...]]) -> tuple[ChangedLimit, ...]:
    """Once each, though every partition keeps them."""
    found = {override.limit: _changed_limit(override) for part in parts for override in part}
    return tuple(sorted(found.values(), key=lambda limit: (limit.job or "", limit.queue or "", limit.rate is None)))


def _changed_limit(override: Override) -> ChangedLimit:
    whose, _, name = override.of.partition(":")
    runs = override.limit.startswith("m:")
    return ChangedLimit(
        job=name if whose == "job" else None,
        queue=name if whose == "queue" else None,
        max_running=override.number if runs else None,
        rate=None if runs else MICROSECONDS / override.number,
    )
