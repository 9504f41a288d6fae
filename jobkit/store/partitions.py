"""Partitions: what one client has learned of its namespace: how many partitions, which are open, who they are.

A namespace is founded with its number of partitions, which partition 0 keeps, and never has another. So a client learns
it once. Conversations fill this in; nothing here does I/O.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jobkit.errors import StoreMisconfigured
from jobkit.store.location import ClusterLocation
from jobkit.store.operations import NOTHING_WITNESSED, Witness
from jobkit.store.replies import Lease, Renewals, SettledAndTaken

if TYPE_CHECKING:
    from jobkit.store.location import Location
    from jobkit.store.operations import Operation, Operations
    from jobkit.store.replies import Opened

OPEN_FOR = 60.0
"""Seconds after which a partition is opened again: when its data was lost, another process may have founded it anew,
with another secret."""


class Partitions:
    """Those of the operations' namespace, in the store at this location."""

    def __init__(self, operations: Operations, location: Location) -> None:
        self.where = str(location)
        """For errors; it shows no password."""
        self.clustered = isinstance(location, ClusterLocation)
        self.number: int | None = None
        self.secret: bytes | None = None
        """That of partition 0."""
        self.incarnations: dict[int, str] = {}
        self._operations = operations
        self._named = location.partitions
        self._open_until: dict[int, float] = {}
        self._witnessed: dict[int, Witness] = {}

    def is_open(self, partition: int) -> bool:
        return time.monotonic() < self._open_until.get(partition, 0.0)

    def opening(self, partition: int) -> Operation[Opened]:
        """What opens it. Whoever founds partition 0 also says how many there are."""
        return self._operations.open(
            partition, self._witnessed.get(partition, NOTHING_WITNESSED), self.number or self._named or 1
        )

    def learn(self, partition: int, opened: Opened) -> None:
        """The partition is open.

        Raises:
            StoreMisconfigured: there are not as many partitions as we were told.
        """
        if partition == 0:
            self._check_number(opened.partitions)
            self.number = opened.partitions
            self.secret = opened.secret
        self.incarnations[partition] = opened.incarnation
        self._open_until[partition] = time.monotonic() + OPEN_FOR

    def witness(self, partition: int, value: Lease | Renewals | SettledAndTaken) -> None:
        """Remember the newest token: a server that is found without it is an older copy, and is told so."""
        match value:
            case Lease(token=token, server=server) | SettledAndTaken(work=Lease(token=token, server=server)):
                newest = int(token)
            case Renewals(slots=slots, server=server):
                newest = max([int(slot.token or "0") for slot in slots], default=0)
            case _:
                return
        if newest > int(self._witnessed.get(partition, NOTHING_WITNESSED).token):
            self._witnessed[partition] = Witness(server=server, token=str(newest))

    def close(self, partition: int) -> None:
        """It has to be opened before it is used again."""
        self._open_until.pop(partition, None)

    def close_all(self) -> None:
        """There was trouble with a connection: whatever is connected next may be another server."""
        self._open_until.clear()

    def _check_number(self, found: int) -> None:
        if self._named not in (None, found):
            raise StoreMisconfigured(
                f"The store at {self.where} keeps this namespace in {_counted(found)}, and its URL says "
                f"partitions={self._named}. The number stays as it was founded: write partitions={found}, or leave it "
                "out, or take another namespace."
            )
        if self.number not in (None, found):
            raise StoreMisconfigured(
                f"The store at {self.where} keeps this namespace in {_counted(found)}, and had {self.number} when this "
                "process began: it was founded anew. Restart this process."
            )


def _counted(partitions: int) -> str:
    return f"{partitions} partition{'s' if partitions > 1 else ''}"
