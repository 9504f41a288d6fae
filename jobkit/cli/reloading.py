"""Reloading: tells when Python code in the working directory has changed."""

from __future__ import annotations

import logging
import threading
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from jobkit.cli.endings import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable


def on_change(changed: Callable[[], object]) -> None:
    """Call `changed`, in a thread of its own, each time files have changed; several at once are one change."""
    try:
        watchfiles = import_module("watchfiles")  # an extra's, so it may be missing
    except ModuleNotFoundError:
        raise Refusal("--reload needs watchfiles: pip install 'jobkit-progress[web]'") from None

    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # what follows from a change is said by who heeds it

    def watch() -> None:
        for _ in watchfiles.watch(Path.cwd(), watch_filter=watchfiles.PythonFilter()):
            changed()

    threading.Thread(target=watch, name="jobkit-reloading", daemon=True).start()
