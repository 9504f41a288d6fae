"""Serving for `jobkit web`: sockets, clear errors, and an end in order."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import redis
from jobkit_web import CannotServe
from jobkit_web.serving import listening_socket, serve

from jobkit.kit import JobKit
from tests.waiting import await_until
from tests.web.performing import Performer

WEB = """
import sys
from jobkit.kit import JobKit
from jobkit_web import allow_all, create_app, serve
kit = JobKit(sys.argv[1], namespace=sys.argv[2])
serve(create_app(kit, authorize=allow_all), port=0, log_level="warning", ready=lambda url: print(url, flush=True))
"""


@contextmanager
def web_process(url: str, namespace: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", WEB, url, namespace]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, **pipes) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


async def read_to_the_end(url: str, started: asyncio.Semaphore) -> bytes:
    host, port = url.removeprefix("http://").partition("/")[0].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /{url.split('/', 3)[3]} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    body = await reader.readuntil(b"event: snapshot")
    started.release()
    body += await reader.read()
    writer.close()
    return body


async def watch_while_it_ends(url: str, count: int, process: subprocess.Popen[str]) -> tuple[list[bytes], float]:
    started = asyncio.Semaphore(0)
    began = 0.0

    async def end_when_all_are_open() -> None:
        nonlocal began
        for _ in range(count):
            await started.acquire()
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        readers = [group.create_task(read_to_the_end(url, started)) for _ in range(count)]
        group.create_task(end_when_all_are_open())
    return [reader.result() for reader in readers], time.monotonic() - began


def test_sigterm_ends_two_hundred_streams_in_order(kit: JobKit, run: Performer) -> None:
    with web_process(str(kit.location), kit.operations.namespace) as (process, url):
        bodies, seconds = asyncio.run(watch_while_it_ends(f"{url}/runs/{run.id}/events", 200, process))
        process.wait(timeout=5)
        assert process.stderr is not None
        complaints = process.stderr.read()
    assert all(b'event: bye\ndata: {"reason":"drain"}\n\n' in body for body in bodies)
    assert all(b"\nretry: " in body for body in bodies)
    assert all(body.endswith(b"0\r\n\r\n") for body in bodies), "every body is whole"
    assert seconds < 2
    assert complaints == ""


def test_long_poll_is_answered_when_the_server_ends(kit: JobKit, run: Performer) -> None:
    run.report(done=1)
    version = run.run.snapshot().version

    async def poll(url: str, process: subprocess.Popen[str]) -> tuple[httpx.Response, float]:
        async with asyncio.timeout(20), httpx.AsyncClient(timeout=20) as client:
            waiting = asyncio.create_task(client.get(f"{url}/runs/{run.id}?wait=20&version={version}"))
            await await_until(lambda: is_subscribed(kit, run), "the poll waits")
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            return await waiting, time.monotonic() - began

    with web_process(str(kit.location), kit.operations.namespace) as (process, url):
        response, seconds = asyncio.run(poll(url, process))
    assert response.json()["version"] == version
    assert seconds < 2


def is_subscribed(kit: JobKit, run: Performer) -> bool:
    with redis.Redis.from_url(str(kit.location)) as server:
        return bool(dict(server.pubsub_numsub(kit.operations.snapshots_channel(run.id))).popitem()[1])


def test_taken_port_is_told_with_advice() -> None:
    with listening_socket("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotServe, match=f"Port {port} on 127.0.0.1 is taken.*--port"):
            listening_socket("127.0.0.1", port)


def test_unknown_host_is_told_with_advice() -> None:
    with pytest.raises(CannotServe, match=r"'no\.such\.host\.invalid' is unknown"):
        listening_socket("no.such.host.invalid", 0)


def test_connections_hold_little_unsent() -> None:
    with listening_socket("127.0.0.1", 0) as listener, socket.socket() as client:
        listener.listen()
        client.connect(listener.getsockname())
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 4096


def test_missing_uvicorn_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(CannotServe, match=r"pip install 'jobkit-progress\[web\]'"):
        serve(None, port=0)  # type: ignore[arg-type]
