"""A kit on the shared store, and a worker's side of it that does as the test says."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec
import pytest

from jobkit import JobKit, Progress, ProgressJob
from jobkit.lifecycle import Outcome
from jobkit.snapshot import ProgressView
from jobkit.store.operations import failure_head
from jobkit.store.replies import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator


class Add(ProgressJob[int]):
    job_name = "kit.Add"
    a: int
    b: int = 0
    cache_key = ("a", "b")

    def perform(self, progress: Progress) -> int:
        progress.message = "adding"
        return self.a + self.b


class AddLater(Add):
    job_name = "kit.AddLater"

    async def perform(self, progress: Progress) -> int:  # type: ignore[override]
        progress.message = "adding"
        return self.a + self.b


class Hands:
    """Takes the best run of the default queue, and ends it as it is told."""

    def __init__(self, kit: JobKit) -> None:
        self._kit = kit
        self._numbers = itertools.count(1)

    def take(self) -> Lease:
        self._slot = f"w/{next(self._numbers)}"
        lease = self._kit.store().execute(self._kit.operations.take(self._slot, "once", ["default"]))
        assert isinstance(lease, Lease), "there was nothing to take"
        return lease

    def die(self, lease: Lease) -> None:
        """As the supervisor tells it of a child that took the last run."""
        lost = failure_head("It was lost.")
        self._kit.store().execute(
            self._kit.operations.release(self._slot, crashed=True, failure=lost, token=lease.token)
        )

    def report(self, lease: Lease, done: int) -> None:
        view = ProgressView(done=done, total=10).to_json()
        self._kit.store().execute(self._kit.operations.report(lease, done, view))

    def succeed(self, lease: Lease, value: object) -> None:
        self._settle(lease, Outcome.SUCCEEDED, result=msgspec.json.encode(value))

    def fail(self, lease: Lease, message: str, traceback: str = "") -> None:
        self._settle(lease, Outcome.FAILED, failure=failure_head(message), traceback=traceback)

    def _settle(self, lease: Lease, outcome: Outcome, **how: object) -> None:
        operation = self._kit.operations.settle(lease, outcome, **how)  # type: ignore[arg-type]
        self._kit.store().execute(operation)


@pytest.fixture
def kit(store_url: str, namespace: str) -> Iterator[JobKit]:
    with JobKit(store_url, jobs=[Add, AddLater], namespace=namespace) as kit:
        yield kit


@pytest.fixture
def hands(kit: JobKit) -> Hands:
    return Hands(kit)
