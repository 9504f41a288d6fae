"""What happens next in a walk: weighted steps of submitters, workers and the world that is hostile to both.

A step is a name and the events it is made of. It is chosen with an eye on the model, so that what matters is met often:
a cancel mostly names a stake that stands, a settlement mostly comes from who holds the lease.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fuzz.calls import (
    Cancel,
    Copy,
    Event,
    Evict,
    Expire,
    Flush,
    ListRuns,
    Load,
    Owned,
    PopMarker,
    Release,
    Renew,
    Report,
    Retire,
    Rollback,
    Settle,
    Submit,
    Sweep,
    Take,
)
from tests.fuzz.crowd import OWNERS, WORKERS, Held
from tests.fuzz.kinds import kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from tests.fuzz.crowd import Crowd
    from tests.fuzz.features import Feature
    from tests.fuzz.model import Model
    from tests.fuzz.runs import Run

QUEUES = ("default", "slow")
LEASE = 6_000
INTERVAL = 1_000
STATES = ("", "scheduled", "queued", "running", "succeeded", "failed", "cancelled")

SILENT = frozenset({"silent_death", "freeze"})
"""Steps that nobody hears of."""
MOMENTS = ("due", "lease_end", "fresh_until", "stale_until", "refresh_at", "refuse_until", "abandon_at", "forget_at")
"""What of a run ends or begins at a given ms."""

Step = list[Event]


class Moment(NamedTuple):
    """A ms at which something ends or begins, of a run or of a limit."""

    at: int
    name: str
    whose: str


class Steps:
    """Chooses by `random` alone, so a seed is a walk."""

    def __init__(self, random: Random, crowd: Crowd, features: frozenset[Feature]) -> None:
        self.random = random
        self.crowd = crowd
        self.kinds = kinds(features)
        self.numbers = 0
        self.weights: dict[Callable[[Model], Step], float] = {
            self.submit: 17, self.take: 22, self.report: 9, self.settle: 16, self.renew: 5, self.release: 3,
            self.cancel: 6, self.sweep: 12, self.load: 4, self.owned: 1, self.list: 1, self.retire: 0.3,
            self.lost_reply: 5, self.late_duplicate: 4, self.reordered_report: 1, self.zombie: 3,
            self.release_then_late_report: 1, self.silent_death: 0.7, self.freeze: 1.5, self.evict: 0.5, self.expire: 4,
            self.pop_marker: 2, self.copy: 0.3, self.rollback: 0.1, self.flush: 0.03,
        }  # fmt: skip
        self._steps = list(self.weights)
        self._weights = list(self.weights.values())

    def choose(self, model: Model) -> tuple[str, Step]:
        """The next step, by name; an empty one when there is nothing that it could be about."""
        self.crowd.thaw(model.now)
        step = self.random.choices(self._steps, self._weights)[0]
        return step.__name__, step(model)

    def about(self, moment: Moment, model: Model) -> tuple[str, Step]:
        """What shows whether this moment has come."""
        run = model.kept(moment.whose)
        match moment.name:
            case "due" | "paced":
                step = self.take(model)
            case "fresh_until" | "stale_until" | "refresh_at" | "refuse_until" if run and run.key:
                step = [self._submission(model, run.key, "any")]
            case _:
                step = self.sweep(model)
        return "on_the_dot", step

    # Submitters -------------------------------------------------------------------------------------------------------

    def submit(self, model: Model) -> Step:
        reuse = self.random.choices(("any", "fresh", "none"), (8, 2, 1))[0]
        return [self._submission(model, self.random.choice(list(self.kinds)), reuse)]

    def _submission(self, model: Model, key: str, reuse: str) -> Submit:
        owner = self.random.choice(("", *OWNERS))
        run_id = f"0-{self.random.randrange(10**20):020d}{self._number():06d}"
        return Submit(
            id=run_id,
            kind=self.kinds[key],
            key=key,
            interest=f"owner:{owner}" if owner else f"ticket:{run_id}",
            owner=owner,
            reuse=reuse,
            priority=self.random.choices((0, 1, -1), (8, 1, 1))[0],
            **self._start(model),
            work=f'{{"n":{self.numbers}}}',
        )

    def _start(self, model: Model) -> dict[str, int]:
        chance = self.random.random()
        if chance < 0.8:
            return {}
        if chance < 0.9:
            return {"delay": self.random.randrange(1, 3_000)}
        return {"at": model.now + self.random.randrange(-1_000, 3_000)}

    def cancel(self, model: Model) -> Step:
        run = self._some_run(model)
        if not run:
            return []
        interests = [name for name, counted in run.interests.items() if counted] or list(run.interests)
        strangers = [f"owner:{owner}" for owner in OWNERS]
        interest = self.random.choice(interests if self.random.random() < 0.7 else strangers)
        return [Cancel(run.id, interest, force=self.random.random() < 0.15)]

    def load(self, model: Model) -> Step:
        run_id = self._some_id(model)
        watch = self.random.choice((0, 0, 1_000, 5_000))
        return [Load(run_id, watch)] if run_id else []

    def owned(self, model: Model) -> Step:
        run_id = self._some_id(model)
        return [Owned(run_id, self.random.choice(OWNERS))] if run_id else []

    def list(self, _model: Model) -> Step:
        return [ListRuns(self.random.choice(STATES), limit=self.random.choice((2, 50)))]

    # Workers ----------------------------------------------------------------------------------------------------------

    def take(self, _model: Model) -> Step:
        free = self.crowd.free()
        chance = self.random.random()
        if chance < 0.05:
            free = self.crowd.slots
        elif chance < 0.08:
            free = list(self.crowd.buried)
        queues = self.random.choice((QUEUES, QUEUES, QUEUES[:1], QUEUES[1:]))
        return [Take(self.random.choice(free), f"n{self._number()}", queues, LEASE)] if free else []

    def report(self, _model: Model) -> Step:
        return [self._report(held) for held in self._some_holder()]

    def settle(self, _model: Model) -> Step:
        return [self._settle(held) for held in self._some_holder()]

    def renew(self, _model: Model) -> Step:
        worker = self.random.choice(WORKERS)
        return [Renew(worker, QUEUES, self.crowd.of(worker))]

    def retire(self, _model: Model) -> Step:
        return [Retire(self.random.choice(WORKERS), QUEUES[: self.random.randrange(1, 3)])]

    def release(self, model: Model) -> Step:
        """A supervisor saw a child die, or gives back what its child does not know it holds."""
        names = [*self.crowd.slots, *self.crowd.held, *self.crowd.buried]
        slot = self.random.choice(names)
        token = model.slots[slot].token if slot in model.slots else None
        if self.random.random() < 0.7:
            token = None
        elif self.crowd.old and self.random.random() < 0.3:
            token = self.random.choice(self.crowd.old).lease.token
        return [Release(slot, crashed=self.random.random() < 0.6, token=token)]

    def sweep(self, _model: Model) -> Step:
        return [Sweep(INTERVAL)]

    # The hostile world ------------------------------------------------------------------------------------------------

    def lost_reply(self, model: Model) -> Step:
        """The call is performed, its reply is lost, and it is sent again."""
        callers = [self.submit, self.take, self.report, self.settle, self.release, self.cancel, self.sweep, self.renew]
        call = self.random.choices(callers, (4, 4, 2, 4, 2, 2, 1, 1))[0](model)
        return call * 2

    def late_duplicate(self, model: Model) -> Step:
        """A copy of an old message arrives; but never a submission whose run was evicted, and stands half there."""
        call = self.random.choice(self.crowd.sent) if self.crowd.sent else None
        if call is None or (isinstance(call, Submit) and call.id in model.runs and not model.kept(call.id)):
            return []
        return [call]

    def reordered_report(self, _model: Model) -> Step:
        """Two reports overtake each other."""
        for held in self._some_holder():
            first = self._report(held)
            return [Report(first.id, first.token, first.incarnation, first.sequence + 1, first.done + 1), first]
        return []

    def zombie(self, _model: Model) -> Step:
        """Who held a lease before speaks again."""
        if not self.crowd.old:
            return []
        held = self.random.choice(self.crowd.old)
        return [self.random.choice((self._report, self._settle))(held)]

    def release_then_late_report(self, _model: Model) -> Step:
        """The child had sent a report when it died."""
        if not self.crowd.holding():
            return []
        slot = self.random.choice(self.crowd.holding())
        held = self.crowd.held[slot]
        late = self.random.choice((self._report, self._settle))(held)
        return [Release(slot, crashed=self.random.random() < 0.5), late]

    def silent_death(self, _model: Model) -> Step:
        """A host is gone: nobody says so."""
        if self.crowd.held:
            self.crowd.bury(self.random.choice(list(self.crowd.held)))
        return []

    def freeze(self, model: Model) -> Step:
        """A child, or its whole host, stands still, and comes back when its lease is over, or nearly."""
        if self.crowd.holding():
            slot = self.random.choice(self.crowd.holding())
            self.crowd.frozen[slot] = model.now + self.random.randrange(LEASE, 3 * LEASE)
        return []

    def evict(self, model: Model) -> Step:
        run_id = self._some_id(model)
        return [Evict(run_id)] if run_id and model.kept(run_id) else []

    def expire(self, _model: Model) -> Step:
        return [Expire()]

    def pop_marker(self, _model: Model) -> Step:
        return [PopMarker(self.random.choice(QUEUES))]

    def copy(self, _model: Model) -> Step:
        return [Copy()]

    def rollback(self, _model: Model) -> Step:
        return [Rollback()]

    def flush(self, _model: Model) -> Step:
        return [Flush()]

    # What they are made of --------------------------------------------------------------------------------------------

    def _number(self) -> int:
        self.numbers += 1
        return self.numbers

    def _some_holder(self) -> Sequence[Held]:
        holding = self.crowd.holding()
        return [self.crowd.held[self.random.choice(holding)]] if holding else []

    def _some_run(self, model: Model) -> Run | None:
        """Mostly one that goes on, often one that somebody thinks they hold."""
        held = [run for held in self.crowd.held.values() if (run := model.kept(held.lease.id))]
        if held and self.random.random() < 0.3:
            return self.random.choice(held)
        runs = [run for run in model.runs.values() if not run.evicted]
        going_on = [run for run in runs if not run.ended]
        choice = going_on if going_on and self.random.random() < 0.8 else runs
        return self.random.choice(choice) if choice else None

    def _some_id(self, model: Model) -> str:
        """Seldom one that is not kept any more."""
        if self.crowd.submitted and self.random.random() < 0.1:
            return self.random.choice(self.crowd.submitted)
        run = self._some_run(model)
        return run.id if run else ""

    def _report(self, held: Held) -> Report:
        lease = held.lease
        return Report(lease.id, lease.token, lease.incarnation, held.sequence + 1, held.done + self.random.randrange(3))

    def _settle(self, held: Held) -> Settle:
        lease = held.lease
        outcome = self.random.choices(("succeeded", "failed", "cancelled", "released"), (6, 2, 1, 3))[0]
        details: dict[str, Any] = {}
        if outcome == "succeeded":
            details["result"] = f'"{lease.id[-6:]}/{lease.start}"'
        elif outcome == "released" and self.random.random() < 0.4:
            details = {"delay": 1_000, "reason": "no worker knows it"}
        done = held.done if self.random.random() < 0.7 else None
        return Settle(
            id=lease.id, token=lease.token, incarnation=lease.incarnation, outcome=outcome, done=done, **details
        )
