"""What the model keeps: runs, pointers and slots, as the texts describe them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.calls import Kind

ENDED = frozenset({"succeeded", "failed", "cancelled"})
REFRESH = "refresh"
"""The system's own interest in a run that was begun to renew a memo."""


@dataclass(slots=True)
class Run:
    """One record. Moments are ms, the score and the token are µs; None is 'never' or 'not'.

    `stalled` and `killing` are tokens; `befell` is of the last incident: start, attempt, and how far it was.
    """

    id: str
    kind: Kind
    key: str
    labels: tuple[str, ...]
    priority: int
    work: str
    created: int
    owner: str
    shared: bool
    limits: dict[str, int]
    score: int = 0
    state: str = "unknown"
    since: int = 0
    due: int | None = None
    earliest: int = 0
    debounce_until: int = 0
    parked: str | None = None
    token: int | None = None
    voided: int | None = None
    retried: int | None = None
    slot: str | None = None
    start: int = 0
    started: int | None = None
    lease: int = 0
    lease_end: int = 0
    sequence: int = 0
    done: int = 0
    failures: int = 0
    explained: bool = False
    crashes: int = 0
    stalled: int | None = None
    killing: int | None = None
    incidents: int = 0
    befell: tuple[int, int, int] | None = None
    returned: int | None = None
    cancelling: bool = False
    interests: dict[str, bool] = field(default_factory=dict)
    owners: dict[str, int] = field(default_factory=dict)
    watched: int | None = None
    checkpoint: tuple[str, int] | None = None
    barred: int = 0
    abandon_at: int | None = None
    expire_at: int | None = None
    finished: int | None = None
    result: str | None = None
    lost: bool = False
    fresh_until: int | None = None
    stale_until: int | None = None
    refresh_at: int | None = None
    refuse_until: int | None = None
    forget_at: int | None = None
    evicted: bool = False

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def is_late(self, now: int) -> bool:
        """Whether the time in which it should have begun is over."""
        return self.expire_at is not None and self.expire_at <= now

    @property
    def stakes(self) -> int:
        return sum(self.interests.values())


@dataclass(slots=True)
class Pointer:
    """What a cache key names. `began` is the start of the last admitted run, in ms; `throttle` is what it asks for.

    `until` is when all that it remembers is over, in ms: without a `live` it is forgotten then, at the latest.
    """

    live: str | None = None
    memo: str | None = None
    failed: str | None = None
    began: int | None = None
    throttle: int = 0
    until: int = 0


@dataclass(slots=True)
class Slot:
    """What a worker's child holds, and what it last asked; `idle_since` is when it last held nothing, in ms."""

    run: str | None = None
    token: int | None = None
    nonce: str | None = None
    dead: bool = False
    idle_since: int = 0

    @property
    def says_anything(self) -> bool:
        return bool(self.run or self.nonce or self.dead)
