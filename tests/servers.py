"""Starts real servers for tests: own directory, free port, stopped by process id, never mocked.

What a machine lacks is skipped at home and fails where `CI` is set: a suite that skips there proves nothing.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from jobkit.store import embedded, keeper
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent
TOOLS = ROOT / ".tools"

_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


class Server:
    """A Valkey or Redis whose data outlives `kill` and `restart`: an append-only file, written every second."""

    def __init__(self, binary: Path, directory: Path, **options: str) -> None:
        self._binary = binary
        self.options = options
        self.directory = directory
        self.socket = directory / "server.sock"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Over the unix socket: the faster one."""
        return f"unix://{self.socket}"

    @property
    def tcp_url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def alive(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def log(self) -> str:
        return (self.directory / "server.log").read_text(errors="replace")

    def start(self) -> None:
        """Return when it answers."""
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), cwd=self.directory, stdout=log, stderr=log)
        wait_until(self._answers_or_died, "the server answers")
        if self._process.poll() is not None:
            raise AssertionError(f"{self._binary.name} did not start:\n{self.log}")

    def stop(self) -> None:
        """End it in order: everything is written down."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does: the last second may be lost."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it again, on the same port and socket, with its data."""
        self.stop()
        self.start()

    def come_back_empty(self) -> None:
        """As a crash without persistence; or a start without what was written, where it is down."""
        if self.alive:
            self.kill()
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)
        self.start()

    @contextmanager
    def rolled_back(self) -> Iterator[None]:
        """What is written inside is lost at its end, by a crash."""
        self.stop()
        kept = self.directory / "kept"
        shutil.copytree(self.directory / "appendonlydir", kept)
        self.start()
        yield
        self.kill()
        shutil.rmtree(self.directory / "appendonlydir")
        kept.rename(self.directory / "appendonlydir")
        self.start()

    def written(self) -> int:
        """Bytes in the append-only file."""
        return self._append_only_file().stat().st_size

    def truncate(self, size: int) -> None:
        """The killed server has written no more than this, as after a power cut: what was not flushed is gone."""
        os.truncate(self._append_only_file(), size)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Frozen, as by a network that swallows everything; connections stay open."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def pause(self) -> None:
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Whatever state it is in: gone, and its data with it."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _append_only_file(self) -> Path:
        """The part that grows."""
        return max((self.directory / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)

    def _command(self) -> list[str]:
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "appendonly": "yes",
            "save": "",
            "daemonize": "no",
            **{name.replace("_", "-"): value for name, value in self.options.items()},
        }
        return [str(self._binary), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server is not running: start() it first"
        return self._process

    def _answers_or_died(self) -> bool:
        return keeper.probe(str(self.socket)) == "ready" or self._running().poll() is not None

    def _end(self, number: signal.Signals) -> None:
        process = self._running()
        process.send_signal(number)
        process.wait(timeout=10)
        self._process = None


@contextmanager
def running(binary: Path, **options: str) -> Iterator[Server]:
    """A started server in a new short directory, gone afterwards."""
    server = Server(binary, Path(tempfile.mkdtemp(prefix="jobkit-", dir="/tmp")), **options)
    try:
        server.start()
        yield server
    finally:
        server.close()


def valkey_binary() -> Path:
    return embedded.server_binary()


def redis_binary() -> Path:
    found = shutil.which("redis-server")
    return Path(found) if found else missing("redis-server", "apt-get install redis-server")


def chromium() -> Path:
    """$JOBKIT_CHROMIUM, an installed one, or the one that `make test` put into `.tools`."""
    named = os.environ.get("JOBKIT_CHROMIUM")
    candidates = [named, *map(shutil.which, _CHROMIUM_NAMES), _MAC_CHROME, str(TOOLS / "chromium")]
    found = next((path for path in candidates if path and Path(path).exists()), None)
    return Path(found) if found else missing("chromium", "apt-get install chromium, or `make setup`")


def missing(what: str, remedy: str, environment: Mapping[str, str] = os.environ) -> NoReturn:
    """Skip at home, fail in CI."""
    message = f"{what} is not installed: {remedy}"
    if environment.get("CI", "").lower() in {"", "0", "false"}:
        pytest.skip(message)
    pytest.fail(message)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
