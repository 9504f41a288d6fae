"""What can go wrong, as types: whose fault it is shows in the class.

    JobKitError
    ├── SubmitError              nothing was started
    │   ├── UnknownJob           no such job is registered
    │   ├── BadArguments         the caller's values do not fit the job (also a ValueError)
    │   ├── BadJob               the job class itself is wrong; its author must change it
    │   ├── QueueFull            try again after `retry_after` seconds
    │   └── EngineUnavailable    there is no such engine, or its broker cannot be reached
    ├── RunError                 about one run
    │   ├── RunNotFound          never existed, or no longer kept
    │   ├── RunFailed            `perform` raised, or its result could not be kept
    │   │   └── WorkerLost       its workers died too often
    │   ├── RunCancelled         somebody stopped it
    │   ├── RunTimeout           *waiting* took too long; the run goes on (also a TimeoutError)
    │   ├── BadResult            `perform` returned what cannot be kept (also a ValueError)
    │   └── BadCheckpoint        the job cannot be gone on with from what it says (also a ValueError)
    ├── StoreError               about the Valkey/Redis that keeps the runs
    │   ├── StoreUnavailable     not reachable now; trying again is right
    │   └── StoreMisconfigured   reachable but unfit; an operator must act
    ├── UnknownWorker            no worker of this name is known
    ├── LimitReached             what an attempt fails with that its class does not allow to go on
    └── PublicError              raised by jobs: its text may be shown to the end user

Each is made from one message; what else it carries is a keyword with a default, so that every error
survives `copy` and `pickle`, which rebuild an exception from its positional arguments alone.
"""

from collections.abc import Sequence
from typing import Any, Protocol


class FailureFacts(Protocol):
    """What a failed run tells its readers; `jobkit.snapshot.Failure` fits."""

    @property
    def message(self) -> str: ...
    @property
    def reference(self) -> str: ...
    @property
    def public(self) -> bool: ...


class JobKitError(Exception):
    """The root of everything jobkit raises."""


class SubmitError(JobKitError):
    """The submission was not accepted; nothing was started."""


class UnknownJob(SubmitError):
    """No job of this name is registered with the kit."""


class BadArguments(SubmitError, ValueError):
    """The arguments do not fit the job; the message names the field and a remedy."""


class BadJob(SubmitError):
    """The job class is wrong; raised where it is defined, or where it is first used."""


class QueueFull(SubmitError):
    """As many runs wait in the queue as the job's `max_queued` allows.

    `retry_after` is in seconds from now. Of jobs submitted together (`submit_many`), `runs` has one entry each, in
    their order: the run of a job that was admitted, None for one that was not. It is empty for a single job.
    """

    def __init__(self, message: str = "", *, retry_after: float = 0.0, runs: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.runs = runs


class EngineUnavailable(SubmitError):
    """There is no such engine, or it cannot reach its broker."""


class RunError(JobKitError):
    """Something about one run.

    `run_id` is empty where the run has none (a job performed inline).
    """

    def __init__(self, message: str = "", *, run_id: str = "") -> None:
        super().__init__(message)
        self.run_id = run_id


class RunNotFound(RunError):
    """The store keeps no run of this id: it never existed, or its time is over."""


class RunFailed(RunError):
    """The run ended in failure.

    `error` is what its snapshot says about the failure; None where nothing is known. `retry_at` (epoch seconds) is
    until when this failure answers equal submissions (`failure_ttl`); None when it does not.
    """

    def __init__(
        self,
        message: str = "",
        *,
        run_id: str = "",
        error: FailureFacts | None = None,
        retry_at: float | None = None,
    ) -> None:
        super().__init__(message, run_id=run_id)
        self.error = error
        self.retry_at = retry_at


class WorkerLost(RunFailed):
    """The run's workers died more often than `max_crashes` allows."""


class RunCancelled(RunError):
    """The run was cancelled; it has no result."""


class RunTimeout(RunError, TimeoutError):
    """Waiting took longer than the caller allowed; the run itself goes on."""


class BadResult(RunError, ValueError):
    """`perform` returned a value that cannot be kept; the message names the path and a remedy."""


class BadCheckpoint(RunError, ValueError):
    """A checkpoint that cannot be kept, or from which the job cannot go on; raised in the job."""


class StoreError(JobKitError):
    """Something about the store."""


class StoreUnavailable(StoreError):
    """The store does not answer now; trying again later is right."""


class StoreMisconfigured(StoreError):
    """The store answers but cannot be used as it is set up; an operator must act."""


class UnknownWorker(JobKitError):
    """No worker of this name has told of itself lately; the message lists those that have."""


class PublicError(JobKitError):
    """Raised by jobs: its text may be shown to the end user, any other error's text may not."""


class LimitReached(JobKitError):
    """An attempt was stopped at the `limit` of its class: "time_limit" or "stall_limit". Its text is public, too.

    Unlike a `PublicError` it may be gone the next time, so it is tried again where attempts are left.
    """

    def __init__(self, message: str = "", *, limit: str = "time_limit") -> None:
        super().__init__(message)
        self.limit = limit
