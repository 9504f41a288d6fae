"""What the store means: every call's answer and effect, as a small program without I/O, in which time is a value.

Written from docs/store-protocol.md, its small print included, not from the scripts: where the two disagree, one of them
is wrong. `Model.apply(now_us, event)` answers what the store must answer, and leaves in `runs`, `pointers`,
`slots` and `places` what the store must hold. What it leaves open, and compares only by its rules: versions (they rise
with every change), the estimate of a full queue, when exactly a TTL ends a key whose time is over.
"""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING

from tests.fuzz.calls import (
    Admitted,
    Answer,
    Cancel,
    Copy,
    Dead,
    Event,
    Evict,
    Expire,
    Flush,
    Full,
    Invalidate,
    Kept,
    Leased,
    Limit,
    ListRuns,
    Load,
    Loaded,
    Mark,
    Missing,
    NoWork,
    Open,
    Owned,
    Pause,
    PopMarker,
    Reassert,
    Release,
    Released,
    Renew,
    Renewals,
    Renewed,
    Report,
    Reported,
    Retire,
    Rollback,
    Settle,
    SettleAndTake,
    Submit,
    SubmitMany,
    Sweep,
    Swept,
    Take,
)
from tests.fuzz.places import HEAD_START, Places
from tests.fuzz.runs import ENDED, REFRESH, Pointer, Run, Slot

if TYPE_CHECKING:
    from collections.abc import Callable

SILENCE = 30_000
"""ms without a heartbeat after which a worker is not counted."""
SLOT_LIFE = 3_000
"""ms for which the walk lets a slot be remembered; the store's own is a day."""


class Model:
    """One partition. `told`, `invalidated` and `places.rung` are what the last event let others hear."""

    def __init__(self, incarnation: int = 0) -> None:
        self.incarnation = incarnation
        self.incarnations = incarnation + 1
        self.now_us = 0
        self.clock = 0
        self.found = 0
        self.swept = 0
        self.moved = False
        self.runs: dict[str, Run] = {}
        self.pointers: dict[str, Pointer] = {}
        self.slots: dict[str, Slot] = {}
        self.workers: dict[str, dict[str, int]] = {}
        self.stamps: dict[str, int] = {}
        self.strays: dict[str, int] = {}
        self.forgotten: set[str] = set()
        self.places = Places(self.runs)
        self.paused: set[str] = set()
        self.barred = 0
        self.told: list[tuple[str, str]] = []
        self.invalidated: list[str] = []

    @property
    def now(self) -> int:
        return self.now_us // 1000

    def apply(self, now_us: int, event: Event) -> Answer:
        """What the store answers to this call at this moment; None to an accident. (Copies are the walk's affair.)"""
        self.now_us = now_us
        self.told.clear()
        self.invalidated.clear()
        self.places.rung.clear()
        performers: dict[type[Event], Callable[..., Answer]] = {
            Submit: self.submit, SubmitMany: self.submit_many, Take: self.take, Report: self.report,
            Settle: self.settle, SettleAndTake: self.settle_and_take, Reassert: self.reassert,
            Open: self.open, Release: self.release,
            Mark: self.mark, Renew: self.renew, Retire: self.retire, Cancel: self.cancel, Sweep: self.sweep,
            Invalidate: self.invalidate, Load: self.load, Owned: self.owned, ListRuns: self.list_runs,
            Pause: self.pause, Limit: self.limit, Evict: self.evict, Expire: self.expire, Rollback: self.rollback,
            PopMarker: self.nothing, Copy: self.nothing, Flush: self.nothing,
        }  # fmt: skip
        answer = performers[type(event)](event)
        self.places.rung -= self.paused
        return answer

    # Submitting -------------------------------------------------------------------------------------------------------

    def submit(self, asked: Submit) -> Admitted | Full:
        made = self.kept(asked.id)
        is_shared = asked.key != "" and asked.reuse != "none"
        if is_shared and not (made and REFRESH not in made.interests):
            found = self._found(asked, self.pointers.setdefault(asked.key, Pointer()), made)
            if found:
                return found
        if made:
            self._own(made, asked)
            if asked.interest not in made.interests:  # else it counted, and may be withdrawn
                self._stake(made, asked)
            return _admitted("new", made)
        if self._is_full(asked):
            return Full()
        return _admitted("new", self._admit(asked, asked.interest))

    def submit_many(self, asked: SubmitMany) -> tuple[Admitted | Full, ...]:
        return tuple(self.submit(each) for each in asked.each)

    def _found(self, asked: Submit, pointer: Pointer, made: Run | None) -> Admitted | None:
        """The run that answers, if there is one: its memo, a live one to join, a failure not long ago."""
        return self._remembered(asked, pointer, made) or self._joined(asked, pointer) or self._refused(asked, pointer)

    def _remembered(self, asked: Submit, pointer: Pointer, made: Run | None) -> Admitted | None:
        """Fresh, or stale; stale, or near the end of its best time, it is also made anew."""
        memo = self._memo(asked, pointer)
        if not memo or memo.fresh_until is None:
            return None
        self._own(memo, asked)
        best_until = memo.fresh_until if memo.refresh_at is None else memo.refresh_at
        refresh = self._refresh(asked, pointer, made) if best_until <= self.now else ""
        if memo.fresh_until > self.now:
            return _admitted("cached", memo, refresh, memo.fresh_until - self.now)
        return _admitted("stale", memo, refresh)

    def _joined(self, asked: Submit, pointer: Pointer) -> Admitted | None:
        live = self._live(asked, pointer)
        begun_is_joinable = asked.reuse == "any" and not asked.kind.debounce
        if not live or (live.start > 0 and not begun_is_joinable):
            return None
        self._own(live, asked)
        self._stake(live, asked)
        self._renew_abandonment(live)
        self._raise_priority(live, asked.priority)
        self._move_start(live, asked)
        return _admitted("joined", live)

    def _refused(self, asked: Submit, pointer: Pointer) -> Admitted | None:
        failed = self._closed(asked, pointer)
        if not failed:
            return None
        self._own(failed, asked)
        return _admitted("refused", failed, ms=failed.refuse_until or 0)

    def _refresh(self, asked: Submit, pointer: Pointer, made: Run | None) -> str:
        """The run that will bring a newer value: one at a time, and none that a failure or the queue forbids."""
        live = self._live(asked, pointer)
        if live:
            self._own(live, asked)
            return live.id
        if made or self._closed(asked, pointer) or self._is_full(asked):
            return ""
        return self._admit(asked, REFRESH).id

    def _memo(self, asked: Submit, pointer: Pointer) -> Run | None:
        memo = self.kept(pointer.memo) if asked.reuse == "any" else None
        if not memo or memo.state != "succeeded" or (memo.stale_until or 0) <= self.now:
            return None
        return memo if self._may_answer(asked, memo) else None

    def _live(self, asked: Submit, pointer: Pointer) -> Run | None:
        live = self.kept(pointer.live)
        if not live or live.ended or live.cancelling:
            return None
        return live if self._may_answer(asked, live) else None

    def _closed(self, asked: Submit, pointer: Pointer) -> Run | None:
        """The run whose failure lets nobody try again yet."""
        failed = self.kept(pointer.failed) if asked.reuse == "any" else None
        if not failed or (failed.refuse_until or 0) <= self.now:
            return None
        return failed if self._may_answer(asked, failed) else None

    def _may_answer(self, asked: Submit, run: Run) -> bool:
        """What a submission says of itself holds for the run that would answer it, too."""
        tags = [label for label in asked.tag_labels if label not in run.labels]
        run.labels = (*run.labels, *tags)
        return self._valid(run)

    def _is_full(self, asked: Submit) -> bool:
        most = asked.kind.max_queued
        return most is not None and self.places.length(asked.kind.queue) >= most

    def _admit(self, asked: Submit, interest: str) -> Run:
        """A new run. With a cache key it is the one to join from now on, and whatever was so before is superseded."""
        shared = asked.key != "" and asked.reuse != "none"
        if shared:
            self._supersede(asked.key)
        labels = (f"job:{asked.kind.name}", *asked.tag_labels)
        run = Run(
            asked.id, asked.kind, asked.key, labels, asked.priority, asked.work, self.now, asked.owner, shared,
            dict(asked.limits),
        )  # fmt: skip
        run.interests[interest] = True
        self.runs[run.id] = run
        self.strays.pop(run.id, None)
        self._own(run, asked)
        starts = [_asked_start(asked, self.now)]
        if shared:
            pointer = self.pointers.setdefault(asked.key, Pointer())
            if pointer.began is not None and asked.kind.throttle:
                run.earliest = pointer.began + asked.kind.throttle
                starts.append(run.earliest)
            if asked.kind.debounce:
                run.debounce_until = self.now + asked.kind.longest_debounce
                starts.append(self.now + asked.kind.debounce)
            self._point(pointer, run, max(*starts, self.now))
        self._renew_abandonment(run)
        self._start_at(run, max(starts))
        return run

    def _point(self, pointer: Pointer, run: Run, began: int) -> None:
        pointer.live = run.id
        if run.kind.throttle:
            pointer.began, pointer.throttle = began, run.kind.throttle
            pointer.until = max(pointer.until, began + run.kind.throttle)

    def _start_at(self, run: Run, start: int) -> None:
        """Wait until this moment (ms); what was to start by now stands in the queue by the µs in which it came."""
        later = start > self.now
        run.score = (start * 1000 if later else self.now_us) - run.priority * HEAD_START
        run.due = start if later else None
        if run.kind.expires is not None:
            run.expire_at = max(start, self.now) + run.kind.expires
        if not later or run.state != "scheduled":
            self._enter(run, "scheduled" if later else "queued")

    def _raise_priority(self, run: Run, priority: int) -> None:
        if priority > run.priority:
            run.score -= (priority - run.priority) * HEAD_START
            run.priority = priority

    def _move_start(self, run: Run, asked: Submit) -> None:
        """A scheduled first start is pulled forward to the joiner's, or pushed on where the class debounces."""
        if run.start > 0:
            return
        start = _asked_start(asked, self.now)
        if run.kind.debounce:
            run.work = asked.work
            start = min(run.debounce_until, max(self.now + run.kind.debounce, start))
        if run.state != "scheduled":
            return
        start = max(start, run.earliest)
        if run.due is not None and (start < run.due or run.kind.debounce):
            self._start_at(run, start)

    def _own(self, run: Run, asked: Submit) -> None:
        if asked.owner:
            run.owner, run.owners[asked.owner] = asked.owner, self.now

    def _stake(self, run: Run, asked: Submit) -> None:
        """One that was withdrawn counts again, but a ticket: that is one submission's, so this is a late copy of it."""
        if asked.owner or asked.interest not in run.interests:
            run.interests[asked.interest] = True

    def _renew_abandonment(self, run: Run) -> None:
        if run.kind.abandon_after is not None and not run.ended and not run.cancelling:
            run.abandon_at = self.now + run.kind.abandon_after

    # Performing -------------------------------------------------------------------------------------------------------

    def take(self, asked: Take) -> Leased | NoWork | Dead:
        slot = self.slots.get(asked.slot, Slot())
        if slot.dead:
            return Dead()
        held = self.kept(slot.run)
        if held and held.state == "running" and held.token == slot.token:
            return self._lease(held) if slot.nonce == asked.nonce else Dead()
        if slot.nonce == asked.nonce:
            return NoWork(0)
        self._promote_due()
        self.places.serve(self.now_us)
        queues = tuple(queue for queue in asked.queues if queue not in self.paused)
        run = self._best(queues, in_turn=asked.in_turn)
        slot.run = slot.token = None
        slot.idle_since = self.now
        if not run:
            self.places.rung.difference_update(queues)  # no work, so no marker says anything
            return NoWork(self._next_due())
        self._start(run, asked)
        self.slots[asked.slot] = Slot(run.id, run.token, asked.nonce)
        return self._lease(run)

    def _best(self, queues: tuple[str, ...], *, in_turn: bool) -> Run | None:
        while (run := self.places.best(queues, self.now_us, in_turn=in_turn)) and (
            run.evicted or run.is_late(self.now)
        ):
            if run.evicted:
                self._drop(run)
            else:
                self._enter(run, "failed")
        return run

    def _start(self, run: Run, asked: Take) -> None:
        run.token = self._tick()
        run.slot = asked.slot
        run.lease = run.kind.lease or asked.lease
        run.sequence = 0
        run.start += 1
        run.started = self.now
        run.done = 0
        run.explained = False
        self.places.started(run, self.now_us)
        self._enter(run, "running")

    def _lease(self, run: Run) -> Leased:
        assert run.token is not None
        watched = run.watched is not None and run.watched > self.now
        kept = Kept(
            kind=run.kind, key=run.key, shared=run.shared, labels=run.labels, priority=run.priority, score=run.score,
            created=run.created, owner=run.owner, work=run.work, limits=tuple(run.limits.items()),
        )  # fmt: skip
        restored = self._restored(run)
        return Leased(
            run.id, run.token, self.incarnation, run.start, run.failures, run.lease, run.work, watched, restored, kept
        )

    def _restored(self, run: Run) -> str | None:
        """What an earlier start left, unless that began before an invalidation that applies.

        (A copy of a take that comes late may find what its own start left: nobody reads that answer.)
        """
        checkpoint, token = run.checkpoint or ("", 0)
        return checkpoint if run.start > 1 and token > max(run.barred, self._stamp(run)) else None

    def report(self, asked: Report) -> Reported:
        known = self.kept(asked.id)
        if known and known.token == asked.token and self._has_moved_on(known):
            return Reported("lost", watched=False)
        run, refused = self._guarded(asked.id, asked.token, asked.incarnation)
        if not run:
            return Reported(refused, watched=False)
        if asked.sequence > run.sequence:
            run.sequence, run.done = asked.sequence, asked.done
            if asked.checkpoint:
                run.checkpoint = (asked.checkpoint, asked.token)
        self._extend(run)
        return Reported(_go_on(run), run.watched is not None and run.watched > self.now)

    def _has_moved_on(self, run: Run) -> bool:
        """Its lease ran out, and meanwhile its slot took another run."""
        held = self.slots[run.slot].run if run.slot in self.slots else None
        return run.state == "queued" and bool(run.slot) and held != run.id

    def settle(self, asked: Settle) -> str:
        known = self.kept(asked.id)
        if known and known.voided == asked.token and asked.outcome == "released":
            return "ok"
        if known and known.retried == asked.token and asked.outcome == "failed" and asked.retry is not None:
            return "ok"
        run, refused = self._guarded(asked.id, asked.token, asked.incarnation)
        if not run:
            return refused
        if asked.done is not None:
            run.done = asked.done
        if asked.outcome == "failed":
            _note(run)
        self._vacate(run)
        match asked.outcome:
            case "released":
                self._give_back(run, asked)
            case "succeeded":
                run.result = asked.result
                self._enter(run, "succeeded")
            case "failed":
                self._fail(run, asked.retry)
            case _:
                self._enter(run, asked.outcome)
        if asked.checkpoint and run.state not in ENDED:
            run.checkpoint = (asked.checkpoint, asked.token)
        return "ok"

    def settle_and_take(self, asked: SettleAndTake) -> tuple[str, Leased | NoWork | Dead]:
        verdict = self.settle(asked.settle)
        return verdict, NoWork(0) if verdict == "unknown" else self.take(asked.take)

    def _fail(self, run: Run, wait: int | None) -> None:
        """Another attempt, not before this wait is over; meanwhile it tells why the last one failed. Else the end."""
        if wait is None or run.cancelling or run.failures + 1 >= run.kind.max_attempts:
            self._enter(run, "failed")
            return
        run.failures += 1
        run.explained, run.returned, run.retried = True, None, run.token
        self._void(run)
        run.due = self.now + wait
        self._enter(run, "scheduled")

    def _give_back(self, run: Run, asked: Settle) -> None:
        """No failure and no crash; but who is handed on for a reason is not so for ever."""
        if run.cancelling:
            return self._enter(run, "cancelled")
        if not asked.reason:
            run.returned = None
        elif run.returned is None:
            run.returned = self.now
        elif self.now - run.returned > run.kind.undeliverable:
            return self._enter(run, "failed")
        self._void(run)
        run.due = self.now + asked.delay if asked.delay else None
        return self._enter(run, "scheduled" if asked.delay else "queued")

    def mark(self, asked: Mark) -> str:
        """Of this very start, while it runs; that it stalls is an incident, once."""
        run = self.kept(asked.id)
        if not run or run.state != "running" or run.token != asked.token:
            return "lost"
        match asked.what:
            case "stalled":
                if run.stalled != run.token:
                    _note(run)
                run.stalled = run.token
            case "moving":
                run.stalled = None
            case _:
                run.killing = run.token
        return "ok"

    def renew(self, asked: Renew) -> Renewals:
        for queue in asked.queues:
            serving = self.workers.setdefault(queue, {})
            for worker in [worker for worker, seen in serving.items() if seen <= self.now - SILENCE]:
                del serving[worker]
            serving[asked.worker] = self.now
        return Renewals(self.incarnation, tuple(self._renewed(name) for name in asked.slots))

    def _renewed(self, name: str) -> Renewed:
        slot = self.slots.get(name, Slot())
        if slot.run is None or slot.token is None:
            return Renewed(name, "idle", "", None)
        run, refused = self._guarded(slot.run, slot.token, self.incarnation)
        if not run:
            return Renewed(name, refused, slot.run, slot.token)
        self._extend(run)
        return Renewed(name, _go_on(run), slot.run, slot.token)

    def retire(self, asked: Retire) -> None:
        for queue in asked.queues:
            self.workers.get(queue, {}).pop(asked.worker, None)

    def pause(self, asked: Pause) -> bool:
        """Whoever idles is woken by what waits in a queue that is resumed."""
        changes = asked.paused != (asked.queue in self.paused)
        if asked.paused:
            self.paused.add(asked.queue)
        elif changes:
            self.paused.remove(asked.queue)
            self.places.rung.add(asked.queue)
        return changes

    def limit(self, asked: Limit) -> bool:
        """Who waits for it is offered what room there is now."""
        overrides = self.places.overrides
        if overrides.get(asked.name) == asked.number:
            return False
        if asked.number is None:
            del overrides[asked.name]
        else:
            overrides[asked.name] = asked.number
        self.places.offer(asked.name, self.now_us)
        return True

    def release(self, asked: Release) -> Released:
        slot = self.slots.get(asked.slot, Slot())
        if asked.token is not None and slot.token != asked.token:
            return Released("ok" if slot.dead else "idle", "")
        self.slots[asked.slot] = slot
        slot.dead = True
        held, token = slot.run, slot.token
        slot.run = slot.token = None
        slot.idle_since = self.now
        if held is None or token is None:
            return Released("idle", "")
        run, _ = self._guarded(held, token, self.incarnation)
        if not run:
            return Released("lost", held)
        if asked.failed or asked.crashed:
            _note(run)
        if asked.failed and not run.cancelling:
            self._fail(run, asked.retry)
            return Released("ok", held)
        self._void(run)
        if asked.crashed:
            self._crash(run)
        else:
            self._enter(run, "cancelled" if run.cancelling else "queued")
        return Released("ok", held)

    # Losing data ------------------------------------------------------------------------------------------------------

    def open(self, asked: Open) -> int:
        """The incarnation. A token of another server, above what this one came up with, proves that data is lost."""
        if self.moved:
            self.moved, self.found = False, self.clock
        if asked.elsewhere and asked.token > self.found:
            self.incarnation, self.incarnations = self.incarnations, self.incarnations + 1
            self.clock = self.found = max(self.clock, asked.token)
        return self.incarnation

    def reassert(self, asked: Reassert) -> str:
        """The holder of a run that the store lost, or has an older copy of, goes on; unless somebody newer has it."""
        lease, run = asked.lease, self.kept(asked.lease.id)
        if self.slots.get(asked.slot, Slot()).dead:
            return "lost"
        if not run and lease.incarnation == self.incarnation:
            return "lost"
        if run and (run.ended or (run.token or 0) > lease.token):
            return "ended" if run.token == lease.token else "lost"
        run = run or self._made_anew(lease)
        if run.token != lease.token or run.state != "running":
            self._take_back(run, asked)
        return "ok"

    def _made_anew(self, lease: Leased) -> Run:
        assert lease.kept is not None
        kept = lease.kept
        run = Run(
            lease.id, kept.kind, kept.key, kept.labels, kept.priority, kept.work, kept.created, kept.owner,
            kept.shared, dict(kept.limits),
        )  # fmt: skip
        run.score = kept.score
        run.interests[f"owner:{kept.owner}" if kept.owner else f"ticket:{lease.id}"] = True
        if kept.owner:
            run.owners[kept.owner] = kept.created
        self.runs[run.id] = run
        self._renew_abandonment(run)
        pointer = self.pointers.setdefault(run.key, Pointer()) if run.shared else None
        if pointer and not self.kept(pointer.live) and lease.token > self.barred:
            pointer.live = run.id
        return run

    def _take_back(self, run: Run, asked: Reassert) -> None:
        lease = asked.lease
        self.clock = max(self.clock, lease.token)
        if run.token != lease.token:  # what was told of another start is not this one's, and starts only rise
            run.start, run.done = max(lease.start, run.start + (run.start >= lease.start)), 0
            run.failures, run.explained = lease.failures, False
        run.token, run.slot, run.lease = lease.token, asked.slot, lease.duration
        run.started, run.sequence = self.now, 0
        if asked.slot:
            self.slots[asked.slot] = Slot(run.id, run.token, self.slots.get(asked.slot, Slot()).nonce)
        self._enter(run, "running")

    # Ending, cancelling, invalidating ---------------------------------------------------------------------------------

    def cancel(self, asked: Cancel) -> str | Missing:
        run = self.kept(asked.id)
        if not run:
            return Missing()
        if run.ended:
            return "stopping" if run.state == "cancelled" else "ended"
        if not asked.force:
            if asked.interest not in run.interests:
                return "stranger"
            run.interests[asked.interest] = False
            if run.stakes:
                return "left"
        self._stop(run)
        return "stopping"

    def _stop(self, run: Run) -> None:
        """At once while it waits; a running one is flagged, and its worker told. Nobody joins it from here on."""
        if run.cancelling:
            return
        run.cancelling = True
        run.abandon_at = None
        if run.state == "running":
            self._unpoint(run)
            if run.slot:
                self.told.append((run.slot.partition("/")[0], f"{run.slot} {run.id} {run.token}"))
        else:
            self._enter(run, "cancelled")

    def invalidate(self, asked: Invalidate) -> None:
        stamp = self._tick()
        self.invalidated.append(f"key:{asked.key}" if asked.key else asked.label)
        if asked.label:
            self.stamps[asked.label] = stamp
            return
        self.barred = stamp
        pointer = self.pointers.get(asked.key, Pointer())
        live = self.kept(pointer.live)
        if live and live.start == 0:
            pointer.memo = pointer.failed = None
            return
        if live:
            live.barred = stamp
            live.checkpoint = None
        self._supersede(asked.key)
        self.pointers.pop(asked.key, None)

    def _supersede(self, key: str) -> None:
        """The run that was live goes on for who holds it, and is stopped when nobody does."""
        pointer = self.pointers.get(key, Pointer())
        live = self.kept(pointer.live)
        if live and not live.ended:
            if REFRESH in live.interests:
                live.interests[REFRESH] = False
            if not live.stakes:
                self._stop(live)
        pointer.live = None

    # What time brings -------------------------------------------------------------------------------------------------

    def sweep(self, asked: Sweep) -> Swept:
        gap = self.now - self.swept
        if 0 <= gap < asked.interval:
            return Swept(swept=False, expired=0, next_due=self._next_due())
        self.swept = self.now
        self._allow_for_outage(gap)
        if gap < 0:
            self.places.bring_all_up(self.now)
        expired = self._expire_leases()
        self._abandon()
        self._give_up_late()
        self._promote_due()
        self.places.serve(self.now_us)
        self._forget()
        return Swept(swept=True, expired=expired, next_due=self._next_due())

    def _allow_for_outage(self, gap: int) -> None:
        """An outage is not a death: who could not be heard, or whose time jumped, gets a whole lease."""
        for run in self._running():
            if not run.evicted and (gap < 0 or gap > run.lease / 3):
                self._extend(run)

    def _expire_leases(self) -> int:
        over = sorted((run for run in self._running() if run.lease_end <= self.now), key=lambda r: (r.lease_end, r.id))
        for run in over:
            if run.evicted:
                self._drop(run)
            else:
                _note(run)
                self._crash(run)
        return sum(1 for run in over if not run.evicted)

    def _promote_due(self) -> None:
        due = [run for run in self.runs.values() if run.state == "scheduled" and (run.due or 0) <= self.now]
        for run in sorted(due, key=lambda run: (run.due, run.id)):
            if run.evicted:
                self._drop(run)
            else:
                self._enter(run, "queued")

    def _abandon(self) -> None:
        self.strays = {name: at for name, at in self.strays.items() if at > self.now}
        late = [run for run in self.runs.values() if run.abandon_at is not None and run.abandon_at <= self.now]
        for run in sorted(late, key=lambda run: (run.abandon_at, run.id)):
            run.abandon_at = None
            if not run.evicted and not run.ended:
                self._stop(run)

    def _give_up_late(self) -> None:
        late = [run for run in self.runs.values() if run.is_late(self.now)]
        for run in sorted(late, key=lambda run: (run.expire_at, run.id)):
            if run.evicted:
                run.expire_at = None
            else:
                self._enter(run, "failed")

    def _forget(self) -> None:
        for run in [run for run in self.runs.values() if run.forget_at is not None and run.forget_at <= self.now]:
            self._drop(run)

    def _next_due(self) -> int | None:
        """When looking again is worth it: a schedule's time, or a rate's."""
        due = [run.due for run in self.runs.values() if run.state == "scheduled" and run.due is not None]
        times = [*due, *self.places.paced.values()]
        return max(0, min(times) - self.now) if times else None

    def _running(self) -> list[Run]:
        return [run for run in self.runs.values() if run.state == "running"]

    # Reading ----------------------------------------------------------------------------------------------------------

    def load(self, asked: Load) -> Loaded | Missing:
        run = self.kept(asked.id)
        if not run:
            return Missing()
        if not run.ended:
            if asked.watch:
                run.watched = self.now + asked.watch
            if run.interests.get(asked.interest):
                self._renew_abandonment(run)
        return Loaded(
            state=run.state,
            start=run.start,
            attempt=run.failures + 1,
            done=run.done,
            due=run.due if run.state == "scheduled" else None,
            explained=run.explained and run.state in {"scheduled", "failed"},
            position=self.places.position(run),
            workers=None if run.ended else self._serving(run.kind.queue),
            paused=run.state in ("queued", "scheduled") and run.kind.queue in self.paused,
            cancellable=not run.ended and not run.cancelling,
            stopping=_stopping(run),
            stalled=run.state == "running" and run.stalled == run.token,
            befell=run.befell if run.state == "failed" else None,
            result=run.result,
            lost=run.lost,
            refuse_until=run.refuse_until,
        )

    def _serving(self, queue: str) -> int:
        return sum(1 for seen in self.workers.get(queue, {}).values() if seen >= self.now - SILENCE)

    def owned(self, asked: Owned) -> bool | Missing:
        run = self.kept(asked.id)
        return asked.owner in run.owners if run else Missing()

    def list_runs(self, asked: ListRuns) -> tuple[str, ...]:
        rows = []
        for run in self.runs.values():
            if run.evicted or (asked.state and run.state != asked.state):
                continue
            if asked.owner and asked.owner not in run.owners:
                continue
            place = run.owners[asked.owner] if asked.owner else run.since if asked.state else run.created
            rows.append((place, run.id))
        return tuple(run_id for _, run_id in sorted(rows, reverse=True)[: asked.limit])

    # Accidents --------------------------------------------------------------------------------------------------------

    def evict(self, asked: Evict) -> None:
        """The record is gone; its id stays in every set until somebody meets it there."""
        self.runs[asked.id].evicted = True

    def expire(self, _asked: Expire) -> None:
        for name in self.over():
            kind, _, rest = name.partition(":")
            del (self.pointers if kind == "key" else self.slots)[rest]

    def over(self) -> list[str]:
        """The keys whose end has come."""
        pointers = [
            f"key:{key}" for key, pointer in self.pointers.items() if pointer.live is None and pointer.until <= self.now
        ]
        slots = [f"slot:{name}" for name, slot in self.slots.items() if self._is_forgettable(slot)]
        return pointers + slots

    def _is_forgettable(self, slot: Slot) -> bool:
        return slot.run is None and slot.idle_since + SLOT_LIFE <= self.now

    def in_force(self, pointer: Pointer) -> dict[str, str]:
        """What the pointer says that may still matter; the rest may stand there or not."""
        facts: dict[str, str] = {}
        memo, failed = self.kept(pointer.memo), self.kept(pointer.failed)
        if pointer.live:
            facts["live"] = pointer.live
        if memo and (memo.stale_until or 0) > self.now:
            facts["memo"] = memo.id
        if failed and (failed.refuse_until or 0) > self.now:
            facts["failed"] = failed.id
        if pointer.throttle and pointer.began is not None and pointer.began + pointer.throttle > self.now:
            facts["began"] = str(pointer.began)
        return facts

    def rollback(self, _asked: Rollback) -> None:
        """The copy stands on another server than the one it was made on; `open` finds that out."""
        self.moved = True

    def nothing(self, _asked: Event) -> None:
        return None

    # The rules that all of these share --------------------------------------------------------------------------------

    def kept(self, run_id: str | None) -> Run | None:
        run = self.runs.get(run_id) if run_id else None
        return run if run and not run.evicted else None

    def _tick(self) -> int:
        self.clock = max(self.clock + 1, self.now_us)
        return self.clock

    def _stamp(self, run: Run) -> int:
        """The newest invalidation of its class or of one of its tags."""
        return max((self.stamps.get(label, 0) for label in run.labels), default=0)

    def _valid(self, run: Run) -> bool:
        return run.start == 0 or (run.token or 0) > self._stamp(run)

    def _guarded(self, run_id: str, token: int, incarnation: int) -> tuple[Run | None, str]:
        """The run, if this token may write to it; else why not. Who was only cut off has its run back by asking."""
        run = self.kept(run_id)
        if not run:
            return None, "lost" if incarnation == self.incarnation else "unknown"
        if run.token != token:
            is_older_copy = not run.ended and (run.token or 0) < token
            return None, "unknown" if is_older_copy else "lost"
        if run.ended:
            return None, "ended"
        if run.state == "queued":
            run.crashes -= 1
            self._enter(run, "running")
        return run, ""

    def _extend(self, run: Run) -> None:
        run.lease_end = self.now + run.lease

    def _crash(self, run: Run) -> None:
        """One more worker was lost over this run."""
        run.crashes += 1
        if run.cancelling:
            self._enter(run, "cancelled")
        elif run.crashes > run.kind.max_crashes:
            run.lost = True
            self._enter(run, "failed")
        else:
            self._enter(run, "queued")

    def _vacate(self, run: Run) -> None:
        slot = self.slots.get(run.slot or "")
        if slot and slot.token == run.token:
            slot.run = slot.token = None
            slot.idle_since = self.now
        run.slot = None

    def _void(self, run: Run) -> None:
        """The token writes nothing any more; a release that is sent again is known by it."""
        self._vacate(run)
        run.voided, run.token = run.token, self._tick()

    def _enter(self, run: Run, state: str) -> None:
        """The one place where a state changes, and what follows from it."""
        before, was_parked = run.state, run.parked
        run.state, run.since, run.parked = state, self.now, None
        if state not in {"scheduled", "queued"}:
            run.expire_at = None
        if state == "running":
            self._extend(run)
        if state in ENDED:
            run.explained = run.explained or state == "failed"
            self._end(run)
        if state == "queued":
            self.places.enter(run, self.now_us)
        if before == "running" or (before == "queued" and was_parked is None):
            self.places.made_room(run, self.now_us)

    def _end(self, run: Run) -> None:
        run.finished = self.now
        run.abandon_at = None
        run.checkpoint = None
        self._unpoint(run)
        keep = [run.kind.keep, 1, *(end - self.now for end in (run.stale_until, run.refuse_until) if end)]
        run.forget_at = self.now + max(keep)

    def _unpoint(self, run: Run) -> None:
        """It is nobody's `live` any more. Only what was may be remembered, as a value or as a failure.

        A pointer that says nothing then is gone: also should the clock go back.
        """
        pointer = self.pointers.get(run.key)
        if not pointer or pointer.live != run.id:
            return
        pointer.live = None
        match run.state:
            case "succeeded":
                self._remember(run, pointer)
            case "failed":
                self._close(run, pointer)
        if pointer.until <= self.now:
            del self.pointers[run.key]

    def _remember(self, run: Run, pointer: Pointer) -> None:
        """Success moves `live` to `memo`, for as long as the value may answer; and no failure counts any more."""
        pointer.failed = None
        ttl = run.kind.cache_ttl
        if ttl is None:
            return
        assert run.started is not None
        pointer.memo = run.id
        run.fresh_until = self.now + ttl
        run.stale_until = run.fresh_until + run.kind.stale_ttl
        pointer.until = max(pointer.until, run.stale_until)
        if run.kind.refresh:
            run.refresh_at = floor(run.fresh_until - min(1.2 * (self.now - run.started), 0.2 * ttl))

    def _close(self, run: Run, pointer: Pointer) -> None:
        """After a failure nobody tries again for a while."""
        if run.kind.failure_ttl:
            pointer.failed = run.id
            run.refuse_until = self.now + run.kind.failure_ttl
            pointer.until = max(pointer.until, run.refuse_until)

    def _drop(self, run: Run) -> None:
        if run.abandon_at is not None:
            self.strays[run.id] = run.abandon_at
        self.forgotten.add(run.id)
        del self.runs[run.id]


def _asked_start(asked: Submit, now: int) -> int:
    return asked.at if asked.at is not None else now + asked.delay


def _note(run: Run) -> None:
    """Something befell this start."""
    run.incidents += 1
    run.befell = (run.start, run.failures + 1, run.done)


def _stopping(run: Run) -> str | None:
    if run.state == "running" and run.killing == run.token:
        return "killing"
    return "cancelling" if run.cancelling and not run.ended else None


def _go_on(run: Run) -> str:
    return "cancel" if run.cancelling else "ok"


def _admitted(admission: str, run: Run, refresh: str = "", ms: int = 0) -> Admitted:
    return Admitted(admission, run.id, run.result, refresh, ms)
