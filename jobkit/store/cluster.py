"""Cluster: asks the nodes which of them keeps which keys now."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

from redis.crc import key_slot
from redis.exceptions import RedisError

from jobkit.errors import StoreUnavailable
from jobkit.store.connections import ask_once
from jobkit.store.location import Address, TcpLocation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.store.location import ClusterLocation


class ClusterTopology:
    """A partition is where the slot of its hash tag is."""

    believed_for = math.inf
    """A node that has given a slot away says so to whoever asks for it."""

    def __init__(self, location: ClusterLocation) -> None:
        self._location = location
        self._nodes = location.nodes
        """Whom to ask: those that the URL names, and those of the last answer."""

    def servers_of(self, keys: Sequence[str]) -> Sequence[TcpLocation | None]:
        ranges = self._ranges()
        slots = [key_slot(key.encode()) for key in keys]
        return [next((server for first, last, server in ranges if first <= slot <= last), None) for slot in slots]

    def _ranges(self) -> list[tuple[int, int, TcpLocation]]:
        """First slot, last slot, and their primary.

        Nodes are asked in any order: one that the others have lost does not know better, and must not stay the first.
        """
        location, reasons = self._location, []
        for node in random.sample(self._nodes, len(self._nodes)):
            try:
                reply = ask_once(node, location.credentials, location.tls, "CLUSTER", "SLOTS")
            except (RedisError, OSError) as error:
                reasons.append(f"{node}: {error}")
                continue
            known = [_address(told, node) for _, _, *nodes in reply for told in nodes]
            self._nodes = tuple(dict.fromkeys((*location.nodes, *known)))
            return [(first, last, self._server(_address(primary, node))) for first, last, primary, *_ in reply]
        raise StoreUnavailable(f"no node tells where the slots are ({'; '.join(reasons)})")

    def _server(self, address: Address) -> TcpLocation:
        location = self._location
        return TcpLocation(host=address.host, port=address.port, credentials=location.credentials, tls=location.tls)


def _address(told: list[Any], asked: Address) -> Address:
    """A node that does not know its own name leaves it out: it is the one that was asked."""
    return Address(host=told[0].decode() if told[0] else asked.host, port=told[1])
