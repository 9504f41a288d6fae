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

from jobkit.kit import JobKit
from jobkit_web import CannotServe
from jobkit_web.serving import listening_socket, serve
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
    readers = [asyncio.create_task(read_to_the_end(url, started)) for _ in range(count)]
    for _ in range(count):
        await started.acquire()
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    bodies = await asyncio.wait_for(asyncio.gather(*readers), 10)
    return list(bodies), time.monotonic() - began


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
    with web_process(str(kit.location), kit.operations.namespace) as (process, url):
        version = run.run.snapshot().version
        assert httpx.get(f"{url}/runs/{run.id}").status_code == 200

        async def poll() -> tuple[int, float]:
            async with httpx.AsyncClient(timeout=20) as client:
                waiting = asyncio.create_task(client.get(f"{url}/runs/{run.id}?wait=20&version={version}"))
                while not await is_watched(client, url):
                    pass
                process.send_signal(signal.SIGTERM)
                began = time.monotonic()
                return (await waiting).status_code, time.monotonic() - began

        async def is_watched(client: httpx.AsyncClient, url: str) -> bool:
            return (await client.get(f"{url}/health")).status_code == 200 and not waiting_for_headers()

        polls = 0

        def waiting_for_headers() -> bool:
            nonlocal polls
            polls += 1
            return polls < 5

        status, seconds = asyncio.run(poll())
    assert status == 200
    assert seconds < 3


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
