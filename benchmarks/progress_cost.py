"""Measures what progress costs in a hot loop: `track`, `advance` and `resume` beside the bare loop and tqdm.

    python benchmarks/progress_cost.py [--items N] [--repeats N] [--json PATH]

Every repeat runs all loops in turn, and only ratios within one run count: the machine's noise hits all alike.
"Net" is without the bare loop. The bar is 0.45 of tqdm, iterating and updating; `resume` does more than either, so it
is shown beside them, and has no bar.
"""

import argparse
import json
import operator
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from tqdm import tqdm

from jobkit.progress import Progress

BAR: Final = 0.45
SAMPLES_PER_SECOND: Final = 10

Loop = Callable[[int], None]


class Nowhere:
    """A terminal for tqdm that costs nothing."""

    def write(self, text: str) -> None: ...

    def flush(self) -> None: ...


def bare(items: int) -> None:
    for _ in range(items):
        pass


def tqdm_iteration(items: int) -> None:
    for _ in tqdm(range(items), file=Nowhere()):
        pass


def tqdm_update(items: int) -> None:
    with tqdm(total=items, file=Nowhere()) as bar:
        for _ in range(items):
            bar.update()


def track(items: int) -> None:
    for _ in Progress().track(range(items)):
        pass


def advance(items: int) -> None:
    progress = Progress()
    for _ in range(items):
        progress.advance()


def track_reported(items: int) -> None:
    progress = Progress()
    with reporter(progress):
        for _ in progress.track(range(items)):
            pass


def advance_reported(items: int) -> None:
    progress = Progress()
    with reporter(progress):
        for _ in range(items):
            progress.advance()


def resume(items: int) -> None:
    for _ in Progress().resume(range(items)):
        pass


def resume_cursor(items: int) -> None:
    for _ in Progress().resume(range(items), cursor=operator.index):
        pass


def resume_text_cursor(items: int) -> None:
    for _ in Progress().resume(range(items), cursor=str):
        pass


def resume_state(items: int) -> None:
    state = {"total": 0, "names": ["a", "b", "c"]}
    for _ in Progress(checkpoint_seconds=1 / SAMPLES_PER_SECOND).resume(range(items), state=lambda: state):
        pass


def resume_checkpoint(items: int) -> None:
    progress = Progress()
    state = {"total": 0, "names": ["a", "b", "c"]}
    for _ in progress.resume(range(items)):
        progress.checkpoint(state)


def resume_reported(items: int) -> None:
    progress = Progress()
    with reporter(progress):
        for _ in progress.resume(range(items)):
            pass


@contextmanager
def reporter(progress: Progress) -> Iterator[None]:
    """A live reader as in a worker: looks ten times a second, and encodes what has changed."""
    ended = threading.Event()

    def report() -> None:
        shown: object = None
        while not ended.wait(1 / SAMPLES_PER_SECOND):
            revision = progress.revision()
            if revision != shown:
                shown = revision
                msgspec.json.encode(progress.view(time.time()))
                progress.checkpoint_to_json()

    thread = threading.Thread(target=report)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


PEERS: Final[dict[str, Loop]] = {"tqdm, iterating": tqdm_iteration, "tqdm.update": tqdm_update}
LASTING: Final[dict[str, Loop]] = {
    "resume": resume,
    "resume, live reporter": resume_reported,
    "resume, int cursor": resume_cursor,
    "resume, text cursor": resume_text_cursor,
    "resume, asked for state": resume_state,
    "resume, state each item": resume_checkpoint,
}
OURS: Final[dict[str, tuple[Loop, str]]] = {
    "track": (track, "tqdm, iterating"),
    "track, live reporter": (track_reported, "tqdm, iterating"),
    "advance": (advance, "tqdm.update"),
    "advance, live reporter": (advance_reported, "tqdm.update"),
}


def measure(items: int, repeats: int) -> dict[str, float]:
    """The median nanoseconds per item of every loop, the loops interleaved."""
    loops = {"bare loop": bare, **PEERS, **{name: loop for name, (loop, _) in OURS.items()}, **LASTING}
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(repeats):
        for name, loop in loops.items():
            begun = time.perf_counter_ns()
            loop(items)
            taken[name].append((time.perf_counter_ns() - begun) / items)
    return {name: statistics.median(times) for name, times in taken.items()}


def judged(nanoseconds: dict[str, float]) -> list[dict[str, object]]:
    """One row a loop: what it takes, what it costs beside the bare loop, and the ratio to its peer."""
    floor = nanoseconds["bare loop"]
    rows: list[dict[str, object]] = []
    for name, taken in nanoseconds.items():
        peer = OURS[name][1] if name in OURS else None
        ratio = round((taken - floor) / (nanoseconds[peer] - floor), 3) if peer else None
        row = {"name": name, "ns": round(taken, 1), "net_ns": round(taken - floor, 1), "peer": peer, "ratio": ratio}
        rows.append({**row, "within_bar": None if ratio is None else ratio <= BAR})
    return rows


def cost_of_a_look(stages: int) -> float:
    """Microseconds that one revision and one view take, with so many stages shown."""
    progress = Progress(stages={f"stage {number}": 1 for number in range(stages)})
    rounds = 500
    begun = time.perf_counter_ns()
    for moment in range(rounds):
        progress.revision()
        progress.view(float(moment))
    return (time.perf_counter_ns() - begun) / rounds / 1_000


def table(rows: list[dict[str, object]]) -> str:
    lines = [f"{'loop':<24}{'ns/item':>9}{'net':>8}  ratio (bar {BAR})"]
    for row in rows:
        ratio = f"{row['ratio']} of {row['peer']}" if row["peer"] else ""
        lines.append(f"{row['name']:<24}{row['ns']:>9}{row['net_ns']:>8}  {ratio}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="What progress costs in a hot loop.")
    parser.add_argument("--items", type=int, default=1_000_000, help="items per loop")
    parser.add_argument("--repeats", type=int, default=9, help="rounds over all loops; the median counts")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the figures there")
    options = parser.parse_args()
    rows = judged(measure(options.items, options.repeats))
    looks = {f"{stages} stages": round(cost_of_a_look(stages), 1) for stages in (0, 3, 50)}
    sys.stdout.write(f"{table(rows)}\none look of the reporter, in µs: {looks}\n")
    if options.json:
        machine = {"python": platform.python_version(), "machine": platform.machine()}
        report = {"benchmark": "progress_cost", **machine, "bar": BAR, "rows": rows, "look_us": looks}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if all(row["within_bar"] is not False for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
