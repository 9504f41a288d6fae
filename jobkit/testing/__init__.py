"""Testing: what helps to test jobs, and what is built on them, without sleeping and without processes to start.

    with worker(kit): ...     a worker in the background, in threads of this process
    with inline(kit): ...     `submit` performs the job itself
    Clock(kit).advance(...)   time passes for the kit's store: memos end, schedules come due
    empty(kit)                a namespace with nothing in it

All of them work on a real store; `jobkit.testing.fixtures` is a pytest plugin that brings a private one.
"""

from jobkit.testing.background import worker
from jobkit.testing.clock import Clock
from jobkit.testing.private import empty, inline

__all__ = ["Clock", "empty", "inline", "worker"]
