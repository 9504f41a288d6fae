"""Where the demo keeps what it makes: one private folder in the user's cache."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

_KEPT_SECONDS = 3600.0


def cache() -> Path:
    """The folder, made if it is missing."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jobkit-demo"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def new_file(name: str, token: str) -> Path:
    """A path that nobody else writes to; jobkit copies what is returned, so files of an hour ago go."""
    made = cache() / "made"
    made.mkdir(exist_ok=True)
    for old in made.iterdir():
        with suppress(FileNotFoundError):  # another job was faster
            if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
                old.unlink()
    return made / f"{token or os.getpid()}-{name}"
