"""Which store a command asks, and as whom, where no kit is named: a run can be watched without the code of its job."""

from __future__ import annotations

import getpass
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from jobkit.kit import JobKit

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 2.0
"""Seconds until a person is told that the store does not answer."""

P = ParamSpec("P")
T = TypeVar("T")


def takes_store(command: Callable[Concatenate[JobKit, P], T]) -> Callable[..., T]:
    """Give a command `--url` and `--namespace`, and a kit without jobs of that store as its first argument."""

    @click.option("--url", metavar="URL", help="The store: redis://…, unix://… or embedded:PATH [JOBKIT_URL].")
    @click.option("--namespace", metavar="NAME", help="The runs' namespace in the store [JOBKIT_NAMESPACE].")
    @wraps(command)
    def with_kit(*arguments: Any, url: str | None, namespace: str | None, **options: Any) -> T:
        with JobKit(url, namespace=namespace, patience=PATIENCE) as kit:
            return command(kit, *arguments, **options)

    return with_kit


def this_user() -> str:
    """Who submits and cancels here: `cancel` withdraws what `submit` of the same user put in."""
    return f"cli:{getpass.getuser()}"
