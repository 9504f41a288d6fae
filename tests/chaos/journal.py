"""Journal: what really happened, written down by the jobs themselves the moment it happens.

One line for each beginning and each end of `perform`, and for each step that need not be done again; appended by a
single write, so neither a kill nor a neighbour tears it. What the store believes is compared with this, never the other
way round.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


class Event(StrEnum):
    BEGAN = "began"
    ENDED = "ended"
    """All was done; the outcome is about to be settled."""
    STEPPED = "stepped"
    """One step more is done, which a later start need not do again."""
    STRUCK = "struck"
    """The process, or its whole worker, is about to kill or freeze itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    moment: float
    event: Event
    number: int
    """Of the order that the run answers."""
    token: str
    pid: int
    supervisor: int
    step: int

    def __str__(self) -> str:
        return f"{self.moment:.4f} {self.event} number {self.number} token {self.token} in {self.pid}/{self.supervisor}"


def write(path: str, event: Event, number: int, token: str, step: int = 0) -> None:
    line = f"{time.time():.6f} {event} {number} {token} {os.getpid()} {os.getppid()} {step}\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


class Journal:
    """The journal as its reader sees it; it may still be growing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._entries: list[Entry] = []
        self._of: dict[int, list[Entry]] = defaultdict(list)
        path.touch()

    @property
    def entries(self) -> list[Entry]:
        """In the order in which they were written."""
        self._read_on()
        return self._entries

    def of(self, number: int) -> list[Entry]:
        self._read_on()
        return self._of[number]

    def starts(self, number: int) -> list[Entry]:
        return [entry for entry in self.of(number) if entry.event is Event.BEGAN]

    def open_starts(self, pids: Collection[int], at: float) -> list[Entry]:
        """What these children, or all of these supervisors, had begun last at this moment, settled or not."""
        last: dict[int, Entry] = {}
        for entry in self.entries:
            is_theirs = entry.pid in pids or entry.supervisor in pids
            if is_theirs and entry.event is Event.BEGAN and entry.moment <= at:
                last[entry.pid] = entry
        return list(last.values())

    def _read_on(self) -> None:
        with self.path.open("rb") as lines:
            lines.seek(self._read)
            data = lines.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            moment, event, number, token, pid, supervisor, step = line.split(" ")
            entry = Entry(float(moment), Event(event), int(number), token, int(pid), int(supervisor), int(step))
            self._entries.append(entry)
            self._of[entry.number].append(entry)
