"""How a command ends: its exit code, and what is said about an error that is the user's to mend.

0    succeeded
1    the run failed, or `cancel` did not stop it, or a worker did not do what it was asked
2    usage: what was asked for cannot be done as asked
3    the run was cancelled
4    the store cannot be reached, or cannot be used
5    no such run
130  interrupted (Ctrl-C)
"""

from __future__ import annotations

from enum import IntEnum

import click

from jobkit.errors import (
    EngineUnavailable,
    JobKitError,
    RunCancelled,
    RunError,
    RunNotFound,
    StoreError,
)
from jobkit.lifecycle import State


class Exit(IntEnum):
    """What a script reads from `$?`."""

    SUCCEEDED = 0
    FAILED = 1
    USAGE = 2
    CANCELLED = 3
    STORE = 4
    NOT_FOUND = 5
    INTERRUPTED = 130


class Refusal(click.ClickException):
    """Ends the command with a message for people and a code for scripts; never a traceback."""

    def __init__(self, message: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click declares it for classes, and reads it from instances


def refusal_of(error: JobKitError) -> Refusal:
    """The same error, as a command ends with it."""
    return Refusal(str(error), _code_of(error))


def exit_of(state: State) -> Exit:
    """The exit code of a command that followed a run to its end."""
    match state:
        case State.SUCCEEDED:
            return Exit.SUCCEEDED
        case State.CANCELLED:
            return Exit.CANCELLED
        case _:
            return Exit.FAILED


def _code_of(error: JobKitError) -> Exit:
    match error:
        case StoreError() | EngineUnavailable():
            return Exit.STORE
        case RunNotFound():
            return Exit.NOT_FOUND
        case RunCancelled():
            return Exit.CANCELLED
        case RunError():
            return Exit.FAILED
        case _:
            return Exit.USAGE
