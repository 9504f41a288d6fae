"""When a start with limits is to be stopped: clocks are values here."""

from __future__ import annotations

from typing import Any

from jobkit.decision import StopReason
from jobkit.incident import IncidentKind
from jobkit.worker.guard import Guard, boot_time
from jobkit.worker.link import Guarded
from jobkit.worker.release import out_of_memory, unstoppable

NOW = 1000.0
MB = 1024 * 1024


def guarded(**limits: Any) -> Guarded:
    return Guarded(slot="w/1", token="7", run_id="0-X", lease=10.0, **limits)


def guard(**limits: Any) -> Guard:
    return Guard(guarded(**limits), NOW)


def test_without_limits_it_goes_on_for_ever() -> None:
    free = guard(memory_limit=1)
    assert free.stops(NOW + 1e9, 1e9) is None
    assert not free.stalls(NOW + 1e9)


def test_it_is_stopped_once_at_its_time_limit() -> None:
    timed = guard(time_limit=60.0)
    assert timed.stops(NOW + 59.9, 0.0) is None
    assert timed.stops(NOW + 60.0, 0.0) is StopReason.TIME_LIMIT
    assert timed.stops(NOW + 61.0, 0.0) is None


def test_progress_does_not_extend_a_time_limit() -> None:
    timed = guard(time_limit=60.0)
    timed.moved(NOW + 59.0)
    assert timed.stops(NOW + 60.0, 0.0) is StopReason.TIME_LIMIT


def test_it_stalls_and_is_stopped_after_twice_as_long() -> None:
    stuck = guard(stall_limit=30.0)
    assert not stuck.stalls(NOW + 29.9)
    assert stuck.stalls(NOW + 30.0)
    assert not stuck.stalls(NOW + 31.0), "it is news once"
    assert stuck.stops(NOW + 59.9, 0.0) is None
    assert stuck.stops(NOW + 60.0, 0.0) is StopReason.STALL_LIMIT


def test_what_moves_does_not_stall_and_what_moves_again_may_stall_anew() -> None:
    slow = guard(stall_limit=30.0)
    assert slow.moved(NOW + 29.0) is False
    assert not slow.stalls(NOW + 58.0)
    assert slow.stalls(NOW + 59.0)
    assert slow.moved(NOW + 70.0) is True
    assert not slow.stalled
    assert slow.stalls(NOW + 100.0)


def test_what_is_being_stopped_is_not_said_to_stall() -> None:
    timed = guard(time_limit=10.0, stall_limit=30.0)
    timed.stops(NOW + 10.0, 0.0)
    assert not timed.stalls(NOW + 30.0)


def test_a_strict_start_is_stopped_when_its_lease_may_be_over() -> None:
    strict = guard(strict_until=500.0)
    assert strict.stops(NOW, 499.9) is None
    strict.confirmed(510.0)
    strict.confirmed(505.0)
    assert strict.stops(NOW, 509.9) is None
    assert strict.stops(NOW, 510.0) is StopReason.UNCONFIRMED


def test_a_confirmation_makes_nobody_strict() -> None:
    lenient = guard(time_limit=60.0)
    lenient.confirmed(510.0)
    assert lenient.stops(NOW, 1e9) is None


def test_the_boot_clock_goes_forward() -> None:
    assert 0 < boot_time() <= boot_time()


# What a stop that was not heard comes to ------------------------------------------------------------------------------


def test_who_does_not_hear_that_its_time_is_up_has_failed() -> None:
    release = unstoppable(StopReason.TIME_LIMIT, 0.5, guarded(time_limit=60.0, retry_after=5.0), ("a",), "stacks")
    assert (release.failed, release.crashed, release.public, release.retry_after) == (True, False, True, 5.0)
    assert release.message == "It took longer than its limit of 60 s."
    assert release.account is not None
    assert release.account.kind is IncidentKind.TIMED_OUT
    assert (release.account.lines, release.account.stacks) == (("a",), "stacks")
    assert release.account.message.endswith("It did not stop within 0.5 s, so its process was killed.")


def test_who_stalls_and_does_not_hear_it_has_failed() -> None:
    release = unstoppable(StopReason.STALL_LIMIT, 10.0, guarded(stall_limit=30.0))
    assert (release.failed, release.message) == (True, "It made no progress for 60 s.")
    assert release.account is not None
    assert release.account.kind is IncidentKind.STALLED


def test_who_does_not_hear_a_cancel_has_not_failed() -> None:
    release = unstoppable(StopReason.CANCELLED, 10.0, None)
    assert not release.failed
    assert release.account is not None
    assert release.account.kind is IncidentKind.KILLED


def test_memory_beyond_the_limit_is_a_failure_with_both_numbers() -> None:
    release = out_of_memory(512 * MB, 530 * MB, None)
    assert (release.failed, release.public, release.retry_after) == (True, True, None)
    assert release.message == "It used more than its 512 MB of memory (530 MB)."
