"""The store's tests ask for a `world`: one namespace of a real server, whose invariants are checked at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.world import World, open_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests import servers


@pytest.fixture(params=["valkey", "redis_server"])
def world(request: pytest.FixtureRequest, namespace: str) -> Iterator[World]:
    server: servers.Server = request.getfixturevalue(request.param)
    world = open_world(server.url, namespace)
    yield world
    world.check()
    world.store.close()
    world.raw.close()
