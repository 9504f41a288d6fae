"""The async client of the store: carries out the same conversations on one event loop."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
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

from jobkit.errors import StoreUnavailable
from jobkit.store.connections import CONNECTIONS, TURN, Purpose, as_redis_error, options, packed, server_of
from jobkit.store.conversation import OPEN_FOR, Answer, Conversation, Open, Pause, Send, conversation, opening
from jobkit.store.location import TcpLocation, UnixLocation
from jobkit.store.subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.store.location import Location
    from jobkit.store.operations import Operation, Operations
    from jobkit.store.replies import Opened

T = TypeVar("T")


class AsyncStore:
    """A namespace of the store, for one event loop. `patience` as for `Store`.

    `subscriptions` is the loop's one connection for everything published.
    """

    def __init__(self, location: Location, operations: Operations, patience: float = 10.0) -> None:
        self.location = location
        self.operations = operations
        self.secret: bytes | None = None
        self._open_until = 0.0
        self.subscriptions = Subscriptions(self._new_connection)
        self._patience = patience
        self._pool: Any = None  # redis-py's pools are partly untyped
        self._where = str(location)
        self._opening = asyncio.Lock()

    async def execute(self, operation: Operation[T]) -> T:
        """Carry out one operation; its errors are those of the operation, StoreUnavailable and StoreMisconfigured."""
        value: T = (await self.execute_all((operation,)))[0]
        return value

    async def execute_all(self, operations: Sequence[Operation[Any]]) -> list[Any]:
        """Carry out several in one round trip, in this order; after trouble all are sent again."""
        if time.monotonic() >= self._open_until:
            await self.open()
        return await self._carry_out(conversation(operations, self._patience, self._where))

    async def close(self) -> None:
        await self.subscriptions.close()
        if self._pool is not None:
            await self._pool.disconnect()
            self._pool = None

    async def open(self) -> Opened:
        """Open the partition, checking that the server is fit; happens by itself, at first and once a minute."""
        async with self._opening:
            opened = await self._carry_out(opening(self.operations, self._patience, self._where))
            self.secret = opened.secret
            self._open_until = time.monotonic() + OPEN_FOR
        return opened

    async def _carry_out(self, talk: Conversation[T]) -> T:
        answer: Answer = None
        while True:
            try:
                wish = talk.send(answer)
            except StopIteration as end:
                value: T = end.value
                return value
            match wish:
                case Send():
                    answer = await self._send(wish.commands)
                case Pause():
                    await asyncio.sleep(wish.seconds)
                    await self._revive()
                case Open():
                    await self.open()

    async def _revive(self) -> None:
        """Start the embedded server again, if that is what is missing; else the next try will tell."""
        with suppress(StoreUnavailable):
            await self._server()

    async def _send(self, commands: list[tuple[Any, ...]]) -> list[Any] | Exception:
        try:
            pool = await self._connected_pool()
            connection = await pool.get_connection()
        except (redis_errors.RedisError, OSError, StoreUnavailable) as error:
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

    async def _connected_pool(self) -> Any:
        if self._pool is None:
            server = await self._server()
            self._pool = BlockingConnectionPool(
                max_connections=CONNECTIONS,
                timeout=TURN,
                connection_class=_kind(server),
                retry=Retry(NoBackoff(), 0),
                **options(server, Purpose.COMMANDS),
            )
        return self._pool

    async def _new_connection(self) -> Any:
        """A connection of its own, with no limit on how long a read may wait."""
        server = await self._server()
        connection = _kind(server)(retry=Retry(NoBackoff(), 0), **options(server, Purpose.SUBSCRIPTIONS))
        await connection.connect()
        return connection

    async def _server(self) -> TcpLocation | UnixLocation:
        return await asyncio.to_thread(server_of, self.location)


def _kind(server: TcpLocation | UnixLocation) -> type[Any]:
    if isinstance(server, UnixLocation):
        return UnixDomainSocketConnection
    return SSLConnection if server.tls else Connection


async def _reply(connection: Any) -> Any:
    """One reply; a refusal by the server is a reply too, a broken connection is not."""
    try:
        return await connection.read_response()
    except redis_errors.ResponseError as error:
        return error
