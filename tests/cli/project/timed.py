"""A kit that has the clock start something, seldom."""

from jobkit import JobKit, Progress, ProgressJob


class Nightly(ProgressJob[str]):
    region: str = "EU"

    def perform(self, progress: Progress) -> str:
        return f"{self.region} {progress.scheduled_for}"


kit = JobKit(jobs=[Nightly])
kit.schedule("nightly-us", Nightly(region="US"), "0 3 1 1 *", tz="America/New_York", missed="all")
