"""The sync client of the store: carries out conversations on pools of connections. Thread-safe."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry

from jobkit.errors import StoreUnavailable
from jobkit.store.bells import first_ring
from jobkit.store.connections import CONNECTIONS, TURN, options, silence_within
from jobkit.store.conversation import (
    Pause,
    Send,
    checked,
    conversation,
    joined,
    opening,
    shared_out,
    values_at_once,
)
from jobkit.store.location import MOST_PARTITIONS, TcpLocation
from jobkit.store.operations import sole_partition
from jobkit.store.partitions import Partitions
from jobkit.store.pool import Pool
from jobkit.store.topology import Routes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from jobkit.store.conversation import Answers, Command, Conversation
    from jobkit.store.location import Location
    from jobkit.store.operations import Operation, Operations
    from jobkit.store.topology import Groups, Server

T = TypeVar("T")

LONGEST_WAIT = 10.0
"""Seconds that a thread may wait for a bell."""


class Store:
    """A namespace of the store, for blocking callers.

    `patience` is for how many seconds an operation tries to reach an unreachable store before it raises.
    Nothing is connected before the first operation.
    """

    def __init__(self, location: Location, operations: Operations, patience: float = 10.0) -> None:
        self.location = location
        self.operations = operations
        self.known = Partitions(operations, location)
        """What this client has learned so far."""
        self._patience = patience
        self._silence = silence_within(patience)
        connect = partial(_Connections, silence=self._silence)
        self._routes = Routes(location, operations, self.known, connect)

    def execute(self, operation: Operation[T], patience: float | None = None) -> T:
        """Carry out one operation; its errors are those of the operation, StoreUnavailable and StoreMisconfigured.

        `patience` (s) is that for this operation, if it is less than the client's own.
        """
        value: T = self.execute_all((operation,), patience)[0]
        return value

    def execute_all(self, operations: Sequence[Operation[Any]], patience: float | None = None) -> list[Any]:
        """Carry out several, those of one server in one round trip; those of one partition in this order."""
        give_up_at = time.monotonic() + (self._patience if patience is None else min(patience, self._patience))
        silence = None if patience is None else min(self._silence, silence_within(patience))
        values = self._at_once(operations, silence)
        if values is None:
            talk = conversation(operations, self.known, give_up_at - time.monotonic())
            values = checked(self._carry_out(talk, silence))
        return values

    def everywhere(self, asked: Callable[[int], Operation[T]]) -> list[T]:
        """Carry out what is asked of each partition, in all of them."""
        return self.execute_all([asked(partition) for partition in range(self.partitions())])

    def together(self, partitions: Collection[int]) -> bool:
        """Whether one round trip is known to reach them all."""
        groups = self._routes.known(partitions)
        return groups is not None and len(groups) == 1

    def wait(self, queues: Sequence[str], timeout: float) -> int | None:
        """Block until there is work in one of the queues, for at most `timeout` seconds (less than `LONGEST_WAIT`).

        Returns the partition whose bell rang.

        Raises:
            StoreUnavailable: the connection broke.
        """
        partitions = range(self.partitions())
        bells = {self.operations.bell(queue, partition): partition for partition in partitions for queue in queues}
        answer = self._first_ring(bells, f"{timeout:.3f}")
        if isinstance(answer, Exception):
            self._routes.forget(partitions)
            raise StoreUnavailable(f"The store at {self.location} does not answer: {answer}") from answer
        return None if answer is None else bells[answer[0].decode()]

    def open(self, partition: int = 0) -> None:
        """Open a partition, checking that its server is fit; happens by itself, at first and once a minute."""
        self._carry_out(opening(partition, self.known, self._patience))

    def partitions(self) -> int:
        """How many partitions the namespace has; asks only until it has been told."""
        if self.known.number is None:
            self.open()
        assert self.known.number is not None
        return self.known.number

    def secret(self) -> bytes:
        """What the namespace signs with; asks only until it has been told."""
        if self.known.secret is None:
            self.open()
        assert self.known.secret is not None
        return self.known.secret

    def incarnation(self, partition: int = 0) -> str:
        """Who a partition is, as last seen; another one means that its data was lost. Asks as `secret` does."""
        if partition not in self.known.incarnations:
            self.open(partition)
        return self.known.incarnations[partition]

    def close(self) -> None:
        for server in self._routes.servers():
            server.close()

    def _at_once(self, operations: Sequence[Operation[Any]], silence: float | None) -> list[Any] | None:
        """What nearly always will do: of one partition, that is open, on a server that is known."""
        partition = sole_partition(operations)
        server = None if partition is None else self._routes.known_to(partition)
        if server is None:
            return None
        answer = server.commands.exchange([operation.command() for operation in operations], silence)
        return values_at_once(operations, answer, self.known)

    def _carry_out(self, talk: Conversation[T], silence: float | None = None) -> T:
        answers: Answers | None = None
        while True:
            try:
                wish = talk.send(answers)
            except StopIteration as end:
                value: T = end.value
                return value
            match wish:
                case Send():
                    answers = self._send(wish.commands, silence)
                case Pause():
                    time.sleep(wish.seconds)
                    self._routes.forget(wish.troubled)

    def _send(self, commands: Mapping[int, list[Command]], silence: float | None) -> Answers:
        """To one server after the other: who has several and no time takes the async client."""
        answers: Answers = {}
        for server, partitions in self._found(commands).items():
            together = joined(partitions, commands)
            answer = server if isinstance(server, Exception) else server.commands.exchange(together, silence)
            answers |= shared_out(answer, partitions, commands)
        return answers

    def _first_ring(self, bells: Mapping[str, int], timeout: str) -> list[bytes] | Exception | None:
        """Over one connection, unless keys of different partitions cannot share a command."""
        shares = [list(bells)]
        if self.known.clustered:
            shares = [[bell for bell in bells if bells[bell] == partition] for partition in set(bells.values())]
        calls = []
        for share in shares:
            (server,) = self._found([bells[share[0]]])
            if isinstance(server, Exception):
                return server
            calls.append((server.bells, server.commands, ("BLPOP", *share, timeout)))
        return first_ring(calls, float(timeout))

    def _found(self, partitions: Collection[int]) -> Groups[_Connections]:
        known = self._routes.known(partitions)
        return self._routes.find(partitions) if known is None else known


class _Connections:
    """Those to one server, which may be silent for so many seconds."""

    def __init__(self, server: Server, silence: float) -> None:
        self.commands = _new_pool(server, CONNECTIONS, silence, silence)
        self.bells = _new_pool(server, MOST_PARTITIONS, LONGEST_WAIT, silence)  # one thread waits on that many at once

    def close(self) -> None:
        self.commands.close()
        self.bells.close()


def _new_pool(server: Server, size: int, silence: float, connecting: float) -> Pool:
    kind: type[Any] = UnixDomainSocketConnection
    if isinstance(server, TcpLocation):
        kind = SSLConnection if server.tls else Connection
    settings = options(server, silence, connecting)
    return Pool(lambda: kind(retry=Retry(NoBackoff(), 0), **settings), size, TURN)
