"""The ticks of lines of cron and of intervals: pure, so time is a value."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobkit import BadArguments, Cron, Every
from jobkit.schedule import LATE, MOST_MISSED, Schedule, as_text, due, from_text, ticks_after

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
HOUR, DAY = 3_600_000, 86_400_000


def ticks(schedule: Schedule, after: datetime, number: int) -> list[str]:
    """As clocks of the schedule's zone show them."""
    found = []
    for _ in range(number):
        after = schedule.next_after(after)
        found.append(after.strftime("%m-%d %H:%M %z"))
    return found


# Clocks that are put forward and back -------------------------------------------------------------------------------


def test_a_tick_in_the_hour_that_is_skipped_comes_at_the_end_of_the_gap() -> None:
    nightly = Cron("30 2 * * *", tz="Europe/Berlin")
    assert ticks(nightly, datetime(2026, 3, 28, 12, tzinfo=BERLIN), 2) == ["03-29 03:00 +0200", "03-30 02:30 +0200"]
    nightly = Cron("30 2 * * *", tz="America/New_York")
    assert ticks(nightly, datetime(2026, 3, 7, 12, tzinfo=NEW_YORK), 2) == ["03-08 03:00 -0400", "03-09 02:30 -0400"]


def test_a_tick_in_the_hour_that_comes_twice_comes_once_the_first_time() -> None:
    nightly = Cron("30 2 * * *", tz="Europe/Berlin")
    assert ticks(nightly, datetime(2026, 10, 24, 12, tzinfo=BERLIN), 2) == ["10-25 02:30 +0200", "10-26 02:30 +0100"]
    nightly = Cron("30 1 * * *", tz="America/New_York")
    assert ticks(nightly, datetime(2026, 10, 31, 12, tzinfo=NEW_YORK), 2) == ["11-01 01:30 -0400", "11-02 01:30 -0500"]


def test_who_asks_within_the_second_of_the_doubled_hours_is_not_sent_back_to_the_first() -> None:
    nightly = Cron("30 2 * * *", tz="Europe/Berlin")
    second = datetime(2026, 10, 25, 2, 15, tzinfo=BERLIN, fold=1)
    assert ticks(nightly, second, 1) == ["10-26 02:30 +0100"]


def test_two_ticks_of_the_skipped_hour_are_one() -> None:
    twice = Cron("0,30 2,3 * * *", tz="Europe/Berlin")
    assert ticks(twice, datetime(2026, 3, 28, 12, tzinfo=BERLIN), 3) == [
        "03-29 03:00 +0200",
        "03-29 03:30 +0200",
        "03-30 02:00 +0200",
    ]


def test_a_line_of_every_hour_skips_the_skipped_one_and_doubles_the_doubled_one() -> None:
    hourly = Cron("0 * * * *", tz="Europe/Berlin")
    assert ticks(hourly, datetime(2026, 3, 29, 0, 30, tzinfo=BERLIN), 3) == [
        "03-29 01:00 +0100",
        "03-29 03:00 +0200",
        "03-29 04:00 +0200",
    ]
    assert ticks(hourly, datetime(2026, 10, 25, 1, 30, tzinfo=BERLIN), 3) == [
        "10-25 02:00 +0200",
        "10-25 02:00 +0100",
        "10-25 03:00 +0100",
    ]


def test_an_interval_goes_on_as_if_clocks_were_never_changed() -> None:
    begin = datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert [Every(hours=1).next_after(begin + timedelta(hours=n)) for n in range(4)] == [
        begin + timedelta(hours=n + 1) for n in range(4)
    ]


# Days -----------------------------------------------------------------------------------------------------------------


def test_the_29th_of_february_comes_in_leap_years() -> None:
    leap = Cron("0 12 29 2 *")
    assert leap.next_after(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2028, 2, 29, 12, tzinfo=UTC)
    assert leap.next_after(datetime(2028, 3, 1, tzinfo=UTC)) == datetime(2032, 2, 29, 12, tzinfo=UTC)


def test_months_end_when_they_end() -> None:
    assert ticks(Cron("0 0 31 * *"), datetime(2026, 1, 31, 12, tzinfo=UTC), 2) == [
        "03-31 00:00 +0000",
        "05-31 00:00 +0000",
    ]
    assert ticks(Cron("0 0 L * *"), datetime(2026, 1, 31, 12, tzinfo=UTC), 2) == [
        "02-28 00:00 +0000",
        "03-31 00:00 +0000",
    ]


def test_a_day_of_the_month_or_of_the_week_will_do_where_both_are_named() -> None:
    either = Cron("0 0 13 * FRI")
    assert ticks(either, datetime(2026, 1, 8, tzinfo=UTC), 3) == [
        "01-09 00:00 +0000",
        "01-13 00:00 +0000",
        "01-16 00:00 +0000",
    ]


def test_the_next_tick_is_shown_by_a_clock_of_the_schedules_zone() -> None:
    assert Cron("0 3 * * *", tz=BERLIN).next_after(0).tzinfo == BERLIN


# Intervals ------------------------------------------------------------------------------------------------------------


def test_intervals_are_counted_from_the_epoch_so_all_come_to_the_same_ticks() -> None:
    assert Every(minutes=5).next_after(datetime(2026, 1, 1, 10, 2, 3, tzinfo=UTC)) == datetime(
        2026, 1, 1, 10, 5, tzinfo=UTC
    )


def test_an_anchor_moves_them() -> None:
    monday = datetime(2026, 1, 5, 9, tzinfo=BERLIN)
    weekly = Every(timedelta(days=7), anchor=monday)
    assert weekly.next_after(monday) == monday + timedelta(days=7)
    assert weekly.next_after(monday - timedelta(days=8)) == monday - timedelta(days=7)


def test_an_interval_says_how_long_it_is() -> None:
    assert [str(Every(n)) for n in (1.5, 120, 7200, 86400)] == ["every 1.5 s", "every 2 min", "every 2 h", "every 1 d"]


# What is none ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "has 0 fields"),
        ("0 3 * *", "has 4 fields"),
        ("0 0 3 * * *", "has 6 fields"),
        ("@daily", "has 1 fields"),
        ("60 3 * * *", "bad minute"),
        ("0 24 * * *", "bad hour"),
        ("0 3 * * XYZ", "bad day-of-week"),
        ("0 3 30 2 *", "bad day-of-month"),
        ("0 3 31 2,4 *", "bad day-of-month"),
        (5, "no line of cron"),
    ],
)
def test_a_bad_line_is_refused_with_what_is_wrong(line: str, why: str) -> None:
    with pytest.raises(BadArguments, match=why):
        Cron(line)


@pytest.mark.parametrize("tz", ["Europe/Berlyn", "", "../zone", "Europe", None, 3])
def test_an_unknown_zone_is_refused(tz: str) -> None:
    with pytest.raises(BadArguments, match="time zone"):
        Cron("0 3 * * *", tz=tz)


@pytest.mark.parametrize("interval", [0, 0.9, -5, float("nan"), float("inf"), True, "5", timedelta(days=4000)])
def test_a_bad_interval_is_refused(interval: float) -> None:
    with pytest.raises(BadArguments, match=r"interval|duration"):
        Every(interval)


def test_moments_without_a_time_zone_are_refused() -> None:
    naive = datetime(2026, 1, 1)
    with pytest.raises(BadArguments, match="no time zone"):
        Every(minutes=5, anchor=naive)
    with pytest.raises(BadArguments, match="no time zone"):
        Cron("0 3 * * *").next_after(naive)


@pytest.mark.parametrize("missed", ["none", "", 1])
def test_an_unknown_policy_is_refused(missed: str) -> None:
    with pytest.raises(BadArguments, match='"once", "skip" or "all"'):
        Every(minutes=5, missed=missed)


# As text --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule", [Cron("0  3 * * mon", tz="Europe/Berlin", missed="all"), Every(2.5, anchor=1.25, missed="skip")]
)
def test_a_schedule_is_read_back_from_its_text(schedule: Schedule) -> None:
    assert from_text(as_text(schedule)) == schedule


def test_equal_schedules_have_equal_texts() -> None:
    assert as_text(Cron(" 0 3  * * *", tz=BERLIN)) == as_text(Cron("0 3 * * *", "Europe/Berlin"))
    assert as_text(Every(300)) == as_text(Every(minutes=5, anchor=600))


# What is made up for --------------------------------------------------------------------------------------------------


def test_once_fires_the_newest_of_the_missed_ticks_and_goes_on() -> None:
    assert due(Every(hours=1), HOUR, 5 * HOUR + 10) == (5 * HOUR, 6 * HOUR)


def test_skip_fires_what_is_not_too_late() -> None:
    hourly, late = Every(hours=1, missed="skip"), int(LATE * 1000)
    assert due(hourly, HOUR, 5 * HOUR + late) == (5 * HOUR, 6 * HOUR)
    assert due(hourly, HOUR, 5 * HOUR + late + 1) == (None, 6 * HOUR)


def test_all_fires_each_in_order() -> None:
    hourly = Every(hours=1, missed="all")
    assert due(hourly, HOUR, 5 * HOUR + 10) == (HOUR, 2 * HOUR)
    assert due(hourly, 5 * HOUR, 5 * HOUR + 10) == (5 * HOUR, 6 * HOUR)


def test_all_makes_up_for_so_many_at_most() -> None:
    now = 1_790_000_000_000
    assert due(Every(1, missed="all"), 1000, now) == (now - (MOST_MISSED - 1) * 1000, now - (MOST_MISSED - 2) * 1000)


def test_a_tick_is_fired_that_this_worker_would_not_have_come_to() -> None:
    """Another one knew a newer time zone, and said that it is next."""
    assert due(Every(hours=1), HOUR + 7, HOUR + 9) == (HOUR + 7, 2 * HOUR)


LINES = st.builds(
    lambda *fields: " ".join(fields),
    st.sampled_from(["0", "30", "*/15", "*", "5,35", "10-20"]),
    st.sampled_from(["*", "2", "1,2,3", "*/2", "0", "23", "1-4"]),
    st.sampled_from(["*", "1", "29", "L", "*/5"]),
    st.sampled_from(["*", "3", "10,11", "2,3"]),
    st.sampled_from(["*", "SUN", "MON-FRI"]),
)
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kolkata"]
)
SCHEDULES = st.builds(Cron, LINES, ZONES) | st.builds(
    Every, st.integers(1, 100_000), anchor=st.integers(0, 2_000_000_000)
)
MOMENTS = st.integers(1_767_225_600_000, 1_830_000_000_000) | st.sampled_from(
    [1_774_742_400_000, 1_792_879_200_000, 1_772_953_200_000, 1_793_505_600_000]  # around changes of clocks in 2026
)


@settings(deadline=None, print_blob=True)
@given(SCHEDULES, MOMENTS)
def test_ticks_rise_and_a_moment_between_two_of_them_comes_to_the_second(schedule: Schedule, begin: int) -> None:
    for tick, following in pairwise(islice(ticks_after(schedule, begin), 20)):
        assert begin < tick < following
        assert schedule.next_ms(tick - 1) == tick
        assert schedule.next_ms((tick + following) // 2) == following


@settings(deadline=None, print_blob=True)
@given(LINES, ZONES, MOMENTS)
def test_ticks_of_a_line_match_it_unless_clocks_were_put_forward(line: str, tz: str, begin: int) -> None:
    minutes, hours = (
        {int(n) for n in _field(field, most)} for field, most in zip(line.split(), (59, 23), strict=False)
    )
    for tick in islice(ticks_after(Cron(line, tz), begin), 10):
        shown = datetime.fromtimestamp(tick / 1000, ZoneInfo(tz))
        gap = shown.utcoffset() != (shown.astimezone(UTC) - timedelta(minutes=1)).astimezone(ZoneInfo(tz)).utcoffset()
        assert gap or (shown.minute in minutes and shown.hour in hours), f"{line} {tz}: {shown}"


def _field(text: str, most: int) -> list[str]:
    if text == "*":
        return [str(n) for n in range(most + 1)]
    if text.startswith("*/"):
        return [str(n) for n in range(0, most + 1, int(text[2:]))]
    if "-" in text:
        first, last = text.split("-")
        return [str(n) for n in range(int(first), int(last) + 1)]
    return text.split(",")


@settings(deadline=None, print_blob=True)
@given(SCHEDULES, MOMENTS, st.integers(0, 3 * DAY), st.sampled_from(["once", "skip", "all"]))
def test_what_is_due_is_a_tick_that_has_come_and_what_follows_is_the_next(
    schedule: Schedule, begin: int, later: int, missed: str
) -> None:
    policy = Cron(schedule.line, schedule.tz, missed) if isinstance(schedule, Cron) else schedule
    expected = policy.next_ms(begin)
    now = expected + later
    tick, following = due(policy, expected, now)
    assert tick is None or expected <= tick <= now
    assert following == policy.next_ms(following - 1)
    assert following > (expected if tick is None else tick)
    if policy.missed != "all":
        assert following > now
