"""The store's tests ask for a `world`: one namespace of a real server, whose invariants are checked at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobkit.store.operations import Operations
from tests.store.clients import KINDS
from tests.store.world import World, open_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests import servers
    from tests.store.clients import Client


@pytest.fixture(params=["valkey", "redis_server"])
def world(request: pytest.FixtureRequest, namespace: str) -> Iterator[World]:
    server: servers.Server = request.getfixturevalue(request.param)
    world = open_world(server.url, namespace)
    yield world
    world.check()
    world.store.close()
    world.raw.close()


@pytest.fixture(params=KINDS)
def connect(request: pytest.FixtureRequest, namespace: str) -> Iterator[Callable[..., Client]]:
    """A client of the test's namespace, by URL; its patience is in seconds."""
    made: list[Client] = []

    def connect(url: str, patience: float = 10.0) -> Client:
        made.append(KINDS[request.param](url, Operations(namespace), patience))
        return made[-1]

    yield connect
    for client in made:
        client.close()
