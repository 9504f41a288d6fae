"""Operations: what the store can be asked, as values.

An `Operation` is data: a script, its key and arguments, and how to read the reply. It does no I/O, so the sync and
the async client share every one of them. What each script guarantees stands at the head of its file in `scripts/`.

All keys of a partition share one hash tag, `{namespace:partition}`, and a run id carries its partition
(`0-01J9…`), so every operation touches one slot of a cluster.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from jobkit.errors import RunNotFound, StoreMisconfigured
from jobkit.lifecycle import Outcome, State, as_lua
from jobkit.snapshot import LARGEST_INLINE_RESULT, ProgressView
from jobkit.store import replies
from jobkit.store.replies import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobkit.store.replies import (
        Admitted,
        Cancelling,
        Lease,
        Loaded,
        NoWork,
        Opened,
        Page,
        Renewed,
        Reported,
        Stored,
        Swept,
        Verdict,
    )

T = TypeVar("T")
Value = bytes | str | int

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RUN_ID = re.compile(r"(\d{1,5})-[0-9A-HJKMNP-TV-Z]{26}")
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]
_CURSOR = re.compile(r"\d{1,20} \d{1,5}-[0-9A-Z]{26}")
_WITHOUT_PRELUDE = {"open"}
_REFUSED_WHEN_FULL = {"submit"}
"""What a server out of memory refuses, before anything is written; what it has may be performed, and so make room."""

TERMS = ("lease", "max_attempts", "max_crashes", "keep", "cache_ttl", "undeliverable", "public_result")
"""What the class says of its runs: one text in a run's record, numbers in this order, `-` for None."""


@dataclass(frozen=True, slots=True)
class Script:
    """One of `scripts/*.lua`, as the server runs it."""

    name: str
    source: str
    sha: str


def compose(name: str, read: Callable[[str], str]) -> Script:
    """A script made of its file and of what it shares with others; `read` gives the text of a file of `scripts/`."""
    parts = ["#!lua\n" if name in _REFUSED_WHEN_FULL else "#!lua flags=allow-oom\n"]
    if name not in _WITHOUT_PRELUDE:
        parts += [as_lua(), _constants(), read("prelude.lua")]
    source = "".join([*parts, read(f"{name}.lua")])
    return Script(name, source, sha1(source.encode(), usedforsecurity=False).hexdigest())


def read_file(name: str) -> str:
    """The text of a file of `scripts/`."""
    return (files(__package__) / "scripts" / name).read_text("utf-8")


def _constants() -> str:
    """What the scripts share with Python beside the moves, as Lua source."""
    untouched = ProgressView().to_json().decode()
    terms = ", ".join(f"'{name}'" for name in TERMS)
    return (
        f"local UNTOUCHED = '{untouched}'\n"
        f"local LARGEST_INLINE_RESULT = {LARGEST_INLINE_RESULT}\n"
        f"local TERMS = {{{terms}}}\n"
    )


SCRIPTS = {
    name: compose(name, read_file)
    for name in (
        "open", "submit", "take", "renew", "report", "settle", "release", "retire", "cancel", "sweep", "load", "owned",
        "list",
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """One atomic script call, safe to send again when its reply was lost."""

    script: Script
    key: str
    arguments: tuple[Value, ...]
    read: Callable[[Any], T] = field(repr=False)

    def by_digest(self) -> tuple[Value, ...]:
        return ("EVALSHA", self.script.sha, 1, self.key, *self.arguments)

    def by_source(self) -> tuple[Value, ...]:
        return ("EVAL", self.script.source, 1, self.key, *self.arguments)


class Reuse(StrEnum):
    """Which existing runs may answer a submission: any, only one that has not begun, or none."""

    ANY = "any"
    FRESH = "fresh"
    NONE = "none"


class Submission(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All the store needs to admit a run. Durations are milliseconds here; `at` is epoch milliseconds."""

    id: str
    head: bytes
    job: str
    queue: str
    key: str
    arguments: bytes
    priority: int
    delay: int
    at: int | None
    lease: int | None
    max_attempts: int
    max_crashes: int
    keep: int
    cache_ttl: int | None
    undeliverable: int
    public_result: bool
    cache_version: str
    interest: str
    owner: str
    reuse: Reuse
    tags: bytes


class Operations:
    """Builds the operations of one namespace."""

    def __init__(self, namespace: str = "jobkit") -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", namespace):
            raise StoreMisconfigured(
                f"The namespace {namespace!r} is not usable: take 1 to 64 letters, digits or any of _ . : -"
            )
        self.namespace = namespace

    def prefix(self, run_id: str = "0-") -> str:
        """What all keys and channels of the run's partition begin with."""
        return f"{{{self.namespace}:{run_id.partition('-')[0]}}}:"

    def snapshots_channel(self, run_id: str) -> str:
        return f"{self.prefix(run_id)}snapshots:{run_id}"

    def worker_channel(self, worker: str) -> str:
        """Where a worker hears which of its runs to stop, as `slot run token`."""
        return f"{self.prefix()}worker:{worker}"

    def bell(self, queue: str) -> str:
        return f"{self.prefix()}bell:{queue}"

    def open(self) -> Operation[Opened]:
        """Found the partition if it is new, and learn its identity.

        Raises:
            StoreMisconfigured: it keeps runs in another format.
        """
        return self._operation("open", "0-", FORMAT, os.urandom(8).hex(), os.urandom(32).hex(), read=replies.opened)

    def submit(self, submission: Submission) -> Operation[Admitted]:
        """Admit a run, or find the one that answers."""
        s = submission
        return self._operation(
            "submit", s.id, s.id, s.head, s.queue, s.key, _terms(s), _work(s), s.tags, s.interest, s.owner,
            s.reuse.value, s.priority, s.delay, "" if s.at is None else s.at, read=replies.admitted,
        )  # fmt: skip

    def take(self, slot: str, nonce: str, queues: Sequence[str], lease: float = 15.0) -> Operation[Lease | NoWork]:
        """Pop and lease in one step. `slot` is `worker/child`, never used again after its death.

        `lease` (s) is for jobs that name none of their own.

        Raises:
            SlotDead: the slot's supervisor has given it up.
        """
        return self._operation("take", "0-", slot, nonce, int(lease * 1000), *queues, read=replies.taken)

    def renew(self, worker: str, queues: Sequence[str], slots: Sequence[str]) -> Operation[tuple[Renewed, ...]]:
        """A worker's heartbeat: renew the leases of these slots, and count it as serving these queues."""
        return self._operation("renew", "0-", worker, len(queues), *queues, *slots, read=replies.renewed)

    def retire(self, worker: str, queues: Sequence[str]) -> Operation[None]:
        """Count a worker as serving these queues no more."""
        return self._operation("retire", "0-", worker, *queues, read=replies.nothing)

    def report(self, run_id: str, token: str, sequence: int, progress: bytes) -> Operation[Reported]:
        """Write a `ProgressView`'s JSON through the lease; a `sequence` that is not above the last is passed over."""
        return self._operation("report", run_id, run_id, token, sequence, progress, read=replies.reported)

    def settle(
        self,
        run_id: str,
        token: str,
        outcome: Outcome,
        *,
        progress: bytes = b"",
        result: bytes = b"null",
        failure: bytes = b"",
        traceback: str = "",
        delay: float = 0.0,
        reason: str = "",
    ) -> Operation[Verdict]:
        """End this start. `failure` is a failure's head (`failure_head`); `delay` (s) and `reason` are of a release."""
        return self._operation(
            "settle", run_id, run_id, token, outcome.value, progress, result, failure, traceback, int(delay * 1000),
            reason, read=replies.verdict,
        )  # fmt: skip

    def release(self, slot: str, *, crashed: bool, failure: bytes, token: str = "") -> Operation[tuple[Verdict, str]]:
        """Declare a slot dead and give back what it holds; with a `token`, only if it holds the start of that one."""
        how = "crashed" if crashed else "handback"
        return self._operation("release", "0-", slot, how, failure, token, read=replies.released)

    def cancel(self, run_id: str, interest: str, *, force: bool = False) -> Operation[Cancelling]:
        """Withdraw an interest, and stop the run when it was the last, or when forced.

        Raises:
            RunNotFound: no such run is kept.
        """
        read = partial(replies.cancelling, run_id=run_id)
        return self._operation("cancel", run_id, run_id, interest, int(force), read=read)

    def sweep(self, interval: float, failure: bytes, limit: int = 200) -> Operation[Swept]:
        """Do what time alone brings, at most once in `interval` seconds and to `limit` runs of a kind.

        `failure` is the head of the failure of a run whose crash budget is spent.
        """
        return self._operation("sweep", "0-", int(interval * 1000), limit, failure, read=replies.swept)

    def load(self, run_id: str, *, watch: float = 0.0, result: bool = False) -> Operation[Loaded]:
        """A run as it stands; `watch` marks it watched for so many seconds, `result` brings its result too.

        Raises:
            RunNotFound: no such run is kept.
        """
        return self._load(run_id, watch, result, partial(replies.loaded, run_id=run_id))

    def load_stored(self, run_id: str, *, watch: float = 0.0, result: bool = False) -> Operation[Stored | None]:
        """As `load`, for who passes it on: in bytes, and None for an unknown run."""
        return self._load(run_id, watch, result, replies.stored)

    def owned(self, run_id: str, owner: str) -> Operation[bool]:
        """Whether this owner submitted the run, joins and memo hits included.

        Raises:
            RunNotFound: no such run is kept.
        """
        return self._operation("owned", run_id, run_id, owner, read=partial(replies.owned, run_id=run_id))

    def list(self, state: State | None = None, limit: int = 50, cursor: str = "") -> Operation[Page]:
        """A page of snapshots, newest first; `cursor` is that of the page before.

        Raises:
            ValueError: no page gave this cursor.
        """
        if cursor and not _CURSOR.fullmatch(cursor):
            raise ValueError(f"cursor={cursor[:80]!r}: give the cursor of an earlier page, or none for the first.")
        return self._operation("list", "0-", state or "", limit, cursor, read=replies.page)

    def _load(self, run_id: str, watch: float, result: bool, read: Callable[[Any], T]) -> Operation[T]:
        return self._operation("load", run_id, run_id, int(watch * 1000), int(result), read=read)

    def _operation(self, script: str, run_id: str, *arguments: Value, read: Callable[[Any], T]) -> Operation[T]:
        return Operation(SCRIPTS[script], f"{self.prefix(run_id)}partition", arguments, read)


def _terms(s: Submission) -> str:
    values = [getattr(s, name) for name in TERMS]
    return " ".join(["-" if value is None else str(int(value)) for value in values])


def _work(s: Submission) -> bytes:
    """What a worker gets with its lease (`replies.taken`): job, cache version and arguments, a line each."""
    return b"%b\n%b\n%b" % (s.job.encode(), s.cache_version.encode(), s.arguments)


def new_run_id(partition: int = 0) -> str:
    """A fresh id: its partition, then a ULID (48 bits of milliseconds, 80 random bits)."""
    number = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10))
    return f"{partition}-" + "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -10, -10)])


def checked_run_id(text: str) -> str:
    """The id, when it is one.

    Raises:
        RunNotFound: this cannot be the id of a run.
    """
    match = _RUN_ID.fullmatch(text)
    if match is None or match[1] != "0":
        raise RunNotFound(f"{text[:80]!r} is not the id of a run.", run_id=text[:80])
    return text


def failure_head(message: str, *, public: bool = False) -> bytes:
    """A failure's JSON up to its reference, which the store appends."""
    flag = b"true" if public else b"false"
    return b'{"message":' + msgspec.json.encode(message) + b',"public":' + flag + b',"reference":"'


def reference(run_id: str, start: int) -> str:
    """What a failure's reader tells support, as the scripts write it."""
    return f"{run_id[-8:]}-{start}"
