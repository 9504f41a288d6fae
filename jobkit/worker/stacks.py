"""Stacks: where the threads of a child are, told when it crashes or when its supervisor asks.

The supervisor makes a file for each child, which both have open: what is in it outlives the child. The child's C code
writes it (`faulthandler`), so neither a held interpreter nor a blocked thread keeps it from doing so.
"""

from __future__ import annotations

import asyncio
import faulthandler
import fcntl
import os
import re
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import jobkit

ASKING: Final = getattr(signal, "SIGRTMIN", signal.SIGUSR1) + (7 if hasattr(signal, "SIGRTMIN") else 0)
"""A signal that libraries have no other use for, where there are such."""
ANSWER_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.02
_HERE: Final = re.escape(str(Path(jobkit.__file__).parent))
_OURS: Final = re.compile(rf'File "({_HERE}/.*|.*/threading\.py|<frozen runpy>)"')
_MOST: Final = 256 * 1024
_FATAL: Final = "Fatal Python error"
"""How faulthandler begins to tell of a crash."""


class Stacks:
    """The supervisor's side of one child's file."""

    def __init__(self) -> None:
        self.descriptor = _unnamed_file()
        self._last: str | None = None

    def ask(self, pid: int) -> None:
        """Have the process write anew where its threads are; it is in the file some milliseconds later."""
        os.ftruncate(self.descriptor, 0)
        with suppress(ProcessLookupError):
            os.kill(pid, ASKING)

    async def told(self) -> str:
        """What it wrote, once nothing more comes; `readable`. Then it is forgotten: a later crash is told without."""
        text, patience = "", ANSWER_SECONDS
        while patience > 0:
            await asyncio.sleep(LOOK_SECONDS)
            patience -= LOOK_SECONDS
            before, text = text, self.text()
            if text and text == before:
                break
        if self._last is None and _FATAL not in text:
            os.ftruncate(self.descriptor, 0)
        return readable(text)

    def text(self) -> str:
        """What is in the file, or was when it was closed."""
        if self._last is not None:
            return self._last
        return os.pread(self.descriptor, _MOST, 0).decode(errors="replace")

    def close(self) -> None:
        """When the child has ended."""
        self._last = self.text()
        os.close(self.descriptor)


def readable(dump: str) -> str:
    """Without our own threads, and without our own frames on the way to the job's."""
    blocks = (_without_ours(block) for block in dump.split("\n\n"))
    return "\n\n".join(block for block in blocks if block)


def write_into(descriptor: int) -> None:
    """In the child: from now on fatal errors and `Stacks.ask` write into this file."""
    os.set_inheritable(descriptor, False)
    faulthandler.enable(descriptor)
    faulthandler.register(ASKING, descriptor)


def _without_ours(block: str) -> str:
    """A thread's lines: its title, and its frames, the innermost first. Anything else stays as it is."""
    title, *frames = block.rstrip("\n").split("\n")
    if not title.endswith("(most recent call first):"):
        return block
    while frames and _OURS.search(frames[-1]):
        frames.pop()
    return "\n".join([title, *frames]) if frames else ""


def _unnamed_file() -> int:
    """Written at its end only, so emptying it starts it anew for whoever writes."""
    try:
        descriptor = os.memfd_create("jobkit-stacks")
    except (AttributeError, OSError):
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)
    return descriptor
