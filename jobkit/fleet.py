"""Fleet: what is known of the workers of a namespace, as each of them tells it of itself.

A worker tells every few seconds. One that was killed says no more: it counts as lost from then on, is still listed for
a while, and then forgotten.
"""

from __future__ import annotations

import msgspec

TOLD_EVERY = 5.0
"""Seconds between what a worker tells; at once when it changes."""
SILENT_AFTER = 15.0
"""Seconds without a word after which a worker counts as lost."""
FORGOTTEN_AFTER = 600.0
"""Seconds without a word after which it is listed no more."""


class Performing(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is being performed, and where; `started_at` in epoch seconds of the worker's host."""

    slot: str
    run_id: str
    job: str
    started_at: float


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A worker, as of `last_seen` (epoch seconds).

    `queues` are those it serves with their weights, 0 where it has none; `busy` of its `concurrency` slots perform
    something; `load` is the host's (average of a minute), `memory` (bytes) that of the worker and its children.
    `performed`, `failed` and `crashed` count since the worker began: starts, those of them that raised, and processes
    that died. `alive` is false once it has said nothing for 15 seconds.
    """

    name: str
    host: str = ""
    pid: int = 0
    version: str = ""
    target: str = ""
    pool: str = "process"
    concurrency: int = 0
    queues: dict[str, int] = {}
    started_at: float = 0.0
    stopping: bool = False
    busy: int = 0
    load: float | None = None
    memory: int | None = None
    children: int = 0
    performed: int = 0
    failed: int = 0
    crashed: int = 0
    performing: tuple[Performing, ...] = ()
    last_seen: float = 0.0
    alive: bool = True

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)


def known_worker(name: str, about: bytes, silence: float, now: float) -> WorkerInfo:
    """A worker that told this `silence` seconds ago; as much of it as this version understands."""
    try:
        told = _DECODER.decode(about)
    except msgspec.MsgspecError:
        told = WorkerInfo(name=name)
    return msgspec.structs.replace(told, name=name, last_seen=now - silence, alive=silence < SILENT_AFTER)


_DECODER = msgspec.json.Decoder(WorkerInfo)
