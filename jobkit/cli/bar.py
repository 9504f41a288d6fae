"""The live bar of a run on a terminal: what a snapshot becomes for people. It reads no store and no clock of its own.

Like the bar in a browser it never runs backwards within a start, shows no number where none is known, and says 100 %
of success only. Texts come from strangers' jobs, so they reach the terminal as plain text, without control characters.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobkit.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from jobkit.snapshot import Number, Snapshot

UNSERVED_AFTER = 2.0
"""Seconds in a queue that nobody serves before we say so: a worker may just be starting."""

_STYLES = {State.SUCCEEDED: "green", State.FAILED: "red", State.CANCELLED: "yellow"}
_MARKS = {State.SUCCEEDED: "✓", State.FAILED: "✗", State.CANCELLED: "-"}


class Bar:
    """Draws the newest snapshot it was shown; `start_worker` is the command that would serve an unserved queue."""

    def __init__(self, start_worker: str, clock: Callable[[], float] = time.time) -> None:
        self._start_worker = start_worker
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._start = -1
        self._peak = 0.0

    def show(self, snapshot: Snapshot) -> None:
        """Draw this from now on; an older one than before is passed over."""
        if self._snapshot is not None and snapshot.order < self._snapshot.order:
            return
        if snapshot.start != self._start:
            self._start, self._peak = snapshot.start, 0.0
        self._peak = max(self._peak, snapshot.fraction or 0.0)
        self._snapshot = snapshot

    @property
    def unserved(self) -> bool:
        """Whether it waits for a worker that is not there."""
        snapshot = self._snapshot
        if snapshot is None or snapshot.state is not State.QUEUED or snapshot.queue.workers != 0:
            return False
        return self._clock() - snapshot.created_at >= UNSERVED_AFTER

    def __rich__(self) -> RenderableType:
        snapshot = self._snapshot
        if snapshot is None:
            return Text("Connecting…", style="dim")
        return Group(self._first_line(snapshot), *map(_line, self._below(snapshot)))

    def text(self) -> str:
        """The same in one plain line, for where nothing can be redrawn."""
        snapshot = self._snapshot
        if snapshot is None:
            return "connecting"
        parts = [self._percent(snapshot), self._facts(snapshot), *self._below(snapshot)]
        return f"{printable(snapshot.job)}: {' · '.join(part for part in parts if part)}"

    def _first_line(self, snapshot: Snapshot) -> RenderableType:
        name = Text(printable(snapshot.job), style="bold")
        if snapshot.state.terminal:
            mark = Text(f"{_MARKS[snapshot.state]} ", style=_STYLES[snapshot.state])
            return Text.assemble(mark, name, "  ", self._facts(snapshot))
        line = Table.grid(padding=(0, 1))
        line.add_row(name, self._bar(snapshot), self._percent(snapshot), self._facts(snapshot))
        return line

    def _bar(self, snapshot: Snapshot) -> ProgressBar:
        unknown = snapshot.state is State.RUNNING and snapshot.fraction is None
        return ProgressBar(
            total=1.0, completed=self._peak, width=30, pulse=unknown, complete_style="cyan", pulse_style="cyan"
        )

    def _percent(self, snapshot: Snapshot) -> str:
        if snapshot.state is not State.RUNNING or snapshot.fraction is None:
            return ""
        return f"{int(self._peak * 100 + 1e-9):>3} %"

    def _facts(self, snapshot: Snapshot) -> str:
        match snapshot.state:
            case State.SCHEDULED:
                return self._scheduled(snapshot)
            case State.QUEUED:
                return self._waiting(snapshot)
            case State.RUNNING:
                facts = (_attempt(snapshot), _amount(snapshot), self._time_left(snapshot))
                return " · ".join(part for part in facts if part) or "running"
            case _:
                return f"{snapshot.state.value}{_took(snapshot)}"

    def _scheduled(self, snapshot: Snapshot) -> str:
        what = _attempt(snapshot) or "starts"
        if snapshot.due_at is None:
            return f"{what} later"
        left = snapshot.due_at - self._clock()
        return f"{what} in {duration(left)}" if left >= 1 else f"{what} at any moment"

    def _waiting(self, snapshot: Snapshot) -> str:
        waited = f"queued {duration(self._clock() - snapshot.created_at)}"
        position = snapshot.queue.position
        if snapshot.queue.paused:
            return f"{waited} · its queue is paused"
        if position is None:
            return waited
        return f"{waited} · {'next in line' if position == 1 else f'number {position:,} in line'}"

    def _time_left(self, snapshot: Snapshot) -> str:
        finish_at = snapshot.progress.finish_at
        left = 0.0 if finish_at is None else finish_at - self._clock()
        return f"{duration(left)} left" if left >= 1 else ""

    def _below(self, snapshot: Snapshot) -> list[str]:
        match snapshot.state:
            case State.QUEUED if self.unserved:
                return [self._advice(printable(snapshot.queue.name))]
            case State.RUNNING:
                counts = [f"{count:,} {name}" for name, count in snapshot.progress.counts.items()]
                below = " · ".join(printable(part) for part in (snapshot.message, *counts, *_trouble(snapshot)) if part)
                return [below] if below else []
            case State.FAILED | State.SCHEDULED if snapshot.error:
                reference = f" (reference {snapshot.error.reference})" if snapshot.error.reference else ""
                return [printable(snapshot.error.message + reference)]
            case _:
                return []

    def _advice(self, queue: str) -> str:
        option = "" if queue == "default" else f" --queues {queue}"
        return f"no worker serves the queue {queue!r}: start one with {self._start_worker}{option}"


def _trouble(snapshot: Snapshot) -> list[str]:
    stopping = {"cancelling": "told to stop", "killing": "does not stop, so it is killed"}.get(snapshot.stopping or "")
    stalled = "no progress for a while" if snapshot.stalled else None
    return [said for said in (stalled, stopping) if said]


def printable(text: str) -> str:
    """Without what moves a terminal's cursor or changes its colours."""
    return "".join(char if char.isprintable() else " " for char in text)


def duration(seconds: float) -> str:
    """Whole seconds for people, from a minute on as minutes and seconds, from an hour on as hours and minutes."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _line(text: str) -> Text:
    return Text(f"  {text}", style="dim")


def _attempt(snapshot: Snapshot) -> str:
    """Which one it is, or is to be, from the second on."""
    return f"attempt {snapshot.attempt} of {snapshot.max_attempts}" if snapshot.attempt > 1 else ""


def _amount(snapshot: Snapshot) -> str:
    counted = snapshot.progress.counted
    if not counted.done and counted.total is None:
        return ""
    of_total = "" if counted.total is None else f" of {_number(counted.total)}"
    return printable(f"{_number(counted.done)}{of_total} {counted.unit or snapshot.progress.unit}".strip())


def _number(value: Number) -> str:
    return f"{value:,.1f}" if isinstance(value, float) and not value.is_integer() else f"{int(value):,}"


def _took(snapshot: Snapshot) -> str:
    if snapshot.finished_at is None or snapshot.started_at is None:
        return ""
    took = snapshot.finished_at - snapshot.started_at
    return f" in {took:.1f} s" if took < 60 else f" in {duration(took)}"
