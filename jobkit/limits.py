"""Limits: how many runs of a job may be running at once, and how far apart they start; of all, or of each value of some
arguments.

    max_running = 3                                  at most three of this job
    max_running = {"customer": 1}                    at most one for each customer
    max_running = {(): 10, "customer": 1}            both
    rate = "30/m"                                    a start every two seconds at the most
    rate = (30, timedelta(minutes=1))                the same
    rate = {("customer", "region"): "100/h"}

A rate spreads its starts evenly: so there are never more than it says in any stretch of time, and none are saved up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec

from jobkit.cache_key import canonical
from jobkit.errors import BadArguments

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_RUNNING: Final = 1_000_000
MOST_STARTS: Final = 1_000_000_000
MICROSECONDS: Final = 1_000_000
Rate = str | tuple[int, timedelta | float]
"""Of starts: "30/m", "5/10s", (30, timedelta(minutes=1)) or (30, 60)."""
_RATE: Final = re.compile(r"(\d{1,9})/(\d{0,6})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NAME_BYTES: Final = 10


class Limit(msgspec.Struct, frozen=True):
    """One limit of a job: of all its runs (no `fields`), or of those with equal values in these fields.

    `kind` is "m" for the most that may be running, `number` of them, or "r" for a rate, `number` µs between two starts.
    """

    kind: str
    fields: tuple[str, ...]
    number: int

    def name_for(self, job_name: str, job: object) -> str:
        """The name under which runs share this limit.

        Raises:
            BadArguments: one of the fields' values has no canonical form.
        """
        values = {name: getattr(job, name) for name in self.fields}
        whose = canonical(job_name) + canonical(values)
        return f"{self.kind}:{blake2b(whose, digest_size=_NAME_BYTES).hexdigest()}"


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of all runs of a queue, whatever their jobs: `JobKit(queues={"mail": Queue(max_running=2)})`.

    Raises:
        BadArguments: one of these can be no limit.
    """

    max_running: int | None = None
    rate: Rate | None = None

    def __post_init__(self) -> None:
        try:
            limits = self._limits()
        except ValueError as error:
            raise BadArguments(f"The limit of a queue {error}.") from None
        if any(limit.fields for limit in limits):
            raise BadArguments("A queue's limits are of all its runs: give max_running= and rate= without arguments.")

    def names(self, queue: str) -> dict[str, str]:
        """The names under which the runs of this queue share its limits, by kind."""
        digest = blake2b(canonical(("queue", queue)), digest_size=_NAME_BYTES).hexdigest()
        return {limit.kind: f"{limit.kind}:{digest}" for limit in self._limits()}

    def words(self, queue: str) -> str:
        """These limits as a submission brings them along: pairs of name and number."""
        names = self.names(queue)
        return " ".join(f"{names[limit.kind]} {limit.number}" for limit in self._limits())

    def _limits(self) -> tuple[Limit, ...]:
        return (
            *(() if self.max_running is None else max_running(self.max_running)),
            *(() if self.rate is None else rate(self.rate)),
        )


def share_of(queue: str, owner: str) -> str:
    """The limit by which the owners of a queue's runs take turns: of each, one stands in the queue."""
    return f"s:{blake2b(canonical((queue, owner)), digest_size=_NAME_BYTES).hexdigest()} 1"


def max_running(value: object) -> tuple[Limit, ...]:
    """The limits that `max_running = value` means.

    Raises:
        ValueError: it means none; the text goes on after the value.
    """
    return _limits(value, partial(_counted, "m"), 'a whole number above 0, as 3 or {"customer": 1}')


def rate(value: object) -> tuple[Limit, ...]:
    """The limits that `rate = value` means.

    Raises:
        ValueError: it means none; the text goes on after the value.
    """
    return _limits(
        value, _paced, 'a number of starts per s, m, h or d, as "30/m", "5/10s", (30, 60) or {"customer": "100/h"}'
    )


def _limits(value: object, limit: Callable[[tuple[str, ...], object], Limit | None], form: str) -> tuple[Limit, ...]:
    by_fields = value if isinstance(value, Mapping) else {(): value}
    limits = tuple(limit(_fields(key), number) for key, number in by_fields.items())
    if not limits or None in limits:
        raise ValueError(f"must be {form}")
    return limits  # type: ignore[return-value]


def _fields(key: Any) -> tuple[str, ...]:
    fields = (key,) if isinstance(key, str) else key
    if not isinstance(fields, tuple) or not all(isinstance(name, str) for name in fields):
        raise ValueError('must name arguments: "customer", ("customer", "region"), or () for all runs of the job')
    return fields


def _counted(kind: str, fields: tuple[str, ...], number: Any) -> Limit | None:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= MOST_RUNNING:
        return None
    return Limit(kind, fields, number)


def _paced(fields: tuple[str, ...], value: Any) -> Limit | None:
    starts, seconds = _starts_in_seconds(value)
    if not 0 < starts <= MOST_STARTS or not 0 < seconds < math.inf:
        return None
    return Limit("r", fields, max(1, round(seconds * MICROSECONDS / starts)))


def _starts_in_seconds(value: Any) -> tuple[int, float]:
    """(0, 0) for what names no rate."""
    match value:
        case str():
            written = _RATE.fullmatch(value)
            return (int(written[1]), int(written[2] or 1) * _SECONDS[written[3]]) if written else (0, 0.0)
        case (int(starts), timedelta() as period) if not isinstance(starts, bool):
            return starts, period.total_seconds()
        case (int(starts), int(seconds) | float(seconds)) if not isinstance(starts, bool):
            return starts, float(seconds)
        case _:
            return 0, 0.0
