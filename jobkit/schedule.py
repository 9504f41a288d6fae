"""Schedule: when a job starts by the clock: the moments (ticks) that a cron line or an interval names. Pure.

    Cron("0 3 * * *", tz="Europe/Berlin")       every night at three, as clocks in Berlin show it
    Every(minutes=5)                            every five minutes
    Every(hours=1, missed="all")                every hour, and each hour that nobody was there for, afterwards

Ticks follow from the schedule alone, so every worker comes to the same ones, and one that was fired is known by its
time. A line of cron has five fields (minute, hour, day of month, month, day of week), as Debian's cron reads them; when
both days are restricted, either will do. Intervals are counted from the epoch, or from an anchor.

Where clocks are put forward or back, a line with fixed minutes and hours keeps its meaning: a tick that falls into the
skipped hour comes at the end of the gap, and one in the doubled hour comes once, the first time. A line whose minute or
hour begins with a star counts what clocks show: the skipped hour brings nothing, and the doubled one brings it twice.
Intervals know no clocks but UTC's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from jobkit.errors import BadArguments

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST_INTERVAL = 1.0
LONGEST_INTERVAL = timedelta(days=3653).total_seconds()
MOST_MISSED = 1000
"""Of the ticks that were missed, so many are made up for at the most: the newest."""
LATE = 60.0
"""Seconds after which a tick of `missed="skip"` is not fired any more."""
NEVER = 253_402_214_400_000
"""When a line has no more ticks; ms."""

_FIELDS = 5
_FIRST_LOOK_BACK = 60_000


class Missed(StrEnum):
    """What is made up for, when ticks went by while no worker was there."""

    ONCE = "once"
    """The newest of them; the others are passed over."""
    SKIP = "skip"
    """None but a newest one of the last minute."""
    ALL = "all"
    """Each, the oldest first."""


class Due(NamedTuple):
    """What is to be done about ticks that have come: fire `tick` (None: pass them over); `following` is next. In ms."""

    tick: int | None
    following: int


@dataclass(frozen=True, slots=True)
class Cron:
    """The ticks of a line of cron, as clocks of a time zone show them; UTC unless one is named.

    Raises:
        BadArguments: there is no such line or zone, or the line never comes.
    """

    line: str
    tz: str | ZoneInfo = "UTC"
    missed: str = "once"

    def __post_init__(self) -> None:
        object.__setattr__(self, "line", _line(self.line))
        object.__setattr__(self, "tz", _zone_name(self.tz))
        object.__setattr__(self, "missed", _missed(self.missed))
        if self.next_ms(0) == NEVER:
            raise BadArguments(f"{self.line!r} never comes: no such day exists")

    def next_after(self, moment: datetime | float) -> datetime:
        """The first tick after a moment (aware, or epoch seconds), as a clock of its zone shows it."""
        return self.at_ms(self.next_ms(_ms(moment)))

    def at_ms(self, ms: int) -> datetime:
        """A moment (ms) as a clock of its zone shows it."""
        return _as_datetime(ms, ZoneInfo(str(self.tz)))

    def next_ms(self, after: int) -> int:
        return _next_of_line(self.line, str(self.tz), after)

    def __str__(self) -> str:
        return f"{self.line} {self.tz}"


@dataclass(frozen=True, slots=True, init=False)
class Every:
    """The ticks of an interval: a timedelta or seconds, or units; from the epoch on, or from an `anchor`.

    Raises:
        BadArguments: it is no duration of at least a second, or the anchor is no moment.
    """

    interval_ms: int
    anchor_ms: int
    missed: str

    def __init__(
        self,
        interval: timedelta | float = 0.0,
        *,
        days: float = 0.0,
        hours: float = 0.0,
        minutes: float = 0.0,
        seconds: float = 0.0,
        anchor: datetime | float = 0.0,
        missed: str = "once",
    ) -> None:
        units = _seconds(days) * 86400 + _seconds(hours) * 3600 + _seconds(minutes) * 60 + _seconds(seconds)
        length = _seconds(interval.total_seconds() if isinstance(interval, timedelta) else interval) + units
        if not SHORTEST_INTERVAL <= length <= LONGEST_INTERVAL:
            raise BadArguments(f"{length:g} s is no interval: give a timedelta or seconds, from 1 s to ten years")
        object.__setattr__(self, "interval_ms", round(length * 1000))
        object.__setattr__(self, "anchor_ms", _ms(anchor) % self.interval_ms)
        object.__setattr__(self, "missed", _missed(missed))

    def next_after(self, moment: datetime | float) -> datetime:
        """The first tick after a moment (aware, or epoch seconds), in UTC."""
        return self.at_ms(self.next_ms(_ms(moment)))

    def at_ms(self, ms: int) -> datetime:
        return _as_datetime(ms, UTC)

    def next_ms(self, after: int) -> int:
        return after + self.interval_ms - (after - self.anchor_ms) % self.interval_ms

    def __str__(self) -> str:
        for unit, ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
            if self.interval_ms % ms == 0:
                return f"every {self.interval_ms // ms} {unit}"
        return f"every {self.interval_ms / 1000:g} s"


Schedule = Cron | Every


def schedule(value: object) -> Schedule:
    """What `schedule = value` means.

    Raises:
        ValueError: nothing; the text goes on after the value.
    """
    try:
        match value:
            case Cron() | Every():
                return value
            case str():
                return Cron(value)
            case timedelta() | int() | float() if not isinstance(value, bool):
                return Every(value)
    except BadArguments as error:
        raise ValueError(f"is no schedule: {error}") from None
    raise ValueError('must be a line of cron, as "0 3 * * *", an interval, Cron(...) or Every(...)')


def ticks_after(when: Schedule, after: int) -> Iterator[int]:
    """The ticks after a moment (ms), without end."""
    while True:
        after = when.next_ms(after)
        yield after


def due(when: Schedule, expected: int, now: int) -> Due:
    """What is to be done now about the ticks from `expected` on, which has come. In ms."""
    if when.missed == Missed.ALL:
        ticks = _newest(when, expected, now, MOST_MISSED)
        return Due(ticks[0], when.next_ms(ticks[0]))
    (newest,) = _newest(when, expected, now, 1)
    too_late = when.missed == Missed.SKIP and now - newest > LATE * 1000
    return Due(None if too_late else newest, when.next_ms(newest))


def _newest(when: Schedule, expected: int, now: int, most: int) -> list[int]:
    """The newest ticks until now, not more than asked for and none before `expected`; at least that one.

    Found by looking back twice as far each time, as it may be one of each second, or one of a year.
    """
    back = _FIRST_LOOK_BACK
    while True:
        begin = max(expected, now - back)
        ticks = [] if begin > expected else [expected]
        for tick in ticks_after(when, begin if ticks else begin - 1):
            if tick > now:
                break
            ticks.append(tick)
            if len(ticks) > 2 * most and begin > expected:
                del ticks[:most]
        if begin == expected or len(ticks) >= most:
            return ticks[-most:]
        back *= 2


# As text --------------------------------------------------------------------------------------------------------------


def as_text(when: Schedule) -> str:
    """Its one form in JSON: equal schedules have equal texts."""
    match when:
        case Cron():
            form: dict[str, Any] = {"cron": when.line, "tz": str(when.tz), "missed": when.missed}
        case Every():
            form = {"every": when.interval_ms, "anchor": when.anchor_ms, "missed": when.missed}
    return msgspec.json.encode(form).decode()


@lru_cache(maxsize=1024)
def from_text(text: str) -> Schedule:
    """The schedule of this form.

    Raises:
        BadArguments: it cannot be told here: the time zone is not known.
    """
    form = msgspec.json.decode(text)
    if "cron" in form:
        return Cron(form["cron"], form["tz"], form["missed"])
    return Every(form["every"] / 1000, anchor=form["anchor"] / 1000, missed=form["missed"])


# Lines of cron --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8192)
def _next_of_line(line: str, tz: str, after: int) -> int:
    """The simulation goes by what clocks show.

    So it may come back to an hour that they show twice, or say the end of a gap for each tick in it: what is not later
    than `after` has been.
    """
    for tick in CronSim(line, _as_datetime(after, ZoneInfo(tz))):
        ms = int(tick.timestamp() * 1000)
        if ms > after:
            return ms
    return NEVER


def _line(line: object) -> str:
    if not isinstance(line, str):
        raise BadArguments(f"{line!r:.80} is no line of cron: give text, as '0 3 * * *'")
    fields = line.split()
    if len(fields) != _FIELDS:
        raise BadArguments(
            f"{line[:80]!r} has {len(fields)} fields: a line of cron has five, minute, hour, day of month, month and"
            " day of week, as '0 3 * * *'"
        )
    try:
        CronSim(line, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise BadArguments(f"{line[:80]!r} is no line of cron: {str(error).lower()}") from None
    return " ".join(fields)


def _zone_name(tz: object) -> str:
    name = tz.key if isinstance(tz, ZoneInfo) else tz
    if not isinstance(name, str) or not name:
        raise BadArguments(f"tz={tz!r:.80}: give the name of a time zone, as 'Europe/Berlin'")
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):  # unknown; a path; a folder of zones
        raise BadArguments(f"there is no time zone {name[:80]!r}: give one by name, as 'Europe/Berlin'") from None


def _missed(missed: object) -> str:
    try:
        return Missed(missed).value  # type: ignore[arg-type]
    except ValueError:
        raise BadArguments(f'missed={missed!r:.80}: choose "once", "skip" or "all"') from None


# Moments --------------------------------------------------------------------------------------------------------------


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadArguments(f"{value!r:.80} is no duration: give a timedelta or a number")
    return float(value)


def _ms(moment: datetime | float) -> int:
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise BadArguments(f"{moment!r} has no time zone: give an aware datetime, as datetime.now(timezone.utc)")
        moment = moment.timestamp()
    if isinstance(moment, bool) or not isinstance(moment, int | float) or not math.isfinite(moment):
        raise BadArguments(f"{moment!r:.80} is no moment: give an aware datetime or epoch seconds")
    return math.floor(moment * 1000)


def _as_datetime(ms: int, tz: Any) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(tz)
