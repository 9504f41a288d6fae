"""The job that the storm submits."""

from jobkit import ALL, Progress, ProgressJob


class Report(ProgressJob[str]):
    """Remembered for an hour."""

    month: str
    cache_key = ALL
    cache_ttl = 3600

    def perform(self, progress: Progress) -> str:
        progress.message = self.month
        return self.month
