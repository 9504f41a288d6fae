"""Clients: the connections of one kit: a client for the process's threads, one for each event loop, and what they hear.

Each is made when it is first asked for. A forked child shares none of them with its parent: it makes its own. A loop's
client ends with its loop: whoever ends a loop in order (`asyncio.run` does) first ends the async generators that were
begun on it, and the client hangs on one.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from jobkit.l1 import L1
from jobkit.store.async_client import AsyncStore
from jobkit.store.client import Store
from jobkit.store.listening import Listening

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from jobkit.store.location import Location
    from jobkit.store.operations import Operations


class _OfLoop(NamedTuple):
    store: AsyncStore
    closing: AsyncGenerator[None, None]
    """Begun; its end closes the store."""


class Clients:
    """The clients of one kit. Thread-safe."""

    def __init__(self, location: Location, operations: Operations, patience: float) -> None:
        self._location = location
        self._operations = operations
        self._patience = patience
        self._forget()
        os.register_at_fork(after_in_child=_Forgetting(self))

    def _forget(self) -> None:
        self._making = threading.RLock()
        self._sync: Store | None = None
        self._listening: Listening | None = None
        self._l1: L1 | None = None
        self._loops: dict[asyncio.AbstractEventLoop, _OfLoop] = {}

    def sync(self) -> Store:
        if self._sync is None:
            with self._making:
                self._sync = self._sync or Store(self._location, self._operations, self._patience)
        return self._sync

    def of_running_loop(self) -> AsyncStore:
        loop = asyncio.get_running_loop()
        known = self._loops.get(loop)
        return self._made_for(loop) if known is None else known.store

    def listening(self) -> Listening:
        if self._listening is None:
            with self._making:
                self._listening = self._listening or Listening(self._new_async_store)
        return self._listening

    def l1(self) -> L1:
        """The memory of this process, which begins to hear what is invalidated when it is first asked for."""
        if self._l1 is None:
            with self._making:  # both at once: one that hears by a listening that was closed would never answer
                self._l1 = l1 = self._l1 or L1(self._operations.invalidations_channel(), self.listening())
            return l1
        return self._l1

    def known_l1(self) -> L1 | None:
        """As `l1`, if anybody has asked for it."""
        return self._l1

    def secret(self) -> bytes:
        stores = (self._sync, *[known.store for known in tuple(self._loops.values())])
        known = [store.known.secret for store in stores if store is not None and store.known.secret]
        return known[0] if known else self.sync().secret()

    def close(self) -> None:
        """Whoever asks from now on gets new ones."""
        with self._making:
            sync, listening = self._sync, self._listening
            self._l1 = self._sync = self._listening = None
            self._drop_ended()
        if listening is not None:
            listening.close()
        if sync is not None:
            sync.close()

    async def aclose(self) -> None:
        known = self._loops.get(asyncio.get_running_loop())
        if known is not None:
            await known.closing.aclose()
        await asyncio.to_thread(self.close)

    def _made_for(self, loop: asyncio.AbstractEventLoop) -> AsyncStore:
        store = self._new_async_store()
        closing = self._close_at_the_end_of(loop, store)
        with suppress(StopIteration):
            closing.asend(None).send(None)  # up to where it waits
        with self._making:
            self._drop_ended()
            self._loops[loop] = _OfLoop(store, closing)
        return store

    async def _close_at_the_end_of(
        self, loop: asyncio.AbstractEventLoop, store: AsyncStore
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with self._making:
                self._loops.pop(loop, None)
            await store.close()

    def _drop_ended(self) -> None:
        """Of loops that did not end in order."""
        for loop in [loop for loop in self._loops if loop.is_closed()]:
            del self._loops[loop]

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
