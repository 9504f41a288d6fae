"""Waits for something to become true, instead of sleeping for about as long as it should take."""

import asyncio
import time
from collections.abc import Awaitable, Callable

_PAUSE = 0.01


def wait_until(condition: Callable[[], object], message: str, timeout: float = 10.0) -> None:
    """Return as soon as the condition holds; fail with the message after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        _check(deadline, message, timeout)
        time.sleep(_PAUSE)


async def await_until(
    condition: Callable[[], object | Awaitable[object]],
    message: str,
    timeout: float = 10.0,  # noqa: ASYNC109  the failure must carry the message
    pause: float = _PAUSE,
) -> None:
    """`wait_until` for a running event loop; the condition may be async, and is looked at every `pause` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        held = condition()
        if await held if isinstance(held, Awaitable) else held:
            return
        _check(deadline, message, timeout)
        await asyncio.sleep(pause)


def _check(deadline: float, message: str, timeout: float) -> None:
    if time.monotonic() >= deadline:
        raise AssertionError(f"after {timeout:g} s still not: {message}")
