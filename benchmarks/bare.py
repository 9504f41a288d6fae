"""Bare: what the least costs through jobkit's own client: a plain GET, and a script that does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobkit.store.operations import Operation, Script

if TYPE_CHECKING:
    from jobkit import JobKit

NOTHING = "return 1"


class BareGet:
    """A GET in the form of an operation: the store's client neither knows nor cares."""

    def __init__(self, key: str) -> None:
        self._command = ("GET", key)

    def by_digest(self) -> tuple[str, str]:
        return self._command

    def by_source(self) -> tuple[str, str]:
        return self._command

    def read(self, reply: object) -> object:
        return reply


def bare_get(kit: JobKit) -> Any:
    """A GET of nothing, in the partition where runs are kept."""
    return BareGet(f"{kit.operations.prefix()}nothing")


def bare_script(kit: JobKit, sha: str) -> Operation[object]:
    """The script `NOTHING`, under the digest that the server gave it."""
    return Operation(Script("nothing", NOTHING, sha), f"{kit.operations.prefix()}partition", ("x",), read=_as_it_is)


def _as_it_is(reply: object) -> object:
    return reply
