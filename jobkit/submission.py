"""Submission: what a job instance and its options become when they are handed to the store.

Pure: it validates and encodes, it sends nothing. The cache key is computed here, once, and travels with the run. What
all submissions of a class under equal wishes have in common (`Conditions`) is made once for many.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from jobkit import asking
from jobkit.errors import BadArguments, BadJob, RunError
from jobkit.job import JobSpec, ProgressJob, spec_of
from jobkit.limits import Queue, share_of
from jobkit.options import MAX_PRIORITY
from jobkit.store.operations import Conditions, Reuse, Submission, Terms, new_run_id, partition_of, work_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jobkit.options import Options
    from jobkit.store.operations import Operation, Operations
    from jobkit.store.replies import Admitted, Full, Recalled

    Carrying = Callable[[Conditions], Conditions]
    """Adds what these submissions carry beside the usual (see `jobkit.tracing`)."""

R = TypeVar("R")

LONGEST_DELAY = timedelta(days=3653).total_seconds()
LAST_MOMENT = datetime.max.replace(tzinfo=UTC).timestamp()
MOST_TAGS = 32
MOST_AT_ONCE = 250
"""Submissions that one script admits: it must not keep the server busy for more than some milliseconds."""
LARGEST_AT_ONCE = 2 * 1024**2
"""Bytes of arguments that one script is given."""
LONGEST_DEBOUNCE = 10
"""A debounced run waits for quiet at most so many times as long as the quiet has to be."""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller of `submit` may ask for beside the job itself; None means as the job's class says."""

    at: datetime | float | None = None
    after: timedelta | float | None = None
    priority: int | None = None
    queue: str | None = None
    reuse: str = "any"
    owner: str | None = None
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.tags != ():  # once for all classes of a batch: it may be a generator
            msgspec.structs.force_setattr(self, "tags", asking.tags(self.tags))

    @property
    def are_usual(self) -> bool:
        """Whether nothing is wished for that another answer than the usual one could matter to."""
        return self is NO_WISHES or self == Wishes(owner=self.owner)


NO_WISHES = Wishes()
Rules = Mapping[str, Queue]
"""Queues with limits of their own, by name."""
NO_RULES: Rules = {}


def submission_of(
    job: ProgressJob[Any],
    wishes: Wishes = NO_WISHES,
    partitions: int = 1,
    rules: Rules = NO_RULES,
    carrying: Carrying | None = None,
) -> Submission:
    """Everything the store needs to admit this job, in one of so many partitions, under the rules of some queues.

    Raises:
        BadArguments: a wish makes no sense, or the arguments are too large.
        BadJob: the job's class cannot be found by a worker.
    """
    conditions = conditions_of(job, wishes, partitions, rules)
    return submission_under(carrying(conditions) if carrying else conditions, job, partitions)


def conditions_of(job: ProgressJob[Any], wishes: Wishes, partitions: int, rules: Rules = NO_RULES) -> Conditions:
    """What a submission of this job shares with those of other jobs of its class.

    Raises:
        BadArguments: a wish makes no sense.
        BadJob: the job's class cannot be found by a worker.
    """
    spec = spec_of(job)
    if isinstance(job, type):
        raise BadArguments(f"{spec.name} is a class: submit a job made from it, {job.__name__}(…).")
    usual = _usual_conditions(spec, partitions)
    conditions = usual if wishes is NO_WISHES else _as_wished(usual, spec, wishes)
    rule = rules.get(conditions.queue)
    return conditions if rule is None else _as_ruled(conditions, spec, rule)


def submission_under(conditions: Conditions, job: ProgressJob[Any], partitions: int) -> Submission:
    """One job's submission under conditions of its class.

    Raises:
        BadArguments: the arguments are too large, or have no cache key.
    """
    spec = spec_of(job)
    arguments, checked = spec.checked(job)
    key = spec.key_of(checked)
    return Submission(
        id=new_run_id(0 if partitions == 1 else _partition(conditions, spec, key, partitions)),
        conditions=conditions,
        key=key or "",
        limits=_limits(spec, checked, conditions),
        work=conditions.work + arguments,
    )


class Batch(Generic[R]):
    """Many jobs under the same wishes, put together so that each operation admits as many as one script may.

    Raises:
        BadArguments: a wish or a job makes no sense.
        BadJob: a job's class cannot be found by a worker.
    """

    def __init__(
        self,
        jobs: Iterable[ProgressJob[R]],
        wishes: Wishes,
        partitions: int = 1,
        rules: Rules = NO_RULES,
        carrying: Carrying | None = None,
    ) -> None:
        self.jobs = _several(jobs)
        conditions: dict[type, Conditions] = {}
        self.submissions: list[Submission] = []
        for job in self.jobs:
            shared = conditions.get(type(job))
            if shared is None:
                shared = conditions_of(job, wishes, partitions, rules)
                shared = conditions[type(job)] = carrying(shared) if carrying else shared
            self.submissions.append(submission_under(shared, job, partitions))
        self.classes = tuple(conditions)
        self.queues = {shared.queue for shared in conditions.values()}
        self.chunks = _chunks(self.submissions)

    def operations(self, operations: Operations) -> list[Operation[tuple[Admitted | Full, ...]]]:
        return [operations.submit_many([self.submissions[place] for place in chunk]) for chunk in self.chunks]

    def in_order(self, replies: Sequence[tuple[Admitted | Full, ...]]) -> list[Admitted | Full]:
        """The answers in the order of the jobs."""
        answers: dict[int, Admitted | Full] = {}
        for chunk, reply in zip(self.chunks, replies, strict=True):
            answers.update(zip(chunk, reply, strict=True))
        return [answers[place] for place in range(len(self.jobs))]


def _several(jobs: Iterable[ProgressJob[R]]) -> tuple[ProgressJob[R], ...]:
    if isinstance(jobs, ProgressJob | type):
        raise BadArguments("submit_many takes a list of jobs; for a single one there is submit(job).")
    return tuple(jobs)


def _chunks(submissions: Sequence[Submission]) -> list[list[int]]:
    """Places of submissions that one script may admit: of one class and partition, not too many, not too large."""
    chunks: list[list[int]] = []
    open_chunks: dict[tuple[int, str], tuple[list[int], int]] = {}
    for place, submission in enumerate(submissions):
        kind = (id(submission.conditions), submission.id.partition("-")[0])
        chunk, size = open_chunks.get(kind, ([], 0))
        if not chunk or len(chunk) == MOST_AT_ONCE or size + len(submission.work) > LARGEST_AT_ONCE:
            chunk, size = [], 0
            chunks.append(chunk)
        chunk.append(place)
        open_chunks[kind] = (chunk, size + len(submission.work))
    return chunks


def submission_again(run_id: str, kept: Recalled, owner: str | None) -> Submission:
    """What does once more what an ended run did, under the conditions of then; for its `owner`, where none is named.

    Raises:
        RunError: the run has not ended.
        BadArguments: nobody can be called so.
    """
    if not kept.state.terminal:
        raise RunError(
            f"Run {run_id} is {kept.state.value}, and only what has ended is begun anew:"
            " wait for its end, or cancel it.",
            run_id=run_id,
        )
    whose = kept.owner if owner is None else asking.owner(owner)
    conditions = Conditions(
        job=kept.job,
        queue=kept.queue,
        terms=msgspec.json.encode({**msgspec.json.decode(kept.terms), "retry_of": run_id}),
        labels=" ".join(kept.labels),
        tags=" ".join(label for label in kept.labels if label.startswith(tag_label(""))),
        owner=whose,
        reuse=Reuse.FRESH,
        priority=kept.priority,
        interest=interest_of(whose) if whose else "",
    )
    return Submission(
        id=new_run_id(partition_of(run_id)),
        conditions=conditions,
        key=kept.key,
        limits=_limits_of(kept, whose),
        work=kept.work,
    )


def _limits_of(kept: Recalled, owner: str) -> str:
    """The same, but for the turn that another owner takes."""
    words = kept.limits.split()
    named = [f"{name} {number}" for name, number in zip(words[0::2], words[1::2], strict=True)]
    share = share_of(kept.queue, owner)
    return " ".join(share if name.startswith("s:") else name for name in named)


def invalidated(what: ProgressJob[Any] | type[ProgressJob[Any]] | None, tag: str | None) -> tuple[str, str]:
    """The cache key and the label that are invalidated, one of them empty.

    Raises:
        BadArguments: neither or both were named, or the job has no cache key.
    """
    if (what is None) == (tag is None):
        raise BadArguments("Name what to invalidate: a job, a job class, or tag=...; one of them.")
    if tag is not None:
        return "", tag_label(asking.named("tag", tag))
    if isinstance(what, str):
        raise BadArguments(f"invalidate takes a job or a job class; a tag is given by name: tag={what[:80]!r}.")
    spec = spec_of(what)  # type: ignore[arg-type]
    if isinstance(what, type):
        return "", job_label(spec.name)
    key = spec.cache_key(what)  # type: ignore[arg-type]
    if key is None:
        raise BadArguments(f"{spec.name} has no cache_key, so no run of it answers another: nothing to invalidate.")
    return key, ""


def interest_of(owner: str) -> str:
    """The name of an owner's stake in whatever they submit."""
    return f"owner:{owner}"


@lru_cache(maxsize=4096)
def _usual_conditions(spec: JobSpec, partitions: int) -> Conditions:
    if not spec.importable:
        raise BadJob(
            f"{spec.name} is defined inside a function, where no worker can import it: move the class to the top of "
            "its module, or perform it here with kit.perform(job)."
        )
    options = spec.options
    return Conditions(
        job=msgspec.json.encode(spec.name).decode(),
        queue=options.queue,
        terms=msgspec.json.encode(_terms(options, 1 if spec.limits else partitions)),
        labels=" ".join([job_label(spec.name), *map(tag_label, options.tags)]),
        priority=options.priority,
        share=share_of(options.queue, "") if options.fair_share else "",
        work=work_of(spec.name, spec.cache_version, b""),
    )


def _limits(spec: JobSpec, checked: Any, conditions: Conditions) -> str:
    if not (spec.limits or conditions.queue_limits or conditions.share):
        return ""
    named = [f"{limit.name_for(spec.name, checked)} {limit.number}" for limit in spec.limits]
    return " ".join(filter(None, [*named, conditions.queue_limits, conditions.share]))


def _terms(options: Options, partitions: int) -> Terms:
    """For a job whose runs lie in so many partitions."""
    return Terms(
        max_attempts=options.max_attempts,
        max_crashes=options.max_crashes,
        keep=int(options.keep_for * 1000),
        undeliverable=int(options.undeliverable_after * 1000),
        lease=_milliseconds(options.lease),
        cache_ttl=_milliseconds(options.cache_ttl),
        stale_ttl=_milliseconds(options.stale_ttl),
        failure_ttl=_milliseconds(options.failure_ttl),
        refresh=int(options.refresh),
        throttle=_milliseconds(options.throttle),
        debounce=_milliseconds(options.debounce),
        longest_debounce=_milliseconds(options.debounce and options.debounce * LONGEST_DEBOUNCE),
        abandon_after=_milliseconds(options.abandon_after),
        expires=_milliseconds(options.expires),
        max_queued=None if options.max_queued is None else ceil(options.max_queued / partitions),
        public_result=int(options.public_result),
    )


def _as_wished(usual: Conditions, spec: JobSpec, wishes: Wishes) -> Conditions:
    options, owner = spec.options, "" if wishes.owner is None else asking.owner(wishes.owner)
    tags = _wished_tags(wishes.tags, options.tags)
    queue = usual.queue if wishes.queue is None else asking.named("queue", wishes.queue)
    return msgspec.structs.replace(
        usual,
        queue=queue,
        share=share_of(queue, owner) if options.fair_share else "",
        labels=f"{usual.labels} {tags}" if tags else usual.labels,
        tags=tags,
        owner=owner,
        reuse=_reuse(wishes.reuse),
        priority=usual.priority if wishes.priority is None else _priority(wishes.priority),
        start=_start(wishes),
        interest=interest_of(owner) if owner else "",
    )


def _as_ruled(conditions: Conditions, spec: JobSpec, rule: Queue) -> Conditions:
    """In a queue with limits: all its runs lie in one partition, so nothing is shared out."""
    limits = rule.words(conditions.queue)
    if not limits:
        return conditions
    terms = msgspec.json.encode(_terms(spec.options, 1))
    return msgspec.structs.replace(conditions, queue_limits=limits, terms=terms)


def _partition(conditions: Conditions, spec: JobSpec, key: str | None, partitions: int) -> int:
    if conditions.queue_limits:
        return partition_of_queue(conditions.queue, partitions)
    return partition_of_key(spec, key, partitions)


def partition_of_queue(queue: str, partitions: int) -> int:
    """Where the runs of a queue with limits meet."""
    return zlib.crc32(queue.encode()) % partitions


def places_of_key(spec: JobSpec, key: str, partitions: int, rules: Rules) -> list[int]:
    """The partitions in which runs of this cache key may lie."""
    ruled = [partition_of_queue(queue, partitions) for queue, rule in rules.items() if rule.words(queue)]
    return sorted({partition_of_key(spec, key, partitions), *ruled})


def partition_of_key(spec: JobSpec, key: str | None, partitions: int) -> int:
    """Where equal submissions meet, and where a limit is kept: one partition; all other runs spread."""
    if spec.limits:
        return zlib.crc32(spec.name.encode()) % partitions
    return random.randrange(partitions) if key is None else int(key[:8], 16) % partitions


def _priority(priority: int) -> int:
    if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > MAX_PRIORITY:
        raise BadArguments(f"priority={priority!r}: give a whole number, at most ±{MAX_PRIORITY}.")
    return priority


def _start(wishes: Wishes) -> str:
    if wishes.after is None:
        return "" if wishes.at is None else str(_at(wishes.at))
    if wishes.at is not None:
        raise BadArguments("Give at= or after=, not both.")
    seconds = wishes.after.total_seconds() if isinstance(wishes.after, timedelta) else wishes.after
    if not _is_number(seconds) or not 0 <= seconds <= LONGEST_DELAY:
        raise BadArguments(
            f"after={wishes.after!r}: give a timedelta or seconds from now, not negative, at most ten years."
        )
    return f"+{int(seconds * 1000)}"


def _at(at: datetime | float) -> int:
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise BadArguments(f"at={at!r} has no time zone: give an aware datetime, e.g. datetime.now(timezone.utc).")
        at = at.astimezone(UTC).timestamp()
    if not _is_number(at) or not 0 <= at <= LAST_MOMENT:
        raise BadArguments(f"at={at!r}: give an aware datetime or epoch seconds.")
    return int(at * 1000)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _reuse(reuse: str) -> Reuse:
    try:
        return Reuse(reuse)
    except ValueError:
        raise BadArguments(f'reuse={reuse!r}: choose "any", "fresh" or "none".') from None


def _wished_tags(wished: Sequence[str], own: Sequence[str]) -> str:
    """The labels of a submission's tags, beside its class's own."""
    if len(own) + len(wished) > MOST_TAGS:
        raise BadArguments(
            f"{len(own) + len(wished)} tags: give at most {MOST_TAGS}, those of the job's class included."
        )
    return " ".join(map(tag_label, wished))


def job_label(name: str) -> str:
    """The label of all runs of a job; `invalidate` stamps labels."""
    return f"job:{name}"


def tag_label(tag: str) -> str:
    """The label of all runs with a tag."""
    return f"tag:{tag}"


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)
