"""Awaiting: what a value comes to where nobody awaits it, be it awaitable or not."""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable


def outcome_of(value: object) -> object:
    """The value, or what it comes to: in this thread, or beside it where this one has a loop."""
    if not inspect.isawaitable(value):
        return value
    if asyncio.events._get_running_loop() is None:
        return asyncio.run(_awaited(value))
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(copy_context().run, asyncio.run, _awaited(value)).result()


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value
