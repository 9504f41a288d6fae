"""Execution: one start of a run, from its lease to how it is settled.

    resolve   find the job's class, and begin its progress
    make      the job, of its stored arguments; one that is not known here goes back instead
    perform   call it where it can be stopped and its progress is seen (see `Performer`), and encode what it returns
    decide    what its end means (`decision`; pure)
    tell      one line in the log
    call      the hooks of its end (those of its start are called just before it is performed)
    settle    say so to the store, through the lease

What the job's author wrote is called within two of them alone: the types of its arguments in `_make`, `perform` and the
type of its result in `_perform`. Nothing that happens there gets past them: not `SystemExit`, not an exception whose
own `str()` fails. (Hooks have such a guard of their own, for what they raise changes nothing.)
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from jobkit.checkpoint import Checkpoint
from jobkit.decision import Raised, Returned, Stopped, Unknown, decide, stopped_by
from jobkit.errors import BadArguments, BadCheckpoint
from jobkit.hooks import Event, Start, call
from jobkit.job import spec_of
from jobkit.lifecycle import Outcome
from jobkit.performing import Performed, performing
from jobkit.progress import Cancelled, Progress
from jobkit.retrying import RetryPolicy, why
from jobkit.store.operations import failure_head, reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobkit.decision import Decision, Ended
    from jobkit.files import File, FileStorage
    from jobkit.hooks import Hooks
    from jobkit.job import JobSpec, ProgressJob
    from jobkit.store.operations import Operation, Operations
    from jobkit.store.replies import Lease, Verdict
    from jobkit.tracing import Tracing

    Count = Callable[[Lease, str, float], None]
    """Told of every start that has ended: its outcome, and after how many seconds."""

GOING_ON = (Outcome.RELEASED, Outcome.FAILED)
"""After these the run may have another start."""
CHECKPOINT_SECONDS = 0.1
"""How often a loop asks for its state: as often as anybody looks at the progress."""
STARTS = "Run %s, attempt %d of %d: %s starts."
"""What is logged first of a start; whoever reads the log of a process finds by it where its last run began."""

_log = logging.getLogger("jobkit.worker")


class Kit(Protocol):
    """What a run is executed with; `JobKit` fits."""

    operations: Operations
    hooks: Hooks
    tracing: Tracing

    @property
    def jobs(self) -> Mapping[str, type[ProgressJob[Any]]]: ...
    @property
    def files(self) -> FileStorage: ...


class Performer(Protocol):
    """Where a job is performed: the caller's process, thread or loop."""

    def perform(self, lease: Lease, spec: JobSpec, job: ProgressJob[Any], progress: Progress) -> object:
        """What the job returns.

        Raises:
            Cancelled: it was stopped; the reason is a `StopReason`. Anything the job raises comes through.
        """


@dataclass(slots=True)
class _Start:
    """A lease being executed; `spec` is None when its job is not known here, and `job` until it is made."""

    lease: Lease
    spec: JobSpec | None
    progress: Progress
    job: ProgressJob[Any] | None = None
    began: float = field(default_factory=time.monotonic)

    def again(self, error: BaseException) -> float | None:
        """Seconds until another attempt may follow this error."""
        policy = self.spec.options.retries if self.spec else RetryPolicy()
        return policy.wait_after(error, self.lease.failures + 1, self.lease.max_attempts, random.random())

    @property
    def performed(self) -> Performed:
        lease = self.lease
        return Performed(lease.run_id, lease.key, lease.job, lease.failures + 1, lease.start)


class Execution:
    """Executes leases with the jobs of one kit."""

    def __init__(self, kit: Kit, performer: Performer, count: Count | None = None) -> None:
        self._kit = kit
        self._performer = performer
        self._count = count
        self._unknown: set[str] = set()
        """Names of jobs that were handed back, which is said once."""

    def execute(self, lease: Lease) -> Operation[Verdict] | None:
        """Perform the run. Answers what settles it; None when it is no longer ours to settle."""
        start = self._resolve(lease)
        with performing(start.performed), self._kit.tracing.performing(lease) as span:
            ended = self._make(start) or self._perform(start)
            decision = decide(ended, start.again)
            self._tell(start, ended, decision)
            self._call_hooks_of_end(start, ended, decision)
            settling = self._settle(start, decision)
            return span.settled_by(settling, _outcome(decision), ended.error if isinstance(ended, Raised) else None)

    def _resolve(self, lease: Lease) -> _Start:
        job_class = self._kit.jobs.get(lease.job)
        spec = spec_of(job_class) if job_class else None
        if spec is None or str(spec.options.cache_version) != lease.cache_version:
            return _Start(lease, None, Progress())
        restored = _restored(lease)
        progress = Progress(
            lease.token,
            spec.options.stages,
            restored=restored,
            checkpoint_seconds=CHECKPOINT_SECONDS,
            scheduled_for=_moment(lease.tick),
        )
        return _Start(lease, spec, progress)

    def _make(self, start: _Start) -> Ended | None:
        """None when there is a job to be performed."""
        lease, spec = start.lease, start.spec
        if spec is None:
            return Unknown(f"no worker for {lease.job} version {lease.cache_version}")
        try:
            start.job = spec.decode_arguments(lease.arguments)
        except BadArguments as error:  # of another version of the class: another worker may know it
            return Unknown(f"no worker whose {lease.job} takes these arguments: {error}")
        except BaseException as error:  # noqa: BLE001
            return Raised(error)
        return None

    def _perform(self, start: _Start) -> Ended:
        lease, spec, job = start.lease, start.spec, start.job
        assert spec is not None, "it was resolved"
        assert job is not None, "it was made"
        _log.info(STARTS, lease.run_id, lease.failures + 1, lease.max_attempts, lease.job)
        self._call_hooks(Event.START, start)
        try:
            value = self._performer.perform(lease, spec, job, start.progress)
            return Returned(spec.encode_result(value, keep=partial(self._keep, lease)), value)
        except Cancelled as cancelled:
            return stopped_by(cancelled, spec.options)
        except BaseException as error:  # noqa: BLE001  SystemExit too: it ends the job, not the worker
            return Raised(error)

    def _keep(self, lease: Lease, file: File) -> File:
        return self._kit.files.keep(lease.run_id, lease.token, file)

    def _tell(self, start: _Start, ended: Ended, decision: Decision) -> None:
        if isinstance(ended, Unknown):
            self._tell_unknown(start.lease, ended.reason)
            return
        took = time.monotonic() - start.began
        _tell_end(start, decision, took)
        if self._count is not None:
            self._count(start.lease, _outcome(decision), took)

    def _tell_unknown(self, lease: Lease, reason: str) -> None:
        """Once for each job: a run of it comes again every second, and so do all the others."""
        level = logging.DEBUG if lease.job in self._unknown else logging.INFO
        self._unknown.add(lease.job)
        _log.log(
            level,
            "Run %s is handed back, as are all of its kind: there is %s. If this one should take it, name the class in "
            "JobKit(jobs=[...]), of that version.",
            lease.run_id, reason,
        )  # fmt: skip

    def _call_hooks_of_end(self, start: _Start, ended: Ended, decision: Decision) -> None:
        """A start that is not the run's end, as another one follows it by no fault of its own, has none."""
        match ended:
            case Returned(value=value):
                self._call_hooks(Event.SUCCESS, start, value)
            case Raised(error):
                self._call_hooks(Event.FAILURE, start, why(error), will_retry=decision.retry_after is not None)
            case Stopped() if decision.outcome is Outcome.CANCELLED:
                self._call_hooks(Event.CANCEL, start)

    def _call_hooks(self, event: Event, start: _Start, *facts: object, will_retry: bool = False) -> None:
        """The job's own, then its kit's."""
        hooks = self._kit.hooks.on(event)
        if start.spec is not None and start.job is not None and event in start.spec.hooks:
            hooks = (getattr(start.job, event), *hooks)
        if hooks:
            call(hooks, _as_hooks_see(start, will_retry=will_retry), *facts)

    def _settle(self, start: _Start, decision: Decision) -> Operation[Verdict] | None:
        if decision.outcome is None:
            return None
        progress = start.progress.view(time.time(), succeeded=decision.outcome is Outcome.SUCCEEDED)
        return self._kit.operations.settle(
            start.lease,
            decision.outcome,
            progress=progress.to_json(),
            result=decision.result,
            failure=failure_head(decision.message, public=decision.public),
            traceback=decision.traceback,
            delay=decision.delay,
            reason=decision.reason,
            incident=decision.account.to_json() if decision.account else b"",
            retry_after=decision.retry_after,
            checkpoint=start.progress.checkpoint_to_json() if decision.outcome in GOING_ON else b"",
        )


def _restored(lease: Lease) -> Checkpoint | None:
    """What an earlier start left. A job can always begin anew, so what cannot be read is no reason to fail."""
    if lease.checkpoint is None:
        return None
    try:
        return Checkpoint.from_json(lease.checkpoint)
    except BadCheckpoint as error:
        _log.warning("Run %s begins anew: %s", lease.run_id, error)
        return None


def _as_hooks_see(start: _Start, *, will_retry: bool) -> Start:
    lease = start.lease
    return Start(
        run_id=lease.run_id,
        name=lease.job,
        job=start.job,
        attempt=lease.failures + 1,
        max_attempts=lease.max_attempts,
        start=lease.start,
        token=lease.token,
        will_retry=will_retry,
    )


def _tell_end(start: _Start, decision: Decision, took: float) -> None:
    """The log line of an end; of an unexpected error all that its author needs."""
    outcome = _outcome(decision)
    level, told = _told(start.lease, decision)
    run, attempt = start.lease.run_id, start.lease.failures + 1
    _log.log(level, "Run %s, attempt %d: %s after %.3f s.%s", run, attempt, outcome, took, told and f" {told}")


def _outcome(decision: Decision) -> str:
    return decision.outcome or "no longer ours"


def _told(lease: Lease, decision: Decision) -> tuple[int, str]:
    if decision.outcome is not Outcome.FAILED:
        return logging.INFO, decision.reason
    cause = decision.message if decision.public else decision.traceback
    said = f"Reference {reference(lease.run_id, lease.start)}. {cause}"
    if decision.retry_after is None:
        return logging.WARNING if decision.public else logging.ERROR, said
    attempt = f"Attempt {lease.failures + 2} of {lease.max_attempts}"
    return logging.WARNING, f"{attempt} starts in {decision.retry_after:.1f} s. {said}"


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
