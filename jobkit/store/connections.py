"""What redis-py is told about a server, for the sync and the async client alike.

Whoever makes a connection says for how long its server may be silent, and none retries by itself (`conversation` says
why). The wire speaks RESP2: replies are then the same on every server jobkit supports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from hiredis import pack_command
from redis import Redis
from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobkit.store.location import TcpLocation, UnixLocation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.store.location import Address, Credentials, Tls

CONNECTIONS = 64
"""A pool's size; a thread that finds all in use waits for one."""
TURN = 60.0
"""Seconds it waits."""


ASKING = 2.0
"""Seconds that whoever is asked where the servers are may take to connect, and to answer; then another is asked."""


LONGEST_SILENCE = 5.0
"""Seconds that a server may take to accept a connection, and for each reply."""
SHORTEST_SILENCE = 1.0
"""Seconds that a server in good health may take: less would be no patience, but a way to lose connections."""


def silence_within(patience: float) -> float:
    """For how many seconds a server may be silent when there is patience for so many: short enough to ask twice."""
    return min(LONGEST_SILENCE, max(SHORTEST_SILENCE, patience / 2))


def options(server: TcpLocation | UnixLocation, silence: float | None, connecting: float) -> dict[str, Any]:
    """The keyword arguments of a redis-py connection, sync or async, but for its class and retry.

    `silence` and `connecting` are for how many seconds a read, and the connecting, may take.
    """
    common: dict[str, Any] = {
        "db": server.db and str(server.db),  # as it is sent, by `SELECT`: see `operations.Word`
        "socket_timeout": silence,
        "socket_connect_timeout": connecting,
        "protocol": 2,
        **_login(server.credentials),
    }
    match server:
        case UnixLocation():
            return {**common, "path": str(server.path)}
        case TcpLocation():
            tls = _encryption(server.tls) if server.tls else {}
            return {**common, "host": server.host, "port": server.port, "socket_keepalive": True, **tls}
        case _:
            assert_never(server)


def _login(credentials: Credentials) -> dict[str, Any]:
    return {"username": credentials.username, "password": credentials.password}


def _encryption(tls: Tls) -> dict[str, Any]:
    return {
        "ssl_cert_reqs": tls.check,
        "ssl_check_hostname": tls.check_hostname,
        "ssl_ca_certs": tls.ca_certs,
        "ssl_certfile": tls.certfile,
        "ssl_keyfile": tls.keyfile,
    }


def ask_once(address: Address, credentials: Credentials, tls: Tls | None, *command: str) -> Any:
    """The reply to a command, over a connection made for it; blocks, but not for long.

    Raises:
        redis.RedisError: there is none.
    """
    client: Any = Redis(
        host=address.host,
        port=address.port,
        socket_timeout=ASKING,
        socket_connect_timeout=ASKING,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        ssl=tls is not None,
        **_login(credentials),
        **(_encryption(tls) if tls else {}),
    )
    with client:
        return client.execute_command(*command)


def packed(commands: Sequence[tuple[Any, ...]]) -> bytes:
    """Commands as they go over the wire."""
    return b"".join([pack_command(command) for command in commands])


def as_redis_error(error: Exception) -> Exception:
    """A broken connection, whichever layer noticed, as redis-py's own error."""
    return error if isinstance(error, redis_errors.RedisError) else redis_errors.ConnectionError(str(error))
