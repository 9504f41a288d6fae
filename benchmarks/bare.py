"""Bare: what the least costs through jobkit's own client: a plain GET, and a script that does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobkit import JobKit

NOTHING = "return 1"


class Bare:
    """A command in the form of an operation: the store's client neither knows nor cares."""

    partition = 0

    def __init__(self, *command: str | int) -> None:
        self._command = command

    def command(self) -> tuple[str | int, ...]:
        return self._command

    def read(self, reply: object) -> object:
        return reply


def bare_get(kit: JobKit) -> Any:
    """A GET of nothing, in the partition where runs are kept."""
    return Bare("GET", f"{kit.operations.prefix()}nothing")


def bare_script(kit: JobKit, sha: str) -> Any:
    """The script `NOTHING`, under the digest that the server gave it."""
    return Bare("EVALSHA", sha, 1, f"{kit.operations.prefix()}partition", "x")
