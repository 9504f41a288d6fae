"""One connection that does as little as a connection can: a batch of commands out, their replies back, and what was
published meanwhile."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import hiredis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Command = tuple[bytes | str | int, ...]


class Wire:
    """`published` fills with (channel, text) in order; a message of a batch is there when its replies are."""

    def __init__(self, address: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(address))
        self._reader = hiredis.Reader()
        self.published: list[tuple[str, str]] = []
        self.send([("HELLO", 3)])

    def listen(self, pattern: str) -> None:
        self._socket.sendall(_packed(("PSUBSCRIBE", pattern)))
        self.send([])

    def send(self, commands: Sequence[Command]) -> list[Any]:
        """An error is a reply. (The last command is one whose reply comes after all messages.)"""
        self._socket.sendall(b"".join([_packed(command) for command in (*commands, ("PING",))]))
        replies = [self._reply() for _ in commands]
        assert self._reply() == b"PONG"
        return replies

    def close(self) -> None:
        self._socket.close()

    def _reply(self) -> Any:
        while True:
            reply = self._reader.gets()
            if reply is False:
                self._reader.feed(self._socket.recv(1 << 18))
            elif isinstance(reply, hiredis.PushNotification):
                if reply[0] == b"pmessage":
                    self.published.append((reply[2].decode(), reply[3].decode()))
            else:
                return reply


def _packed(command: Command) -> bytes:
    return bytes(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub knows pairs of one
