"""The async client of the store: carries out the same conversations on one event loop."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from redis import exceptions as redis_errors
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jobkit.store.connections import CONNECTIONS, TURN, as_redis_error, options, packed, silence_within
from jobkit.store.conversation import Pause, Send, checked, conversation, joined, opening, shared_out, values_at_once
from jobkit.store.location import TcpLocation
from jobkit.store.operations import sole_partition
from jobkit.store.partitions import Partitions
from jobkit.store.subscriptions import Subscriptions
from jobkit.store.topology import Routes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from jobkit.errors import StoreError
    from jobkit.store.conversation import Answer, Answers, Command, Conversation
    from jobkit.store.location import Location
    from jobkit.store.operations import Operation, Operations
    from jobkit.store.topology import Groups, Server

T = TypeVar("T")


class AsyncStore:
    """A namespace of the store, for one event loop. `patience` as for `Store`.

    `subscriptions` is the loop's one connection for everything published.
    """

    def __init__(self, location: Location, operations: Operations, patience: float = 10.0) -> None:
        self.location = location
        self.operations = operations
        self.known = Partitions(operations, location)
        """What this client has learned so far."""
        self.subscriptions = Subscriptions(self._new_connection, patience)
        self._patience = patience
        self._finding = asyncio.Lock()
        self._silence = silence_within(patience)
        connect = partial(_Connections, silence=self._silence)
        self._routes = Routes(location, operations, self.known, connect)

    async def execute(self, operation: Operation[T], patience: float | None = None) -> T:
        """Carry out one operation; its errors are those of the operation, StoreUnavailable and StoreMisconfigured.

        `patience` (s) is that for this operation, if it is less than the client's own.
        """
        value: T = (await self.execute_all((operation,), patience))[0]
        return value

    async def execute_all(self, operations: Sequence[Operation[Any]], patience: float | None = None) -> list[Any]:
        """Carry out several, those of one server in one round trip; those of one partition in this order."""
        give_up_at = time.monotonic() + (self._patience if patience is None else min(patience, self._patience))
        silence = None if patience is None else min(self._silence, silence_within(patience))
        values = await self._at_once(operations, silence)
        if values is None:
            talk = conversation(operations, self.known, give_up_at - time.monotonic())
            values = checked(await self._carry_out(talk, silence))
        return values

    async def everywhere(self, asked: Callable[[int], Operation[T]]) -> list[T]:
        """Carry out what is asked of each partition, in all of them."""
        return await self.execute_all([asked(partition) for partition in range(await self.partitions())])

    async def execute_each(self, operations: Sequence[Operation[T]], patience: float) -> list[T | StoreError]:
        """As `execute_all`, but an operation that could not be carried out within `patience` has its error as value."""
        values: list[T | StoreError] = await self._carry_out(conversation(operations, self.known, patience))
        return values

    async def find(self, partitions: Collection[int]) -> None:
        """Learn where these are; whoever uses them without that learns it then."""
        await self._found(partitions)

    def by_server(self, partitions: Iterable[int]) -> list[list[int]]:
        """The partitions that one round trip reaches together, as far as is known; asks nobody."""
        return self._routes.grouped(partitions)

    async def open(self, partition: int = 0) -> None:
        """Open a partition, checking that its server is fit; happens by itself, at first and once a minute."""
        await self._carry_out(opening(partition, self.known, self._patience))

    async def partitions(self) -> int:
        """How many partitions the namespace has; asks only until it has been told."""
        if self.known.number is None:
            await self.open()
        assert self.known.number is not None
        return self.known.number

    async def secret(self) -> bytes:
        """What the namespace signs with; asks only until it has been told."""
        if self.known.secret is None:
            await self.open()
        assert self.known.secret is not None
        return self.known.secret

    async def incarnation(self, partition: int = 0) -> str:
        """Who a partition is, as last seen; another one means that its data was lost. Asks as `secret` does."""
        if partition not in self.known.incarnations:
            await self.open(partition)
        return self.known.incarnations[partition]

    async def close(self) -> None:
        await self.subscriptions.close()
        for server in self._routes.servers():
            await server.close()

    async def _at_once(self, operations: Sequence[Operation[Any]], silence: float | None) -> list[Any] | None:
        """What nearly always will do: of one partition, that is open, on a server that is known."""
        partition = sole_partition(operations)
        server = None if partition is None else self._routes.known_to(partition)
        if server is None:
            return None
        answer = await server.exchange([operation.command() for operation in operations], silence)
        return values_at_once(operations, answer, self.known)

    async def _carry_out(self, talk: Conversation[T], silence: float | None = None) -> T:
        answers: Answers | None = None
        while True:
            try:
                wish = talk.send(answers)
            except StopIteration as end:
                value: T = end.value
                return value
            match wish:
                case Send():
                    answers = await self._send(wish.commands, silence)
                case Pause():
                    await asyncio.sleep(wish.seconds)
                    self._routes.forget(wish.troubled)

    async def _send(self, commands: Mapping[int, list[Command]], silence: float | None) -> Answers:
        """To all servers at once."""
        groups = await self._found(commands)
        if len(groups) == 1:
            ((server, partitions),) = groups.items()
            return await _ask(server, partitions, commands, silence)
        parts = await asyncio.gather(
            *[_ask(server, partitions, commands, silence) for server, partitions in groups.items()]
        )
        return {partition: answer for answers in parts for partition, answer in answers.items()}

    async def _found(self, partitions: Collection[int]) -> Groups[_Connections]:
        known = self._routes.known(partitions)
        if known is not None:
            return known
        async with self._finding:  # so that no more than one thread waits
            return await asyncio.to_thread(self._routes.find, partitions)

    async def _new_connection(self) -> Any:
        """A connection of its own, with no limit on how long a read may wait."""
        partition = random.randrange(self.known.number or 1)  # whatever is published is heard on every server
        self._routes.forget([partition])  # if there was a connection before, it broke
        (server,) = await self._found([partition])
        if isinstance(server, Exception):
            raise server
        return await server.new_connection()


class _Connections:
    """Those to one server, which may be silent for so many seconds; each is used by one task at a time.

    The library's own timeouts and pool are not used: what they are made of (`asyncio.wait_for`, until Python 3.12) may
    swallow the cancelling of a task. Nothing here waits while it gives a connection back, so none is lost either.
    """

    def __init__(self, server: Server, silence: float) -> None:
        self._kind: type[Any] = UnixDomainSocketConnection
        if isinstance(server, TcpLocation):
            self._kind = SSLConnection if server.tls else Connection
        self._options = options(server, None, silence)
        self._silence = silence
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[Any] = []
        self._closed = False

    async def exchange(self, commands: list[Command], silence: float | None = None) -> Answer:
        """The replies to these commands, in one round trip; or the error that broke it. `silence` as for `Pool`."""
        if not await self._turn():
            return redis_errors.ConnectionError(f"all {CONNECTIONS} connections of this event loop were busy")
        connection, whole = None, False
        try:
            connection = self._idle.pop() if self._idle else self._new()  # (which opens files)
            replies = await _exchanged(connection, commands, silence or self._silence)
            whole = True
        except (redis_errors.RedisError, OSError) as error:
            return as_redis_error(error)
        else:
            return replies
        finally:
            self._turns.release()
            if whole and not self._closed:
                self._idle.append(connection)
            elif connection is not None:  # also when its caller was cancelled: nobody may read the rest
                await connection.disconnect(nowait=True)

    async def new_connection(self) -> Any:
        """One that is connected, for the caller alone, with no limit on how long a read may wait."""
        connection = self._new()
        try:
            async with asyncio.timeout(self._silence):
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def close(self) -> None:
        """One that is in use is closed when it is given back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)

    async def _turn(self) -> bool:
        if not self._turns.locked():
            return await self._turns.acquire()  # at once
        with suppress(TimeoutError):
            async with asyncio.timeout(TURN):
                return await self._turns.acquire()
        return False

    def _new(self) -> Any:
        return self._kind(retry=Retry(NoBackoff(), 0), **self._options)


async def _exchanged(connection: Any, commands: list[Command], silence: float) -> list[Any]:
    """The connection is not fit for use when this raises."""
    try:
        async with asyncio.timeout(silence) as patience:
            await connection.send_packed_command([packed(commands)])
            replies = [await _reply(connection)]
            while len(replies) < len(commands):
                patience.reschedule(asyncio.get_running_loop().time() + silence)
                replies.append(await _reply(connection))
    except TimeoutError:
        raise redis_errors.TimeoutError(f"no reply within {silence:g} s") from None
    return replies


async def _ask(
    server: _Connections | Exception,
    partitions: list[int],
    commands: Mapping[int, list[Command]],
    silence: float | None,
) -> Answers:
    together = joined(partitions, commands)
    answer = server if isinstance(server, Exception) else await server.exchange(together, silence)
    return shared_out(answer, partitions, commands)


async def _reply(connection: Any) -> Any:
    """One reply; a refusal by the server is a reply too, a broken connection is not."""
    try:
        return await connection.read_response()
    except redis_errors.ResponseError as error:
        return error
