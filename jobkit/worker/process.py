"""Process: one child as its supervisor sees it: started, spoken to, watched, killed, buried."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING

from jobkit.execution import STARTS
from jobkit.worker import memory
from jobkit.worker.autopsy import Death
from jobkit.worker.link import TO_SUPERVISOR, Link
from jobkit.worker.stacks import Stacks, readable

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit.worker.link import Guarded, Terms, ToChild, ToSupervisor
    from jobkit.worker.output import Output
    from jobkit.worker.release import Release
    from jobkit.worker.settings import Log


LAST_WORDS_SECONDS = 0.1
"""How long what a dead child wrote may take to come; only what it left behind, out of our reach, makes that long."""

_STARTS = re.compile(re.escape(STARTS).replace("%s", r"\S+").replace("%d", r"\d+"))


class Phase(Enum):
    """How far a child has come."""

    STARTING = "starting"
    SPARE = "spare"
    SERVING = "serving"
    LEAVING = "leaving"
    """It finishes what it performs, and takes nothing more."""


class ChildProcess:
    """Made in the main thread, within the supervisor's loop. `gone` resolves to how it ended, once it is buried.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(
        self, target: str, log: Log, pool: str, output: Output, heed: Callable[[ChildProcess, ToSupervisor], None]
    ) -> None:
        self.phase = Phase.STARTING
        self.slots: set[str] = set()
        """The store takes these for alive."""
        self.says_it_leaves = False
        """What it performed in its only slot is over."""
        self.pardoned = False
        """Its end is our own doing: nothing is to be held against the runs it performed."""
        self.terms: dict[str, Terms] = {}
        """By slot: of the last unusual run in it."""
        self.stopping: dict[str, str] = {}
        """By slot: the token of what is to stop in it."""
        self.doom: tuple[Guarded | None, Release] | None = None
        """We killed it for what it did: which start that is held against (None: whatever it held), and how."""
        self._peak: int | None = None
        self._stacks = Stacks()
        self._heed = heed
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[int] = self._loop.create_future()
        try:
            ours, theirs = socket.socketpair()
            with theirs, output.opened() as (stderr, self._tail):
                self._process = _started(target, theirs.fileno(), self._stacks.descriptor, stderr, log, pool)
        except OSError:
            self._stacks.close()
            raise
        ours.settimeout(0)
        self._link = Link(ours)
        self._loop.add_reader(self._link.fileno(), self._hear)
        self._watch()

    @property
    def pid(self) -> int:
        return self._process.pid

    def cancel_grace(self, slot: str, token: str, usual: float) -> float:
        """Seconds that the start with this token has to stop."""
        terms = self.terms.get(slot)
        return terms.cancel_grace if terms is not None and terms.token == token else usual

    def say(self, message: ToChild) -> None:
        self._link.say(message)

    def kill(self) -> None:
        """End it and what it started."""
        if not self.gone.done():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def lines(self) -> tuple[str, ...]:
        """The last that it wrote to stderr, of its last run if it performs one at a time."""
        lines = self._tail.lines()
        begins = max((n for n, line in enumerate(lines) if _STARTS.search(line)), default=0)
        return lines[begins:] if len(self.slots) == 1 else lines

    async def where(self) -> str:
        """Where its threads are now, whatever they are doing; empty if it did not tell in time."""
        if self.gone.done():
            return ""
        self._stacks.ask(self.pid)
        return await self._stacks.told()

    async def death(self, code: int, killed_for_memory: str) -> Death:
        """What is known of its end."""
        await asyncio.to_thread(self._tail.over.wait, LAST_WORDS_SECONDS)
        return Death(
            code=code,
            peak=self._peak,
            room=memory.room(),
            killed_for_memory=killed_for_memory,
            lines=self.lines(),
            stacks=readable(self._stacks.text()),
        )

    def _hear(self) -> None:
        messages = self._link.hear(TO_SUPERVISOR)
        if messages is None:
            self._loop.remove_reader(self._link.fileno())
            return
        for message in messages:
            self._heed(self, message)

    def _watch(self) -> None:
        """Notice the end at once: Linux makes a descriptor readable, elsewhere a thread waits."""
        try:
            descriptor = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):
            threading.Thread(target=self._wait, name="jobkit-waiting", daemon=True).start()
        else:
            self._loop.add_reader(descriptor, self._ended, descriptor)

    def _wait(self) -> None:
        self._process.wait()
        with suppress(RuntimeError):  # the loop is closed: nobody is interested any more
            self._loop.call_soon_threadsafe(self._bury)

    def _ended(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        self._bury()

    def _bury(self) -> None:
        self._hear()  # its last words
        self.kill()  # what it left behind: as long as any of it lives, or it is unburied, its group is its own
        code, self._peak = _reaped(self._process)
        self._loop.remove_reader(self._link.fileno())
        self._link.close()
        self._stacks.close()
        self.gone.set_result(code)


def _started(target: str, link: int, stacks: int, stderr: int, log: Log, pool: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "jobkit.worker.child", target, str(link), str(stacks), str(os.getpid()), *log, pool],
        stdin=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=(link, stacks),
        process_group=0,
    )


def _reaped(process: subprocess.Popen[bytes]) -> tuple[int, int | None]:
    """How it ended, and the most memory (bytes) that it ever had; None where a thread has reaped it already."""
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except ChildProcessError:
        return process.wait(), None
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
