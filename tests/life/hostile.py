"""Jobs that harm what they share with others: jobkit worker tests.life.hostile:kit."""
# ruff: noqa: ARG002  (a job need not use its progress)

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from jobkit import JobKit, Progress, ProgressJob
from tests.life.jobs import A_WHILE, Add, CountUntilGo, Sleeps, SleepsOnALoop, TellsItsLoop, begin, has, put

if TYPE_CHECKING:
    from jobkit.hooks import Start

if "LIFE_SWITCH" in os.environ:
    sys.setswitchinterval(float(os.environ["LIFE_SWITCH"]))


class HarmsItsLoop(ProgressJob[str]):
    """As it is told: what it awaits goes on all the same."""

    how: str

    async def perform(self, progress: Progress) -> str:
        loop = asyncio.get_running_loop()
        match self.how:
            case "stop":
                loop.stop()
            case "exit in a task":
                task = asyncio.create_task(_exit())
                await asyncio.wait([task])
            case "interrupt in a callback":
                loop.call_soon(_interrupt)
        await asyncio.sleep(0.01)
        return "performed"


async def _exit() -> None:
    sys.exit(3)


def _interrupt() -> None:
    raise KeyboardInterrupt


class BlocksItsLoop(ProgressJob[None]):
    folder: str
    cancel_grace = 0.3

    async def perform(self, progress: Progress) -> None:
        begin(self.folder)
        time.sleep(A_WHILE)  # noqa: ASYNC251


class Chatters(ProgressJob[None]):
    """Spends its time waiting for the lock of a log."""

    folder: str

    def perform(self, progress: Progress) -> None:
        begin(self.folder)
        log = logging.getLogger("chatter")
        while True:
            log.warning("still here")


class HookForks(ProgressJob[int]):
    """Its hook comes back twice: in this process, and in one that it has made."""

    folder: str

    def on_success(self, start: Start, result: int) -> None:
        child = os.fork()
        if child:
            Path(self.folder, "forked").write_text(str(child))
        else:
            put(self.folder, "forked away")

    def perform(self, progress: Progress) -> int:
        begin(self.folder)
        return 1


class HookHangs(ProgressJob[None]):
    folder: str
    time_limit = A_WHILE
    cancel_grace = 0.3

    def on_cancel(self, start: Start) -> None:
        put(self.folder, "hook")
        time.sleep(A_WHILE)

    def perform(self, progress: Progress) -> None:
        begin(self.folder)
        while True:
            progress.check()
            time.sleep(0.005)


class MovesUntilGo(ProgressJob[int]):
    folder: str
    stall_limit = 0.5
    lease = A_WHILE

    def perform(self, progress: Progress) -> int:
        begin(self.folder)
        while not has(self.folder, "go"):
            progress.advance()
            time.sleep(0.005)
        return 1


kit = JobKit(
    jobs=[
        Add, BlocksItsLoop, Chatters, CountUntilGo, HarmsItsLoop, HookForks, HookHangs, MovesUntilGo, Sleeps,
        SleepsOnALoop, TellsItsLoop,
    ]
)  # fmt: skip
