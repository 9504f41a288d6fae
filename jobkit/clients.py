"""Clients: the connections of one kit: a client for the process's threads, one for each event loop, and what they hear.

Each is made when it is first asked for. A forked child shares none of them with its parent: it makes its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from typing import TYPE_CHECKING

from jobkit.l1 import L1
from jobkit.store.async_client import AsyncStore
from jobkit.store.client import Store
from jobkit.store.listening import Listening

if TYPE_CHECKING:
    from jobkit.store.location import Location
    from jobkit.store.operations import Operations


class Clients:
    """The clients of one kit. Thread-safe."""

    def __init__(self, location: Location, operations: Operations, patience: float) -> None:
        self._location = location
        self._operations = operations
        self._patience = patience
        self._forget()
        os.register_at_fork(after_in_child=_Forgetting(self))

    def _forget(self) -> None:
        self._making = threading.Lock()
        self._sync: Store | None = None
        self._listening: Listening | None = None
        self._l1: L1 | None = None
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncStore] = weakref.WeakKeyDictionary()

    def sync(self) -> Store:
        if self._sync is None:
            with self._making:
                self._sync = self._sync or Store(self._location, self._operations, self._patience)
        return self._sync

    def of_running_loop(self) -> AsyncStore:
        loop = asyncio.get_running_loop()
        store = self._loops.get(loop)
        if store is None:
            store = self._loops[loop] = self._new_async_store()
        return store

    def listening(self) -> Listening:
        if self._listening is None:
            with self._making:
                self._listening = self._listening or Listening(self._new_async_store)
        return self._listening

    def l1(self) -> L1:
        """The memory of this process, which begins to hear what is invalidated when it is first asked for."""
        if self._l1 is None:
            listening = self.listening()
            with self._making:
                self._l1 = self._l1 or L1(self._operations.invalidations_channel(), listening)
        return self._l1

    def known_l1(self) -> L1 | None:
        """As `l1`, if anybody has asked for it."""
        return self._l1

    def secret(self) -> bytes:
        stores = (self._sync, *self._loops.values())
        known = [store.known.secret for store in stores if store is not None and store.known.secret]
        return known[0] if known else self.sync().secret()

    def close(self) -> None:
        self._l1 = None
        if self._listening is not None:
            self._listening.close()
        if self._sync is not None:
            self._sync.close()
        self._sync = self._listening = None

    async def aclose(self) -> None:
        store = self._loops.pop(asyncio.get_running_loop(), None)
        if store is not None:
            await store.close()
        await asyncio.to_thread(self.close)

    def _new_async_store(self) -> AsyncStore:
        return AsyncStore(self._location, self._operations, self._patience)


class _Forgetting:
    """What a forked child does first; it keeps nothing alive."""

    def __init__(self, clients: Clients) -> None:
        self._clients = weakref.ref(clients)

    def __call__(self) -> None:
        clients = self._clients()
        if clients is not None:
            clients._forget()
