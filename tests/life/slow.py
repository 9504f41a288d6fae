"""A kit whose import takes longer than a worker waits silently."""

from __future__ import annotations

import time

from jobkit.worker.supervisor import IMPORT_SECONDS
from tests.life.jobs import kit

time.sleep(IMPORT_SECONDS + 1.5)

__all__ = ["kit"]
