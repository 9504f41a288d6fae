"""How one start of a run is executed: what it is settled with."""

from __future__ import annotations

from typing import Any

import pytest

from jobkit import JobKit, Progress, ProgressJob
from jobkit.checkpoint import Checkpoint
from jobkit.execution import Execution
from jobkit.progress import Cancelled
from jobkit.store.replies import Lease


class Steps(ProgressJob[int]):
    """Goes on from the step that it finds, makes one more, and ends as it is told."""

    job_name = "unit.Steps"
    end: str

    def perform(self, progress: Progress) -> int:
        step = int(progress.restored or 0) + 1
        progress.checkpoint(step)
        if self.end == "failed":
            raise ValueError
        if self.end != "succeeded":
            raise Cancelled(self.end)
        return step


class Here:
    """A performer without a worker."""

    def perform(self, _lease: Lease, _spec: object, job: ProgressJob[Any], progress: Progress) -> object:
        return job.perform(progress)


def settled(end: str, checkpoint: bytes | None) -> tuple[str, bytes]:
    """Outcome and checkpoint that a start is settled with, which was given this one."""
    lease = Lease(
        run_id="0-01J00000000000000000000000", token="7", incarnation="i", job="unit.Steps", cache_version="1",
        arguments=b'{"end":"%b"}' % end.encode(), start=2, failures=0, duration=1.0, max_attempts=1, watched=False,
        checkpoint=checkpoint,
    )  # fmt: skip
    execution = Execution(JobKit("redis://nowhere.invalid", jobs=[Steps]), Here())
    settling = execution.execute(lease)
    assert settling is not None
    outcome, kept = settling.arguments[3], settling.arguments[10]
    assert isinstance(outcome, str)
    assert isinstance(kept, bytes)
    return outcome, kept


@pytest.mark.parametrize("end", ["failed", "handed back"])
def test_a_start_that_may_be_followed_by_another_is_settled_with_its_checkpoint(end: str) -> None:
    outcome, kept = settled(end, Checkpoint(state=3).to_json())
    assert (outcome, Checkpoint.from_json(kept).state) == ("failed" if end == "failed" else "released", 4)


@pytest.mark.parametrize("end", ["succeeded", "cancelled"])
def test_a_run_that_is_over_leaves_none(end: str) -> None:
    assert settled(end, Checkpoint(state=3).to_json()) == (end, b"")


def test_a_checkpoint_that_cannot_be_read_is_no_reason_to_fail(caplog: pytest.LogCaptureFixture) -> None:
    _, kept = settled("handed back", b'{"done":"of a later version"}')
    assert Checkpoint.from_json(kept).state == 1
    assert "begins anew" in caplog.text
