"""The kit of an older deployment: it knows another version of a job."""
# ruff: noqa: ARG002  (a job need not use its progress)

from __future__ import annotations

from jobkit import JobKit, Progress, ProgressJob


class Versioned(ProgressJob[int]):
    job_name = "tests.life.jobs.Versioned"
    cache_version = 1

    def perform(self, progress: Progress) -> int:
        return 1


class Grown(ProgressJob[str]):
    """Without the argument that the newer one has."""

    job_name = "tests.life.jobs.Grown"

    def perform(self, progress: Progress) -> str:
        return "old"


kit = JobKit(jobs=[Versioned, Grown])
