"""Long-running jobs whose users wait in a browser: shared runs, remembered results, one honest progress."""

from jobkit.checkpoint import Checkpoint
from jobkit.errors import (
    BadArguments,
    BadCheckpoint,
    BadJob,
    BadResult,
    EngineUnavailable,
    JobKitError,
    LimitReached,
    PublicError,
    QueueFull,
    RunCancelled,
    RunError,
    RunFailed,
    RunNotFound,
    RunTimeout,
    StoreError,
    StoreMisconfigured,
    StoreUnavailable,
    SubmitError,
    UnknownJob,
    UnknownWorker,
    WorkerLost,
)
from jobkit.files import File
from jobkit.hooks import Start
from jobkit.incident import Incident, IncidentKind
from jobkit.job import ALL, ProgressJob
from jobkit.kit import JobKit
from jobkit.lifecycle import State
from jobkit.limits import Queue
from jobkit.progress import Progress
from jobkit.retrying import Retry
from jobkit.run import Run
from jobkit.schedule import Cron, Every
from jobkit.snapshot import Snapshot
from jobkit.timetable import ScheduleStatus

__all__ = [
    "ALL",
    "BadArguments",
    "BadCheckpoint",
    "BadJob",
    "BadResult",
    "Checkpoint",
    "Cron",
    "EngineUnavailable",
    "Every",
    "File",
    "Incident",
    "IncidentKind",
    "JobKit",
    "JobKitError",
    "LimitReached",
    "Progress",
    "ProgressJob",
    "PublicError",
    "Queue",
    "QueueFull",
    "Retry",
    "Run",
    "RunCancelled",
    "RunError",
    "RunFailed",
    "RunNotFound",
    "RunTimeout",
    "ScheduleStatus",
    "Snapshot",
    "Start",
    "State",
    "StoreError",
    "StoreMisconfigured",
    "StoreUnavailable",
    "SubmitError",
    "UnknownJob",
    "UnknownWorker",
    "WorkerLost",
]
