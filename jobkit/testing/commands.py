"""Commands: what tests do to a store beside its scripts. Nothing of it is safe to do to a store in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobkit.store.operations import Operation

if TYPE_CHECKING:
    from jobkit.store.operations import Word


class Command:
    """One command of the server."""

    def __init__(self, *words: str | bytes) -> None:
        self._words = words

    def in_partition(self, partition: int) -> Operation[Any]:
        """As an operation, to be sent to the server of a partition."""
        return _Bare(str(self._words[0]), partition, ("", ""), self._words, lambda reply: reply)


class _Bare(Operation[Any], frozen=True, gc=False):
    """An operation that is no script."""

    def command(self) -> tuple[Word, ...]:
        return self.arguments
