"""Parentage: a child never outlives its supervisor, however that dies.

On Linux the kernel kills the child, at once and whatever holds the GIL. The signal is armed after the fork, so the
parent may be gone by then: comparing its id afterwards closes that gap. (The kernel sends it when the *thread* that
started the child ends, so the supervisor starts children from its main thread only.) Elsewhere a thread looks.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.5


def die_with_parent(parent: int) -> None:
    """End this process, without any cleaning up, as soon as `parent` has ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_look_after, args=(parent,), name="jobkit-parent", daemon=True).start()
    _end_if_orphaned(parent)


def _look_after(parent: int) -> None:
    while True:
        time.sleep(_LOOK_SECONDS)
        _end_if_orphaned(parent)


def _end_if_orphaned(parent: int) -> None:
    if os.getppid() != parent:
        os._exit(1)
