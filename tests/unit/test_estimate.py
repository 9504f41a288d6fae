"""The estimate: rate and end from (moment, done) samples; time is a value."""

import itertools
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobkit.estimate import Estimate

TICK = 0.125


def watched(done_at: Callable[[float], float], until: float, total: float | None = 1000.0) -> Estimate:
    """An estimate that has looked eight times a second from 0 until then."""
    estimate = Estimate()
    for tick in range(int(until / TICK) + 1):
        estimate.observe(tick * TICK, done_at(tick * TICK), total)
    return estimate


def steady(moment: float) -> float:
    return 8.0 * moment


def test_nothing_is_known_before_anything_was_seen() -> None:
    assert Estimate().rate(5.0) is None
    assert Estimate().finish_at(5.0, 10.0) is None


def test_nothing_is_said_too_early() -> None:
    assert watched(steady, until=0.5).rate(0.5) is None


def test_one_advance_cannot_be_told_from_a_jump() -> None:
    estimate = watched(lambda moment: 500.0 if moment >= 5 else 0.0, until=10.0)
    assert estimate.rate(10.0) is None


def test_a_steady_job_is_estimated_exactly() -> None:
    estimate = watched(steady, until=25.0)
    assert estimate.rate(25.0) == pytest.approx(8.0)
    assert estimate.finish_at(25.0, 1000.0 - steady(25.0)) == pytest.approx(125.0)


def test_the_end_does_not_move_between_two_advances_of_slow_items() -> None:
    estimate = watched(lambda moment: moment // 60, until=180.0)
    assert estimate.finish_at(181.0, 7.0) == estimate.finish_at(235.0, 7.0) == pytest.approx(600.0, abs=1.0)


def test_bursts_are_averaged() -> None:
    estimate = watched(lambda moment: 100.0 * (moment // 10), until=55.0)
    assert estimate.rate(55.0) == pytest.approx(10.0, rel=0.05)
    assert estimate.finish_at(55.0, 500.0) == pytest.approx(100.0, abs=2.0)


def test_a_change_of_pace_is_followed_within_half_the_age() -> None:
    estimate = watched(lambda moment: 8.0 * min(moment, 40.0) + 1.0 * max(0.0, moment - 40.0), until=60.0)
    assert 1.0 < (estimate.rate(60.0) or 0.0) < 2.6


def test_an_hour_old_job_shows_the_rate_of_the_last_minutes() -> None:
    estimate = watched(lambda moment: min(moment, 3600.0) + 10.0 * max(0.0, moment - 3600.0), until=3780.0)
    assert estimate.rate(3780.0) == pytest.approx(10.0, rel=0.1)


def test_preparation_before_the_first_item_does_not_count() -> None:
    estimate = watched(lambda moment: 4.0 * max(0.0, moment - 30.0), until=33.0, total=400.0)
    assert estimate.finish_at(33.0, 388.0) == pytest.approx(130.0, abs=2.0)


def test_the_measure_begins_when_the_total_appears() -> None:
    estimate = Estimate()
    for moment in range(31):
        estimate.observe(float(moment), 0.0, None)
    for moment in range(30, 35):
        estimate.observe(float(moment), float(moment - 30), 10.0)
    assert estimate.finish_at(34.0, 6.0) == pytest.approx(40.0)


def test_work_restored_at_the_start_is_soon_forgotten() -> None:
    estimate = watched(lambda moment: 0.0 if moment < 0.2 else 50_000.0 + 8.0 * moment, until=20.0)
    assert estimate.rate(20.0) == pytest.approx(8.0, rel=0.05)


def test_an_unusual_silence_lowers_the_rate_and_then_ends_the_estimate() -> None:
    estimate = watched(steady, until=25.0)
    soon, later = estimate.rate(30.0), estimate.rate(45.0)
    assert soon is not None
    assert later is not None
    assert 8.0 > soon > later
    assert estimate.rate(60.0) is None
    assert estimate.finish_at(60.0, 100.0) is None


def test_a_pause_is_cut_out_once_the_job_goes_on() -> None:
    def paused(moment: float) -> float:
        return steady(moment) if moment < 25 else steady(25.0) + max(0.0, steady(moment - 3600.0) - steady(25.0))

    estimate = watched(paused, until=3630.0)
    assert estimate.rate(3630.0) == pytest.approx(8.0, rel=0.1)


def test_counting_anew_measures_anew() -> None:
    estimate = watched(steady, until=25.0)
    for tick in range(1, 101):
        estimate.observe(25.0 + tick * TICK, tick * TICK * 2.0, 1000.0)
    assert estimate.rate(25.0 + 100 * TICK) == pytest.approx(2.0)


def test_a_clock_that_is_set_back_does_no_harm() -> None:
    estimate = watched(steady, until=25.0)
    for tick in range(101):
        estimate.observe(5.0 + tick * TICK, steady(25.0 + tick * TICK), 1000.0)
    assert estimate.rate(5.0 + 100 * TICK) == pytest.approx(8.0, rel=0.05)


def test_an_end_in_more_than_a_year_is_not_an_estimate() -> None:
    assert watched(steady, until=25.0).finish_at(25.0, 1e12) is None


def test_nothing_left_to_do_has_no_estimated_end() -> None:
    assert watched(steady, until=25.0).finish_at(25.0, 0.0) is None


moments = st.floats(-1e9, 1e10, allow_nan=False)
amounts = st.floats(0, 2.0**53, allow_nan=False)


@given(st.lists(st.tuples(moments, amounts, st.none() | amounts), max_size=30), moments, amounts)
def test_whatever_was_seen_an_answer_is_sensible_or_none(
    seen: list[tuple[float, float, float | None]], now: float, remaining: float
) -> None:
    estimate = Estimate()
    for moment, done, total in seen:
        estimate.observe(moment, done, total)
        for answer in (estimate.rate(now), estimate.rate(moment)):
            assert answer is None or (answer >= 0 and math.isfinite(answer))
        end = estimate.finish_at(now, remaining)
        assert end is None or end >= now


@given(st.lists(st.floats(0.2, 5.0), min_size=10, max_size=60))
def test_a_rate_lies_between_the_slowest_and_the_fastest_item(durations: list[float]) -> None:
    estimate = Estimate()
    ends = list(itertools.accumulate(durations, initial=0.0))
    for done, moment in enumerate(ends):
        estimate.observe(moment, float(done), None)
    rate = estimate.rate(ends[-1])
    assert rate is None or 1 / max(durations) - 1e-6 <= rate <= 1 / min(durations) + 1e-6
