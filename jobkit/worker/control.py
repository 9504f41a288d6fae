"""Control: hears what this worker is asked to do while it runs, has it done, and answers.

Requests are done one after the other. One that comes twice, because its publisher was not sure, is done once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from jobkit.commands import COMMANDS, Answered, LogLevel, Ping, Queues, Request, Resize, Restart, Runs, Stats, Stop
from jobkit.errors import StoreError
from jobkit.store.operations import replies_to

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobkit.commands import Command
    from jobkit.store.async_client import AsyncStore
    from jobkit.worker.registry import Registry

PATIENCE = 2.0
"""Seconds that a server is tried to be reached; who asked has stopped waiting by then."""
AFTER_TROUBLE = 1.0
REMEMBERED = 256
"""Requests that are known again when they come twice."""
MOST_CONCURRENCY = 1000

_REQUEST = msgspec.json.Decoder(Request)
_log = logging.getLogger("jobkit.worker")


class Refused(Exception):
    """This worker does not do that; the text says why."""


class Controlled(Protocol):
    """What can be done with a worker while it runs; `Supervisor` fits."""

    @property
    def concurrency(self) -> int: ...
    @property
    def queues(self) -> Mapping[str, int]: ...

    def resize(self, concurrency: int) -> None:
        """Perform so many runs at a time. What is running may finish."""
        ...

    def serve(self, queues: Mapping[str, int]) -> None:
        """Take from these queues only, with these weights."""
        ...

    def log_from(self, level: str) -> None:
        """Log from this level on, children included."""
        ...

    def leave(self, *, at_once: bool = False) -> None:
        """End, as at a signal."""
        ...

    def replace_children(self) -> int:
        """Have every child replaced when it has nothing to perform. Answers how many that are."""
        ...


class ControlledWorker:
    """The ear of one worker."""

    def __init__(self, store: AsyncStore, worker: str, controlled: Controlled, registry: Registry) -> None:
        self._store = store
        self._worker = worker
        self._controlled = controlled
        self._registry = registry
        self._requests: asyncio.Queue[Request] = asyncio.Queue()
        self._known: OrderedDict[str, Answered] = OrderedDict()

    async def obey(self) -> None:
        """For ever. Who is listed hears: so the worker tells of itself from when it does."""
        await self._listen()
        self._registry.begin(self._store)
        while True:
            request = await self._requests.get()
            answered = self._known.get(request.id) or await self._answer(request)
            self._known[request.id] = answered
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            await self._reply(request, answered)

    async def _listen(self) -> None:
        while True:
            try:
                await self._store.subscriptions.subscribe(self._store.operations.control_channel(), self._hear)
            except StoreError as error:
                _log.error("%s (Trying again.)", error)
                await asyncio.sleep(AFTER_TROUBLE)
            else:
                return

    def _hear(self, published: bytes | None) -> None:
        if published is None:
            return  # what was asked in a gap is not answered, and who asked is told so
        try:
            request = _REQUEST.decode(published)
        except msgspec.MsgspecError as error:
            _log.warning("What came on the control channel is no request: %s.", error)
            return
        if request.workers is None or self._worker in request.workers:
            self._requests.put_nowait(request)

    async def _answer(self, request: Request) -> Answered:
        kind = COMMANDS.get(request.command)
        try:
            if kind is None:
                raise Refused(
                    f"unknown command {request.command!r:.80}: this worker is of jobkit"
                    f" {self._registry.about().version or 'of an unknown version'}, and knows {', '.join(COMMANDS)}"
                )
            value = await self._do(msgspec.json.decode(request.arguments, type=kind))
        except (Refused, msgspec.MsgspecError) as error:
            return Answered(worker=self._worker, error=str(error))
        except Exception as error:  # noqa: BLE001  (a worker goes on whatever it is asked)
            _log.exception("Worker %s could not do what it was asked: %s.", self._worker, request.command)
            return Answered(worker=self._worker, error=f"{type(error).__name__}: {error} (its log tells more)")
        return Answered(worker=self._worker, value=msgspec.Raw(msgspec.json.encode(value)))

    async def _do(self, command: Command) -> Any:
        if not isinstance(command, Ping | Stats | Runs):
            _log.info("Worker %s is asked: %s.", self._worker, command)
        match command:
            case Ping():
                return None
            case Stats():
                await self._registry.survey()
                return self._registry.about()
            case Runs():
                await self._registry.survey()
                return self._registry.about().performing
            case Stop(force=force):
                self._controlled.leave(at_once=force)
                return None
            case Resize(by=by):
                return self._resize(by)
            case Queues(add=add, remove=remove):
                return await self._serve(add, remove)
            case LogLevel(level=level):
                self._controlled.log_from(level)
                return None
            case Restart():
                await self._registry.survey()
                return self._controlled.replace_children()
            case _:
                raise Refused(f"unknown command {command.name!r}")

    def _resize(self, by: int) -> int:
        wanted = self._controlled.concurrency + by
        if not 1 <= wanted <= MOST_CONCURRENCY:
            raise Refused(
                f"it performs {self._controlled.concurrency} at a time, and {wanted} is not from 1 to"
                f" {MOST_CONCURRENCY}; to end it there is stop"
            )
        self._controlled.resize(wanted)
        self._registry.change()
        return wanted

    async def _serve(self, add: Mapping[str, int], remove: tuple[str, ...]) -> dict[str, int]:
        before = self._controlled.queues
        after = {name: weight for name, weight in {**before, **add}.items() if name not in remove}
        if not after:
            raise Refused("no queue would be left that it serves; to end it there is stop")
        self._controlled.serve(after)
        gone = tuple(before.keys() - after)
        if gone:
            await self._leave(gone)
        self._registry.change()
        return after

    async def _leave(self, queues: tuple[str, ...]) -> None:
        """Their snapshots no longer count this worker. (What fails is made up for by time.)"""
        retire = self._store.operations.retire
        try:
            partitions = range(await self._store.partitions())
            leaving = [retire(self._worker, queues, each, stays=True) for each in partitions]
            await self._store.execute_each(leaving, PATIENCE)
        except StoreError as error:
            _log.warning("%s", error)

    async def _reply(self, request: Request, answered: Answered) -> None:
        tell = self._store.operations.tell(replies_to(request.id), msgspec.json.encode(answered))
        try:
            await self._store.execute(tell, PATIENCE)
        except StoreError as error:
            _log.warning("Who asked for %s is not answered: %s", request.command, error)
