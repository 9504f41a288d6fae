"""What the callers of a walk saw, and nothing else: counts for the books, and promises that a model might misread too.

No model is asked here. A submission that was answered `new` is a run until an outcome is accepted, or the store says
that it ended; one that is neither and stands in no record is lost.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.fuzz.calls import (
    Admitted,
    Evict,
    Flush,
    Invalidate,
    Leased,
    Reassert,
    Released,
    Reported,
    Rollback,
    Settle,
    Submit,
    SubmitMany,
    Take,
    parts,
)
from tests.fuzz.runs import ENDED

if TYPE_CHECKING:
    from tests.fuzz.calls import Answer, Event
    from tests.fuzz.stored import Stored


class Ledger:
    """Counts and promises of one walk."""

    def __init__(self) -> None:
        self.counts = Counter[str](dict.fromkeys(BOOKS, 0))
        self._submissions: dict[str, Submit] = {}
        self._open: set[str] = set()
        self._tokens: dict[int, str] = {}
        self._newest = 0
        self._began: dict[str, int] = {}
        self._tags: dict[str, set[str]] = {}
        self._accepted: set[str] = set()
        self._invalidated: dict[str, int] = {}

    def enter(self, asked: Event, answer: Answer, stored: Stored) -> None:
        self.counts["steps"] += 1
        for part, its_answer in parts(asked, answer):
            self._entered(part, its_answer, stored)
        self._find_the_lost(stored)

    def _entered(self, asked: Event, answer: Answer, stored: Stored) -> None:
        match asked:
            case Invalidate():
                self._invalidated[asked.key or asked.label] = self.counts["steps"]
            case Evict():
                self._open.discard(asked.id)
            case Flush() | Rollback():
                self._start_anew(stored)
            case Submit() | SubmitMany():
                self._submitted_all(asked, answer, stored)
            case Settle():
                self._settled(asked, str(answer), goes_on=_goes_on(asked, stored))
            case _:
                self._performed(asked, answer)

    def _submitted_all(self, asked: Submit | SubmitMany, answer: Answer, stored: Stored) -> None:
        calls, answers = ((asked,), (answer,)) if isinstance(asked, Submit) else (asked.each, answer)
        assert isinstance(answers, tuple)
        for call, one in zip(calls, answers, strict=True):
            if isinstance(one, Admitted):
                self._submitted(call, one, is_new=call.id in stored.runs and call.id not in stored.before)

    def _performed(self, asked: Event, answer: Answer) -> None:
        match asked, answer:
            case Take(), Leased():
                self._taken(answer)
            case Reassert(), str():
                self._reasserted(asked, answer)
            case _, Released(verdict="ok"):
                self._began.pop(answer.id, None)
            case _, Reported():
                self._spoke(answer.verdict)

    def _submitted(self, asked: Submit, answer: Admitted, *, is_new: bool) -> None:
        """A copy of a submission that comes when its run is long forgotten makes another run."""
        self.counts["submissions"] += 1
        if is_new:
            assert asked.id in (answer.id, answer.refresh), (
                f"{asked} made a run that its answer does not name: {answer}"
            )
            self.counts["runs"] += 1
            self._submissions[asked.id] = asked
            self._open.add(asked.id)
            self._accepted.discard(asked.id)
            self._began.pop(asked.id, None)
            self._tags[asked.id] = set(asked.tag_labels)
        if answer.admission in {"joined", "cached", "stale"}:
            self._tags.setdefault(answer.id, set()).update(asked.tag_labels)
            self._is_not_from_before(answer)

    def _is_not_from_before(self, answer: Admitted) -> None:
        """I3: what began before an invalidation answers nobody after it; what was given back is to begin anew."""
        first = self._submissions.get(answer.id)
        began = self._began.get(answer.id)
        if first is None or began is None:
            return
        names = (first.key, f"job:{first.kind.name}", *self._tags[answer.id])
        stamps = [self._invalidated[name] for name in names if name in self._invalidated]
        assert all(began > stamp for stamp in stamps), f"I3: {answer} began before it was invalidated"

    def _taken(self, lease: Leased) -> None:
        if lease.token in self._tokens:
            return
        self.counts["takes"] += 1
        self.counts["takeovers"] += lease.start > 1
        assert lease.token > self._newest, f"I2: {lease} has a token below {self._newest}"
        assert lease.id not in self._accepted, f"I2: {lease} is of a run that has ended"
        self._tokens[lease.token] = lease.id
        self._newest = lease.token
        self._began[lease.id] = self.counts["steps"]

    def _settled(self, asked: Settle, verdict: str, *, goes_on: bool) -> None:
        self._spoke(verdict)
        if verdict == "ok" and goes_on:
            self._began.pop(asked.id, None)
        if verdict == "ok" and not goes_on:
            self.counts["ended twice"] += asked.id in self._accepted
            assert asked.id not in self._accepted, f"I2: {asked} was accepted, and an outcome was accepted before"
            self._accepted.add(asked.id)

    def _reasserted(self, asked: Reassert, verdict: str) -> None:
        lease = asked.lease
        self._spoke(verdict)
        if verdict == "ok":
            assert lease.id not in self._accepted, f"I2: {asked} raised a run that has ended"
            self.counts["reasserted"] += 1
            self._open.add(lease.id)
            self._tokens[lease.token] = lease.id
            self._newest = max(self._newest, lease.token)
            self._began.setdefault(lease.id, 0)

    def _spoke(self, verdict: str) -> None:
        self.counts["refused stale writes"] += verdict in {"lost", "ended", "unknown"}

    def _find_the_lost(self, stored: Stored) -> None:
        ended = {run_id for run_id in self._open & stored.runs.keys() if stored.runs[run_id]["state"] in ENDED}
        self._open -= ended
        lost = self._open - stored.runs.keys()
        self.counts["lost"] += len(lost)
        assert not lost, f"lost without a trace: {lost}"

    def _start_anew(self, stored: Stored) -> None:
        """The store forgot, or remembers an older day: what was promised before counts no more."""
        self._submissions.clear()
        self._open.clear()
        self._tokens = {int(record["token"]): run_id for run_id, record in stored.runs.items() if "token" in record}
        self._began.clear()
        self._accepted.clear()
        self._invalidated.clear()
        self._newest = 0


def _goes_on(asked: Settle, stored: Stored) -> bool:
    """Whether this start is over and its run is not: it was given back, or there is to be another attempt."""
    if asked.outcome == "released" or asked.id not in stored.runs:
        return True
    had_ended = stored.before[asked.id]["state"] in ENDED if asked.id in stored.before else False
    return asked.retry is not None and (had_ended or stored.runs[asked.id]["state"] not in ENDED)


BOOKS = (
    "steps",
    "submissions",
    "runs",
    "takes",
    "takeovers",
    "refused stale writes",
    "reasserted",
    "lost",
    "ended twice",
)
