"""Marks: which jobs were performed, and how often: a byte for each in a file that all workers share.

It costs a job some 100 ns, and asks no server: so nobody's rate is a matter of how jobs are counted.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

SIZE = 1_000_000
"""Jobs in all."""


class Marks:
    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), SIZE)

    @classmethod
    def new(cls, path: Path) -> Marks:
        with path.open("wb") as file:
            file.truncate(SIZE)
        return cls(path)

    def mark(self, number: int) -> None:
        self._bytes[number] += 1

    def performed(self, numbers: range) -> int:
        return len(numbers) - self._bytes[numbers.start : numbers.stop].count(0)

    def performed_once(self, numbers: range) -> int:
        return self._bytes[numbers.start : numbers.stop].count(1)


def mark(number: int) -> None:
    """Called by a job."""
    _of_this_worker().mark(number)


def _of_this_worker() -> Marks:
    if not _found:
        _found.append(Marks(Path(os.environ["BENCH_MARKS"])))
    return _found[0]


_found: list[Marks] = []
