"""Keeps one embedded server: the detached process that starts it, watches it and ends it when nobody is left.

Run as a plain script (`python -I -S keeper.py …` with the store's directory as working directory), so that
it starts in milliseconds and stands on nothing but the standard library.

Two locks say who lives. `server.lock` is inherited by the server, so it is held exactly as long as a server
has the directory, whatever becomes of its keeper. `keeper.lock` is held exactly as long as a keeper lives: a
server whose keeper was killed is served on, and adopted by the next keeper. All talk goes through the socket
and never through process ids, which mean nothing across containers that share a directory.
"""

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal, TypeAlias

if sys.platform != "win32":
    import fcntl

Answer: TypeAlias = Literal["ready", "busy", "absent"]

SOCKET = "v.sock"
START_LOCK = "start.lock"
SERVER_LOCK = "server.lock"
KEEPER_LOCK = "keeper.lock"
READY = b"ready"
ANSWER_SECONDS = 1.0
START_SECONDS = 10.0
END_SECONDS = 10.0

_POLL_SECONDS = 0.005


class NotKept(Exception):
    """The server could not be started or adopted; the text says why."""


def probe(path: str) -> Answer:
    """Ask the server on a socket for a PONG; 'busy' is a living server that cannot serve yet."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(path)
            connection.sendall(b"PING\r\n")
            reply = connection.recv(64)
    except (TimeoutError, BlockingIOError):  # stopped or overrun: someone is there
        return "busy"
    except OSError:
        return "absent"
    if reply.startswith((b"+PONG", b"-MISCONF")):  # one that cannot write to its disk says so best by itself
        return "ready"
    return "busy" if reply.startswith(b"-") else "absent"


@contextmanager
def locked(path: str, seconds: float) -> Iterator[int]:
    """Hold a lock file, waiting for it at most this long.

    Raises:
        TimeoutError: somebody else held it all the time.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _wait_for_lock(descriptor, seconds)
        try:
            yield descriptor
        finally:  # unlocks copies too, should another thread have forked meanwhile
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def is_locked(path: str) -> bool:
    """Whether somebody holds a lock file, without ever keeping two askers from each other."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _wait_for_lock(descriptor: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError from None
        time.sleep(_POLL_SECONDS)


def main() -> None:
    """`keeper.py BINARY LINGER_SECONDS`: answer the starter on stdout, then keep the server."""
    binary, linger = sys.argv[1], float(sys.argv[2])
    _detach()
    try:
        with locked(KEEPER_LOCK, END_SECONDS):  # the one before may be ending its server
            server = _adopt_server() or _start_server(binary)
            _tell(READY)
            _keep(server, linger)
    except TimeoutError:
        _tell(b"another keeper holds the directory but no server runs: end it, then try again")
    except (NotKept, OSError) as error:
        _log(str(error))
        _tell(str(error).encode())


def _detach() -> None:
    """Become nobody's child: the starter gets no zombie, and its death or its terminal mean nothing here."""
    if os.fork():
        os._exit(0)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)


class _Ended(BaseException):
    """Somebody asked this keeper to end: the server goes with it."""


def _on_sigterm(_number: int, _frame: object) -> None:
    raise _Ended


def _adopt_server() -> "_Server | None":
    """The server that outlived its keeper, if there is one."""
    return _Server.reach()


def _start_server(binary: str) -> "_Server":
    with _lock_for_server() as lock:
        with suppress(FileNotFoundError):
            os.unlink(SOCKET)  # stale: nobody is behind it while we hold the lock
        process = _spawn(binary, lock)
        os.truncate(lock, 0)
        os.write(lock, b"%d\n" % process)
    return _first_contact(process)


@contextmanager
def _lock_for_server() -> Iterator[int]:
    """Hold `server.lock` until the server has inherited it: closed here, but never unlocked."""
    descriptor = os.open(SERVER_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _wait_for_lock(descriptor, END_SECONDS)
        yield descriptor
    except TimeoutError:
        owner = os.read(descriptor, 32).decode().strip()
        raise NotKept(
            f"a server (process {owner}) holds the directory but cannot be reached: "
            f"end it with `kill {owner}`, then try again"
        ) from None
    finally:
        os.close(descriptor)


def _spawn(binary: str, lock: int) -> int:
    os.set_inheritable(lock, True)
    options = {
        "port": "0",
        "unixsocket": SOCKET,  # relative: can be bound however deep the directory lies
        "unixsocketperm": "700",
        "dir": ".",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": "",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    to_the_log = [(os.POSIX_SPAWN_DUP2, 2, 1)]  # our stdout is the starter's pipe
    return os.posix_spawn(binary, [binary, *arguments], os.environ, file_actions=to_the_log)


def _first_contact(process: int) -> "_Server":
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            raise NotKept(f"the server ended while starting ({_how_it_ended(status)})")
        server = _Server.reach()
        if server and server.answers():
            return server
        time.sleep(_POLL_SECONDS)
    os.kill(process, signal.SIGKILL)
    raise NotKept(f"the server did not answer within {START_SECONDS:g} s")


def _how_it_ended(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _keep(server: "_Server", linger: float) -> None:
    """Return when the server is gone: unused for `linger` seconds, unreachable, asked to end, or dead."""
    try:
        _watch(server, linger)
    except ConnectionError:
        _log("the server is gone; the next client starts it again")
    except _Ended:
        server.end()


def _watch(server: "_Server", linger: float) -> None:
    pause = max(0.02, min(1.0, linger / 5))
    idle_since, last_visits = time.monotonic(), -1
    while True:
        others, visits = server.clients()
        if others or visits != last_visits:
            idle_since, last_visits = time.monotonic(), visits
        if not os.path.exists(SOCKET) and server.end():  # nobody can come any more: make room
            return
        if time.monotonic() - idle_since >= linger and _end_if_unused(server):
            return
        server.wait_for_news(pause)


def _end_if_unused(server: "_Server") -> bool:
    """End the server with `start.lock` held, so that whoever comes now finds either a server or none."""
    with suppress(TimeoutError), locked(START_LOCK, 0):  # held by others: somebody is about to connect
        others, _ = server.clients()
        return not others and server.end()
    return False


class _Server:
    """The keeper's own connection to the server; ConnectionError means that the server is gone."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._replies = connection.makefile("rb")

    @classmethod
    def reach(cls) -> "_Server | None":
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(SOCKET)
        except OSError:
            connection.close()
            return None
        return cls(connection)

    def answers(self) -> bool:
        """False when it died before it could answer; loading its data it does answer."""
        try:
            self.clients()
        except ConnectionError:
            return False
        return True

    def clients(self) -> tuple[int, int]:
        """How many clients are connected besides this keeper, and how many connections there have ever been.

        The second number shows who came and went between two looks.
        """
        counts = self._info()
        return counts.get("connected_clients", 2) - 1, counts.get("total_connections_received", 0)

    def wait_for_news(self, seconds: float) -> None:
        """Sleep, but notice the server's death at once."""
        readable, _, _ = select.select([self._connection], [], [], seconds)
        if readable and not self._replies.peek(1):
            raise ConnectionResetError

    def end(self) -> bool:
        """Let the server write everything down and go; False if it refuses or takes too long."""
        with suppress(ConnectionError):
            self._connection.sendall(b"SHUTDOWN\r\n")
            if refusal := self._replies.readline():
                _log(f"the server refuses to end: {refusal.decode().strip()}")
                return False
        with suppress(TimeoutError), locked(SERVER_LOCK, END_SECONDS):
            return True
        return False

    def _info(self) -> dict[str, int]:
        """Empty while a long script keeps the server from answering."""
        self._connection.sendall(b"INFO clients stats\r\n")
        header = self._replies.readline()
        if header.startswith(b"-"):
            return {}
        if not header:
            raise ConnectionResetError
        body = self._replies.read(int(header[1:]) + 2).decode()
        pairs = (line.split(":", 1) for line in body.splitlines() if ":" in line)
        return {name: int(value) for name, value in pairs if value.isdigit()}


def _tell(message: bytes) -> None:
    """Answer the waiting starter and let it go."""
    with suppress(BrokenPipeError):
        os.write(1, message)
    os.dup2(2, 1)


def _log(message: str) -> None:
    os.write(2, f"{os.getpid()}:K {time.strftime('%d %b %Y %H:%M:%S')} * {message}\n".encode())


if __name__ == "__main__":
    main()
