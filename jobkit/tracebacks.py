"""Tracebacks: how an error is kept as text for a job's authors, and what that text says in one line."""

from __future__ import annotations

import re
import traceback
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

LONGEST_TRACEBACK: Final = 64 * 1024

_CHAINED: Final = re.compile(
    r"^\n(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):\n\n",
    re.MULTILINE,
)
_BEGINNING: Final = re.compile(
    r"^(?:Traceback|(  )\+ Exception Group Traceback) \(most recent call last\):\n", re.MULTILINE
)
_CUT: Final = re.compile(r"^  \[\.\.\.\]\n.*\n", re.MULTILINE)
"""Where the middle was left out, and the rest of the line that it was left out of."""
_MARGIN: Final = "  | "
"""What stands before each line of an exception group."""


def traceback_of(error: BaseException) -> str:
    """Beginning and end of the traceback, at most 64 KiB of it as UTF-8."""
    try:
        text = "".join(traceback.format_exception(type(error), error, _from_the_job_on(error.__traceback__)))
    except BaseException:  # noqa: BLE001  the author's class, so anything
        text = f"{type(error).__qualname__}, whose traceback cannot be formatted."
    return shortened(text, LONGEST_TRACEBACK)


def up_to_the_job(trace: TracebackType | None) -> TracebackType | None:
    """Cut off our own frames after the author's last line, such as that which interrupted it."""
    theirs, node = None, trace
    while node is not None:
        if not _is_ours(node):
            theirs = node
        node = node.tb_next
    if theirs is not None:
        theirs.tb_next = None
    return trace


def shortened(text: str, most: int) -> str:
    """Beginning and end of it, at most so many bytes as UTF-8."""
    data = text.encode(errors="backslashreplace")
    if len(data) > most:
        half = most // 2 - 16
        data = data[:half] + b"\n  [...]\n" + data[-half:]
    return data.decode(errors="ignore")


def summary_of(text: str) -> str:
    """The first line of what the last error in a kept traceback says: its type and message.

    Frames are indented, and the first line that is not comes after them. (The last line of all could be a note, the
    frame around a group, or any line of a long message.)
    """
    last = _CHAINED.split(_CUT.sub("", text))[-1]
    begun = _BEGINNING.search(last)
    lines = last[begun.end() :].splitlines() if begun else last.strip().splitlines()[-1:]
    margin = _MARGIN if begun and begun[1] else ""
    unmargined = (line.removeprefix(margin) for line in lines)
    return next((line for line in unmargined if line.strip() and not line.startswith(" ")), "")


def _from_the_job_on(trace: TracebackType | None) -> TracebackType | None:
    """Without our own frames on the way to the author's first line; all of them where none is the author's."""
    theirs = trace
    while theirs is not None and _is_ours(theirs):
        theirs = theirs.tb_next
    return theirs or trace


def _is_ours(trace: TracebackType) -> bool:
    return str(trace.tb_frame.f_globals.get("__name__", "")).startswith("jobkit.")
