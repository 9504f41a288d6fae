"""A kit with a job that returns a file, where files have no place."""

from __future__ import annotations

import os

from jobkit import File, JobKit, Progress, ProgressJob


class Filing(ProgressJob[dict[str, File]]):
    def perform(self, progress: Progress) -> dict[str, File]:
        progress.advance()
        return {"here": File(__file__)}


os.environ.pop("JOBKIT_FILES", None)
kit = JobKit(jobs=[Filing])
