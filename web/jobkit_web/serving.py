"""Serving: runs an app under uvicorn, on a socket that suits streams. For `jobkit web`.

A reader that stops reading would swallow megabytes into the kernel's buffers before anybody noticed;
`TCP_NOTSENT_LOWAT` keeps unsent bytes to a few KiB, so that a slow reader gets the newest snapshot, not the oldest.
Accepted connections inherit it from the listening socket.
"""

from __future__ import annotations

import errno
import importlib
import socket
from typing import TYPE_CHECKING, Any

from jobkit.errors import JobKitError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

NOTSENT_LOWAT = 4096
USER_TIMEOUT = 30_000
"""Milliseconds after which the kernel gives up a peer that acknowledges nothing."""
GRACE = 2
"""Seconds that streams have to end; a stalled one would otherwise hold the exit for good."""
BACKLOG = 2048


class CannotServe(JobKitError):
    """The server cannot start; the message says what to do."""


def serve(
    app: ASGIApp,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    log_level: str = "info",
    access_log: bool = True,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. `ready` gets the URL when it may be opened; port 0 takes any free one.

    Raises:
        CannotServe: the port is taken, the host is unknown, or uvicorn is not installed.
    """
    uvicorn = _uvicorn()
    with listening_socket(host, port) as listener:
        if ready is not None:
            ready(url_of(listener, host))
        config = uvicorn.Config(
            app,
            log_level=log_level,
            access_log=access_log,
            timeout_graceful_shutdown=GRACE,
            backlog=BACKLOG,
            server_header=False,
        )
        uvicorn.Server(config).run(sockets=[listener])


def listening_socket(host: str, port: int) -> socket.socket:
    """A listening socket, set up for streams: who connects from now on waits until the app is there.

    Raises:
        CannotServe: the port is taken or the host is unknown.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise CannotServe(f"The host {host!r} is unknown: {error}. Try --host 127.0.0.1.") from error
    listener = socket.socket(family, kind, protocol)
    try:
        _suit_streams(listener)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotServe(_why_not_bound(error, host, port)) from error
    listener.set_inheritable(True)
    return listener


def url_of(listener: socket.socket, host: str) -> str:
    """Where a person opens it."""
    port = listener.getsockname()[1]
    name = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(host, host)
    return f"http://{f'[{name}]' if ':' in name and not name.startswith('[') else name}:{port}"


def _suit_streams(listener: socket.socket) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_NOTSENT_LOWAT", NOTSENT_LOWAT), ("TCP_USER_TIMEOUT", USER_TIMEOUT)):
        option = getattr(socket, name, None)  # not every system has each
        if option is not None:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)


def _why_not_bound(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {port} on {host} is taken by another process: choose another with --port, or 0 for any."
        case errno.EACCES:
            return f"Port {port} needs privileges: choose one above 1023 with --port."
        case _:
            return f"Cannot listen on {host}, port {port}: {error}."


def _uvicorn() -> Any:
    """Asked for only here: the app itself runs under any ASGI server."""
    try:
        return importlib.import_module("uvicorn")
    except ImportError as error:
        raise CannotServe("uvicorn is not installed: pip install 'jobkit-progress[web]'") from error
