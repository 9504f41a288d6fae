"""Frames: how events are written on a stream (HTML Living Standard, 9.2.6). Pure.

Whatever is inside an event is JSON, and JSON has no raw line ends, so one `data:` line always holds it.
"""

from __future__ import annotations

import random

import msgspec

COMMENT = b":\n\n"
"""A heartbeat that a fetch stream sees and an EventSource does not."""
HEARTBEAT = b"event: heartbeat\ndata: {}\n\n"
"""A heartbeat that an EventSource sees too."""


def event(name: str, data: bytes, identifier: str = "") -> bytes:
    """One event. `data` is JSON; ids go on frames with data only, since only those move Last-Event-ID everywhere."""
    if b"\n" in data or b"\r" in data:
        data = msgspec.json.format(data, indent=-1)
    head = f"id: {identifier}\nevent: {name}\n" if identifier else f"event: {name}\n"
    return b"%sdata: %s\n\n" % (head.encode(), data)


def gone(run_id: str, status: int) -> bytes:
    """One run of the stream cannot be watched (any more)."""
    return event("gone", msgspec.json.encode({"id": run_id, "status": status}))


def token(run_id: str, access_token: str) -> bytes:
    """A fresh access token for a run, in place of one that would end before the run does."""
    return event("token", msgspec.json.encode({"id": run_id, "token": access_token}))


def bye(reason: str, within: float) -> bytes:
    """The stream ends though its runs do not: come back some time within so many seconds."""
    pause = random.uniform(0.1, 1.0) * within * 1000
    return b"retry: %d\n" % pause + event("bye", msgspec.json.encode({"reason": reason}))
