"""Gauges: what must not grow while a system works steadily, read again and again, and judged flat or not.

The first third is for warming up: caches fill, pools open what they need. A gauge is flat when the median of the last
third is hardly above that of the second; one that falls is flat, too.
"""

from __future__ import annotations

import statistics
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

MEMORY, COUNT = "memory", "count"
MOST_MORE = {MEMORY: (0.03, 0.5), COUNT: (0.05, 3.0)}
"""By which share, and by how much at least, the last third may be above the second: MiB, or so many."""
FEWEST = 9
"""Readings by which a gauge can be judged."""
_MIB = 2.0**20


@dataclass(frozen=True, slots=True)
class Gauge:
    name: str
    kind: str
    values: Sequence[float]

    @property
    def before(self) -> float:
        return statistics.median(self._third(1))

    @property
    def after(self) -> float:
        return statistics.median(self._third(2))

    @property
    def most(self) -> float:
        share, least = MOST_MORE[self.kind]
        return self.before + max(self.before * share, least)

    @property
    def is_flat(self) -> bool:
        assert len(self.values) >= FEWEST, f"{self.name} was read {len(self.values)} times only"
        return self.after <= self.most

    def _third(self, number: int) -> Sequence[float]:
        size = len(self.values) // 3
        return self.values[number * size : (number + 1) * size]


class Gauges:
    """Processes by what they are called, workers with their children; `raw` is a client of the store's server."""

    def __init__(self, workers: Mapping[str, int], others: Mapping[str, int], raw: Any, folder: Path) -> None:
        self._workers = {name: psutil.Process(pid) for name, pid in workers.items()}
        self._others = {name: psutil.Process(pid) for name, pid in others.items()}
        self._raw = raw
        self._folder = folder
        self._values: dict[tuple[str, str], array[float]] = {}
        """Of few bytes: this process is measured, too."""

    def read(self) -> None:
        reading = {}
        for name, process in (self._workers | self._others).items():
            reading |= _of_process(name, process)
        for name, process in self._workers.items():
            for number, child in enumerate(sorted(process.children(), key=lambda child: child.create_time())):
                reading |= _of_process(f"{name}, child {number + 1}", child)
        info = self._raw.info()
        reading["store: used memory, MiB", MEMORY] = info["used_memory"] / _MIB
        reading["store: keys", COUNT] = self._raw.dbsize()
        reading["store: clients", COUNT] = info["connected_clients"]
        reading["store: blocked clients", COUNT] = info["blocked_clients"]
        reading["files", COUNT] = sum(1 for _ in self._folder.rglob("*"))
        for gauge, value in reading.items():
            self._values.setdefault(gauge, array("d")).append(value)

    def __iter__(self) -> Iterator[Gauge]:
        """All that were there most of the time."""
        times = max(map(len, self._values.values()))
        for (name, kind), values in self._values.items():
            if len(values) > times / 2:
                yield Gauge(name, kind, values)


def _of_process(name: str, process: psutil.Process) -> dict[tuple[str, str], float]:
    with process.oneshot():
        return {
            (f"{name}: memory, MiB", MEMORY): process.memory_info().rss / _MIB,
            (f"{name}: descriptors", COUNT): process.num_fds(),
            (f"{name}: threads", COUNT): process.num_threads(),
        }
