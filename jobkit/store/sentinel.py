"""Sentinel: asks the sentinels of a service which server is its primary now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from jobkit.errors import StoreUnavailable
from jobkit.store.connections import ask_once
from jobkit.store.location import TcpLocation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.store.location import Address, SentinelLocation


class SentinelTopology:
    """All partitions are on the primary, whichever server that is."""

    believed_for = 60.0
    """One that was replaced while it was cut off may not know that, and go on answering."""

    def __init__(self, location: SentinelLocation) -> None:
        self._location = location
        self._sentinels = list(location.sentinels)
        """The one that has answered last is asked first."""

    def servers_of(self, keys: Sequence[str]) -> Sequence[TcpLocation]:
        return [self._primary()] * len(keys)

    def _primary(self) -> TcpLocation:
        location, reasons = self._location, []
        for sentinel in tuple(self._sentinels):
            try:
                host, port = self._ask(sentinel)
            except (RedisError, OSError) as error:
                reasons.append(f"{sentinel}: {error}")
                continue
            self._sentinels.remove(sentinel)
            self._sentinels.insert(0, sentinel)
            return TcpLocation(host=host, port=port, db=location.db, credentials=location.credentials, tls=location.tls)
        raise StoreUnavailable(f"no sentinel names the primary of {location.service} ({'; '.join(reasons)})")

    def _ask(self, sentinel: Address) -> tuple[str, int]:
        location = self._location
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", location.service)
        found = ask_once(sentinel, location.sentinel_credentials, location.tls, *command)
        if not found:
            raise RedisError("knows no such service")
        return found[0].decode(), int(found[1])
