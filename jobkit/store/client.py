"""The sync client of the store: carries out conversations on a pool of connections. Thread-safe."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry

from jobkit.errors import StoreUnavailable
from jobkit.store.connections import CONNECTIONS, TURN, Purpose, as_redis_error, options, packed, server_of
from jobkit.store.conversation import OPEN_FOR, Answer, Conversation, Open, Pause, Send, conversation, opening
from jobkit.store.location import TcpLocation
from jobkit.store.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.store.location import Location
    from jobkit.store.operations import Operation, Operations
    from jobkit.store.replies import Opened

T = TypeVar("T")


class Store:
    """A namespace of the store, for blocking callers.

    `patience` is for how many seconds an operation tries to reach an unreachable store before it raises.
    Nothing is connected before the first operation.
    """

    def __init__(self, location: Location, operations: Operations, patience: float = 10.0) -> None:
        self.location = location
        self.operations = operations
        self.secret: bytes | None = None
        self._open_until = 0.0
        self._patience = patience
        self._pools: dict[Purpose, Pool] = {}
        self._where = str(location)
        self._opening = threading.Lock()

    def execute(self, operation: Operation[T]) -> T:
        """Carry out one operation; its errors are those of the operation, StoreUnavailable and StoreMisconfigured."""
        value: T = self.execute_all((operation,))[0]
        return value

    def execute_all(self, operations: Sequence[Operation[Any]]) -> list[Any]:
        """Carry out several in one round trip, in this order; after trouble all are sent again."""
        if time.monotonic() >= self._open_until:
            self.open()
        return self._carry_out(conversation(operations, self._patience, self._where))

    def wait(self, bells: Sequence[str], timeout: float) -> None:
        """Block until one of the bells rings, for at most `timeout` seconds (less than 10).

        Raises:
            StoreUnavailable: the connection broke.
        """
        answer = self._send([("BLPOP", *bells, f"{timeout:.3f}")], Purpose.BELLS)
        if isinstance(answer, Exception):
            raise StoreUnavailable(f"The store at {self.location} does not answer: {answer}") from answer

    def close(self) -> None:
        for pool in self._pools.values():
            pool.disconnect()
        self._pools = {}

    def open(self) -> Opened:
        """Open the partition, checking that the server is fit; happens by itself, at first and once a minute."""
        with self._opening:
            opened = self._carry_out(opening(self.operations, self._patience, self._where))
            self.secret = opened.secret
            self._open_until = time.monotonic() + OPEN_FOR
        return opened

    def _carry_out(self, talk: Conversation[T]) -> T:
        answer: Answer = None
        while True:
            try:
                wish = talk.send(answer)
            except StopIteration as end:
                value: T = end.value
                return value
            match wish:
                case Send():
                    answer = self._send(wish.commands, Purpose.COMMANDS)
                case Pause():
                    time.sleep(wish.seconds)
                    self._revive()
                case Open():
                    self.open()

    def _revive(self) -> None:
        """Start the embedded server again, if that is what is missing; else the next try will tell."""
        with suppress(StoreUnavailable):
            server_of(self.location)

    def _send(self, commands: list[tuple[Any, ...]], purpose: Purpose) -> list[Any] | Exception:
        try:
            pool = self._pool(purpose)
            connection = pool.acquire()
        except (redis_errors.RedisError, OSError, StoreUnavailable) as error:
            return as_redis_error(error)
        whole = False
        try:
            connection.send_packed_command([packed(commands)])
            replies = [_reply(connection) for _ in commands]
            whole = True
        except (redis_errors.RedisError, OSError) as error:
            return as_redis_error(error)
        else:
            return replies
        finally:
            if not whole:  # also when a signal broke in: nobody may read the rest of these replies
                connection.disconnect()
            pool.release(connection)

    def _pool(self, purpose: Purpose) -> Pool:
        pool = self._pools.get(purpose)
        if pool is None:
            pool = self._pools[purpose] = _new_pool(self.location, purpose)
        return pool


def _new_pool(location: Location, purpose: Purpose) -> Pool:
    server = server_of(location)
    kind: type[Any] = UnixDomainSocketConnection
    if isinstance(server, TcpLocation):
        kind = SSLConnection if server.tls else Connection
    settings = options(server, purpose)
    return Pool(lambda: kind(retry=Retry(NoBackoff(), 0), **settings), CONNECTIONS, TURN)


def _reply(connection: Any) -> Any:
    """One reply; a refusal by the server is a reply too, a broken connection is not."""
    try:
        return connection.read_response()
    except redis_errors.ResponseError as error:
        return error
