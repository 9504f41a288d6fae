"""Lets a process end when the one that started it is gone, however that died: its standard input then closes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

OPTION = "--lifeline"

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
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
