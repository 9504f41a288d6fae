"""The kit of an older deployment: it knows another version of a job."""
# ruff: noqa: ARG002  (a job need not use its progress)

from __future__ import annotations

from jobkit import JobKit, Progress, ProgressJob


class Versioned(ProgressJob[int]):
    job_name = "tests.life.jobs.Versioned"
    cache_version = 1

    def perform(self, progress: Progress) -> int:
        return 1


kit = JobKit(jobs=[Versioned])
