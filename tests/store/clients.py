"""Both clients of the store with one blocking face, so that a test may run with either."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from jobkit.store.async_client import AsyncStore
from jobkit.store.client import Store
from jobkit.store.location import locate

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from jobkit.store.operations import Operation, Operations

T = TypeVar("T")


class AsyncClient:
    """The async store, driven from outside its loop."""

    def __init__(self, store: AsyncStore) -> None:
        self._runner = asyncio.Runner()
        self.store = store
        self.operations = store.operations

    def execute_all(self, operations: Sequence[Operation[Any]]) -> list[Any]:
        return self.run(self.store.execute_all(operations))

    def partitions(self) -> int:
        return self.run(self.store.partitions())

    def secret(self) -> bytes:
        return self.run(self.store.secret())

    def incarnation(self, partition: int = 0) -> str:
        return self.run(self.store.incarnation(partition))

    def close(self) -> None:
        self.run(self.store.close())
        self._runner.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)


Client = Store | AsyncClient


def sync_client(url: str, operations: Operations, patience: float) -> Client:
    return Store(locate(url), operations, patience)


def async_client(url: str, operations: Operations, patience: float) -> Client:
    return AsyncClient(AsyncStore(locate(url), operations, patience))


KINDS: dict[str, Callable[[str, Operations, float], Client]] = {"sync": sync_client, "async": async_client}
