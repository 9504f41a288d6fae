"""Mutants that no test can tell from the scripts as they are: `equivalent.txt` says which, and why.

    # Why, for all that follow.
    shared/clock.lua
        - the line as it is
        + the line as it became, and another such line for every other mutant of it

Keep it short: a missing test is no reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.mutation.mutants import Mutant


class Equivalent(NamedTuple):
    """A mutant by its file and its line as it was and as it became, spaces squeezed."""

    file: str
    was: str
    became: str
    why: str

    def means(self, mutant: Mutant) -> bool:
        return self[:3] == (mutant.file, mutant.was, mutant.became)


def parsed(text: str) -> Iterator[Equivalent]:
    """The entries of such a text."""
    file = was = why = ""
    for line in text.splitlines():
        match line.strip()[:2]:
            case "":
                why = ""
            case "# ":
                why = f"{why} {line[2:]}".strip()
            case "- ":
                was = line.strip()[2:]
            case "+ ":
                yield Equivalent(file, was, line.strip()[2:], why)
            case _:
                file = line


EQUIVALENT = tuple(parsed(Path(__file__).with_suffix(".txt").read_text("utf-8")))
