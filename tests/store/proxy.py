"""A network between a client and a server that loses, halves, holds back, swallows and cuts.

What it loses was applied: a reply is dropped only after the server has given it. What it holds back arrives in the
end, however late, and whether or not its sender still waits for an answer.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RESET = struct.pack("ii", 1, 0)  # closing sends a reset, and drops what was not yet sent


class Way(Enum):
    """A direction, as the client sees it."""

    REQUESTS = "requests"
    REPLIES = "replies"


class Fate(Enum):
    """What becomes of the bytes that go one way."""

    PASS = "pass"
    HOLD = "hold"
    SWALLOW = "swallow"


@dataclass(frozen=True, kw_only=True)
class Weather:
    """The chance that a reply is lost, or breaks off in the middle; its connection breaks then, too.

    And the chance that a script's call comes a second time, up to `late` seconds later: as when its sender gave it up,
    and asked again.
    """

    lose: float = 0.0
    halve: float = 0.0
    repeat: float = 0.0
    late: float = 10.0
    seed: int = 0


CLEAR = Weather()


class Proxy:
    """Listens on `port` of this machine and forwards to `target`."""

    def __init__(self, target: int, weather: Weather = CLEAR) -> None:
        self._target = target
        self._weather = weather
        self._dice = random.Random(weather.seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._to_lose = 0
        self._to_halve = 0
        self._closed = False
        self.disturbed = 0
        """Replies that were lost or broke off."""
        self.repeated = 0
        """Requests that came a second time."""
        self.fates = dict.fromkeys(Way, Fate.PASS)
        self.flowing = {way: threading.Event() for way in Way}
        self.held = threading.Event()
        self.heal()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

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
        self.part(Fate.HOLD, Way.REPLIES)
        try:
            yield
        finally:
            self.heal()

    def part(self, fate: Fate, *ways: Way) -> None:
        """From now on this happens to all that goes these ways."""
        for way in ways:
            self.fates[way] = fate
            self.flowing[way].clear()

    def heal(self) -> None:
        """Everything passes again: what was held arrives; connections from which something was swallowed are reset."""
        for way in Way:
            self.fates[way] = Fate.PASS
            self.flowing[way].set()

    def cut(self) -> None:
        """Reset all connections."""
        with self._lock:
            links = tuple(self._links)
        for link in links:
            link.reset()

    def close(self) -> None:
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.heal()
        self.cut()

    def disturb(self, data: bytes) -> bytes:
        """What is left of a reply."""
        with self._lock:
            drawn = self._dice.random()
            if self._to_lose or drawn < self._weather.lose:
                self._to_lose = max(0, self._to_lose - 1)
                left = b""
            elif self._to_halve or drawn < self._weather.lose + self._weather.halve:
                self._to_halve = max(0, self._to_halve - 1)
                left = data[: len(data) // 2]
            else:
                return data
            self.disturbed += 1
        return left

    def perhaps_repeat(self, request: bytes) -> None:
        """Send a copy of it, much later."""
        with self._lock:
            if b"FCALL" not in request or self._dice.random() >= self._weather.repeat:
                return
            self.repeated += 1
            seconds = self._dice.uniform(0.0, self._weather.late)
        timer = threading.Timer(seconds, self._send_copy, (request,))
        timer.daemon = True
        timer.start()

    def _send_copy(self, request: bytes) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as server:
            server.sendall(request)
            server.recv(65536)  # so it has been carried out; nobody wants the answer

    def forget(self, link: _Link) -> None:
        with self._lock:
            self._links.discard(link)

    def _accept(self) -> None:
        """Until it is closed. (A client may be gone before it is accepted, which is an error of that one only.)"""
        while not self._closed:
            with suppress(OSError):
                client, _ = self._listener.accept()
                self._link(client)

    def _link(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        link = _Link(self, client, server)
        with self._lock:
            self._links.add(link)
        link.start()


class _Link:
    """One connection: two sockets, and a thread for each way."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._ending = threading.Lock()
        self._open = True

    def start(self) -> None:
        for carry in (self._requests, self._replies):
            threading.Thread(target=self._carried, args=(carry,), name="proxy link", daemon=True).start()

    def reset(self) -> None:
        for end in (self._client, self._server):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._end()

    def _carried(self, carry: Callable[[], None]) -> None:
        with suppress(OSError):
            carry()
        self._end()

    def _requests(self) -> None:
        while data := self._client.recv(65536):
            if not self._passes(Way.REQUESTS):
                self.reset()
                return
            self._server.sendall(data)
            self._proxy.perhaps_repeat(data)

    def _replies(self) -> None:
        while data := self._server.recv(65536):
            if not self._passes(Way.REPLIES):
                self.reset()
                return
            left = self._proxy.disturb(data)
            self._client.sendall(left)
            if len(left) < len(data):
                return

    def _passes(self, way: Way) -> bool:
        """Wait until bytes may go this way; False when they were swallowed."""
        fate = self._proxy.fates[way]
        if fate is not Fate.PASS:
            self._proxy.held.set()
            self._proxy.flowing[way].wait()
        return fate is not Fate.SWALLOW

    def _end(self) -> None:
        with self._ending:
            if not self._open:
                return
            self._open = False
        self._proxy.forget(self)
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes the other thread
        self._client.close()
        self._server.close()
