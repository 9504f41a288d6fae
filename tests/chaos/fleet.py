"""Fleet: the real workers of a campaign: started, found, struck, replaced, and accounted for when all is over."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from tests.chaos.jobs import LEASE
from tests.life.workers import WorkerProcess
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CONCURRENCY = {"process": 2, "thread": 4, "asyncio": 4}
"""Of a worker, by its pool."""
CHILDREN = {"process": 3, "thread": 2, "asyncio": 2}
"""The spare one included."""
TARGET = "tests.chaos.jobs:kit"
LOOK_SECONDS = 0.05
WHOLE_WITHIN = 60.0

HANDED_BACK = r"released after|was given back, as its process ends"
"""What a log says of a run that went back without a crash."""

_READY = re.compile(rb"Child (\d+) is ready")


class Member(WorkerProcess):
    """One worker."""

    def __init__(self, environment: dict[str, str], log: Path, grace: float, pool: str) -> None:
        self.pool = pool
        slots = ("--pool", pool, "--concurrency", str(CONCURRENCY[pool]))
        options = (*slots, "--lease", str(LEASE), "--grace", str(grace))
        super().__init__(environment, log, *options, target=TARGET)
        self._descriptors: dict[int, int] = {}
        """How many each of its processes had open when all were up for the first time."""
        self.told_to_end = False
        self._log_read = 0
        self._ready: set[int] = set()

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def children(self) -> list[int]:
        """Asked for many times a second, and going through all processes takes 10 ms: Linux tells it in a file."""
        try:
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        except OSError:
            return self._children_elsewhere()

    def _children_elsewhere(self) -> list[int]:
        try:
            return super().children()
        except psutil.NoSuchProcess:
            return []

    def is_whole(self) -> bool:
        """All its children are up, the spare one too."""
        if not self.is_alive() or len(self.ready()) < CHILDREN[self.pool]:
            return False
        children = set(self.children())
        if len(children) != CHILDREN[self.pool] or not children <= self.ready():
            return False
        for pid in (self.pid, *children):
            if pid not in self._descriptors:
                self._descriptors[pid] = _open_descriptors(pid)
        return True

    def more_descriptors(self) -> int:
        """How many more than then a process of it has open now, at most."""
        pids = (self.pid, *self.children())
        return max(_open_descriptors(pid) - self._descriptors[pid] for pid in pids if pid in self._descriptors)

    def ready(self) -> set[int]:
        """All children that ever were ready."""
        with self.log.open("rb") as log:
            log.seek(self._log_read)
            text = log.read()
        text = text[: text.rfind(b"\n") + 1]
        self._log_read += len(text)
        self._ready.update(int(pid) for pid in _READY.findall(text))
        return self._ready

    def thaw(self) -> None:
        tell((*self.children(), self.pid), signal.SIGCONT)

    def kill(self) -> list[int]:
        """The supervisor only: the kernel is to end its children. Returns all that should be gone."""
        pids = [self.pid, *self.children()]
        self.process.kill()
        self.process.wait()
        return pids


class Fleet:
    """`environment` is what the workers get; `folder` is for their logs."""

    def __init__(self, environment: dict[str, str], folder: Path, *, grace: float = 10.0) -> None:
        self.members: list[Member] = []
        """Those that are up."""
        self.logs: list[Path] = []
        """Of all that ever were."""
        self._environment = environment
        self._folder = folder
        self._grace = grace
        self._numbers = count(1)

    def enlist(self, pool: str = "process", **changes: str) -> Member:
        log = self._folder / f"worker-{next(self._numbers)}.log"
        self.logs.append(log)
        member = Member(self._environment | changes, log, self._grace, pool)
        self.members.append(member)
        return member

    def discharge(self, member: Member) -> None:
        """It has been killed."""
        self.members.remove(member)

    async def whole(self) -> None:
        await await_until(
            lambda: all(member.is_whole() for member in self.members),
            "all workers are whole",
            WHOLE_WITHIN,
            LOOK_SECONDS,
        )

    def log_lines(self, pattern: str) -> Iterator[str]:
        """All lines of all logs in which the pattern is found."""
        for log in self.logs:
            for line in log.read_text(errors="replace").splitlines():
                if re.search(pattern, line):
                    yield f"{log.name}: {line}"

    def count(self, pattern: str) -> int:
        return sum(1 for _ in self.log_lines(pattern))

    def end(self) -> list[str]:
        """End all in order; what went wrong with that."""
        troubles = []
        for member in self.members:
            member.thaw()
            member.send(signal.SIGTERM)
        for member in self.members:
            try:
                code = member.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                troubles.append(f"{member.log.name}: it did not end within 30 s of SIGTERM")
                member.kill()
                continue
            if code:
                troubles.append(f"{member.log.name}: its exit code was {code}")
        return troubles

    def kill(self) -> None:
        for member in self.members:
            with suppress(psutil.NoSuchProcess):
                member.kill()


def _open_descriptors(pid: int) -> int:
    try:
        number: int = psutil.Process(pid).num_fds()
    except psutil.Error:  # it has just ended
        return 0
    return number


def tell(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal these processes, as far as they are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def left_behind(variable: str, value: str) -> list[str]:
    """Processes, but this one and its parents, that have this in their environment."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(variable) == value:
                found.append(f"{process.pid} {' '.join(process.info['cmdline'])}")
    return found
