"""Engine: the port of what brings a worker to look.

The store's queue is the queue on every engine, and its scripts decide who gets what. An engine only says "look", and is
never relied on: what it loses, idle workers find by themselves, and what it says twice finds nothing to take. The
store's own bell is such a voice already, so the native engine is none at all.
"""

from __future__ import annotations

from typing import Protocol


class Engine(Protocol):
    """Brings workers to look. Called after a submission has been admitted, whoever else may have seen it by then."""

    def ring(self, queue: str) -> None:
        """There may be work in this queue.

        Returns when that has been said, or when it has been done. Blocks; callers on an event loop give it a thread.

        Raises:
            EngineUnavailable: it cannot be said. The runs are in the store, and idle workers find them.
        """
        ...

    def awaited(self, queue: str) -> float | None:
        """Somebody is about to wait, here, for a run of this queue: one that performs in its callers does so now.

        Returns after how many seconds it is to be asked again; None when others perform. Blocks as `ring`.
        """
        ...
