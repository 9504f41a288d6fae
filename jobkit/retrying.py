"""Retrying: which errors are worth another attempt, and how long that waits. Pure: chance is passed in.

    retry_on = (ConnectionError, TimeoutError)    only these; by default any Exception
    give_up_on = (InvalidCustomer,)               never these, whatever `retry_on` says
    backoff = 5                                   5 s, 10 s, 20 s … at most an hour
    backoff = (1, 10, 60)                         these waits, the last of them again and again

A job may also ask for it itself: `raise Retry(after=30)`. What was meant for the user (`PublicError`), and a result
that cannot be kept (`BadResult`), would come again, so it is retried only where `retry_on` names it. What is no
`Exception` (`SystemExit`, `KeyboardInterrupt`) ends the run.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from jobkit.errors import BadResult, PublicError

if TYPE_CHECKING:
    from collections.abc import Iterable

FIRST_WAIT: Final = 1.0
LONGEST_DOUBLED_WAIT: Final = 3600.0
LONGEST_WAIT: Final = timedelta(days=366).total_seconds()
JITTER: Final = 0.2
"""A wait is up to so much shorter or longer than it says, so that what failed together does not come back together."""

_UNLESS_NAMED: Final = (PublicError, BadResult)
"""Errors that only a class which names them covers: neither Exception nor another one of their bases does."""

_DURATION: Final = "a timedelta or a number of seconds, 0 or more"
_CLASSES: Final = "an exception class, or a tuple of them, as (ConnectionError, TimeoutError)"


class Retry(Exception):
    """Raised by jobs: this attempt has failed, and another one is wanted.

    `after` (a timedelta or seconds) is when, None for the class's `backoff`. Where no attempt is left the run fails
    with its cause (`raise Retry(after=30) from error`), or else with its own text.

    Raises:
        ValueError: `after` is no duration.
    """

    def __init__(self, message: str = "The job asked for another attempt.", *, after: timedelta | float | None = None):
        super().__init__(message)
        try:
            self.after = None if after is None else _wait(after)
        except ValueError as error:
            raise ValueError(f"Retry(after={after!r:.80}) {error}.") from None


class Backoff(msgspec.Struct, frozen=True):
    """How long attempts wait (s): `waits` one after the other, the last again and again; or the first, doubled."""

    waits: tuple[float, ...] = (FIRST_WAIT,)
    doubling: bool = True

    def after(self, failures: int, chance: float) -> float:
        """The wait after so many failures, 1 or more; `chance` is between 0 and 1."""
        if self.doubling:
            wait = min(self.waits[0] * 2.0 ** min(failures - 1, 64), LONGEST_DOUBLED_WAIT)
        else:
            wait = self.waits[min(failures, len(self.waits)) - 1]
        return wait * (1 - JITTER + 2 * JITTER * chance)


class RetryPolicy(msgspec.Struct, frozen=True):
    """What a job's class says about its failures."""

    retry_on: tuple[type[Exception], ...] = (Exception,)
    give_up_on: tuple[type[Exception], ...] = ()
    backoff: Backoff = Backoff()

    def wait_after(self, error: BaseException, attempt: int, max_attempts: int, chance: float) -> float | None:
        """Seconds from this attempt's error to the next attempt; None when there is none."""
        if attempt >= max_attempts or not (isinstance(error, Retry) or self._covers(error)):
            return None
        asked = error.after if isinstance(error, Retry) else None
        return self.backoff.after(attempt, chance) if asked is None else asked

    def _covers(self, error: BaseException) -> bool:
        if isinstance(error, self.give_up_on):
            return False
        return any(isinstance(error, kind) and not _is_too_general(kind, error) for kind in self.retry_on)


def why(error: BaseException) -> BaseException:
    """What a run fails with that ended so: a Retry only says what to do about its cause."""
    return error.__cause__ or error if isinstance(error, Retry) else error


def backoff(value: object) -> Backoff:
    """What `backoff = value` means.

    Raises:
        ValueError: it means nothing; the text goes on after the value.
    """
    if value is None:
        return Backoff()
    if isinstance(value, tuple | list):
        if not value:
            raise ValueError(f"must have at least one wait, each {_DURATION}")
        return Backoff(tuple(_wait(each) for each in value), doubling=False)
    first = _wait(value)
    if first > LONGEST_DOUBLED_WAIT:
        raise ValueError("must be at most an hour, for it is doubled up to that: give longer waits as a tuple")
    return Backoff((first,))


def classes(value: object) -> tuple[type[Exception], ...]:
    """What `retry_on = value` or `give_up_on = value` means.

    Raises:
        ValueError: it means nothing; the text goes on after the value.
    """
    listed: Iterable[object] = value if isinstance(value, tuple | list | set | frozenset) else (value,)
    named = tuple(kind for kind in listed if isinstance(kind, type) and issubclass(kind, BaseException))
    if len(named) < len(tuple(listed)):
        raise ValueError(f"must be {_CLASSES}")
    if not all(issubclass(kind, Exception) for kind in named):
        raise ValueError("must name classes of Exception: what is none, as SystemExit, ends the run at once")
    return named  # type: ignore[return-value]


def _is_too_general(kind: type[Exception], error: BaseException) -> bool:
    return any(isinstance(error, meant) and kind is not meant and issubclass(meant, kind) for meant in _UNLESS_NAMED)


def _wait(value: object) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise ValueError(f"must be {_DURATION}")
    if seconds > LONGEST_WAIT:
        raise ValueError("must be at most a year")
    return float(seconds)
