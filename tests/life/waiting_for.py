"""A kit whose module waits for a run while it is imported: the one that LIFE_RUN names."""

from __future__ import annotations

import os

from tests.life.jobs import kit

kit.run(os.environ["LIFE_RUN"]).result()
