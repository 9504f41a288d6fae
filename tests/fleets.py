"""Starts servers that work together: a primary with its replica and their sentinel, and a cluster."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import redis
from redis.crc import key_slot

from tests.servers import Server, free_port, valkey_binary
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

F = TypeVar("F", "Replicated", "Cluster")

SLOTS = 16384
AT_ONCE = {"repl_diskless_sync_delay": "0"}
"""A replica is served as soon as it asks; others might join it otherwise."""


class Replicated:
    """A primary, a replica, and the sentinel that promotes the replica a second after the primary's death."""

    SERVICE = "jobs"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        primary = Server(valkey_binary(), _folder(directory, "a"), **AT_ONCE)
        replica = Server(valkey_binary(), _folder(directory, "b"), replicaof=f"127.0.0.1 {primary.port}", **AT_ONCE)
        self.servers = (primary, replica)
        self._sentinel: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/{self.SERVICE}"

    @property
    def primary(self) -> Server:
        """As the sentinel says."""
        port = int(self._ask("GET-MASTER-ADDR-BY-NAME", self.SERVICE)[1])
        return next(server for server in self.servers if server.port == port)

    def start(self) -> None:
        """Return when the replica could take the primary's place."""
        for server in self.servers:
            server.start()
        self._start_sentinel()
        wait_until(self._replica_is_known, "the sentinel knows the replica")
        self.synchronize()

    def synchronize(self) -> None:
        """Wait until the replica has all that the primary has. (A dead one that came back is a replica after 10 s.)"""
        primary = self.primary
        wait_until(lambda: ask(primary, "INFO", "replication")["connected_slaves"] == 1, "the replica is connected", 30)
        with redis.Redis.from_url(primary.url) as raw:
            client: Any = raw
            client.set("synchronized", "")  # WAIT waits for what its own connection wrote
            assert client.wait(1, 10_000) == 1, "the replica stays behind"

    def fail_over(self) -> Server:
        """Kill the primary. Return it when the other one has taken its place."""
        dead = self.primary
        dead.kill()
        self.wait_for_another(dead)
        return dead

    def wait_for_another(self, primary: Server) -> None:
        wait_until(lambda: self.primary is not primary, "the replica is promoted", 20)

    def switch(self) -> None:
        """Have them change places in good order; nobody dies."""
        before = self.primary
        self._ask("FAILOVER", self.SERVICE)
        self.wait_for_another(before)

    def close(self) -> None:
        if self._sentinel is not None:
            self._sentinel.kill()
            self._sentinel.wait()
        for server in self.servers:
            server.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start_sentinel(self) -> None:
        configuration = self.directory / "sentinel.conf"
        configuration.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.directory}\n"
            f"sentinel monitor {self.SERVICE} 127.0.0.1 {self.servers[0].port} 1\n"
            f"sentinel down-after-milliseconds {self.SERVICE} 1000\n"
            f"sentinel failover-timeout {self.SERVICE} 3000\n"
        )
        command = [str(valkey_binary()), str(configuration), "--sentinel"]
        with (self.directory / "sentinel.log").open("wb") as log:
            self._sentinel = subprocess.Popen(command, stdout=log, stderr=log)

    def _replica_is_known(self) -> bool:
        try:
            return len(self._ask("REPLICAS", self.SERVICE)) == 1
        except redis.ConnectionError:
            return False

    def _ask(self, *command: str) -> Any:
        with redis.Redis(port=self.port, protocol=2) as sentinel:
            client: Any = sentinel
            return client.execute_command("SENTINEL", *command)


class Cluster:
    """Three primaries, each with a third of the slots, that find one of them dead after a second."""

    def __init__(self, directory: Path, binary: Path) -> None:
        self.directory = directory
        self._binary = binary
        self.nodes = [self._new_node(name) for name in "abc"]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes[:3])}"

    def start(self) -> None:
        """Return when every node takes part."""
        for node in self.nodes:
            node.start()
        for number, node in enumerate(self.nodes):
            first, last = SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1
            ask(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            ask(node, "CLUSTER", "ADDSLOTSRANGE", first, last)
            self._introduce(node, self.nodes[0])
        self.settle()

    def settle(self) -> None:
        """Wait until all nodes say the same, and take commands."""
        wait_until(self._agree, "the cluster is whole", timeout=20)

    def node_of(self, key: str) -> Server:
        """Who keeps a key, as the cluster says."""
        slot = key_slot(key.encode())
        port = next(port for first, last, port in _slots(self._alive()[0]) if first <= slot <= last)
        return next(node for node in self.nodes if node.port == port)

    def add_replica(self, primary: Server) -> Server:
        """One that takes the primary's place when it dies."""
        replica = self._new_node(f"replica-{len(self.nodes)}")
        self.nodes.append(replica)
        replica.start()
        self._introduce(replica, primary)
        identity = ask(primary, "CLUSTER", "MYID").decode()
        wait_until(lambda: identity.encode() in ask(replica, "CLUSTER", "NODES"), "it has met its primary")
        ask(replica, "CLUSTER", "REPLICATE", identity)
        wait_until(lambda: ask(replica, "INFO", "replication")["master_link_status"] == "up", "it has everything")
        self.settle()
        return replica

    @contextmanager
    def migrating(self, key: str, target: Server) -> Iterator[None]:
        """Inside, half of the slot's keys are on their way; afterwards all have arrived."""
        slot, source = key_slot(key.encode()), self.node_of(key)
        identities = {node.port: ask(node, "CLUSTER", "MYID").decode() for node in (source, target)}
        ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", identities[source.port])
        ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", identities[target.port])
        keys = ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 10_000)
        _move(keys[: len(keys) // 2], source, target)
        yield
        _move(ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 10_000), source, target)
        for node in (target, source):
            ask(node, "CLUSTER", "SETSLOT", slot, "NODE", identities[target.port])
        self.settle()

    def move(self, key: str, target: Server) -> None:
        """A whole slot, key by key."""
        with self.migrating(key, target):
            pass

    def move_at_once(self, key: str, target: Server) -> None:
        """A whole slot, in one step: what Valkey can do from 9.0 on."""
        slot = key_slot(key.encode())
        identity = ask(target, "CLUSTER", "MYID").decode()
        ask(self.node_of(key), "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", identity)
        wait_until(lambda: self.node_of(key) is target, "the slot has moved")
        self.settle()

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _new_node(self, name: str) -> Server:
        options = {"cluster_enabled": "yes", "cluster_port": str(free_port()), "cluster_node_timeout": "1000"}
        return Server(self._binary, _folder(self.directory, name), **options, **AT_ONCE)

    def _introduce(self, node: Server, known: Server) -> None:
        if node is not known:
            ask(node, "CLUSTER", "MEET", "127.0.0.1", known.port, known.options["cluster_port"])

    def _alive(self) -> list[Server]:
        return [node for node in self.nodes if node.alive]

    def _agree(self) -> bool:
        alive = self._alive()
        whole = all(b"cluster_state:ok" in ask(node, "CLUSTER", "INFO") for node in alive)
        known = all(f"cluster_known_nodes:{len(self.nodes)}".encode() in ask(node, "CLUSTER", "INFO") for node in alive)
        return whole and known and len({tuple(_slots(node)) for node in alive}) == 1


def ask(server: Server, *command: Any) -> Any:
    """What this very server answers."""
    with redis.Redis(unix_socket_path=str(server.socket), protocol=2) as client:
        return client.execute_command(*command)  # type: ignore[no-untyped-call]


@contextmanager
def replicated() -> Iterator[Replicated]:
    """A started primary with all that belongs to it, in a new short directory, gone afterwards."""
    yield from _running(Replicated(_new_directory()))


@contextmanager
def cluster(binary: Path | None = None) -> Iterator[Cluster]:
    """A started cluster, of Valkey unless said otherwise, in a new short directory, gone afterwards."""
    yield from _running(Cluster(_new_directory(), binary or valkey_binary()))


def _running(fleet: F) -> Iterator[F]:
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.close()


def _new_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="jobkit-", dir="/tmp"))


def _folder(directory: Path, name: str) -> Path:
    folder = directory / name
    folder.mkdir()
    return folder


def _slots(node: Server) -> list[tuple[int, int, int]]:
    """First slot, last slot, and the port of their primary."""
    return sorted((first, last, primary[1]) for first, last, primary, *_ in ask(node, "CLUSTER", "SLOTS"))


def _move(keys: list[bytes], source: Server, target: Server) -> None:
    if keys:
        ask(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
