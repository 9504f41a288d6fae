"""What happens next in a walk: weighted steps of submitters, workers and the world that is hostile to both.

A step is a name and the events it is made of. It is chosen with an eye on the model, so that what matters is met often:
a cancel mostly names a stake that stands, a settlement mostly comes from who holds the lease.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from tests.fuzz.calls import (
    Cancel,
    Copy,
    Event,
    Evict,
    Expire,
    Flush,
    Invalidate,
    Limit,
    ListRuns,
    Load,
    Mark,
    Open,
    Owned,
    Pause,
    PopMarker,
    Reassert,
    Release,
    Renew,
    Report,
    Retire,
    Rollback,
    Settle,
    SettleAndTake,
    Submit,
    SubmitMany,
    Sweep,
    Take,
)
from tests.fuzz.crowd import OWNERS, WORKERS, Held
from tests.fuzz.kinds import ONE, PACE, SHARED, TAGS, TWO, UNSHARED
from tests.fuzz.runs import REFRESH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from tests.fuzz.crowd import Crowd
    from tests.fuzz.model import Model
    from tests.fuzz.runs import Run

QUEUES = ("default", "slow")
LEASE = 6_000
INTERVAL = 1_000
STATES = ("", "scheduled", "queued", "running", "succeeded", "failed", "cancelled")

SILENT = frozenset({"silent_death", "freeze"})
"""Steps that nobody hears of."""
MOMENTS = (
    "due", "lease_end", "fresh_until", "stale_until", "refresh_at", "refuse_until", "abandon_at", "expire_at",
    "forget_at",
)  # fmt: skip
"""What of a run ends or begins at a given ms."""

T = TypeVar("T")
Step = list[Event]


class Moment(NamedTuple):
    """A ms at which something ends or begins, of a run or of a limit."""

    at: int
    name: str
    whose: str


class Steps:
    """Chooses by `random` alone, so a seed is a walk."""

    def __init__(self, random: Random, crowd: Crowd) -> None:
        self.random = random
        self.crowd = crowd
        self.newest = 0
        self.lost_newest = 0
        self.numbers = 0
        self.weights: dict[Callable[[Model], Step], float] = {
            self.submit: 17, self.submit_many: 1, self.cancel: 6, self.load: 4, self.owned: 1, self.list: 1,
            self.invalidate: 1, self.take: 22, self.report: 9, self.settle: 9, self.settle_and_take: 8,
            self.renew: 5, self.release: 3,
            self.reassert: 5, self.open: 1, self.retire: 0.3, self.pause: 0.5, self.limit: 0.5, self.sweep: 12,
            self.lost_reply: 5, self.late_duplicate: 4, self.reordered_report: 1.5, self.zombie: 3, self.move_on: 1,
            self.release_then_late_report: 1, self.silent_death: 0.7, self.freeze: 1.5, self.hit_near_its_end: 8,
            self.fresh_during_refresh: 3, self.invalidate_with_checkpoint: 0.8, self.evict: 0.7, self.expire: 4,
            self.pop_marker: 2, self.mark: 2, self.copy: 1, self.rollback: 0.3, self.flush: 0.1,
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
            case "expire_at" if self.random.random() < 0.5:
                step = self.take(model)
            case "fresh_until" | "stale_until" | "refresh_at" | "refuse_until" if run and run.key:
                step = [self._submission(model, run.key, "any")]
            case _:
                step = self.sweep(model)
        return "on_the_dot", step

    def lose_sight(self) -> None:
        """What was seen so far, another server gave."""
        self.lost_newest, self.newest = max(self.lost_newest, self.newest), 0

    # Submitters -------------------------------------------------------------------------------------------------------

    def submit(self, model: Model) -> Step:
        reuse = self.random.choices(("any", "fresh", "none"), (8, 2, 1))[0]
        return [self._submission(model, self.random.choice((*SHARED, "")), reuse)]

    def submit_many(self, model: Model) -> Step:
        reuse = self.random.choice(("any", "fresh"))
        first = self._submission(model, self.random.choice((*SHARED, "")), reuse)
        names = [self._run_id() for _ in range(self.random.randrange(1, 4))]
        interests = [first.interest if first.owner else f"ticket:{name}" for name in names]
        return [SubmitMany((first, *(replace(first, id=n, interest=i) for n, i in zip(names, interests, strict=True))))]

    def _submission(self, model: Model, key: str, reuse: str) -> Submit:
        owner = self.random.choice(("", *OWNERS))
        run_id = self._run_id()
        return Submit(
            id=run_id,
            kind=SHARED[key] if key else self.random.choice(UNSHARED),
            key=key,
            interest=f"owner:{owner}" if owner else f"ticket:{run_id}",
            owner=owner,
            reuse=reuse,
            priority=self.random.choices((0, 1, -1), (8, 1, 1))[0],
            **self._start(model),
            tags=(self.random.choice(TAGS),) if self.random.random() < 0.3 else (),
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
        stakes = [name for name, counted in run.interests.items() if counted and name != REFRESH]
        strangers = [f"owner:{owner}" for owner in OWNERS]
        interest = self.random.choice(stakes if stakes and self.random.random() < 0.7 else strangers)
        return [Cancel(run.id, interest, force=self.random.random() < 0.15)]

    def load(self, model: Model) -> Step:
        run_id = self._some_id(model)
        watch = self.random.choice((0, 0, 1_000, 5_000))
        run = model.kept(run_id)
        interests = ["", "stranger", *(run.interests if run else ())]
        return [Load(run_id, watch, self.random.choice(interests))] if run_id else []

    def owned(self, model: Model) -> Step:
        run_id = self._some_id(model)
        return [Owned(run_id, self.random.choice(OWNERS))] if run_id else []

    def list(self, _model: Model) -> Step:
        limit = self.random.choice((2, 50))
        if self.random.random() < 0.3:
            return [ListRuns(owner=self.random.choice(OWNERS), limit=limit)]
        return [ListRuns(self.random.choice(STATES), limit=limit)]

    def invalidate(self, _model: Model) -> Step:
        if self.random.random() < 0.5:
            return [Invalidate(key=self.random.choice(list(SHARED)))]
        labels = [*(f"tag:{tag}" for tag in TAGS), *(f"job:{kind.name}" for kind in SHARED.values())]
        return [Invalidate(label=self.random.choice(labels))]

    # Workers ----------------------------------------------------------------------------------------------------------

    def take(self, _model: Model) -> Step:
        free = self.crowd.free()
        chance = self.random.random()
        if chance < 0.05:
            free = self.crowd.slots
        elif chance < 0.08:
            free = list(self.crowd.buried)
        return [self._take(self.random.choice(free))] if free else []

    def report(self, _model: Model) -> Step:
        return [self._report(held) for held in self._some_holder()]

    def settle(self, _model: Model) -> Step:
        return [self._settle(held) for held in self._some_holder()]

    def settle_and_take(self, _model: Model) -> Step:
        """Mostly by the slot that held it; now and then by another."""
        others = self.crowd.slots if self.random.random() < 0.05 else ()
        return [
            SettleAndTake(self._settle(held), self._take(self.random.choice(others or (held.slot,))))
            for held in self._some_holder()
        ]

    def reassert(self, model: Model) -> Step:
        """Mostly who was told to; now and then one that was not, or a zombie."""
        told = [held for held in self.crowd.holding() if held.unknown]
        if not told and self.random.random() < 0.7:
            return []
        choice = told if told and self.random.random() < 0.9 else [*self.crowd.holding(), *self.crowd.old]
        calls = [Reassert(held.slot, held.lease) for held in self._some(choice)]
        return [call for call in calls if self._may_come(call, model)]

    def open(self, _model: Model) -> Step:
        """A client connects: it saw nothing, or what this server gave it, or the one before."""
        lost = self.random.choice((self.lost_newest, self.lost_newest, self.lost_newest - 1_000_000))
        return [self.random.choice((Open(0), Open(self.newest), Open(max(lost, 0), elsewhere=True)))]

    def renew(self, _model: Model) -> Step:
        worker = self.random.choice(WORKERS)
        return [Renew(worker, QUEUES, self.crowd.of(worker))]

    def retire(self, _model: Model) -> Step:
        return [Retire(self.random.choice(WORKERS), QUEUES[: self.random.randrange(1, 3)])]

    def pause(self, model: Model) -> Step:
        """Mostly a queue that is paused is soon resumed."""
        if model.paused and self.random.random() < 0.8:
            return [Pause(self.random.choice(sorted(model.paused)), paused=False)]
        return [Pause(self.random.choice(QUEUES), paused=self.random.random() < 0.8)]

    def limit(self, model: Model) -> Step:
        """Mostly one that is changed soon goes back."""
        changed = sorted(model.places.overrides)
        if changed and self.random.random() < 0.6:
            return [Limit(self.random.choice(changed), None)]
        name, number = self.random.choice((ONE, TWO, PACE))
        numbers = (1, 2, 3) if name.startswith("m:") else (number // 4, number, number * 3)
        return [Limit(name, self.random.choice(numbers))]

    def release(self, model: Model) -> Step:
        """A supervisor saw a child die, or gives back what its child does not know it holds."""
        names = [*self.crowd.slots, *self.crowd.held, *self.crowd.buried]
        slot = self.random.choice(names)
        token = model.slots[slot].token if slot in model.slots else None
        if self.random.random() < 0.7:
            token = None
        elif self.crowd.old and self.random.random() < 0.3:
            token = self.random.choice(self.crowd.old).lease.token
        failed = self.random.random() < 0.3
        retry = self.random.choice((None, 0, 400)) if failed else None
        return [Release(slot, not failed and self.random.random() < 0.8, token, failed, retry)]

    def mark(self, _model: Model) -> Step:
        """Of who holds a lease, now and then of who held one before."""
        choice = [*self.crowd.held.values()] if self.random.random() < 0.8 else [*self.crowd.old]
        what = self.random.choice(("stalled", "stalled", "moving", "killing"))
        return [Mark(held.lease.id, held.lease.token, what) for held in self._some(choice)]

    def sweep(self, _model: Model) -> Step:
        return [Sweep(INTERVAL)]

    # The hostile world ------------------------------------------------------------------------------------------------

    def lost_reply(self, model: Model) -> Step:
        """The call is performed, its reply is lost, and it is sent again."""
        callers = [
            self.submit, self.take, self.report, self.settle, self.settle_and_take, self.release, self.cancel,
            self.sweep, self.renew, self.mark,
        ]  # fmt: skip
        call = self.random.choices(callers, (4, 4, 2, 2, 3, 2, 2, 1, 1, 1))[0](model)
        return call * 2

    def late_duplicate(self, model: Model) -> Step:
        """A copy of an old message arrives."""
        return [call for call in self._some(self.crowd.sent) if self._may_come(call, model)]

    def _may_come(self, call: Event, model: Model) -> bool:
        """Not what the store cannot tell from something right.

        A submission whose run was evicted, and stands half there; an assertion whose run has meanwhile ended and been
        forgotten, or whose slot holds another run; a report from before its run was asserted anew.
        """
        match call:
            case Submit() | SubmitMany():
                names = [call.id] if isinstance(call, Submit) else [each.id for each in call.each]
                return all(name not in model.runs or model.kept(name) for name in names)
            case Reassert(slot=slot, lease=lease):
                held = model.slots[slot].run if slot in model.slots else None
                is_gone = lease.id in model.forgotten or (lease.id in model.runs and not model.kept(lease.id))
                return held in (None, lease.id) and not is_gone
            case Report():
                return all(call.token != token or call.sequence > last for token, last in self.crowd.reasserted)
        return True

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

    def fresh_during_refresh(self, model: Model) -> Step:
        """A memo is being made anew, and somebody wants an answer computed from now on."""
        keys = [run.key for run in model.runs.values() if run.key and REFRESH in run.interests and not run.ended]
        return [self._submission(model, key, "fresh") for key in self._some(keys)]

    def hit_near_its_end(self, model: Model) -> Step:
        """A memo is fresh, and to be made anew."""
        runs = [run for run in model.runs.values() if run.refresh_at is not None and run.fresh_until is not None]
        keys = [run.key for run in runs if (run.refresh_at or 0) <= model.now < (run.fresh_until or 0)]
        return [self._submission(model, key, "any") for key in self._some(keys)]

    def invalidate_with_checkpoint(self, model: Model) -> Step:
        """What a start wrote before an invalidation, and what it writes after, is not gone on from."""
        for held in self._some(self.crowd.holding()):
            run = model.kept(held.lease.id)
            what = Invalidate(label=self.random.choice(run.labels)) if run else Invalidate(key="red")
            if run and run.key and self.random.random() < 0.5:
                what = Invalidate(key=run.key)
            first = replace(self._report(held), checkpoint=f"c{self._number()}")
            then = replace(first, sequence=first.sequence + 1, checkpoint=f"c{self._number()}")
            return [first, what, *([then] if self.random.random() < 0.7 else []), Release(held.slot, crashed=False)]
        return []

    def release_then_late_report(self, _model: Model) -> Step:
        """The child had sent a report when it died."""
        for held in self._some_holder():
            late = self.random.choice((self._report, self._settle))(held)
            return [Release(held.slot, crashed=self.random.random() < 0.5), late]
        return []

    def silent_death(self, _model: Model) -> Step:
        """A host is gone: nobody says so."""
        if self.crowd.held:
            self.crowd.bury(self.random.choice(list(self.crowd.held)))
        return []

    def freeze(self, model: Model) -> Step:
        """A child, or its whole host, stands still, and comes back when its lease is over, or nearly."""
        for held in self._some_holder():
            self.crowd.frozen[held.slot] = model.now + self.random.randrange(LEASE, 3 * LEASE)
        return []

    def move_on(self, model: Model) -> Step:
        """A child whose lease has run out takes another run, and then its report about the first comes."""
        for held in self._some([held for held in self.crowd.held.values() if held.slot in self.crowd.slots]):
            run = model.kept(held.lease.id)
            if run and run.state == "queued" and run.token == held.lease.token:
                others = tuple(queue for queue in QUEUES if queue != run.kind.queue)
                return [Take(held.slot, f"n{self._number()}", others, LEASE), self._report(held)]
        return []

    def evict(self, model: Model) -> Step:
        """Of a run without owners and places: what lists it by those can not be told that it is gone."""
        runs = [run for run in model.runs.values() if not run.evicted and not run.owners]
        return [Evict(run.id) for run in self._some([run for run in runs if run.ended or not run.limits])]

    def expire(self, _model: Model) -> Step:
        return [Expire()]

    def pop_marker(self, _model: Model) -> Step:
        return [PopMarker(self.random.choice(QUEUES))]

    def copy(self, _model: Model) -> Step:
        return [Copy()]

    def rollback(self, _model: Model) -> Step:
        return [Rollback(), *self._all_report()]

    def flush(self, _model: Model) -> Step:
        return [Flush(), *self._all_report()]

    def _all_report(self) -> Step:
        """As supervisors tell them to when the store lost data."""
        return [self._report(held) for held in self.crowd.holding()]

    # What they are made of --------------------------------------------------------------------------------------------

    def _number(self) -> int:
        self.numbers += 1
        return self.numbers

    def _run_id(self) -> str:
        return f"0-{self.random.randrange(10**20):020d}{self._number():06d}"

    def _some(self, choice: Sequence[T]) -> Sequence[T]:
        """One of them; none when there is none."""
        return [self.random.choice(choice)] if choice else []

    def _some_holder(self) -> Sequence[Held]:
        return self._some(self.crowd.holding())

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
        checkpoint = f"c{self._number()}" if self.random.random() < 0.3 else ""
        done = held.done + self.random.randrange(3)
        return Report(lease.id, lease.token, lease.incarnation, held.sequence + 1, done, checkpoint)

    def _take(self, slot: str) -> Take:
        queues = self.random.choice((QUEUES, QUEUES, QUEUES[:1], QUEUES[1:]))
        return Take(slot, f"n{self._number()}", queues, LEASE, self.random.random() < 0.3)

    def _settle(self, held: Held) -> Settle:
        lease = held.lease
        outcome = self.random.choices(("succeeded", "failed", "cancelled", "released"), (6, 2, 1, 3))[0]
        details: dict[str, Any] = {}
        if outcome == "succeeded":
            details["result"] = f'"{lease.id[-6:]}/{lease.start}"'
        elif outcome == "failed" and self.random.random() < 0.8:
            details["retry"] = self.random.choice((0, 1, 400, self.random.randrange(3_000)))
        elif outcome == "released" and self.random.random() < 0.4:
            details = {"delay": 1_000, "reason": "no worker knows it"}
        if outcome in ("released", "failed") and self.random.random() < 0.5:
            details["checkpoint"] = f"c{self._number()}"
        done = held.done if self.random.random() < 0.7 else None
        return Settle(
            id=lease.id, token=lease.token, incarnation=lease.incarnation, outcome=outcome, done=done, **details
        )
