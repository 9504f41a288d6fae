"""The server of one benchmark: a Valkey of its own, which writes nothing to disk, on a socket and a port."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jobkit.store.embedded import server_binary
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Server:
    socket: Path
    port: int
    pid: int = 0

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def tcp_url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"


@contextmanager
def valkey() -> Iterator[Server]:
    """Started, and gone with all it holds when the block ends."""
    directory = Path(tempfile.mkdtemp(prefix="jobkit-bench-", dir="/tmp"))
    server = Server(directory / "v.sock", free_port())
    options = ["--port", str(server.port), "--bind", "127.0.0.1", "--unixsocket", str(server.socket), "--save", "",
               "--dir", str(directory)]  # fmt: skip
    process = subprocess.Popen([str(server_binary()), *options], stdout=subprocess.DEVNULL)
    try:
        while not server.socket.exists() and process.poll() is None:
            time.sleep(0.01)
        yield replace(server, pid=process.pid)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory)
