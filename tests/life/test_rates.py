"""Rates: real workers start runs as often as a rate allows, not more often."""

from __future__ import annotations

import statistics
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.life import jobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit import JobKit
    from tests.life.workers import WorkerProcess


@pytest.mark.parametrize(("job", "apart"), [(jobs.Often, 0.02), (jobs.LessOften, 0.05)])
def test_runs_start_as_fast_as_their_rate_allows(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], job: type[jobs.Often], apart: float
) -> None:
    """The median of thirty: what holds up a few starts on a busy machine is no matter of the rate."""
    runs = kit.submit_many([job(number=number) for number in range(30)])
    start_worker("--concurrency", "2")
    for run in runs:
        run.result(timeout=30.0)
    starts = sorted(run.snapshot().started_at or 0.0 for run in runs)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert min(gaps) >= apart - 0.002, "to the millisecond, as snapshots tell it"
    assert statistics.median(gaps) < apart + 0.02
