"""Real workers, and the folder through which a job and its test tell each other things."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from tests.servers import ROOT
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


JOBKIT = ("-m", "jobkit.cli")


class WorkerProcess:
    """A worker of `tests.life.jobs:kit`: `jobkit worker`."""

    def __init__(
        self, environment: dict[str, str], log: Path, *options: str, target: str, program: tuple[str, ...] = JOBKIT
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *program, "worker", target, "--log-level", "DEBUG", *options],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=output,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def says(self, text: str, times: int = 1) -> None:
        """Wait until it has written this, so often: what its children write comes a moment after what they do."""
        wait_until(lambda: self.text.count(text) >= times, f"it says {text!r}, {times} times")

    def children(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.pid).children()]

    def freeze(self) -> None:
        for pid in (self.pid, *self.children()):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in (*self.children(), self.pid):
            os.kill(pid, signal.SIGCONT)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def send_to_all(self, number: signal.Signals) -> None:
        """As a service manager does: to the supervisor and to its children."""
        for pid in (*self.children(), self.pid):
            os.kill(pid, number)

    def exit_code(self) -> int:
        return self.process.wait(timeout=30)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=30)


def after(seconds: float) -> Callable[[], bool]:
    """A condition that holds when so many seconds are over."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


class Folder:
    """What a job tells its test, and the other way round (see `tests.life.jobs`)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def starts(self) -> list[int]:
        """The process of each start."""
        lines = self.path / "starts"
        return [int(line) for line in lines.read_text().splitlines()] if lines.exists() else []

    def wait_for_start(self, number: int = 1, timeout: float = 10.0) -> int:
        """The process that performs the start of this number."""
        wait_until(lambda: len(self.starts()) >= number, f"the job has been started {number} times", timeout)
        return self.starts()[number - 1]

    def has(self, name: str) -> bool:
        return (self.path / name).exists()

    def go(self) -> None:
        (self.path / "go").touch()


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
