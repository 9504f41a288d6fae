"""Lets a process end when the one that started it is gone, however that died: its standard input then closes."""

from __future__ import annotations

import os
import signal
import threading
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

OPTION = "--lifeline"
_STANDARD_INPUT = 0

P = ParamSpec("P")
T = TypeVar("T")


def ends_with_its_starter(command: Callable[P, T]) -> Callable[P, T]:
    """Give a command the hidden option `--lifeline`."""

    @click.option(OPTION, is_flag=True, hidden=True)
    @wraps(command)
    def with_lifeline(*arguments: P.args, **options: P.kwargs) -> T:
        if options.pop("lifeline"):
            threading.Thread(target=_end_when_cut, name="jobkit-lifeline", daemon=True).start()
        return command(*arguments, **options)

    return with_lifeline


def _end_when_cut() -> None:
    while os.read(_STANDARD_INPUT, 4096):  # not sys.stdin: its lock would be held when the interpreter ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)
