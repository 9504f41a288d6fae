"""Submitter: a process that submits to one queue: python -m benchmarks.peers.queues.submitter NAME

Started by the benchmark, by a Python that has the queue. Tells first what the queue is and how its workers are started,
in one line of JSON; then answers one line for each that it reads: `submit FIRST NUMBER` submits no-ops, `ask NUMBER`
submits one job after the other and waits for each result.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.peers.queues import Queue

PAUSES = (0.002, 0.012)
"""Seconds between an answer and the next question: no worker polls in step with it."""


def main(name: str) -> None:
    queue: Queue = importlib.import_module(f"benchmarks.peers.queues.{name}")  # type: ignore[assignment]
    if inspect.iscoroutinefunction(queue.begin):
        asyncio.run(_answer_on_a_loop(queue))
    else:
        _answer(queue)


def _answer(queue: Any) -> None:
    queue.begin()
    _tell(_about(queue))
    for line in sys.stdin:
        match line.split():
            case ["submit", first, number]:
                began = time.time()
                queue.submit_many(_jobs(first, number))
                _tell({"began": began})
            case ["ask", number]:
                asked = Asked()
                for _ in range(int(number)):
                    time.sleep(_pause())
                    asked.answered(time.time(), queue.ask())
                _tell(asdict(asked))


async def _answer_on_a_loop(queue: Any) -> None:
    """As `_answer`, word by word."""
    await queue.begin()
    _tell(_about(queue))
    while line := await asyncio.to_thread(sys.stdin.readline):
        match line.split():
            case ["submit", first, number]:
                began = time.time()
                await queue.submit_many(_jobs(first, number))
                _tell({"began": began})
            case ["ask", number]:
                asked = Asked()
                for _ in range(int(number)):
                    await asyncio.sleep(_pause())
                    asked.answered(time.time(), await queue.ask())
                _tell(asdict(asked))


@dataclass
class Asked:
    """Milliseconds from the calls that submitted to the starts, and to the results in hand."""

    starts: list[float] = field(default_factory=list)
    results: list[float] = field(default_factory=list)

    def answered(self, submitted: float, began: float) -> None:
        self.starts.append((began - submitted) * 1000)
        self.results.append((time.time() - submitted) * 1000)


def _about(queue: Queue) -> dict[str, object]:
    return {
        "versions": ", ".join(f"{package} {version(package)}" for package in queue.PACKAGES),
        "configuration": queue.CONFIGURATION,
        "workers": queue.WORKERS,
    }


def _jobs(first: str, number: str) -> range:
    return range(int(first), int(first) + int(number))


def _pause() -> float:
    return random.uniform(*PAUSES)


def _tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
