"""Following a run, step by step: what is asked, in which order, and what is made of the answers."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from jobkit.errors import RunNotFound
from jobkit.following import Following, Listen, Moved, Origin, Step, following
from jobkit.snapshot import Snapshot
from jobkit.store.operations import Conditions, Operation, Operations, Submission, Terms
from jobkit.store.replies import Admission, Admitted, Loaded, Opened

RUN = "0-" + "0" * 26
OPERATIONS = Operations("test")
MISSING = RunNotFound("gone", run_id=RUN)


def snapshot(state: str = "running", version: int = 1, start: int = 1) -> Snapshot:
    fields = {"id": RUN, "job": "j", "state": state, "version": version, "start": start}
    return msgspec.convert({**fields, "created_at": 1.0, "updated_at": 1.0}, Snapshot)


def loaded(**fields: Any) -> Loaded:
    return Loaded(snapshot(**fields), None, lost_worker=False, traceback=None)


def origin(keep_for: float = 3600.0, ago: float = 0.0) -> Origin:
    terms = msgspec.json.encode(Terms(max_attempts=1, max_crashes=1, keep=1, undeliverable=1))
    conditions = Conditions(job='"j"', queue="q", terms=terms, labels="job:j")
    submission = Submission(id="0-" + "1" * 26, conditions=conditions, key="k", limits="", work=b"")
    return Origin(submission, "before", time.monotonic() - ago, keep_for)


def name(step: Any) -> str:
    return step.function.rpartition("_")[2] if isinstance(step, Operation) else type(step).__name__


def test_a_run_is_read_first_and_then_heard_until_it_ends() -> None:
    steps = following(OPERATIONS, RUN)
    assert name(next(steps)) == "load"
    assert steps.send(loaded(version=3)) == snapshot(version=3)
    assert isinstance(next(steps), Listen)
    assert steps.send(snapshot("succeeded", 4).to_json()) == snapshot("succeeded", 4)
    with pytest.raises(StopIteration):
        next(steps)


def test_who_wants_the_result_reads_the_end_itself() -> None:
    steps = following(OPERATIONS, RUN, whole=True)
    next(steps)
    steps.send(loaded(version=3))
    next(steps)
    assert name(steps.send(snapshot("succeeded", 4).to_json())) == "load"
    end = loaded(state="succeeded", version=4)
    assert steps.send(end) == end.snapshot
    assert next(steps) is end
    with pytest.raises(StopIteration):
        next(steps)


def test_an_end_that_was_heard_of_and_then_lost_is_waited_for_again() -> None:
    steps = following(OPERATIONS, RUN, origin=origin(), whole=True)
    next(steps)
    steps.send(loaded(version=3))
    next(steps)
    assert name(steps.send(snapshot("succeeded", 4).to_json())) == "load"
    assert isinstance(steps.send(loaded(version=2)), Listen), "the store is an older copy, in which it is running"
    assert name(steps.send(snapshot("succeeded", 5).to_json())) == "load"
    assert isinstance(steps.send(MISSING), Listen), "the store has lost it: its holder has its turn"


def test_what_is_no_news_is_passed_over_and_a_gap_is_read_up() -> None:
    steps = following(OPERATIONS, RUN)
    next(steps)
    steps.send(loaded(version=3))
    next(steps)
    assert isinstance(steps.send(snapshot(version=2).to_json()), Listen)
    assert name(steps.send(None)) == "load"
    assert steps.send(loaded(version=5)) == snapshot(version=5)


def test_a_run_that_keeps_publishing_is_read_all_the_same_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    steps = following(OPERATIONS, RUN)
    next(steps)
    steps.send(loaded(version=1))
    next(steps)
    now += 16
    assert name(steps.send(snapshot(version=2).to_json())) == "load"


def test_at_its_deadline_a_follower_stops() -> None:
    steps = following(OPERATIONS, RUN, deadline=time.monotonic())
    next(steps)
    steps.send(loaded())
    with pytest.raises(StopIteration):
        next(steps)


def test_a_handle_that_cannot_submit_gets_the_error() -> None:
    steps = following(OPERATIONS, RUN)
    next(steps)
    with pytest.raises(RunNotFound):
        steps.send(MISSING)


def test_a_run_that_was_seen_a_moment_ago_is_lost_and_its_worker_has_its_turn() -> None:
    steps = following(OPERATIONS, RUN, origin=origin())
    next(steps)
    assert isinstance(steps.send(MISSING), Listen)
    assert name(steps.send(None)) == "load"
    assert steps.send(loaded(version=9)) == snapshot(version=9)


def submitted_again(monkeypatch: pytest.MonkeyPatch, steps: Following, step: Step) -> Operation[Any]:
    """Let its worker's turn pass."""
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    while name(step) != "submit":
        assert isinstance(step, Listen), "in between it only looks"
        now += step.seconds
        assert name(steps.send(None)) == "load"
        step = steps.send(MISSING)
    assert isinstance(step, Operation)
    return step


def test_nobody_asserts_it_so_it_is_submitted_again_under_its_id_with_the_same_stake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = origin()
    steps = following(OPERATIONS, RUN, origin=made)
    next(steps)
    step = submitted_again(monkeypatch, steps, steps.send(MISSING))
    assert RUN in step.arguments
    assert made.submission.interest in step.arguments
    assert name(steps.send(Admitted(Admission.NEW, RUN, None))) == "load"
    assert steps.send(loaded(state="queued", start=0)) == snapshot("queued", start=0)
    next(steps)
    next_load = steps.send(None)
    assert name(next_load) == "load"
    assert isinstance(steps.send(MISSING), Listen)  # lost once more, and so once more


def test_its_starts_are_counted_on_so_that_those_who_have_seen_them_hear_of_the_next() -> None:
    again = origin().again(RUN, starts=2)
    assert (again.id, again.conditions.starts) == (RUN, 2)


@pytest.mark.parametrize(
    ("start", "ago", "left"), [("", 5.0, ""), ("+6000", 2.0, "+4000"), ("+6000", 7.0, ""), ("17", 1.0, "17")]
)
def test_only_what_is_left_of_a_delay_is_waited_again(
    start: str, ago: float, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    made = origin(ago=ago)
    conditions = msgspec.structs.replace(made.submission.conditions, start=start)
    made = msgspec.structs.replace(made, submission=msgspec.structs.replace(made.submission, conditions=conditions))
    assert made.again(RUN, 0).conditions.start == left


def test_a_run_that_somebody_else_submitted_meanwhile_is_moved_to(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = following(OPERATIONS, RUN, origin=origin())
    next(steps)
    submitted_again(monkeypatch, steps, steps.send(MISSING))
    other = Admitted(Admission.JOINED, "0-" + "9" * 26, None)
    assert steps.send(other) == Moved(other)
    with pytest.raises(StopIteration):
        next(steps)


@pytest.mark.parametrize(("incarnation", "lost"), [("before", False), ("another", True)])
def test_a_run_whose_time_may_be_over_is_lost_only_if_the_store_has_lost_data(incarnation: str, *, lost: bool) -> None:
    steps = following(OPERATIONS, RUN, origin=origin(keep_for=1, ago=2))
    next(steps)
    assert name(steps.send(MISSING)) == "open"
    opened = Opened(incarnation, b"", "", 1)
    if lost:
        assert isinstance(steps.send(opened), Listen)
    else:
        with pytest.raises(RunNotFound):
            steps.send(opened)
