"""Slots: where those of a process are served: a single one in the main thread, or several, each in a thread of its own.

A thread is started only when all that there are have a run. Those that wait for work share one connection for that: one
of them waits, and the others wait for their turn.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from jobkit.worker.interruption import Drained

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobkit.worker.serving import Serving

_log = logging.getLogger("jobkit.worker")


class Alone:
    """The only slot of its process."""

    def __init__(self, slot: Serving) -> None:
        self._slot = slot

    def serve(self) -> None:
        """Until there is nothing more to take."""
        self._slot.serve()

    def taken(self) -> None:
        """It has a run."""

    def done(self) -> None:
        """It has settled a run."""

    def drain(self) -> None:
        """Its waiting ends by a signal."""

    def give_up(self, slot: str) -> None:
        """Its process is killed instead."""


class Threads:
    """All but `serve` is for any thread."""

    def __init__(self, slots: Iterable[Serving]) -> None:
        self._to_come = list(slots)
        self._begun: list[Serving] = []
        self._given_up: set[str] = set()
        self._beginning = threading.Lock()
        self._changed = threading.Event()
        self._draining = False
        self._over = False

    def serve(self) -> None:
        """Until it drains, and no slot is busy but those that are given up."""
        self.taken()
        while not self._ends():
            self._changed.wait()
            self._changed.clear()

    def taken(self) -> None:
        """A slot has a run: another one waits for the next.

        Raises:
            Drained: the process is about to end, and with it the lease.
        """
        with self._beginning:
            if self._over:
                raise Drained
            if self._to_come and all(slot.busy for slot in self._begun):
                slot = self._to_come.pop(0)
                self._begun.append(slot)
                threading.Thread(target=self._run, args=(slot,), name=f"jobkit-{slot.slot}", daemon=True).start()

    def done(self) -> None:
        """A slot has settled a run."""
        self._changed.set()

    def drain(self) -> None:
        self._draining = True
        self._changed.set()

    def give_up(self, slot: str) -> None:
        self._given_up.add(slot)
        self._changed.set()

    def _ends(self) -> bool:
        with self._beginning:  # a slot that has a run by now is waited for, and one that gets it later gives it up
            busy = any(slot.busy and slot.slot not in self._given_up for slot in self._begun)
            self._over = self._draining and not busy
            return self._over

    def _run(self, slot: Serving) -> None:
        try:
            slot.serve()
        except BaseException:  # noqa: BLE001  a slot must not be missing without anybody's noticing
            _log.critical("The slot %s fails, and with it its process.", slot.slot, exc_info=True)
            os._exit(1)
        self._changed.set()
