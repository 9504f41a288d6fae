"""Topology: where the server of a partition is, now.

`Topology` is the port: one question. Each kind of location has an answer of its own: a fixed server is where its URL
says, an embedded one is started if nobody did, sentinels and the nodes of a cluster are asked.

`Routes` is what a client has been answered so far, with its connections to there. A route is believed until there is
trouble on it.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, assert_never

from redis import exceptions as redis_errors

from jobkit.errors import StoreUnavailable
from jobkit.store.cluster import ClusterTopology
from jobkit.store.connections import as_redis_error
from jobkit.store.embedded import ensure_server
from jobkit.store.location import (
    ClusterLocation,
    EmbeddedLocation,
    Location,
    SentinelLocation,
    TcpLocation,
    UnixLocation,
)
from jobkit.store.sentinel import SentinelTopology

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from jobkit.store.operations import Operations
    from jobkit.store.partitions import Partitions

Server = TcpLocation | UnixLocation
C = TypeVar("C")
Groups = dict[C | Exception, list[int]]
"""Partitions by the connections to their server."""


class Topology(Protocol):
    """Knows whom to ask. It is asked by one thread at a time, and may block."""

    @property
    def believed_for(self) -> float:
        """Seconds after which it is asked again, even though all goes well."""
        ...

    def servers_of(self, keys: Sequence[str]) -> Sequence[Server | None]:
        """The server of each of these keys, now; None for one that no server keeps at the moment.

        Raises:
            StoreUnavailable: nobody tells.
        """
        ...


class Fixed:
    """One server, where the URL says."""

    believed_for = math.inf

    def __init__(self, server: Server) -> None:
        self._server = server

    def servers_of(self, keys: Sequence[str]) -> Sequence[Server]:
        return [self._server] * len(keys)


class Embedded:
    """The server of a directory, which runs whenever somebody asks for it."""

    believed_for = math.inf

    def __init__(self, location: EmbeddedLocation) -> None:
        self._directory = location.directory

    def servers_of(self, keys: Sequence[str]) -> Sequence[Server]:
        return [UnixLocation(path=ensure_server(self._directory))] * len(keys)


def topology_of(location: Location) -> Topology:
    match location:
        case EmbeddedLocation():
            return Embedded(location)
        case TcpLocation() | UnixLocation():
            return Fixed(location)
        case SentinelLocation():
            return SentinelTopology(location)
        case ClusterLocation():
            return ClusterTopology(location)
        case _:
            assert_never(location)


class Routes(Generic[C]):
    """The connections to each partition's server, as far as they are known. Thread-safe.

    `connect` makes the connections to a server; it does no I/O yet.
    """

    def __init__(
        self, location: Location, operations: Operations, partitions: Partitions, connect: Callable[[Server], C]
    ) -> None:
        self._topology = topology_of(location)
        self._operations = operations
        self._partitions = partitions
        self._connect = connect
        self._asking = threading.Lock()
        self._connections: dict[Server, C] = {}
        self._routes: dict[int, C] = {}
        self._believed_until = 0.0

    def known(self, partitions: Collection[int]) -> Groups[C] | None:
        """The partitions by their servers, when all of them are known; asks nobody."""
        if time.monotonic() >= self._believed_until:
            return None
        groups: Groups[C] = {}
        for partition in partitions:
            server = self._routes.get(partition)
            if server is None:
                return None
            groups.setdefault(server, []).append(partition)
        return groups

    def find(self, partitions: Collection[int]) -> Groups[C]:
        """As `known`, but asks; blocks. For partitions whose server is not found stands the error that tells why."""
        with self._asking:
            return self.known(partitions) or self._found(partitions)  # another thread may have just asked

    def grouped(self, partitions: Iterable[int]) -> list[list[int]]:
        """Those that are known to be on one server together, and together those of which it is not known."""
        groups: dict[C | None, list[int]] = {}
        for partition in partitions:
            groups.setdefault(self._routes.get(partition), []).append(partition)
        return list(groups.values())

    def forget(self, partitions: Iterable[int]) -> None:
        """There was trouble on the way to these."""
        for partition in partitions:
            self._routes.pop(partition, None)

    def servers(self) -> list[C]:
        """All there ever were."""
        return list(self._connections.values())

    def _found(self, partitions: Collection[int]) -> Groups[C]:
        trouble: Exception = redis_errors.ConnectionError("no server keeps this partition now")
        try:
            self._ask(sorted({*partitions, *range(self._partitions.number or 1)}))
        except (redis_errors.RedisError, OSError, StoreUnavailable) as error:
            trouble = as_redis_error(error)
        self._believed_until = time.monotonic() + self._topology.believed_for
        groups: Groups[C] = {}
        for partition in partitions:
            groups.setdefault(self._routes.get(partition, trouble), []).append(partition)
        return groups

    def _ask(self, partitions: list[int]) -> None:
        """When nobody answers, what was believed stays so: there has been no trouble on that way."""
        servers = self._topology.servers_of([self._operations.prefix(f"{partition}-") for partition in partitions])
        self._routes = {
            partition: self._connections_to(server)
            for partition, server in zip(partitions, servers, strict=True)
            if server is not None
        }

    def _connections_to(self, server: Server) -> C:
        known = self._connections.get(server)
        if known is None:
            known = self._connections[server] = self._connect(server)
        return known
