"""A network between a client and a server that loses replies, cuts them in half, or holds them back.

What it loses was applied: a reply is dropped only after the server has given it.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Listens on `port` and forwards to `target`; `lose`, `halve` and `holding` disturb the replies to come."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._to_lose = 0
        self._to_halve = 0
        self._flowing = threading.Event()
        self._flowing.set()
        self.held = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, replies: int = 1) -> None:
        """The next replies never arrive, and their connections break."""
        self._to_lose = replies

    def halve(self, replies: int = 1) -> None:
        """The next replies break off in the middle."""
        self._to_halve = replies

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Replies are given only after this block; `held` is set when one waits."""
        self.held.clear()
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    def close(self) -> None:
        self._flowing.set()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
                threading.Thread(target=self._replies, args=(server, client), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError), client, server:
            while data := client.recv(65536):
                server.sendall(data)

    def _replies(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError), client, server:
            while data := server.recv(65536):
                if not self._flowing.is_set():
                    self.held.set()
                    self._flowing.wait()
                passed = self._disturbed(data)
                client.sendall(passed)
                if len(passed) < len(data):
                    client.shutdown(socket.SHUT_RDWR)
                    server.shutdown(socket.SHUT_RDWR)
                    return

    def _disturbed(self, data: bytes) -> bytes:
        with self._lock:
            if self._to_lose:
                self._to_lose -= 1
                return b""
            if self._to_halve:
                self._to_halve -= 1
                return data[: len(data) // 2]
        return data
