"""Submission: what a job instance and its options become when they are handed to the store.

Pure: it validates and encodes, it sends nothing. The cache key is computed here, once, and travels with the run.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from jobkit.errors import BadArguments, BadJob
from jobkit.job import JobSpec, ProgressJob, spec_of
from jobkit.options import MAX_PRIORITY, word
from jobkit.store.operations import Reuse, Submission, new_run_id

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_DELAY = timedelta(days=3653).total_seconds()
LAST_MOMENT = datetime.max.replace(tzinfo=UTC).timestamp()
MOST_TAGS = 32


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller of `submit` may ask for beside the job itself; None means as the job's class says."""

    at: datetime | float | None = None
    after: timedelta | float | None = None
    priority: int | None = None
    queue: str | None = None
    reuse: str = "any"
    owner: str | None = None
    tags: Sequence[str] = ()


def submission_of(job: ProgressJob[Any], wishes: Wishes) -> Submission:
    """Everything the store needs to admit this job.

    Raises:
        BadArguments: a wish makes no sense, or the arguments are too large.
        BadJob: the job's class cannot be found by a worker.
    """
    spec = spec_of(job)
    if isinstance(job, type):
        raise BadArguments(f"{spec.name} is a class: submit a job made from it, {job.__name__}(…).")
    if not spec.importable:
        raise BadJob(
            f"{spec.name} is defined inside a function, where no worker can import it: move the class to the top of "
            "its module, or perform it here with kit.perform(job)."
        )
    options = spec.options
    run_id = new_run_id()
    queue = options.queue if wishes.queue is None else _word("queue", wishes.queue)
    return Submission(
        id=run_id,
        head=_head(run_id, spec),
        job=spec.name,
        queue=queue,
        key=spec.cache_key(job) or "",
        arguments=spec.encode_arguments(job),
        priority=_priority(options.priority if wishes.priority is None else wishes.priority),
        delay=_delay(wishes),
        at=_at(wishes.at),
        lease=_milliseconds(options.lease),
        max_attempts=options.max_attempts,
        max_crashes=options.max_crashes,
        keep=int(options.keep_for * 1000),
        cache_ttl=_milliseconds(options.cache_ttl),
        undeliverable=int(options.undeliverable_after * 1000),
        public_result=options.public_result,
        cache_version=str(options.cache_version),
        interest=interest_of(wishes.owner),
        owner="" if wishes.owner is None else _owner(wishes.owner),
        reuse=_reuse(wishes.reuse),
        tags=_tags(options.tags, wishes.tags),
    )


def interest_of(owner: str | None) -> str:
    """The name of a submitter's stake: the owner's, else a ticket nobody can guess."""
    return f"ticket:{os.urandom(12).hex()}" if owner is None else f"owner:{owner}"


def _head(run_id: str, spec: JobSpec) -> bytes:
    return b'{"id":"%s","job":%s' % (run_id.encode(), msgspec.json.encode(spec.name))


def _priority(priority: int) -> int:
    if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > MAX_PRIORITY:
        raise BadArguments(f"priority={priority!r}: give a whole number, at most ±{MAX_PRIORITY}.")
    return priority


def _delay(wishes: Wishes) -> int:
    if wishes.after is None:
        return 0
    if wishes.at is not None:
        raise BadArguments("Give at= or after=, not both.")
    seconds = wishes.after.total_seconds() if isinstance(wishes.after, timedelta) else wishes.after
    if not _is_number(seconds) or not 0 <= seconds <= LONGEST_DELAY:
        raise BadArguments(
            f"after={wishes.after!r}: give a timedelta or seconds from now, not negative, at most ten years."
        )
    return int(seconds * 1000)


def _at(at: datetime | float | None) -> int | None:
    if at is None:
        return None
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


def _tags(own: Sequence[str], wished: Sequence[str]) -> bytes:
    if isinstance(wished, str):
        raise BadArguments(f"tags={wished!r}: give a list of tags, e.g. tags=[{wished!r}].")
    tags = (*own, *(_word("tag", tag) for tag in wished))
    if len(tags) > MOST_TAGS:
        raise BadArguments(f"{len(tags)} tags: give at most {MOST_TAGS}, those of the job's class included.")
    return msgspec.json.encode(tags) if tags else b""


def _word(kind: str, text: str) -> str:
    try:
        return word(text)
    except ValueError as error:
        raise BadArguments(f"{kind}={str(text)[:80]!r} {error}.") from None


def _owner(name: str) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable():
        raise BadArguments(f"owner={str(name)[:80]!r}: give 1 to 200 printable characters.")
    return name


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)
