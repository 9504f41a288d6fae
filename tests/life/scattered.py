"""A kit whose jobs wait in several queues."""

from __future__ import annotations

from jobkit import JobKit, Progress, ProgressJob


class Here(ProgressJob[str]):
    def perform(self, progress: Progress) -> str:
        progress.advance()
        return "here"


class There(ProgressJob[str]):
    queue = "exports"

    def perform(self, progress: Progress) -> str:
        progress.advance()
        return "there"


kit = JobKit(jobs=[Here, There])
