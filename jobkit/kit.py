"""JobKit: the composition root, where store and jobs meet.

Making a kit does no I/O. It is thread-safe, survives a fork, and keeps one async client per event loop.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from msgspec import json

from jobkit import asking
from jobkit.clients import Clients
from jobkit.control import Control
from jobkit.engines.inline import Inline, performed_here
from jobkit.errors import (
    BadArguments,
    BadJob,
    EngineUnavailable,
    QueueFull,
    StoreMisconfigured,
    SubmitError,
    UnknownJob,
)
from jobkit.files import FileStorage
from jobkit.fleet import known_worker
from jobkit.following import Origin
from jobkit.hooks import Event, Hooks, Start
from jobkit.job import ProgressJob, spec_of
from jobkit.limits import Queue
from jobkit.options import DEFAULT_QUEUE
from jobkit.performing import performed, refuse_while_imported
from jobkit.progress import Progress
from jobkit.run import Run
from jobkit.store.location import URL_VARIABLE, EmbeddedLocation, locate
from jobkit.store.operations import Operations, Reuse, Terms, checked_run_id, partition_of
from jobkit.store.replies import Admission, Full, all_backlogs, page, work_in
from jobkit.submission import (
    NO_WISHES,
    Batch,
    Wishes,
    interest_of,
    invalidated,
    places_of_key,
    submission_again,
    submission_of,
)
from jobkit.timetable import checked_entry, entry_of, found, named
from jobkit.tracing import NO_TRACING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta
    from zoneinfo import ZoneInfo

    from jobkit.engine import Engine
    from jobkit.fleet import WorkerInfo
    from jobkit.job import JobSpec
    from jobkit.lifecycle import State
    from jobkit.schedule import Cron, Every
    from jobkit.store.async_client import AsyncStore
    from jobkit.store.client import Store
    from jobkit.store.listening import Listening
    from jobkit.store.location import Location
    from jobkit.store.operations import Declaration, Operation, Submission
    from jobkit.store.partitions import Partitions
    from jobkit.store.replies import Admitted, Announced, Backlog, Listed, Page, Recalled, Scheduled
    from jobkit.timetable import Entry, Found, ScheduleStatus
    from jobkit.tracing import Submitting, Tracing

R = TypeVar("R")
J = TypeVar("J", bound=type[ProgressJob[Any]])
S = TypeVar("S", bound=Callable[[Start], object])
V = TypeVar("V", bound=Callable[[Start, Any], object])
E = TypeVar("E", bound=Callable[[Start, BaseException], object])

_MANY = "many"
_WITH_A_STAKE = (Admission.NEW, Admission.JOINED)
"""What has ended already goes on for nobody, so nobody has a stake in it."""


class JobKit:
    """Submits jobs and finds their runs.

    `url` names the store; None takes JOBKIT_URL, else an embedded server under `.jobkit/`. `jobs` are what workers of
    this kit perform and what may be submitted by name. `engine` is "native" (None for that), or "inline": `submit`
    performs what it makes due. `queues` are limits of queues, as {"mail": Queue(max_running=2)}: all kits that submit
    to these must name the same. `namespace` keeps kits of one store apart; None takes JOBKIT_NAMESPACE, else "jobkit".
    `patience` is for how long (a timedelta or seconds) an operation tries to reach a store that is away, before it
    raises StoreUnavailable; a reply is waited for at least one second, and at most five. `tracing` makes spans of what
    happens to runs (`jobkit.otel.OpenTelemetry()`).

    Raises:
        StoreMisconfigured: the URL or the namespace cannot be used.
        EngineUnavailable: there is no such engine.
        BadArguments: `patience` is no duration, or a queue is not given as one.
        BadJob: one of the jobs is no job class, or two bear one name.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        jobs: Iterable[type[ProgressJob[Any]]] = (),
        engine: str | None = None,
        queues: Mapping[str, Queue] | None = None,
        namespace: str | None = None,
        patience: timedelta | float = 10.0,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self.location = locate(url)
        self.url = _lasting(url, self.location)
        """The store's URL, password included, as another process in another folder can use it."""
        self.operations = Operations(namespace or os.environ.get("JOBKIT_NAMESPACE") or "jobkit")
        self._jobs: dict[str, type[ProgressJob[Any]]] = {}
        self.hooks = Hooks()
        """What is called when a run of any job starts and ends (see `on_start` and its like)."""
        self.tracing = tracing
        self._timetable: dict[str, Entry] = {}
        self.engine = self._engine_called(engine or "native")
        """What brings workers to look; None for the store's own bell."""
        self.control = Control(self)
        """Asks the workers of its namespace, and changes limits, while they run."""
        self.queue_rules: Mapping[str, Queue] = _checked_rules(queues or {})
        """The limits of queues, by name."""
        self._clients = Clients(self.location, self.operations, asking.seconds("patience", patience))
        self._warned = False
        for job in _job_classes(jobs):
            self.register(job)

    # Jobs -------------------------------------------------------------------------------------------------------------

    @property
    def jobs(self) -> Mapping[str, type[ProgressJob[Any]]]:
        """The registered job classes by job name."""
        return self._jobs

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that its jobs name, those it limits, and `default`, which a job waits in that names none."""
        named = (spec_of(job).options.queue for job in self._jobs.values())
        return tuple(sorted({DEFAULT_QUEUE, *self.queue_rules, *named}))

    def register(self, job: J) -> J:
        """Make a job class known to this kit's workers; also as a decorator.

        Raises:
            BadJob: it is no job class, or another one bears its name.
        """
        name = spec_of(job).name
        if not isinstance(job, type):
            raise BadJob(f"This is a job, not its class: register {type(job).__name__}, and submit jobs made from it.")
        if name in self._jobs:
            if self._jobs[name] is not job:
                raise BadJob(f"Two jobs are called {name}: give one of them a job_name of its own.")
            return job
        entry = entry_of(job)
        if entry is not None:
            self._enter(entry)
        self._jobs[name] = job
        return job

    # Hooks ------------------------------------------------------------------------------------------------------------

    def on_start(self, hook: S) -> S:
        """Call this whenever a run starts here, before its `perform`; also as a decorator, as its like."""
        self.hooks.add(Event.START, hook)
        return hook

    def on_success(self, hook: V) -> V:
        """Call this with the result whenever a run succeeds here, before that is settled."""
        self.hooks.add(Event.SUCCESS, hook)
        return hook

    def on_failure(self, hook: E) -> E:
        """Call this with the error whenever a run fails here, before that is settled."""
        self.hooks.add(Event.FAILURE, hook)
        return hook

    def on_cancel(self, hook: S) -> S:
        """Call this whenever a run has been cancelled here, before that is settled."""
        self.hooks.add(Event.CANCEL, hook)
        return hook

    # Submitting -------------------------------------------------------------------------------------------------------

    def submit(
        self,
        job: ProgressJob[R],
        *,
        at: datetime | float | None = None,
        after: timedelta | float | None = None,
        priority: int | None = None,
        queue: str | None = None,
        reuse: str = "any",
        owner: str | None = None,
        tags: Sequence[str] = (),
    ) -> Run[R]:
        """Hand a job to the store, and get the run that answers it: a new one, a shared one, or a remembered one.

        `at` (aware datetime or epoch seconds) or `after` (timedelta or seconds) defers the start; `reuse="fresh"`
        takes no answer begun before now, `"none"` shares nothing; `owner` is who may read and cancel it in the web.

        Raises:
            SubmitError: the submission makes no sense; nothing was started.
            StoreUnavailable: the store could not be reached.
        """
        refuse_while_imported(SubmitError)
        wishes = _wishes(at, after, priority, queue, reuse, owner, tags)
        remembered = self._remembered(job, wishes)
        if remembered is not None:
            return remembered
        self.warn_if_blocking("submit")
        store, asked_at = self.store(), self._epoch()
        with self.tracing.submitting(spec_of(job).name) as span:
            submission = self._submission(job, wishes, store.partitions(), span)
            admitted = store.execute(self.operations.submit(submission))
            span.answered(submission.conditions.queue, (admitted,))
        self._ring({submission.conditions.queue})
        return self._run(job, submission, admitted, store.known, asked_at)

    async def asubmit(
        self,
        job: ProgressJob[R],
        *,
        at: datetime | float | None = None,
        after: timedelta | float | None = None,
        priority: int | None = None,
        queue: str | None = None,
        reuse: str = "any",
        owner: str | None = None,
        tags: Sequence[str] = (),
    ) -> Run[R]:
        refuse_while_imported(SubmitError)
        wishes = _wishes(at, after, priority, queue, reuse, owner, tags)
        remembered = self._remembered(job, wishes)
        if remembered is not None:
            return remembered
        store, asked_at = self.async_store(), self._epoch()
        with self.tracing.submitting(spec_of(job).name) as span:
            submission = self._submission(job, wishes, await store.partitions(), span)
            admitted = await store.execute(self.operations.submit(submission))
            span.answered(submission.conditions.queue, (admitted,))
        await self._aring({submission.conditions.queue})
        return self._run(job, submission, admitted, store.known, asked_at)

    def submit_many(
        self,
        jobs: Iterable[ProgressJob[R]],
        *,
        at: datetime | float | None = None,
        after: timedelta | float | None = None,
        priority: int | None = None,
        queue: str | None = None,
        reuse: str = "any",
        owner: str | None = None,
        tags: Sequence[str] = (),
    ) -> list[Run[R]]:
        """Hand many jobs to the store in one round trip, and get their runs in the same order.

        Each is admitted as by `submit`; nothing is submitted unless all of them make sense.

        Raises:
            SubmitError: a submission makes no sense; nothing was started.
            QueueFull: some were not admitted; `runs` of the error tells which were.
            StoreUnavailable: the store could not be reached.
        """
        refuse_while_imported(SubmitError)
        self.warn_if_blocking("submit_many")
        store, wishes = self.store(), _wishes(at, after, priority, queue, reuse, owner, tags)
        asked_at = self._epoch()
        with self.tracing.submitting(_MANY) as span:
            batch = self._batch(jobs, wishes, store.partitions(), span)
            replies = store.execute_all(batch.operations(self.operations))
            span.answered(" ".join(batch.queues), batch.in_order(replies))
        self._ring(batch.queues)
        return self._runs(batch, replies, store.known, asked_at)

    async def asubmit_many(
        self,
        jobs: Iterable[ProgressJob[R]],
        *,
        at: datetime | float | None = None,
        after: timedelta | float | None = None,
        priority: int | None = None,
        queue: str | None = None,
        reuse: str = "any",
        owner: str | None = None,
        tags: Sequence[str] = (),
    ) -> list[Run[R]]:
        refuse_while_imported(SubmitError)
        store, wishes = self.async_store(), _wishes(at, after, priority, queue, reuse, owner, tags)
        asked_at = self._epoch()
        with self.tracing.submitting(_MANY) as span:
            batch = self._batch(jobs, wishes, await store.partitions(), span)
            replies = await store.execute_all(batch.operations(self.operations))
            span.answered(" ".join(batch.queues), batch.in_order(replies))
        await self._aring(batch.queues)
        return self._runs(batch, replies, store.known, asked_at)

    def retry(self, run_id: str, *, owner: str | None = None) -> Run[Any]:
        """Do once more what an ended run did: a new run of the same job and arguments, in the same queue.

        Its snapshot names the old one (`retry_of`). Remembered results and failures do not answer it; an equal run that
        has not begun does. It belongs to `owner`, or to whom the old one belonged.

        Raises:
            RunNotFound: no such run is kept.
            RunError: it has not ended.
            SubmitError: the class of the job has changed since; nothing was started.
            StoreUnavailable: the store could not be reached.
        """
        refuse_while_imported(SubmitError)
        self.warn_if_blocking("retry")
        store = self.store()
        submission = self._again(run_id, store.execute(self.operations.recall(checked_run_id(run_id))), owner)
        admitted = store.execute(self.operations.submit(submission))
        self._ring({submission.conditions.queue})
        return self._begun_anew(submission, admitted, store.known)

    async def aretry(self, run_id: str, *, owner: str | None = None) -> Run[Any]:
        refuse_while_imported(SubmitError)
        store = self.async_store()
        submission = self._again(run_id, await store.execute(self.operations.recall(checked_run_id(run_id))), owner)
        admitted = await store.execute(self.operations.submit(submission))
        await self._aring({submission.conditions.queue})
        return self._begun_anew(submission, admitted, store.known)

    def invalidate(
        self, what: ProgressJob[Any] | type[ProgressJob[Any]] | None = None, *, tag: str | None = None
    ) -> None:
        """From now on answer no submission by what began before now: of this very job, of a job class, or of a tag.

        Covers memos, failures, and runs in flight; these go on for those who already hold them.

        Raises:
            BadArguments: neither or both were named, or the job has no cache key.
            StoreUnavailable: the store could not be reached.
        """
        self.warn_if_blocking("invalidate")
        name, operations = self._invalidations(what, tag, self.store().partitions())
        try:
            self.store().execute_all(operations)
        finally:
            self._forget(name)

    async def ainvalidate(
        self, what: ProgressJob[Any] | type[ProgressJob[Any]] | None = None, *, tag: str | None = None
    ) -> None:
        name, operations = self._invalidations(what, tag, await self.async_store().partitions())
        try:
            await self.async_store().execute_all(operations)
        finally:
            self._forget(name)

    def forget(self) -> None:
        """Forget what this process remembers (`l1_ttl`); the store's memos stay."""
        l1 = self._clients.known_l1()
        if l1 is not None:
            l1.forget_all()

    def perform(self, job: ProgressJob[R]) -> R:
        """Perform a job here and now, without store, worker or memo, and return its result."""
        self.warn_if_blocking("perform")
        return cast("R", performed_here(job, Progress(stages=spec_of(job).options.stages)))

    async def aperform(self, job: ProgressJob[R]) -> R:
        """As `perform`; a blocking job gets a thread of its own."""
        progress = Progress(stages=spec_of(job).options.stages)
        value = job.perform(progress) if spec_of(job).is_async else await asyncio.to_thread(job.perform, progress)
        return cast("R", await value if inspect.isawaitable(value) else value)

    # Scheduling -------------------------------------------------------------------------------------------------------

    def schedule(
        self,
        name: str,
        job: ProgressJob[Any],
        when: str | timedelta | float | Cron | Every,
        *,
        tz: str | ZoneInfo | None = None,
        missed: str | None = None,
        priority: int | None = None,
        queue: str | None = None,
        reuse: str = "fresh",
        owner: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        """Have this kit's workers submit a job by the clock. Says it to them only; asks nobody.

        `when` is a line of cron (in the time zone `tz`, else UTC), an interval, or a `Cron` or `Every`, which name
        their own `tz` and `missed`. The rest is as for `submit`; no run that has begun before its tick answers, unless
        `reuse` says so.

        Raises:
            SubmitError: this makes no sense, or another schedule has that name.
        """
        wishes = Wishes(priority=priority, queue=queue, reuse=reuse, owner=owner, tags=tags)
        entry = checked_entry(asking.named("name", name), job, asking.schedule(when, tz, missed), wishes)
        if spec_of(job).name not in self._jobs:
            raise _unknown(spec_of(job).name)
        self._enter(entry)

    def schedules(self) -> list[ScheduleStatus]:
        """What the store knows of schedules, by name: those that a worker has declared within the last week.

        Raises:
            StoreUnavailable: the store could not be reached.
        """
        self.warn_if_blocking("schedules")
        return [each.status for each in found(self._look())]

    async def aschedules(self) -> list[ScheduleStatus]:
        return [each.status for each in found(await self._alook())]

    def pause_schedule(self, name: str) -> None:
        """Have a schedule start nothing until it is resumed, whichever workers start meanwhile.

        Raises:
            BadArguments: there is no schedule of this name.
            StoreUnavailable: the store could not be reached.
        """
        self.warn_if_blocking("pause_schedule")
        while not self.store().execute(self._pausing(named(name, self._look()))):
            pass  # it has moved meanwhile

    async def apause_schedule(self, name: str) -> None:
        while not await self.async_store().execute(self._pausing(named(name, await self._alook()))):
            pass

    def resume_schedule(self, name: str) -> None:
        """Have a paused schedule go on with its next tick; what it would have started meanwhile is over.

        Raises:
            BadArguments: there is no schedule of this name.
            StoreUnavailable: the store could not be reached.
        """
        self.warn_if_blocking("resume_schedule")
        while not self.store().execute(self._resuming(named(name, self._look()))):
            pass  # it was changed meanwhile

    async def aresume_schedule(self, name: str) -> None:
        while not await self.async_store().execute(self._resuming(named(name, await self._alook()))):
            pass

    def run_schedule(self, name: str) -> Run[Any]:
        """Submit what a schedule is for now, also while it is paused; its ticks stay as they are.

        Raises:
            BadArguments: there is no schedule of this name.
            QueueFull: as many wait as the class allows.
            StoreUnavailable: the store could not be reached.
        """
        self.warn_if_blocking("run_schedule")
        one = named(name, self._look())
        admitted = self.store().execute(self.operations.run_schedule(name, one.partition))
        self._ring({one.row.queue})
        return self._run_of(one, admitted)

    async def arun_schedule(self, name: str) -> Run[Any]:
        one = named(name, await self._alook())
        admitted = await self.async_store().execute(self.operations.run_schedule(name, one.partition))
        await self._aring({one.row.queue})
        return self._run_of(one, admitted)

    def declarations(self, partitions: int) -> list[Declaration]:
        """What this kit's workers declare in a namespace of so many partitions."""
        return [entry.declaration(partitions, self.queue_rules) for entry in self._timetable.values()]

    # Finding ----------------------------------------------------------------------------------------------------------

    @overload
    def run(self, run_id: str, *, owner: str | None = None) -> Run[Any]: ...
    @overload
    def run(self, run_id: str, job: type[ProgressJob[R]], *, owner: str | None = None) -> Run[R]: ...
    def run(self, run_id: str, job: type[ProgressJob[Any]] | None = None, *, owner: str | None = None) -> Run[Any]:
        """A handle of a run by its id; asks nobody. With its job class the result is typed.

        With `owner` it holds the interest of whoever submitted under that name, and can withdraw it.

        Raises:
            RunNotFound: this cannot be the id of a run.
            BadArguments: nobody submits under this name.
        """
        interest = "" if owner is None else interest_of(asking.owner(owner))
        return Run(checked_run_id(run_id), self, spec_of(job) if job else None, interest=interest)

    def runs(self, state: State | None = None, limit: int = 50, cursor: str = "", *, owner: str | None = None) -> Page:
        """Snapshots, newest first, of all runs, those in one state or those of one owner; `cursor` continues a page.

        Raises:
            BadArguments: there is no such state, no such page, or nobody can be called so.
        """
        self.warn_if_blocking("runs")
        return page(self.store().everywhere(self._listing(state, limit, cursor, owner)), limit)

    async def aruns(
        self, state: State | None = None, limit: int = 50, cursor: str = "", *, owner: str | None = None
    ) -> Page:
        return page(await self.async_store().everywhere(self._listing(state, limit, cursor, owner)), limit)

    # Queues and workers -----------------------------------------------------------------------------------------------

    def pause_queue(self, queue: str) -> bool:
        """Let nothing be taken from a queue until it is resumed; what is running goes on. False: it was paused already.

        Raises:
            BadArguments: no queue can be called so.
            StoreUnavailable: the store could not be reached; where there are several partitions, pause it again.
        """
        self.warn_if_blocking("pause_queue")
        return any(self.store().everywhere(self._pausing_queue(queue, paused=True)))

    async def apause_queue(self, queue: str) -> bool:
        return any(await self.async_store().everywhere(self._pausing_queue(queue, paused=True)))

    def resume_queue(self, queue: str) -> bool:
        """Let runs be taken from a queue again. False: it was not paused.

        Raises:
            BadArguments: no queue can be called so.
            StoreUnavailable: the store could not be reached; where there are several partitions, resume it again.
        """
        self.warn_if_blocking("resume_queue")
        return any(self.store().everywhere(self._pausing_queue(queue, paused=False)))

    async def aresume_queue(self, queue: str) -> bool:
        return any(await self.async_store().everywhere(self._pausing_queue(queue, paused=False)))

    def backlog(self) -> tuple[Backlog, ...]:
        """How each queue stands: those that this kit names, and all that have runs, by name."""
        self.warn_if_blocking("backlog")
        return all_backlogs(self.store().everywhere(partial(self.operations.queues, self.queues)))

    async def abacklog(self) -> tuple[Backlog, ...]:
        return all_backlogs(await self.async_store().everywhere(partial(self.operations.queues, self.queues)))

    def workers(self) -> tuple[WorkerInfo, ...]:
        """The workers of this namespace, by name, as each last told; one that was lost is listed for ten minutes."""
        self.warn_if_blocking("workers")
        return _known_workers(self.store().execute(self.operations.workers()))

    async def aworkers(self) -> tuple[WorkerInfo, ...]:
        return _known_workers(await self.async_store().execute(self.operations.workers()))

    # Within -----------------------------------------------------------------------------------------------------------

    def _enter(self, entry: Entry) -> None:
        if self._timetable.setdefault(entry.name, entry) is not entry:
            raise BadArguments(f"Two schedules are called {entry.name}: give one of them another name.")

    def _look(self) -> list[Scheduled]:
        return self.store().everywhere(partial(self.operations.schedules, ()))

    async def _alook(self) -> list[Scheduled]:
        return await self.async_store().everywhere(partial(self.operations.schedules, ()))

    def _pausing(self, one: Found) -> Operation[bool]:
        return self.operations.pause_schedule(one.row, one.partition)

    def _resuming(self, one: Found) -> Operation[bool]:
        return self.operations.resume_schedule(one.row, one.resumed_at, one.partition)

    def _run_of(self, one: Found, admitted: Admitted | None) -> Run[Any]:
        if admitted is None:
            raise BadArguments(f"The schedule {one.row.name} is gone, or was just declared anew: try again.")
        return Run(admitted.id, self, self._spec_called(one.row.job), admission=admitted.admission)

    def _listing(
        self, state: State | None, limit: int, cursor: str, owner: str | None
    ) -> Callable[[int], Operation[Listed]]:
        owner = None if owner is None else asking.owner(owner)
        return partial(self.operations.list, asking.state(state), asking.limit(limit), cursor, owner)

    def _pausing_queue(self, queue: str, *, paused: bool) -> Callable[[int], Operation[bool]]:
        return partial(self.operations.pause, asking.named("queue", queue), paused=paused)

    def _submission(self, job: ProgressJob[Any], wishes: Wishes, partitions: int, span: Submitting) -> Submission:
        submission = submission_of(job, wishes, partitions, self.queue_rules, span.carrying)
        self._refuse_unknown(spec_of(job).name)
        _refuse_itself(submission)
        return submission

    def _batch(self, jobs: Iterable[ProgressJob[R]], wishes: Wishes, partitions: int, span: Submitting) -> Batch[R]:
        batch = Batch(jobs, wishes, partitions, self.queue_rules, span.carrying)
        for job_class in batch.classes:
            self._refuse_unknown(spec_of(job_class).name)
        for submission in batch.submissions:
            _refuse_itself(submission)
        return batch

    def _refuse_unknown(self, name: str) -> None:
        """A kit that names jobs performs no others; one that names none only submits, and cannot know."""
        if self._jobs and name not in self._jobs:
            raise _unknown(name)

    def _again(self, run_id: str, kept: Recalled, owner: str | None) -> Submission:
        submission = submission_again(run_id, kept, owner)
        work = work_in(submission.work)
        self._refuse_unknown(work.job)
        spec = self._spec_called(work.job)
        if spec is not None:
            if spec.cache_version != work.cache_version:
                raise BadArguments(
                    f"Run {run_id} was made by version {work.cache_version} of {spec.name}, and here is version"
                    f" {spec.cache_version}: submit the job itself."
                )
            spec.decode_arguments(work.arguments)
        return submission

    def _begun_anew(self, submission: Submission, admitted: Admitted, known: Partitions) -> Run[Any]:
        spec = self._spec_called(submission.work.partition(b"\n")[0].decode())
        keep_for = json.decode(submission.conditions.terms, type=Terms).keep / 1000
        origin = _origin(submission, admitted, keep_for, known)
        interest = submission.interest
        return Run(admitted.id, self, spec, admission=admitted.admission, interest=interest, origin=origin)

    def _spec_called(self, name: str) -> JobSpec | None:
        job = self._jobs.get(name)
        return None if job is None else spec_of(job)

    def _run(
        self, job: ProgressJob[R], submission: Submission, admitted: Admitted, known: Partitions, asked_at: int
    ) -> Run[R]:
        spec, admission = spec_of(job), admitted.admission
        has_stake = admission in _WITH_A_STAKE
        run: Run[R] = Run(
            admitted.id,
            self,
            spec,
            admission=admission,
            interest=submission.interest if has_stake else "",
            answered=admitted.result,
            refresh_id=admitted.refresh_id or None,
            origin=_origin(submission, admitted, spec.options.keep_for, known) if has_stake else None,
        )
        if spec.options.l1_ttl is not None and admission is Admission.CACHED and not run.refresh_id:
            self._clients.l1().put(spec, run, submission, admitted, asked_at)
        return run

    def _runs(
        self, batch: Batch[R], replies: list[tuple[Admitted | Full, ...]], known: Partitions, asked_at: int
    ) -> list[Run[R]]:
        answers = batch.in_order(replies)
        runs = [
            None if isinstance(answer, Full) else self._run(job, submission, answer, known, asked_at)
            for job, submission, answer in zip(batch.jobs, batch.submissions, answers, strict=True)
        ]
        admitted = [run for run in runs if run is not None]
        if len(admitted) < len(runs):
            retry_after = max(answer.retry_after for answer in answers if isinstance(answer, Full))
            raise QueueFull(
                f"{len(runs) - len(admitted)} of {len(runs)} jobs were not admitted, as many runs wait in the queue as"
                f" max_queued allows: try those again in {retry_after:.0f} s (`runs` of this error has None for them).",
                retry_after=retry_after,
                runs=runs,
            )
        return admitted

    def _invalidations(self, what: Any, tag: str | None, partitions: int) -> tuple[str, list[Operation[None]]]:
        """The name of what is invalidated, and what does it."""
        key, label = invalidated(what, tag)
        places = places_of_key(spec_of(what), key, partitions, self.queue_rules) if key else range(partitions)
        operations = [self.operations.invalidate(key=key, label=label, partition=place) for place in places]
        return f"key:{key}" if key else label, operations

    def _forget(self, name: str) -> None:
        """In this process at once, and only when the store has: what is asked for until then may still be the old."""
        l1 = self._clients.known_l1()
        if l1 is not None:
            l1.forget(name)

    def _remembered(self, job: ProgressJob[R], wishes: Wishes) -> Run[R] | None:
        """The answer that this process keeps, for jobs that ask for that and callers who wish for nothing special."""
        spec = spec_of(job)
        if spec.options.l1_ttl is None or not wishes.are_usual:
            return None
        return self._clients.l1().get(spec, job, wishes.owner)

    def _epoch(self) -> int:
        l1 = self._clients.known_l1()
        return 0 if l1 is None else l1.epoch

    def _ring(self, queues: Collection[str]) -> None:
        if self.engine is not None:
            for queue in queues:
                self.engine.ring(queue)

    async def _aring(self, queues: Collection[str]) -> None:
        if self.engine is not None:
            await asyncio.to_thread(self._ring, queues)

    def awaited(self, queue: str) -> float | None:
        """Whoever waits for a run of this queue asks before, for how many seconds; None: as long as it likes."""
        return None if self.engine is None else self.engine.awaited(queue)

    async def aawaited(self, queue: str) -> float | None:
        return None if self.engine is None else await asyncio.to_thread(self.engine.awaited, queue)

    def _engine_called(self, name: str) -> Engine | None:
        match name:
            case "native":
                return None
            case "inline":
                return Inline(self)
            case _:
                raise EngineUnavailable(
                    f'engine={name!r} is not available: choose "native", the store\'s own queue and the default, or '
                    '"inline", where submit performs the job itself.'
                )

    # What it is made of -----------------------------------------------------------------------------------------------

    @property
    def files(self) -> FileStorage:
        """Where result files are kept: JOBKIT_FILES, else beside the embedded store.

        Raises:
            StoreMisconfigured: the store is remote and JOBKIT_FILES is not set.
        """
        named = os.environ.get("JOBKIT_FILES")
        if named:
            return FileStorage(Path(named))
        if isinstance(self.location, EmbeddedLocation):
            return FileStorage(self.location.directory / "files")
        raise StoreMisconfigured(
            f"The store at {self.location} is not embedded, so result files have no default place: "
            "set JOBKIT_FILES to a directory that workers and web processes share."
        )

    def store(self) -> Store:
        """This process's client of the store."""
        return self._clients.sync()

    def async_store(self) -> AsyncStore:
        """The running event loop's client of the store."""
        return self._clients.of_running_loop()

    def listening(self) -> Listening:
        """What blocking watchers of this process hear through."""
        return self._clients.listening()

    def secret(self) -> bytes:
        """The key that signs access tokens: JOBKIT_SECRET, else the one the store made at its first use.

        It comes with the first reply of the store, so after a submission this does no I/O.
        """
        named = os.environ.get("JOBKIT_SECRET")
        return named.encode() if named else self._clients.secret()

    def warn_if_blocking(self, method: str) -> None:
        """Warn once when a blocking method is called where it stops an event loop."""
        if self._warned or not _in_event_loop():
            return
        self._warned = True
        warnings.warn(
            f"{method}() blocks the running event loop and all it serves: await a{method}() instead.",
            RuntimeWarning,
            stacklevel=3,
        )

    def close(self) -> None:
        """Close this process's connections. At any time, from any thread: the kit may be used again.

        Who waits in another thread for a run gets StoreUnavailable; the run goes on. What another thread asks just now
        is still answered.
        """
        self._clients.close()

    async def aclose(self) -> None:
        """Close the running loop's connections, and this process's; other loops close theirs when they end."""
        await self._clients.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()


def _job_classes(jobs: Iterable[type[ProgressJob[Any]]]) -> Iterable[type[ProgressJob[Any]]]:
    if isinstance(jobs, type | str):
        shown = jobs if isinstance(jobs, str) else jobs.__name__
        raise BadJob(f"jobs={shown:.80} is no list: write JobKit(jobs=[...]) with the classes of your jobs.")
    return jobs


def _checked_rules(queues: Mapping[str, Queue]) -> Mapping[str, Queue]:
    for name, rule in queues.items():
        asking.named("queue", name)
        if not isinstance(rule, Queue):
            raise BadArguments(f"The queue {name!r} is given as {rule!r:.80}: write Queue(max_running=…, rate=…).")
    return dict(queues)


def _unknown(name: str) -> UnknownJob:
    return UnknownJob(
        f"{name} is not registered, so no worker of this kit would perform it: "
        f"name it in JobKit(jobs=[..., {name.rpartition('.')[2]}])."
    )


def _refuse_itself(submission: Submission) -> None:
    within = performed()
    if within is not None and submission.key == within.key != "" and submission.conditions.reuse is Reuse.ANY:
        raise BadArguments(
            f"Run {within.run_id} submits the very job that it performs, and would join itself: give it other "
            'arguments, or reuse="none".'
        )


def _wishes(
    at: datetime | float | None,
    after: timedelta | float | None,
    priority: int | None,
    queue: str | None,
    reuse: str,
    owner: str | None,
    tags: Sequence[str],
) -> Wishes:
    if (at, after, priority, queue, reuse, owner) == (None, None, None, None, "any", None) and not tags:
        return NO_WISHES
    return Wishes(at=at, after=after, priority=priority, queue=queue, reuse=reuse, owner=owner, tags=tags)


def _known_workers(announced: tuple[Announced, ...]) -> tuple[WorkerInfo, ...]:
    now = time.time()
    found = [known_worker(each.worker, each.about, each.silence, now) for each in announced]
    return tuple(sorted(found, key=lambda worker: worker.name))


def _origin(submission: Submission, admitted: Admitted, keep_for: float, known: Partitions) -> Origin:
    incarnation = known.incarnations[partition_of(admitted.id)]
    return Origin(submission, incarnation, time.monotonic(), keep_for)


def _lasting(url: str | None, location: Location) -> str:
    if isinstance(location, EmbeddedLocation):
        return str(location)  # absolute, where the URL may have been relative or missing
    return url or os.environ[URL_VARIABLE]


def _in_event_loop() -> bool:
    return asyncio.events._get_running_loop() is not None  # asked at every call, so by what does not raise
