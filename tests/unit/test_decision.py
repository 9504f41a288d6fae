"""What the end of a start means for its run."""

from __future__ import annotations

import pytest

from jobkit import PublicError
from jobkit.decision import (
    FAILED,
    UNKNOWN_JOB_DELAY,
    Decision,
    Raised,
    Returned,
    Stopped,
    StopReason,
    Unknown,
    decide,
    over_limit,
)
from jobkit.incident import IncidentKind
from jobkit.lifecycle import Outcome
from jobkit.options import Options
from jobkit.text import one_line
from jobkit.tracebacks import LONGEST_TRACEBACK


def failure_of(decision: Decision) -> dict[str, object]:
    return {"message": decision.message, "public": decision.public}


class Trap:
    def __len__(self) -> int:
        return 1 // 0


def test_a_result_succeeds() -> None:
    assert decide(Returned(b"[1]")) == Decision(outcome=Outcome.SUCCEEDED, result=b"[1]")


def test_an_error_fails_and_shows_its_text_to_its_author_only() -> None:
    decision = decide(Raised(ValueError("password=hunter2")))
    assert decision.outcome is Outcome.FAILED
    assert failure_of(decision) == {"message": FAILED, "public": False}
    assert "ValueError: password=hunter2" in decision.traceback


def test_a_traceback_begins_with_the_authors_own_lines() -> None:
    """`one_line` is one of ours, and calls what it is given; so does whoever performs a job."""
    with pytest.raises(ZeroDivisionError) as caught:
        one_line(Trap())  # type: ignore[arg-type]
    trace = caught.value.__traceback__
    assert trace is not None
    decision = decide(Raised(caught.value.with_traceback(trace.tb_next)))
    assert "text.py" not in decision.traceback
    assert "in __len__" in decision.traceback


def test_the_text_of_a_public_error_is_public() -> None:
    decision = decide(Raised(PublicError("No orders\nin May.")))
    assert failure_of(decision) == {"message": "No orders in May.", "public": True}


def test_a_public_error_without_a_text_says_something_all_the_same() -> None:
    assert failure_of(decide(Raised(PublicError())))["message"] == FAILED


@pytest.mark.parametrize("reason", [StopReason.CANCELLED, "whatever the job said itself"])
def test_a_stopped_job_is_cancelled(reason: str) -> None:
    assert decide(Stopped(reason)) == Decision(outcome=Outcome.CANCELLED)


def test_a_run_that_is_handed_back_is_released_at_once() -> None:
    assert decide(Stopped(StopReason.HANDED_BACK)) == Decision(outcome=Outcome.RELEASED)


def test_a_start_that_was_stopped_for_its_unconfirmed_lease_leaves_it_to_the_store() -> None:
    assert decide(Stopped(StopReason.UNCONFIRMED)) == Decision(outcome=Outcome.RELEASED)


@pytest.mark.parametrize(
    ("reason", "message", "kind"),
    [
        (StopReason.TIME_LIMIT, "It took longer than its limit of 60 s.", IncidentKind.TIMED_OUT),
        (StopReason.STALL_LIMIT, "It made no progress for 50 s.", IncidentKind.STALLED),
    ],
)
def test_a_start_that_was_stopped_at_a_limit_has_failed_with_words_for_everybody(
    reason: StopReason, message: str, kind: IncidentKind
) -> None:
    reached = over_limit(reason, Options(time_limit=60.0, stall_limit=25.0))
    assert reached is not None
    decision = decide(Raised(reached))
    assert failure_of(decision) == {"message": message, "public": True}
    assert decision.account is not None
    assert (decision.account.kind, decision.account.message) == (kind, message)


@pytest.mark.parametrize("reason", [StopReason.CANCELLED, StopReason.LOST, StopReason.TIME_LIMIT, "its own"])
def test_who_was_not_stopped_at_a_limit_has_reached_none(reason: str) -> None:
    assert over_limit(reason, Options()) is None


def test_an_error_leaves_an_account_for_the_jobs_authors() -> None:
    account = decide(Raised(ValueError("password=hunter2"))).account
    assert account is not None
    assert (account.kind, account.message) == (IncidentKind.FAILED, "ValueError: password=hunter2")
    assert "ValueError" in account.traceback


def test_a_lost_run_is_not_ours_to_settle() -> None:
    assert decide(Stopped(StopReason.LOST)).outcome is None


def test_an_unknown_job_is_released_for_a_while_with_the_reason() -> None:
    decision = decide(Unknown("no worker for reports.X version 2"))
    assert (decision.outcome, decision.delay) == (Outcome.RELEASED, UNKNOWN_JOB_DELAY)
    assert decision.reason == "no worker for reports.X version 2"
    assert failure_of(decision)["message"] == "There is no worker for reports.X version 2."


class Unprintable(PublicError):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def test_an_error_that_cannot_be_printed_fails_like_any_other() -> None:
    decision = decide(Raised(Unprintable()))
    assert failure_of(decision)["message"] == FAILED
    assert "Unprintable" in decision.traceback


def test_a_long_traceback_keeps_its_beginning_and_its_end() -> None:
    text = decide(Raised(ValueError("é" * 100_000 + "the end"))).traceback
    assert len(text.encode()) <= LONGEST_TRACEBACK
    assert text.startswith("ValueError: é")
    assert text.rstrip().endswith("the end")


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("  two\r\n  lines\t", "two lines"),
        (" " * 600 + "far away", "far away"),
        ("x" * 501, "x" * 499 + "…"),
        ("\x00\n", FAILED),
    ],
)
def test_the_message_of_a_failure_is_one_short_line(message: str, line: str) -> None:
    assert decide(Raised(PublicError(message))).message == line
