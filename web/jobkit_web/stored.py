"""Stored: a run as the store has it, in bytes: what is only passed on is not decoded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobkit.store.operations import Operation, Operations


@dataclass(frozen=True, slots=True)
class Stored:
    """A snapshot's JSON, and the JSON of the result where it was asked for and there is one."""

    body: bytes
    result: bytes | None


def loading(
    operations: Operations, run_id: str, *, watch: float = 0.0, result: bool = False
) -> Operation[Stored | None]:
    """`Operations.load`, answering bytes, and None for an unknown run."""
    operation: Any = operations.load(run_id, watch=watch, result=result)
    reading: Operation[Stored | None] = replace(operation, read=_read)
    return reading


def _read(reply: list[Any] | None) -> Stored | None:
    return None if reply is None else Stored(reply[0], reply[1])
