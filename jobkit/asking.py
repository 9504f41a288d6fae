"""Asking: what a caller may name beside a job: a queue, tags, an owner, a page of runs, how long to wait.

Each check answers the value in the form that everything else relies on, or raises a `BadArguments` that says what to
give instead. None is a value only where it says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from jobkit.errors import BadArguments
from jobkit.lifecycle import State
from jobkit.options import word
from jobkit.schedule import Cron, Every, Schedule

LONGEST_OWNER = 200


def named(kind: str, text: object) -> str:
    """The name of a queue or a tag."""
    try:
        return word(text)
    except ValueError as error:
        raise BadArguments(f"{kind}={_shown(text)} {error}.") from None


def tags(given: object) -> tuple[str, ...]:
    """Tags of one submission, however they were listed."""
    if isinstance(given, str):
        raise BadArguments(f"tags={_shown(given)}: give a list of tags, e.g. tags=[{_shown(given)}].")
    if not isinstance(given, Iterable):
        raise BadArguments(f"tags={_shown(given)}: give a list of tags, e.g. tags=['nightly'].")
    return tuple([named("tag", tag) for tag in given])


def owner(name: object) -> str:
    """Whoever submits, reads or withdraws."""
    if not isinstance(name, str):
        raise BadArguments(f"owner={_shown(name)}: give text, 1 to {LONGEST_OWNER} printable characters.")
    if not 0 < len(name) <= LONGEST_OWNER or not name.isprintable():
        raise BadArguments(f"owner={_shown(name)}: give 1 to {LONGEST_OWNER} printable characters.")
    return name


def state(given: object) -> State | None:
    """The state of the runs to list; None for any."""
    if given is None:
        return None
    found = next((each for each in State if each == given), None)
    if found is None:
        known = ", ".join(repr(each.value) for each in State)
        raise BadArguments(f"state={_shown(given)}: choose one of {known}, or None for all.")
    return found


def limit(given: object) -> int:
    """How many runs a page may have."""
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise BadArguments(f"limit={_shown(given)}: give a whole number, 0 or more.")
    return given


def seconds(name: str, given: object) -> float:
    """How long to wait: a timedelta or seconds; without end is `math.inf`."""
    waited = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(waited, bool) or not isinstance(waited, int | float) or math.isnan(waited):
        raise BadArguments(f"{name}={_shown(given)}: give a timedelta or a number of seconds.")
    return float(waited)


def schedule(when: object, tz: object, missed: object) -> Schedule:
    """When something is to be started by the clock."""
    match when:
        case Cron() | Every():
            if (tz, missed) != (None, None):
                raise BadArguments(f"tz and missed are named in {type(when).__name__}(...), not beside it.")
            return when
        case str():
            return Cron(when, "UTC" if tz is None else tz, _missed(missed))  # type: ignore[arg-type]
        case int() | float() | timedelta():
            if tz is not None:
                raise BadArguments(f"tz={_shown(tz)}: an interval is the same in all time zones. Leave it out.")
            return Every(when, missed=_missed(missed))
        case _:
            raise BadArguments(
                f"{_shown(when)} is no schedule: give a line of cron, as '0 3 * * *', an interval, Cron(...) or"
                " Every(...)."
            )


def _missed(given: object) -> Any:
    return "once" if given is None else given


def _shown(value: object) -> str:
    return repr(value[:80]) if isinstance(value, str) else f"{value!r:.80}"
