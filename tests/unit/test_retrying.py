"""Which errors are worth another attempt, and how long it waits."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from jobkit import BadResult, JobKitError, ProgressJob, PublicError, Retry
from jobkit.decision import FAILED, Raised, decide
from jobkit.errors import BadJob
from jobkit.job import spec_of
from jobkit.lifecycle import Outcome
from jobkit.retrying import LONGEST_DOUBLED_WAIT, Backoff, RetryPolicy, backoff

MIDDLE = 0.5
"""The chance that leaves a wait as it is."""


class Polite(PublicError): ...


class Flaky:
    """No error, but some errors are also this."""


class PolitelyFlaky(Polite, Flaky, Exception): ...


def covers(policy: RetryPolicy, error: BaseException) -> bool:
    return policy.wait_after(error, 1, 2, MIDDLE) is not None


def spec_with(**options: object) -> RetryPolicy:
    body = {"__module__": __name__, "perform": lambda _self, _progress: None, **options}
    return spec_of(type(ProgressJob)("Made", (ProgressJob,), body)).options.retries  # type: ignore[misc]


@pytest.mark.parametrize(
    ("policy", "error", "covered"),
    [
        (RetryPolicy(), OSError(), True),
        (RetryPolicy(), ExceptionGroup("", [OSError()]), True),
        (RetryPolicy(), SystemExit(3), False),
        (RetryPolicy(), KeyboardInterrupt(), False),
        (RetryPolicy(retry_on=(ConnectionError,)), ConnectionResetError(), True),
        (RetryPolicy(retry_on=(ConnectionError,)), FileNotFoundError(), False),
        (RetryPolicy(give_up_on=(OSError,)), FileNotFoundError(), False),
        (RetryPolicy(retry_on=(OSError,), give_up_on=(OSError,)), OSError(), False),
        (RetryPolicy(retry_on=()), OSError(), False),
        (RetryPolicy(), PublicError(), False),
        (RetryPolicy(retry_on=(JobKitError,)), Polite(), False),
        (RetryPolicy(retry_on=(PublicError,)), Polite(), True),
        (RetryPolicy(retry_on=(Polite,)), Polite(), True),
        (RetryPolicy(retry_on=(Polite,)), PublicError(), False),
        (RetryPolicy(), BadResult(), False),
        (RetryPolicy(retry_on=(ValueError,)), BadResult(), False),
        (RetryPolicy(retry_on=(BadResult,)), BadResult(), True),
        (RetryPolicy(retry_on=(), give_up_on=(Exception,)), Retry(), True),
    ],
)
def test_an_error_is_tried_again_as_its_class_says(policy: RetryPolicy, error: BaseException, covered: bool) -> None:
    assert covers(policy, error) is covered


def test_a_public_error_may_be_named_by_another_of_its_bases() -> None:
    assert covers(RetryPolicy(retry_on=(Flaky,)), PolitelyFlaky())  # type: ignore[arg-type]


def test_no_attempt_comes_after_the_last() -> None:
    policy = RetryPolicy()
    assert policy.wait_after(OSError(), 2, 3, MIDDLE) is not None
    assert policy.wait_after(OSError(), 3, 3, MIDDLE) is None
    assert policy.wait_after(Retry(after=1), 3, 3, MIDDLE) is None


@pytest.mark.parametrize(
    ("value", "waits"),
    [
        (None, [1, 2, 4, 8]),
        (5, [5, 10, 20]),
        (timedelta(minutes=20), [1200, 2400, 3600, 3600]),
        (0, [0, 0]),
        ((1, timedelta(seconds=10), 60), [1, 10, 60, 60]),
        ([7200], [7200, 7200]),
    ],
)
def test_waits_double_or_are_those_that_are_given(value: object, waits: list[float]) -> None:
    assert [backoff(value).after(failures, MIDDLE) for failures in range(1, len(waits) + 1)] == waits


def test_a_wait_is_a_fifth_shorter_or_longer_by_chance() -> None:
    assert [Backoff((10.0,)).after(1, chance) for chance in (0.0, 0.5, 1.0)] == pytest.approx([8, 10, 12])
    assert Backoff().after(100_000, MIDDLE) == LONGEST_DOUBLED_WAIT


def test_a_job_that_says_when_is_taken_at_its_word() -> None:
    policy = RetryPolicy(backoff=Backoff((7.0,)))
    assert policy.wait_after(Retry(after=timedelta(seconds=30)), 1, 2, 0.0) == 30.0
    assert policy.wait_after(Retry(after=0), 1, 2, 0.0) == 0.0
    assert policy.wait_after(Retry(), 1, 2, MIDDLE) == 7.0


@pytest.mark.parametrize("after", [-1, "soon", True, float("inf"), float("nan"), timedelta(days=400)])
def test_a_retry_without_sense_says_so(after: object) -> None:
    with pytest.raises(ValueError, match=r"Retry.after=.* must be"):
        Retry(after=after)  # type: ignore[arg-type]


def test_a_retry_survives_pickling() -> None:
    copied = pickle.loads(pickle.dumps(Retry("not yet", after=3)))
    assert (str(copied), copied.after) == ("not yet", 3.0)


# What a start's end becomes -------------------------------------------------------------------------------------------


def caused_by(cause: Exception | None) -> Retry:
    try:
        raise Retry("It asked for more time.") from cause
    except Retry as error:
        return error


def test_a_failure_that_is_tried_again_is_told_like_any_other() -> None:
    decision = decide(Raised(OSError("no route")), lambda _: 3.0)
    assert (decision.outcome, decision.retry_after, decision.message) == (Outcome.FAILED, 3.0, FAILED)
    assert "OSError: no route" in decision.traceback


def test_a_retry_is_told_by_its_cause() -> None:
    decision = decide(Raised(caused_by(PublicError("The bank does not answer."))))
    assert (decision.message, decision.public) == ("The bank does not answer.", True)
    assert "Retry" not in decision.traceback


def test_a_retry_without_a_cause_is_told_by_its_own_text_to_its_author() -> None:
    decision = decide(Raised(caused_by(None)))
    assert (decision.message, decision.public) == (FAILED, False)
    assert "It asked for more time." in decision.traceback


# The options ----------------------------------------------------------------------------------------------------------


def test_a_class_says_what_is_tried_again() -> None:
    policy = spec_with(max_attempts=3, retry_on=ConnectionError, give_up_on=[TimeoutError], backoff=2)
    assert policy == RetryPolicy((ConnectionError,), (TimeoutError,), Backoff((2.0,)))
    assert spec_with(max_attempts=3) == RetryPolicy()


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [
        ("backoff", -1, "0 or more"),
        ("backoff", "1m", "timedelta or a number of seconds"),
        ("backoff", (), "at least one wait"),
        ("backoff", (1, None), "timedelta or a number of seconds"),
        ("backoff", 7200, "at most an hour.*as a tuple"),
        ("retry_on", OSError(), "exception class"),
        ("retry_on", (OSError, "ValueError"), "exception class"),
        ("retry_on", None, "exception class"),
        ("give_up_on", (SystemExit,), "SystemExit, ends the run"),
        ("max_attempts", 0, "whole number from 1"),
    ],
)
def test_nonsense_is_refused_with_advice(option: str, value: object, advice: str) -> None:
    with pytest.raises(BadJob, match=f"{option} = .* must .*{advice}"):
        spec_with(**{"max_attempts": 3, option: value})


@pytest.mark.parametrize("option", [{"backoff": 5}, {"retry_on": OSError}, {"give_up_on": OSError}])
def test_what_does_nothing_without_attempts_is_refused(option: dict[str, object]) -> None:
    with pytest.raises(BadJob, match=r"without max_attempts does nothing.*Add max_attempts"):
        spec_with(**option)
