"""The options of a job class: which there are, what each may be, and what it becomes.

Each option has one check, which returns the value in the form that everything else relies on, or raises a `ValueError`
that goes on after the value: "must be a timedelta or ...".
"""

import enum
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Final

import msgspec

from jobkit import limits, retrying, schedule
from jobkit.limits import Limit
from jobkit.retrying import Backoff, RetryPolicy
from jobkit.schedule import Schedule

DEFAULT_QUEUE: Final = "default"
MIN_LEASE_SECONDS: Final = 0.2
MAX_LEASE_SECONDS: Final = 3600.0
MIN_ABANDON_SECONDS: Final = 60.0
MAX_PRIORITY: Final = 1000
MAX_QUEUE_WEIGHT: Final = 1000

MIN_MEMORY: Final = 1024 * 1024

_MEMORY: Final = re.compile(r"\s*(\d{1,9}(?:\.\d{1,3})?)\s*([KMGTkmgt])i?[Bb]?\s*")
_WORD: Final = re.compile(r"[\w.:/-]{1,100}")


class EveryField(enum.Enum):
    """The type of `ALL`."""

    ALL = "ALL"

    def __repr__(self) -> str:
        return self.name


ALL: Final = EveryField.ALL
"""`cache_key = ALL`: jobs are identical when every argument is."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one job class, checked; every duration in seconds. `docs/jobs.md` says what each does."""

    cache_key: tuple[str, ...] | EveryField | None = None
    cache_version: int | str = 1
    tags: tuple[str, ...] = ()
    cache_ttl: float | None = None
    stale_ttl: float | None = None
    failure_ttl: float | None = None
    refresh: bool = False
    throttle: float | None = None
    debounce: float | None = None
    l1_ttl: float | None = None
    keep_for: float = 24 * 3600.0
    schedule: Schedule | None = None
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    max_running: tuple[Limit, ...] = ()
    rate: tuple[Limit, ...] = ()
    fair_share: bool = False
    max_queued: int | None = None
    expires: float | None = None
    max_attempts: int = 1
    backoff: Backoff = Backoff()
    retry_on: tuple[type[Exception], ...] = (Exception,)
    give_up_on: tuple[type[Exception], ...] = ()
    max_crashes: int = 3
    undeliverable_after: float = 600.0
    cancel_grace: float = 10.0
    abandon_after: float | None = None
    lease: float | None = None
    """None: the worker's own, 15 s unless it is told otherwise."""
    strict_lease: bool = False
    time_limit: float | None = None
    stall_limit: float | None = None
    memory_limit: int | None = None
    """Bytes. None: the worker's own, if it has one."""
    leak_warning: int | None = None
    """Bytes."""
    stages: dict[str, float] | None = None
    submittable: bool = False
    public_result: bool = False

    @property
    def retries(self) -> RetryPolicy:
        return RetryPolicy(self.retry_on, self.give_up_on, self.backoff)


def word(value: object) -> str:
    """What a queue, a tag or a job may be called: nothing that a command line or a log would have to quote."""
    if not isinstance(value, str):
        raise ValueError("must be text: 1 to 100 letters, digits and . : / - _ only")
    if not _WORD.fullmatch(value):
        raise ValueError("must be 1 to 100 letters, digits and . : / - _ only")
    return value


def queue_weights(queues: object) -> dict[str, int]:
    """The queues that a worker is to serve, with their weights; 0 where none is given.

    Raises:
        ValueError: these are none.
    """
    if isinstance(queues, str) or not isinstance(queues, Iterable) or not (names := tuple(queues)):
        raise ValueError(
            f"queues must be a tuple of one or more names, or their weights, as {{'critical': 6}}, not {queues!r}."
        )
    for name in names:
        try:
            word(name)
        except ValueError as error:
            raise ValueError(f"The queue {name!r} cannot be served: its name {error}.") from None
    return {name: _queue_weight(name, queues[name]) if isinstance(queues, Mapping) else 0 for name in names}


def _queue_weight(name: str, weight: object) -> int:
    try:
        return _whole_number(weight, 1, MAX_QUEUE_WEIGHT)
    except ValueError as error:
        raise ValueError(f"The queue {name!r} cannot be served: its weight, {weight!r}, {error}.") from None


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, tuple | list | set | frozenset):
        raise ValueError('must be a tuple of words, as ("reports", "eu")')
    words = tuple(word(item) for item in value)
    return tuple(sorted(words)) if isinstance(value, set | frozenset) else words


def _seconds(value: object) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise ValueError("must be a timedelta or a number of seconds above 0")
    return float(seconds)


def memory_bytes(value: object) -> int:
    """Bytes, of a number of them or a text as "512 MB"; a KB is 1024 of them."""
    wrong = 'must be a whole number of bytes or a text as "512 MB" or "1.5 GB", of at least 1 MB'
    match = _MEMORY.fullmatch(value) if isinstance(value, str) else None
    if match:
        amount = int(float(match[1]) * 1024 ** "KMGT".index(match[2].upper()) * 1024)
    elif isinstance(value, int) and not isinstance(value, bool):
        amount = value
    else:
        raise ValueError(wrong)
    if not MIN_MEMORY <= amount < 2**53:
        raise ValueError(wrong)
    return amount


def _lease_seconds(value: object) -> float:
    seconds = _seconds(value)
    if not MIN_LEASE_SECONDS <= seconds <= MAX_LEASE_SECONDS:
        raise ValueError(f"must be between {MIN_LEASE_SECONDS} and {MAX_LEASE_SECONDS:.0f} seconds")
    return seconds


def _abandon_seconds(value: object) -> float:
    seconds = _seconds(value)
    if seconds < MIN_ABANDON_SECONDS:
        raise ValueError(
            f"must be at least {MIN_ABANDON_SECONDS:.0f} seconds: a quiet page says rarely that it watches"
        )
    return seconds


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return value


def _whole_number(value: object, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise ValueError(f"must be a whole number from {lowest} to {highest}")
    return value


def _cache_version(value: object) -> int | str:
    return word(value) if isinstance(value, str) else _whole_number(value, 0, 2**53)


def _cache_key(value: object) -> tuple[str, ...] | EveryField:
    if isinstance(value, EveryField):
        return value
    if isinstance(value, str):
        raise ValueError(f'is text, not a tuple: the comma makes the tuple. Write cache_key = ("{value}",)')
    if not isinstance(value, tuple | list) or not all(isinstance(name, str) for name in value):
        raise ValueError("must be a tuple of argument names, ALL or None")
    if len(set(value)) < len(value):
        raise ValueError("names an argument twice")
    return tuple(value)


def _stages(value: object) -> dict[str, float]:
    if not isinstance(value, Mapping) or not value or not all(name and isinstance(name, str) for name in value):
        raise ValueError('must map stage names to weights, as {"read": 3, "write": 1}')
    try:
        return {name: _seconds(weight) for name, weight in value.items()}
    except ValueError:
        raise ValueError("must give every stage a weight above 0") from None


def _or_none(check: Callable[[object], object]) -> Callable[[object], object]:
    return lambda value: None if value is None else check(value)


def _no_limit_or(check: Callable[[object], object]) -> Callable[[object], object]:
    return lambda value: () if value is None else check(value)


OWN_NAME: Final = "job_name"
"""The one option that is not inherited: two classes cannot share a name."""

OPTION_CHECKS: Final[Mapping[str, Callable[[object], object]]] = {
    "cache_key": _or_none(_cache_key),
    "cache_version": _cache_version,
    "tags": _words,
    "cache_ttl": _or_none(_seconds),
    "stale_ttl": _or_none(_seconds),
    "failure_ttl": _or_none(_seconds),
    "refresh": _flag,
    "throttle": _or_none(_seconds),
    "debounce": _or_none(_seconds),
    "l1_ttl": _or_none(_seconds),
    "keep_for": _seconds,
    "schedule": _or_none(schedule.schedule),
    "queue": word,
    "priority": partial(_whole_number, lowest=-MAX_PRIORITY, highest=MAX_PRIORITY),
    "max_running": _no_limit_or(limits.max_running),
    "rate": _no_limit_or(limits.rate),
    "fair_share": _flag,
    "max_queued": _or_none(partial(_whole_number, lowest=1, highest=2**53)),
    "expires": _or_none(_seconds),
    "max_attempts": partial(_whole_number, lowest=1, highest=1000),
    "backoff": retrying.backoff,
    "retry_on": retrying.classes,
    "give_up_on": retrying.classes,
    "max_crashes": partial(_whole_number, lowest=0, highest=1000),
    "undeliverable_after": _seconds,
    "cancel_grace": _seconds,
    "abandon_after": _or_none(_abandon_seconds),
    "lease": _or_none(_lease_seconds),
    "strict_lease": _flag,
    "time_limit": _or_none(_seconds),
    "stall_limit": _or_none(_seconds),
    "memory_limit": _or_none(memory_bytes),
    "leak_warning": _or_none(memory_bytes),
    "stages": _or_none(_stages),
    "submittable": _flag,
    "public_result": _flag,
}

OPTION_NAMES: Final = frozenset({OWN_NAME, *OPTION_CHECKS})
