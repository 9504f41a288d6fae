"""Starts `jobkit` as a user does: a process of its own, real signals, output read while it runs."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import wait_until

COMMAND = (sys.executable, "-m", "jobkit.cli")


def environment(**changes: str) -> dict[str, str]:
    """This process's, with nothing of jobkit in it but what the test says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBKIT_")}
    return {**kept, "COLUMNS": "120", "NO_COLOR": "1", **changes}


def jobkit(
    *arguments: str, folder: Path, env: Mapping[str, str], timeout: float = 30
) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end."""
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command, cwd=folder, env=env, text=True, capture_output=True, timeout=timeout, check=False, encoding="utf-8"
    )


class Process:
    """A command that goes on. Its output, both streams, lies in a file."""

    def __init__(self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen([*COMMAND, *arguments], cwd=folder, env=env, stdout=output, stderr=output)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return self._log.read_text("utf-8", errors="replace")

    def wait_for(self, pattern: str, timeout: float = 20) -> re.Match[str]:
        """The first match in what it has written."""
        try:
            wait_until(
                lambda: re.search(pattern, self.output) or self._process.poll() is not None,
                f"it writes {pattern!r}",
                timeout,
            )
        except AssertionError as error:
            raise AssertionError(f"{error}; it wrote:\n{self.output}") from None
        match = re.search(pattern, self.output)
        assert match, f"it ended without writing {pattern!r}:\n{self.output}"
        return match

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, timeout: float = 20) -> int:
        return self._process.wait(timeout)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@contextmanager
def running(*arguments: str, folder: Path, env: Mapping[str, str], log: Path) -> Iterator[Process]:
    """A command while it goes on; ended by SIGTERM."""
    process = Process(arguments, folder, env, log)
    try:
        yield process
    finally:
        process.close()
