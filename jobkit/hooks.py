"""Hooks: what an author wants called when a run starts and when it ends.

They are methods of the job (`on_start`, `on_success`, `on_failure`, `on_cancel`) and functions that its kit was given.
They are called in the process that performs, under the run's lease: `on_start` before `perform`, the others when the
outcome is decided and before it is settled. So whoever dies in one has not settled, and the run is performed again:
a hook is called at least once, as `perform` is, and `token` tells the starts apart.

A hook changes nothing: what it raises is logged, and the others are called. A dead process calls none.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from jobkit.awaiting import outcome_of

if TYPE_CHECKING:
    from collections.abc import Sequence

Hook = Callable[..., object]
"""Called with the `Start`, and for success with the result, for failure with the error. What it returns is awaited."""

_log = logging.getLogger("jobkit.worker")


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a run, as a hook sees it.

    `job` is the job being performed, None where its arguments could not be read; `name` is the job's name. `token` is
    the lease's, which rises with every start. `will_retry` is of a failure: whether the run is performed again.
    """

    run_id: str
    name: str
    job: Any
    attempt: int
    max_attempts: int
    start: int
    token: str
    will_retry: bool = False


class Event(StrEnum):
    """When hooks are called; the value is the method of a job that is one."""

    START = "on_start"
    SUCCESS = "on_success"
    FAILURE = "on_failure"
    CANCEL = "on_cancel"


FACTS: Final = {Event.START: (), Event.SUCCESS: ("result",), Event.FAILURE: ("error",), Event.CANCEL: ()}
"""What hooks of an event are told beside the start."""


class Hooks:
    """Those of one kit, in the order in which they were given."""

    def __init__(self) -> None:
        self._given: dict[Event, list[Hook]] = {event: [] for event in Event}

    def add(self, event: Event, hook: Hook) -> None:
        self._given[event].append(hook)

    def on(self, event: Event) -> Sequence[Hook]:
        return self._given[event]


def call(hooks: Sequence[Hook], start: Start, *facts: object) -> None:
    """Call them one after the other, whatever they raise."""
    process = os.getpid()
    for hook in hooks:
        try:
            outcome_of(hook(start, *facts))
        except BaseException:  # noqa: BLE001  SystemExit too: it ends the hook, not the worker
            name = getattr(hook, "__qualname__", repr(hook))
            _log.exception("Run %s: the hook %s raised; the run is not changed by that.", start.run_id, name)
        if os.getpid() != process:
            os._exit(0)  # a fork made by the hook came back from it: the run is the parent's
