"""The async client of the store: carries out the same conversations on one event loop."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, TypeVar

from redis import exceptions as redis_errors
from redis.asyncio.connection import (
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jobkit.store.connections import CONNECTIONS, TURN, Purpose, as_redis_error, options, packed
from jobkit.store.conversation import Pause, Send, checked, conversation, joined, opening, shared_out
from jobkit.store.location import TcpLocation
from jobkit.store.partitions import Partitions
from jobkit.store.subscriptions import Subscriptions
from jobkit.store.topology import Routes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

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
        self.subscriptions = Subscriptions(self._new_connection)
        self._patience = patience
        self._finding = asyncio.Lock()
        self._routes = Routes(location, operations, self.known, _Connections)

    async def execute(self, operation: Operation[T]) -> T:
        """Carry out one operation; its errors are those of the operation, StoreUnavailable and StoreMisconfigured."""
        value: T = (await self.execute_all((operation,)))[0]
        return value

    async def execute_all(self, operations: Sequence[Operation[Any]]) -> list[Any]:
        """Carry out several, those of one server in one round trip; those of one partition in this order."""
        return checked(await self._carry_out(conversation(operations, self.known, self._patience)))

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

    async def _carry_out(self, talk: Conversation[T]) -> T:
        answers: Answers | None = None
        while True:
            try:
                wish = talk.send(answers)
            except StopIteration as end:
                value: T = end.value
                return value
            match wish:
                case Send():
                    answers = await self._send(wish.commands)
                case Pause():
                    await asyncio.sleep(wish.seconds)
                    self._routes.forget(wish.troubled)

    async def _send(self, commands: Mapping[int, list[Command]]) -> Answers:
        """To all servers at once."""
        groups = await self._found(commands)
        if len(groups) == 1:
            ((server, partitions),) = groups.items()
            return await _ask(server, partitions, commands)
        parts = await asyncio.gather(*[_ask(server, partitions, commands) for server, partitions in groups.items()])
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
    """Those to one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._kind: type[Any] = UnixDomainSocketConnection
        if isinstance(server, TcpLocation):
            self._kind = SSLConnection if server.tls else Connection
        self._pool: Any = None  # redis-py's pools are partly untyped

    async def exchange(self, commands: list[Command]) -> Answer:
        """The replies to these commands, in one round trip; or the error that broke it."""
        pool = self._commands()
        try:
            connection = await pool.get_connection()
        except (redis_errors.RedisError, OSError) as error:
            return as_redis_error(error)
        whole = False
        try:
            await connection.send_packed_command([packed(commands)])
            replies = [await _reply(connection) for _ in commands]
            whole = True
        except (redis_errors.RedisError, OSError) as error:
            return as_redis_error(error)
        else:
            return replies
        finally:
            if not whole:  # also when the caller was cancelled: nobody may read the rest of these replies
                await connection.disconnect(nowait=True)
            await pool.release(connection)

    async def new_connection(self) -> Any:
        connection = self._kind(retry=Retry(NoBackoff(), 0), **options(self._server, Purpose.SUBSCRIPTIONS))
        await connection.connect()
        return connection

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.disconnect()
            self._pool = None

    def _commands(self) -> Any:
        if self._pool is None:
            self._pool = BlockingConnectionPool(
                max_connections=CONNECTIONS,
                timeout=TURN,
                connection_class=self._kind,
                retry=Retry(NoBackoff(), 0),
                **options(self._server, Purpose.COMMANDS),
            )
        return self._pool


async def _ask(
    server: _Connections | Exception, partitions: list[int], commands: Mapping[int, list[Command]]
) -> Answers:
    together = joined(partitions, commands)
    answer = server if isinstance(server, Exception) else await server.exchange(together)
    return shared_out(answer, partitions, commands)


async def _reply(connection: Any) -> Any:
    """One reply; a refusal by the server is a reply too, a broken connection is not."""
    try:
        return await connection.read_response()
    except redis_errors.ResponseError as error:
        return error
