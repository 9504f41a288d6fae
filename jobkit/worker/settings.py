"""Settings: what a supervisor is told of the worker that it is to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Log(NamedTuple):
    """How a child writes its log: the least level, and one of `records.STYLES`."""

    level: str
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """As `Worker` says, checked and complete. In seconds and bytes; `queues` with weights, None for all of the kit."""

    target: str
    pool: str
    concurrency: int
    queues: Mapping[str, int] | None
    lease: float
    grace: float
    log: Log
    most_runs: int | None
    most_memory: int | None
    memory_limit: int | None
    counted: bool
    """Whether children tell of every start that ends."""
