"""Text: what a job says to people, made fit for every reader. (Readers make harmless what they show all the same.)"""

from __future__ import annotations

import re
from typing import Final

LONGEST_MESSAGE: Final = 500
"""Characters of what a run says: its progress' message, or why it failed."""

_CONTROLS: Final = "\x00-\x1f\x7f-\x9f\u2028\u2029"
_BREAKS: Final = re.compile(rf"[\s{_CONTROLS}]*[{_CONTROLS}][\s{_CONTROLS}]*")
_TURNS: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""What turns the direction of writing, so that a text seems to say something else."""
_HALVES: Final = re.compile("[\ud800-\udfff]")
"""Halves of surrogate pairs, which have no form in UTF-8."""


def one_line(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """The text as one line that can be sent and shown: controls are a space, what is too long is cut with …"""
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    if text.isprintable():
        return text
    return _HALVES.sub("\ufffd", _TURNS.sub("", _BREAKS.sub(" ", text))).strip()
