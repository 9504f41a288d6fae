"""Whether a walk met everything: each answer of each call, and each hostile step, often enough to mean something."""

from __future__ import annotations

from collections import Counter
from math import sqrt
from typing import TYPE_CHECKING

from tests.fuzz.calls import (
    Admitted,
    Cancel,
    Dead,
    Event,
    Full,
    Leased,
    Loaded,
    Missing,
    NoWork,
    Reassert,
    Released,
    Renewals,
    Report,
    Reported,
    Settle,
    Swept,
    parts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.fuzz.calls import Answer
    from tests.fuzz.stored import Record, Stored

FLOOR = 0.005
"""The least share of each answer among the calls of its kind."""

ANSWERS = {
    "Submit": (
        "new",
        "joined",
        "cached",
        "cached and refreshing",
        "stale",
        "stale and refreshing",
        "refused",
        "full",
    ),
    "Take": ("lease", "lease with a checkpoint", "none", "dead"),
    "Report": ("ok", "cancel", "ended", "lost", "unknown"),
    "Settle": ("succeeded ok", "failed ok", "cancelled ok", "released ok", "ended", "lost", "unknown"),
    "Reassert": ("ok", "lost", "ended"),
    "Release": ("ok", "idle", "lost"),
    "Mark": ("ok", "lost"),
    "Renew": ("idle", "ok", "cancel", "ended", "lost"),
    "Cancel": ("stopping", "left", "stranger", "ended", "missing"),
    "Sweep": ("swept", "expired", "shut"),
    "Load": ("loaded", "paused", "missing"),
    "Pause": ("True", "False"),
    "Limit": ("True", "False"),
}
"""By kind of call: what each must be answered, in at least FLOOR of its calls."""

HOSTILE = {
    "lost_reply": 0.03, "late_duplicate": 0.02, "reordered_report": 0.004, "zombie": 0.01, "silent_death": 0.004,
    "freeze": 0.005, "release_then_late_report": 0.003, "fresh_during_refresh": 0.002, "evict": 0.002,
    "invalidate_with_checkpoint": 0.003, "copy": 0.004, "rollback": 0.001, "flush": 0.0003, "open": 0.002,
    "outage": 0.0007, "clock back": 0.0007, "clock forward": 0.0007, "on_the_dot": 0.02,
}  # fmt: skip
"""By hostile step: its least share among all events."""

MOVED = {
    "tried again": 0.002, "taken for another attempt": 0.0008, "cancelled before another attempt": 0.0002,
    "failed for good": 0.0003, "given up": 0.003, "given up before it was due": 0.00005,
}  # fmt: skip
"""By what became of a run that no answer tells of: its least share among all events."""


class Coverage:
    """Counts what happened in any number of walks."""

    def __init__(self) -> None:
        self.answers: dict[str, Counter[str]] = {name: Counter() for name in ANSWERS}
        self.calls: Counter[str] = Counter()
        self.hostile: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()
        self.events = 0

    def count(self, event: Event, answer: Answer) -> None:
        self.events += 1
        for part, its_answer in parts(event, answer):
            name = type(part).__name__
            if name in self.answers:
                self.calls[name] += 1
                self.answers[name].update(_names(part, its_answer))

    def count_moves(self, stored: Stored) -> None:
        for run_id, record in stored.runs.items():
            before = stored.before.get(run_id)
            if before is not None and before is not record:
                self.moved.update(_moves(before, record))

    def add(self, other: Coverage) -> None:
        self.events += other.events
        self.calls += other.calls
        self.hostile += other.hostile
        self.moved += other.moved
        for name, answers in other.answers.items():
            self.answers[name] += answers

    def misses(self) -> list[str]:
        """What came too seldom, beyond what chance explains in so few steps."""
        missed = [
            f"{call} {answer}: {self.answers[call][answer]} of {self.calls[call]}"
            for call, answers in ANSWERS.items()
            for answer in answers
            if _too_few(self.answers[call][answer], self.calls[call], FLOOR)
        ]
        others = [
            f"{step}: {counts[step]} of {self.events}"
            for counts, floors in ((self.hostile, HOSTILE), (self.moved, MOVED))
            for step, floor in floors.items()
            if _too_few(counts[step], self.events, floor)
        ]
        return missed + others


def _too_few(count: int, total: int, floor: float) -> bool:
    expected = floor * total
    return count < expected - 3 * sqrt(expected)


def _names(event: Event, answer: Answer) -> Iterable[str]:
    """What an answer is counted as."""
    match event, answer:
        case _, Admitted():
            yield answer.admission
            if answer.refresh:
                yield f"{answer.admission} and refreshing"
        case Settle(), str():
            yield f"{event.outcome} ok" if answer == "ok" else answer
        case ((Report() | Cancel() | Reassert()), str()):
            yield answer
        case _, Reported() | Released():
            yield answer.verdict
        case _, Renewals():
            yield from {slot.verdict for slot in answer.slots}
        case _, Leased():
            yield from ["lease", *["lease with a checkpoint"] * (answer.restored is not None)]
        case _, Swept():
            yield from ["swept" if answer.swept else "shut", *["expired"] * bool(answer.expired)]
        case _, Loaded():
            yield "paused" if answer.paused else "loaded"
        case _:
            yield NAMES.get(type(answer), str(answer))


def _moves(before: Record, after: Record) -> Iterable[str]:
    waits = before["state"] == "scheduled" and before.get("error")
    match before["state"], after["state"]:
        case "running", "scheduled" if "error" in after:
            yield "tried again"
        case "queued", "running" if "error" in before:
            yield "taken for another attempt"
        case "scheduled", "cancelled" if waits:
            yield "cancelled before another attempt"
        case "running", "failed" if int(after.get("failures", "0")) > 0:
            yield "failed for good"
        case "queued", "failed":
            yield "given up"
        case "scheduled", "failed":
            yield "given up before it was due"


NAMES = {
    NoWork: "none", Dead: "dead", Full: "full", Missing: "missing",
}  # fmt: skip
