"""Drives runs through the store as a worker would, one step at a time."""

import itertools
import json
import uuid
from typing import Any

import msgspec

from jobkit.files import File
from jobkit.job import ProgressJob
from jobkit.kit import JobKit
from jobkit.lifecycle import Outcome
from jobkit.progress import Progress
from jobkit.snapshot import ProgressView
from jobkit.store.operations import Mark, failure_head
from jobkit.store.replies import Lease


class Report(ProgressJob[Any]):
    """Its result is fetched by those who may."""

    job_name = "web.Report"
    submittable = True
    month: str = "2026-01"
    size: int = 1

    def perform(self, progress: Progress) -> Any:
        raise NotImplementedError("Tests settle it themselves.")


class Public(Report):
    """Its result goes out with the shared frames."""

    job_name = "web.Public"
    public_result = True


class Shared(Report):
    """Equal submissions join."""

    job_name = "web.Shared"
    cache_key = ("month",)
    submittable = True


class Hidden(Report):
    """Not to be submitted over HTTP."""

    job_name = "web.Hidden"
    submittable = False


class Stubborn(Report):
    """Tried five times."""

    job_name = "web.Stubborn"
    max_attempts = 5
    submittable = False


JOBS = [Report, Public, Shared, Hidden, Stubborn]


class Performer:
    """Submits a run to a queue of its own and performs it, as far as the test says."""

    def __init__(self, kit: JobKit, job: ProgressJob[Any] | None = None, owner: str | None = None) -> None:
        self.kit = kit
        self.queue = f"q-{uuid.uuid4().hex[:8]}"
        self.run = kit.submit(job or Report(), queue=self.queue, owner=owner)
        self.lease: Lease | None = None
        self._sequence = itertools.count(1)

    @property
    def id(self) -> str:
        return self.run.id

    def take(self) -> Lease:
        slot = f"worker/{uuid.uuid4().hex[:8]}"
        lease = self._do(self.kit.operations.take(slot, "once", [self.queue]))
        assert isinstance(lease, Lease)
        assert lease.run_id == self.id
        self.lease = lease
        return lease

    def report(self, done: int = 1, message: str = "", total: int | None = 100) -> None:
        view = ProgressView(done=done, total=total, fraction=done / total if total else None, message=message)
        self.report_view(view)

    def report_view(self, view: ProgressView) -> None:
        lease = self.lease or self.take()
        operation = self.kit.operations.report(lease, next(self._sequence), view.to_json())
        self._do(operation)

    def mark(self, what: Mark) -> None:
        """What its supervisor sees."""
        lease = self.lease or self.take()
        self._do(self.kit.operations.mark(self.id, lease.token, what))

    def succeed(self, result: Any = None) -> None:
        lease = self.lease or self.take()
        encoded = msgspec.json.encode(result)
        self._do(self.kit.operations.settle(lease, Outcome.SUCCEEDED, result=encoded))

    def succeed_with_file(self, file: File, wrap: Any = None) -> None:
        lease = self.lease or self.take()
        kept = self.kit.files.keep(self.id, lease.token, file).described()
        self.succeed(kept if wrap is None else {**wrap, "file": kept})

    def succeed_with_files(self, result: Any) -> None:
        """The files of the result are kept where they stand in it."""
        lease = self.lease or self.take()
        keep = self.kit.files.keep
        self.succeed(
            json.loads(msgspec.json.encode(result, enc_hook=lambda file: keep(self.id, lease.token, file).described()))
        )

    def fail(self, message: str, *, public: bool = False, retry_after: float | None = None) -> None:
        lease = self.lease or self.take()
        failure = failure_head(message, public=public)
        self._do(self.kit.operations.settle(lease, Outcome.FAILED, failure=failure, retry_after=retry_after))

    def _do(self, operation: Any) -> Any:
        return self.kit.store().execute(operation)
