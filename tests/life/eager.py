"""A kit whose module submits a job and waits for it while it is imported."""

from __future__ import annotations

from jobkit import JobKit, Progress, ProgressJob


class Hello(ProgressJob[str]):
    def perform(self, progress: Progress) -> str:
        progress.advance()
        return "hello"


kit = JobKit(jobs=[Hello])
kit.submit(Hello()).result()
