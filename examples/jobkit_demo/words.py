"""Counts the words of Python source files: identifiers are split, so `getHTTPResponse` is get, http and response."""

from __future__ import annotations

import re
import sysconfig
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

LARGEST_FILE = 1_000_000
"""Bytes; larger files are tables, not text."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def standard_library() -> str:
    return sysconfig.get_path("stdlib")


def installed_packages() -> str:
    return sysconfig.get_path("purelib")


def is_in_packages(path: Path) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def read(path: Path) -> str | None:
    """The text of a source file; None if it is too large, unreadable or no UTF-8."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            return None
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def count(text: str, shortest: int, into: Counter[str]) -> None:
    """Add the words of a text, in lower case, that have at least so many letters."""
    into.update(word.lower() for word in _WORD.findall(text) if len(word) >= shortest)
