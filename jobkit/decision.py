"""Decision: how a start may end, why it is made to, and what its end means for its run. Pure.

Only a `PublicError`'s text is for the end user; of any other error the browser learns a reference, and its traceback is
stored for the job's authors.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, assert_never

from jobkit.errors import LimitReached, PublicError
from jobkit.incident import Account, IncidentKind
from jobkit.lifecycle import Outcome
from jobkit.retrying import why
from jobkit.text import one_line
from jobkit.tracebacks import summary_of, traceback_of, up_to_the_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit.progress import Cancelled

UNKNOWN_JOB_DELAY = 1.0
"""Seconds until a run that this worker does not know is offered again."""
FAILED = "The job failed unexpectedly."
"""What end users read of an error that is not public."""

STALLS_UNTIL_STOPPED = 2
"""Times its `stall_limit` that a start may go without progress; then it is stopped."""


class StopReason(StrEnum):
    """Why a job is told to stop; the reason of the `Cancelled` that it gets."""

    CANCELLED = "cancelled"
    """Nobody wants it any more."""
    HANDED_BACK = "handed back"
    """Its worker shuts down; another one performs it anew, from its last checkpoint on."""
    LOST = "lost"
    """The run belongs to another worker, or has ended: whatever this start still did would be refused."""
    TIME_LIMIT = "time limit"
    """It took longer than its class allows."""
    STALL_LIMIT = "stall limit"
    """It made no progress for twice as long as its class allows."""
    UNCONFIRMED = "lease unconfirmed"
    """Its lease may be over by now, and its class is strict about that: the store decides what becomes of the run."""


class Limits(Protocol):
    """How long an attempt may take, in seconds; `Options` fits."""

    @property
    def time_limit(self) -> float | None: ...
    @property
    def stall_limit(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Returned:
    """`perform` came to its end, and this is its result: encoded, and as it was returned."""

    result: bytes
    value: object = None


@dataclass(frozen=True, slots=True)
class Raised:
    """`perform` raised, or what it returned cannot be kept."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Stopped:
    """`perform` was stopped from outside, or stopped itself."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """No job of this name and version is known here, or none that takes these arguments."""

    reason: str


Ended = Returned | Raised | Stopped | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How the start is to be settled."""

    outcome: Outcome | None
    """None: the run is no longer ours, and nothing is settled."""
    result: bytes = b"null"
    message: str = ""
    """Why it failed, for readers of the run."""
    public: bool = False
    traceback: str = ""
    delay: float = 0.0
    reason: str = ""
    account: Account | None = None
    """What befell it, for the job's authors."""
    retry_after: float | None = None
    """Seconds until another attempt, if the store still wants one; None: the failure is final."""


def _never(_error: BaseException) -> None:
    return None


def decide(ended: Ended, again: Callable[[BaseException], float | None] = _never) -> Decision:
    """What the end of a start means for its run.

    `again` tells after how many seconds another attempt may follow an error; None for none.
    """
    match ended:
        case Returned(result):
            return Decision(outcome=Outcome.SUCCEEDED, result=result)
        case Raised(error):
            return _failed(why(error), again(error))
        case Stopped(StopReason.LOST):
            return Decision(outcome=None)
        case Stopped(StopReason.HANDED_BACK | StopReason.UNCONFIRMED):
            return Decision(outcome=Outcome.RELEASED)
        case Stopped():
            return Decision(outcome=Outcome.CANCELLED)
        case Unknown(reason):
            return Decision(
                outcome=Outcome.RELEASED, message=f"There is {reason}.", delay=UNKNOWN_JOB_DELAY, reason=reason
            )
        case _:
            assert_never(ended)


def over_limit(reason: str, limits: Limits) -> LimitReached | None:
    """What an attempt fails with that was stopped for this reason; None when that is no failure."""
    if reason == StopReason.TIME_LIMIT and limits.time_limit is not None:
        return LimitReached(f"It took longer than its limit of {limits.time_limit:g} s.")
    if reason == StopReason.STALL_LIMIT and limits.stall_limit is not None:
        seconds = STALLS_UNTIL_STOPPED * limits.stall_limit
        return LimitReached(f"It made no progress for {seconds:g} s.", limit="stall_limit")
    return None


def stopped_by(cancelled: Cancelled, limits: Limits) -> Ended:
    """How a start has ended that was stopped so; with the traceback of where it was then."""
    reached = over_limit(cancelled.reason, limits)
    if reached is None:
        return Stopped(cancelled.reason)
    return Raised(reached.with_traceback(up_to_the_job(cancelled.__traceback__)))


def _failed(error: BaseException, retry_after: float | None) -> Decision:
    public = isinstance(error, PublicError | LimitReached)
    message = one_line(_text(error).strip()) if public else ""
    traceback = traceback_of(error)
    told = message or one_line(summary_of(traceback)) or FAILED
    return Decision(
        outcome=Outcome.FAILED,
        message=message or FAILED,
        public=public,
        traceback=traceback,
        account=Account(kind=_kind(error), message=told, traceback=traceback),
        retry_after=retry_after,
    )


def _kind(error: BaseException) -> IncidentKind:
    if not isinstance(error, LimitReached):
        return IncidentKind.FAILED
    return IncidentKind.STALLED if error.limit == "stall_limit" else IncidentKind.TIMED_OUT


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001  the author's class, so anything
        return ""
