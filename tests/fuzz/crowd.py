"""What the clients of a walk know: slots and the leases they think they hold, runs they heard of, calls they made."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fuzz.calls import Dead, Leased, NoWork, Release, Released, Report, Settle, Submit, Take

if TYPE_CHECKING:
    from tests.fuzz.calls import Answer, Call, Event

WORKERS = ("a", "b")
CHILDREN = 2
OWNERS = ("ann", "bob", "cleo")


@dataclass(slots=True)
class Held:
    """A lease as its holder knows it, and how far it has reported."""

    lease: Leased
    sequence: int = 0
    done: int = 0


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
    children: int = CHILDREN

    def thaw(self, now: int) -> None:
        self.frozen = {slot: until for slot, until in self.frozen.items() if until > now}

    def free(self) -> list[str]:
        return [slot for slot in self.slots if slot not in self.held and slot not in self.frozen]

    def holding(self) -> list[str]:
        return [slot for slot in self.held if slot not in self.frozen]

    def of(self, worker: str) -> tuple[str, ...]:
        return tuple(slot for slot in self.slots if slot.startswith(f"{worker}/") and slot not in self.frozen)

    def hear(self, asked: Event, answer: Answer) -> None:
        """What the caller does with the answer it got."""
        match asked, answer:
            case Take(slot=slot), Leased() if slot in self.slots:
                self._hold(slot, answer)
            case Take(slot=slot), NoWork() if slot in self.slots:
                self.let_go(slot)
            case Take(slot=slot), Dead():
                self.bury(slot)
            case Settle(token=token), str():
                for slot in [slot for slot, held in self.held.items() if held.lease.token == token]:
                    self.let_go(slot)
            case Report(token=token, sequence=sequence, done=done), _:
                for held in self.held.values():
                    if held.lease.token == token:
                        held.sequence, held.done = max(held.sequence, sequence), max(held.done, done)
            case Release(slot=slot), Released(verdict=verdict) if asked.token is None or verdict != "idle":
                self.bury(slot)
            case Submit(id=run_id), _:
                self.submitted.append(run_id)

    def _hold(self, slot: str, lease: Leased) -> None:
        if slot not in self.held or self.held[slot].lease.token != lease.token:
            self.let_go(slot)
            self.held[slot] = Held(lease)

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
