"""What can be asked of the store, and what it answers, as the model and the walk speak of it: values, printable.

Durations and moments are milliseconds, tokens are numbers. A call is data, so it can be sent twice, sent late, and
written down in a trace that is performed again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# What a job class says -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A job class, as far as the store hears of it; `limits` are as in `places`."""

    name: str
    queue: str = "default"
    lease: int | None = None
    max_attempts: int = 1
    max_crashes: int = 2
    keep: int = 2_000
    undeliverable: int = 10_000
    cache_ttl: int | None = None
    stale_ttl: int = 0
    failure_ttl: int = 0
    refresh: bool = False
    throttle: int = 0
    debounce: int = 0
    longest_debounce: int = 0
    abandon_after: int | None = None
    expires: int | None = None
    max_queued: int | None = None
    limits: tuple[tuple[str, int], ...] = ()
    fair_share: bool = False

    def __repr__(self) -> str:
        return self.name


# Calls ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """`tags` are what the run may be invalidated by, beside its key and its class; `work` is what a worker gets."""

    id: str
    kind: Kind
    key: str
    interest: str
    owner: str = ""
    reuse: str = "any"
    priority: int = 0
    delay: int = 0
    at: int | None = None
    tags: tuple[str, ...] = ()
    work: str = "{}"

    @property
    def tag_labels(self) -> tuple[str, ...]:
        return tuple(f"tag:{tag}" for tag in self.tags)

    @property
    def limits(self) -> tuple[tuple[str, int], ...]:
        return (
            (*self.kind.limits, (f"s:{self.kind.queue}.{self.owner}", 1)) if self.kind.fair_share else self.kind.limits
        )


@dataclass(frozen=True, slots=True)
class SubmitMany:
    """Of one class, under the same wishes, admitted in this order."""

    each: tuple[Submit, ...]


@dataclass(frozen=True, slots=True)
class Take:
    slot: str
    nonce: str
    queues: tuple[str, ...]
    lease: int
    in_turn: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """An empty `checkpoint` leaves the last one as it is."""

    id: str
    token: int
    incarnation: int
    sequence: int
    done: int
    checkpoint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """`delay` and `reason` are of a release, `retry` of a failure that is not final: in how many ms to try again.

    `done` is the last progress, None when there is none to tell.
    """

    id: str
    token: int
    incarnation: int
    outcome: str
    done: int | None = None
    result: str = "null"
    delay: int = 0
    reason: str = ""
    retry: int | None = None
    checkpoint: str = ""


@dataclass(frozen=True, slots=True)
class SettleAndTake:
    """Both in one step, the take by the slot that held what is settled; so is the answer."""

    settle: Settle
    take: Take


@dataclass(frozen=True, slots=True)
class Reassert:
    """`lease` is what the holder was told when it took the run; no slot is named by who only has to settle it."""

    slot: str
    lease: Leased


@dataclass(frozen=True, slots=True)
class Open:
    """A client connects, and tells the newest token it knows; `elsewhere`: another server gave it that."""

    token: int
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """`failed`: its job was killed at a limit; `retry` as of a `Settle`."""

    slot: str
    crashed: bool
    token: int | None = None
    failed: bool = False
    retry: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """What a supervisor sees of a start: it is `stalled`, it is `moving` again, or the supervisor is `killing` it."""

    id: str
    token: int
    what: str


@dataclass(frozen=True, slots=True)
class Renew:
    worker: str
    queues: tuple[str, ...]
    slots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Retire:
    worker: str
    queues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is taken from the queue any more; not `paused`, something is again."""

    queue: str
    paused: bool = True


@dataclass(frozen=True, slots=True)
class Limit:
    """Another number for a limit; None goes back to what its runs brought along."""

    name: str
    number: int | None


@dataclass(frozen=True, slots=True)
class Cancel:
    id: str
    interest: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class Sweep:
    interval: int


@dataclass(frozen=True, slots=True)
class Invalidate:
    """Exactly one of a cache key and a label (`job:NAME`, `tag:X`)."""

    key: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """`interest` renews a run that is abandoned when nobody asks for it."""

    id: str
    watch: int = 0
    interest: str = ""


@dataclass(frozen=True, slots=True)
class Owned:
    id: str
    owner: str


@dataclass(frozen=True, slots=True)
class ListRuns:
    """Newest first: of all, of one state, or of one owner."""

    state: str = ""
    owner: str = ""
    limit: int = 50


# What happens to the store without being asked ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evict:
    """A record vanishes: a hand, or a server that may evict."""

    id: str


@dataclass(frozen=True, slots=True)
class Expire:
    """The server removes the keys whose TTL is over (key TTLs cannot follow the walk's clock)."""


@dataclass(frozen=True, slots=True)
class PopMarker:
    """An idle worker hears the bell, and whatever it does next, the marker is gone."""

    queue: str


@dataclass(frozen=True, slots=True)
class Copy:
    """The whole namespace is copied, as to a replica or a file."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """The namespace is what it was at the last copy."""


@dataclass(frozen=True, slots=True)
class Flush:
    """The namespace is emptied, and founded anew by the next client."""


Call = (
    Submit | SubmitMany | Take | Report | Settle | SettleAndTake | Reassert | Open | Release | Mark | Renew | Retire
    | Cancel | Sweep | Invalidate | Load | Owned | ListRuns | Pause | Limit
)  # fmt: skip
Accident = Evict | Expire | PopMarker | Copy | Rollback | Flush
Event = Call | Accident

# Answers --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Admitted:
    """`refresh` names the run that will bring a newer value, '' for none.

    `ms` is for how long a cached value is still fresh, or the moment until which a failure refuses.
    """

    admission: str
    id: str
    result: str | None
    refresh: str = ""
    ms: int = 0


@dataclass(frozen=True, slots=True)
class Full:
    """The queue takes no more; when to try again is an estimate, and not compared."""


@dataclass(frozen=True, slots=True)
class Leased:
    """`kept` is what the lease carries for a store that loses the run; the walk passes it on, and compares it there."""

    id: str
    token: int
    incarnation: int
    start: int
    failures: int
    duration: int
    work: str
    watched: bool
    restored: str | None = None
    kept: Kept | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a run can be made of anew; `shared` if others could join it."""

    kind: Kind
    key: str
    shared: bool
    limits: tuple[tuple[str, int], ...]
    labels: tuple[str, ...]
    priority: int
    score: int
    created: int
    owner: str
    work: str


@dataclass(frozen=True, slots=True)
class NoWork:
    """`next_due` is in ms from now, None when nothing is scheduled."""

    next_due: int | None


@dataclass(frozen=True, slots=True)
class Dead:
    """The slot must end."""


@dataclass(frozen=True, slots=True)
class Reported:
    verdict: str
    watched: bool


@dataclass(frozen=True, slots=True)
class Released:
    verdict: str
    id: str


@dataclass(frozen=True, slots=True)
class Renewed:
    slot: str
    verdict: str
    id: str
    token: int | None


@dataclass(frozen=True, slots=True)
class Renewals:
    incarnation: int
    slots: tuple[Renewed, ...]


@dataclass(frozen=True, slots=True)
class Swept:
    swept: bool
    expired: int
    next_due: int | None


@dataclass(frozen=True, slots=True)
class Missing:
    """No such run is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The facts of a snapshot, its result, and whether its worker was lost; `explained`: it tells of an error.

    `befell` is of a failed run's last incident: start, attempt, and how far it was.
    """

    state: str
    start: int
    attempt: int
    done: int
    due: int | None
    explained: bool
    position: int | None
    workers: int | None
    paused: bool
    cancellable: bool
    stopping: str | None
    stalled: bool
    befell: tuple[int, int, int] | None
    result: str | None
    lost: bool
    refuse_until: int | None


Answer = (
    Admitted | Full | tuple[Admitted | Full, ...] | Leased | NoWork | Dead | Reported | Released | Renewals | Swept
    | Missing | Loaded | bool | str | int | tuple[str, ...] | tuple[str, Leased | NoWork | Dead] | None
)  # fmt: skip


def parts(event: Event, answer: Answer) -> tuple[tuple[Event, Answer], ...]:
    """What happened, each with its answer: two calls where they were made in one step."""
    if isinstance(event, SettleAndTake):
        assert isinstance(answer, tuple)
        return tuple(zip((event.settle, event.take), answer, strict=True))
    return ((event, answer),)
