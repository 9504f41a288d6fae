"""What the clients of a walk know: slots and the leases they think they hold, runs they heard of, calls they made."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fuzz.calls import (
    Accident,
    Dead,
    Leased,
    NoWork,
    Reassert,
    Release,
    Released,
    Report,
    Reported,
    Settle,
    Submit,
    Take,
    parts,
)

if TYPE_CHECKING:
    from tests.fuzz.calls import Answer, Call, Event

WORKERS = ("a", "b")
CHILDREN = 2
OWNERS = ("ann", "bob", "cleo")


@dataclass(slots=True)
class Held:
    """A lease as its holder knows it, and how far it has reported; `unknown`: the store says that it lost the run."""

    slot: str
    lease: Leased
    sequence: int = 0
    done: int = 0
    unknown: bool = False


@dataclass(slots=True)
class Crowd:
    """Three owners submit, two workers of two slots each perform. A `frozen` slot says nothing until some ms."""

    slots: list[str] = field(default_factory=lambda: [f"{name}/{n}" for name in WORKERS for n in range(CHILDREN)])
    buried: deque[str] = field(default_factory=lambda: deque(maxlen=4))
    held: dict[str, Held] = field(default_factory=dict)
    frozen: dict[str, int] = field(default_factory=dict)
    old: deque[Held] = field(default_factory=lambda: deque(maxlen=12))
    sent: deque[Call] = field(default_factory=lambda: deque(maxlen=40))
    submitted: deque[str] = field(default_factory=lambda: deque(maxlen=40))
    reasserted: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=20))
    children: int = CHILDREN

    # What is known ----------------------------------------------------------------------------------------------------

    def free(self) -> list[str]:
        return [slot for slot in self.slots if slot not in self.held and slot not in self.frozen]

    def holding(self) -> list[Held]:
        return [held for slot, held in self.held.items() if slot not in self.frozen]

    def of(self, worker: str) -> tuple[str, ...]:
        return tuple(slot for slot in self.slots if slot.startswith(f"{worker}/") and slot not in self.frozen)

    # What is heard ----------------------------------------------------------------------------------------------------

    def hear(self, asked: Event, answer: Answer) -> None:
        """What the caller does with the answer it got."""
        if not isinstance(asked, Accident):
            self.sent.append(asked)
        for part, its_answer in parts(asked, answer):
            self._hear(part, its_answer)

    def _hear(self, asked: Event, answer: Answer) -> None:
        match asked:
            case Submit():
                self.submitted.append(asked.id)
            case Take():
                self._took(asked.slot, answer)
            case Report() | Settle() | Reassert():
                for held in (*self.held.values(), *self.old):
                    if held.lease.token == (asked.lease.token if isinstance(asked, Reassert) else asked.token):
                        self._spoke(held, asked, answer)
            case Release() if isinstance(answer, Released) and (asked.token is None or answer.verdict != "idle"):
                self.bury(asked.slot)

    def _took(self, slot: str, answer: Answer) -> None:
        match answer:
            case Dead():
                self.bury(slot)
            case NoWork() if slot in self.slots:
                self.let_go(slot)
            case Leased() if slot in self.slots and not self._holds(slot, answer):
                self.let_go(slot)
                self.held[slot] = Held(slot, answer)

    def _holds(self, slot: str, lease: Leased) -> bool:
        return slot in self.held and self.held[slot].lease.token == lease.token

    def _spoke(self, held: Held, asked: Report | Settle | Reassert, answer: Answer) -> None:
        verdict = answer.verdict if isinstance(answer, Reported) else answer
        held.unknown = verdict == "unknown"
        match asked:
            case Report():
                held.sequence, held.done = max(held.sequence, asked.sequence), max(held.done, asked.done)
            case Settle() if not held.unknown and self.held.get(held.slot) is held:
                self.let_go(held.slot)
            case Reassert() if verdict == "ok":
                self.reasserted.append((held.lease.token, held.sequence))
                self._hold_again(held)

    def _hold_again(self, held: Held) -> None:
        if held.slot in self.slots and held.slot not in self.held:
            self.old.remove(held)
            self.held[held.slot] = held

    # What happens to children -----------------------------------------------------------------------------------------

    def thaw(self, now: int) -> None:
        self.frozen = {slot: until for slot, until in self.frozen.items() if until > now}

    def let_go(self, slot: str) -> None:
        """The child works on nothing now; what it held may still be spoken for by messages on their way."""
        if slot in self.held:
            self.old.append(self.held.pop(slot))

    def bury(self, slot: str) -> None:
        """The child is gone, and another one, under a name of its own, takes its place."""
        self.let_go(slot)
        self.frozen.pop(slot, None)
        if slot in self.slots:
            self.children += 1
            self.slots[self.slots.index(slot)] = f"{slot.partition('/')[0]}/{self.children}"
            self.buried.append(slot)
