"""How many watchers one web process serves: N streams of one run that reports ten times a second.

Three processes: the web server (measured), the readers, and this one, which reports as a worker would and reads what
the server used. Usage: python benchmarks/watchers.py [--watchers 1000] [--seconds 10] [--json FILE]

    delivered   frames received, of updates x watchers
    p50, p99    milliseconds from just before the report to the frame in the reader
    us/frame    the server process's CPU per frame, everything included
    KiB each    growth of the server's resident memory per stream
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from jobkit_web import access_token, create_app, serve

from jobkit.job import ProgressJob
from jobkit.kit import JobKit
from jobkit.snapshot import ProgressView
from jobkit.store.replies import Lease

RATE = 10
WARM_UP = 50
STAMP = b'"message":"'
STAMP_DIGITS = 17


class Watched(ProgressJob[None]):
    """The run that everybody watches."""

    job_name = "benchmarks.Watched"

    def perform(self, progress: object) -> None:
        raise NotImplementedError("This benchmark reports by itself.")


# The web process ------------------------------------------------------------------------------------------------------


def serve_for_ever(url: str) -> None:
    serve(
        create_app(JobKit(url)),
        port=0,
        log_level="warning",
        access_log=False,
        ready=say,
    )


# The readers' process -------------------------------------------------------------------------------------------------


class Reader(asyncio.Protocol):
    """One stream; it only counts, so that the readers cost little."""

    def __init__(self, request: bytes, delays: list[float]) -> None:
        self.request = request
        self.delays = delays
        self.started = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.started.set()
        now = time.time()
        at = data.find(STAMP)
        while at >= 0:
            at += len(STAMP)
            stamp = data[at : at + STAMP_DIGITS]
            if not stamp.startswith(b'"'):
                self.delays.append(now - float(stamp))
            at = data.find(STAMP, at)


async def read(host: str, port: int, path: str, token: str, count: int) -> None:
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    readers: list[Reader] = []
    began = time.perf_counter()
    for first in range(0, count, 50):
        opening = [
            loop.create_connection(lambda: Reader(request, delays), host, port)
            for _ in range(first, min(first + 50, count))
        ]
        readers += [reader for _, reader in await asyncio.gather(*opening)]
    await asyncio.gather(*(reader.started.wait() for reader in readers))
    say(json.dumps({"connected_per_second": count / (time.perf_counter() - began)}))
    await loop.run_in_executor(None, sys.stdin.readline)  # whatever comes: begin
    delays.clear()
    await loop.run_in_executor(None, sys.stdin.readline)  # and end
    await asyncio.sleep(0.5)
    say(json.dumps({"delays": delays}))


# The measuring process ------------------------------------------------------------------------------------------------


class Worker:
    """Reports as a worker would."""

    def __init__(self, kit: JobKit) -> None:
        self.kit = kit
        self.run = kit.submit(Watched())
        lease = kit.store().execute(kit.operations.take("bench/1", "1", ["default"]))
        assert isinstance(lease, Lease)
        self.lease = lease
        self.sequence = 0

    def report(self) -> None:
        self.sequence += 1
        stamp = f"{time.time():.6f}"[:STAMP_DIGITS]
        view = ProgressView(done=self.sequence, total=10_000, fraction=self.sequence / 10_000, message=stamp)
        operations = self.kit.operations
        self.kit.store().execute(operations.report(self.lease, self.sequence, view.to_json()))


def measure(watchers: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="jobkit-bench-") as directory:
        kit = JobKit(f"embedded:{Path(directory) / 'store'}")
        worker = Worker(kit)
        with kit, started("serve", str(kit.location)) as web:
            assert web.stdout is not None
            address = web.stdout.readline().strip()
            process = psutil.Process(web.pid)
            try:
                return _measure(worker, process, address, watchers, seconds)
            finally:
                web.terminate()
                web.wait(timeout=10)


def _measure(worker: Worker, process: psutil.Process, address: str, watchers: int, seconds: float) -> dict[str, Any]:
    with readers(worker, address, WARM_UP) as warm:
        assert warm.stdout is not None
        warm.stdout.readline()
        warm.kill()
    time.sleep(1)
    empty = process.memory_info().rss
    with readers(worker, address, watchers) as load:
        assert load.stdout is not None
        assert load.stdin is not None
        connected = json.loads(load.stdout.readline())
        report_for(worker, 1.0)
        time.sleep(0.5)  # the last of these is received, and its successor is not too early
        load.stdin.write("begin\n")
        load.stdin.flush()
        before = process.cpu_times()
        updates = report_for(worker, seconds)
        time.sleep(0.2)
        after = process.cpu_times()
        full = process.memory_info().rss
        load.stdin.write("end\n")
        load.stdin.flush()
        delays = sorted(json.loads(load.stdout.readline())["delays"])
    cpu = after.user + after.system - before.user - before.system
    return {
        "watchers": watchers,
        "updates_per_second": updates / seconds,
        "connected_per_second": round(connected["connected_per_second"]),
        "delivered": len(delays),
        "expected": updates * watchers,
        "p50_ms": round(percentile(delays, 0.50) * 1000, 1),
        "p99_ms": round(percentile(delays, 0.99) * 1000, 1),
        "us_cpu_per_frame": round(cpu / max(1, len(delays)) * 1e6, 1),
        "kib_per_connection": round((full - empty) / watchers / 1024, 1),
    }


def report_for(worker: Worker, seconds: float) -> int:
    """Reports at the rate, and how many they were."""
    began = time.monotonic()
    count = int(seconds * RATE)
    for number in range(count):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        worker.report()
    return count


def readers(worker: Worker, address: str, count: int) -> subprocess.Popen[str]:
    host, port = address.removeprefix("http://").split(":")
    path = f"/runs/{worker.run.id}/events"
    return started("read", host, port, path, access_token(worker.run), str(count))


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def say(text: str) -> None:
    """To whoever reads this process's output, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def table(figures: dict[str, Any]) -> str:
    width = max(len(name) for name in figures)
    return "\n".join(f"{name.ljust(width)}  {value:>12,}" for name, value in figures.items())


def main() -> None:
    match sys.argv[1:]:
        case ["serve", url]:
            serve_for_ever(url)
        case ["read", host, port, path, token, count]:
            asyncio.run(read(host, int(port), path, token, int(count)))
        case _:
            parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
            parser.add_argument("--watchers", type=int, default=1000)
            parser.add_argument("--seconds", type=float, default=10.0)
            parser.add_argument("--json", type=Path, help="write the figures here too")
            options = parser.parse_args()
            figures = measure(options.watchers, options.seconds)
            say(table(figures))
            if options.json:
                options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
