"""Output: what children write to stderr is passed on, and the last of it kept for crash reports.

One thread does that for all children of a worker, with plain reads and writes: a job that prints a gigabyte is held up
by whoever reads our own stderr, as it would be without us, and costs neither memory nor the supervisor's event loop.
"""

from __future__ import annotations

import os
import selectors
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from jobkit.incident import MOST_LINES

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEPT: Final = 16 * 1024
_AT_ONCE: Final = 64 * 1024
_OWN_STDERR: Final = 2


class Tail:
    """The last that one child wrote."""

    def __init__(self) -> None:
        self.over = threading.Event()
        """Set when nothing more can come."""
        self._kept = b""

    def add(self, data: bytes) -> None:
        self._kept = (self._kept + data[-_KEPT:])[-_KEPT:]

    def lines(self) -> tuple[str, ...]:
        """The last lines; the first one may have lost its beginning."""
        lines = self._kept.decode(errors="replace").splitlines()
        return tuple(line for line in lines if line.strip())[-MOST_LINES:]


class Output:
    """Passes on what children write, to `descriptor` (our own stderr)."""

    def __init__(self, descriptor: int = _OWN_STDERR) -> None:
        self._descriptor = descriptor
        self._selector = selectors.DefaultSelector()
        self._wake, self._waking = os.pipe()
        self._new: list[tuple[int, Tail]] = []
        self._selector.register(self._wake, selectors.EVENT_READ)
        threading.Thread(target=self._pass_on_for_ever, name="jobkit-output", daemon=True).start()

    @contextmanager
    def opened(self) -> Iterator[tuple[int, Tail]]:
        """A descriptor for one child to write to, closed here once the child has it; and what it wrote last."""
        read, write = os.pipe()
        tail = Tail()
        self._new.append((read, tail))
        os.write(self._waking, b".")
        try:
            yield write, tail
        finally:
            os.close(write)

    def _pass_on_for_ever(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    os.read(self._wake, 1)
                    self._selector.register(*self._first_new())
                else:
                    self._pass_on(key.fd, key.data)

    def _first_new(self) -> tuple[int, int, Tail]:
        descriptor, tail = self._new.pop(0)
        return descriptor, selectors.EVENT_READ, tail

    def _pass_on(self, descriptor: int, tail: Tail) -> None:
        data = os.read(descriptor, _AT_ONCE)
        if data:
            tail.add(data)
            self._write(data)
        else:
            self._selector.unregister(descriptor)
            os.close(descriptor)
            tail.over.set()

    def _write(self, data: bytes) -> None:
        with suppress(OSError):  # nobody reads our stderr any more; the children go on all the same
            while data:
                data = data[os.write(self._descriptor, data) :]
