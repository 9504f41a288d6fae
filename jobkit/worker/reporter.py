"""Reporter: the one thread that tells the store how far the runs of a process are.

It looks at the live progress ten times a second and writes what has changed, of all runs in one round trip: at most
ten times a second while somebody watches a run, else once a second. While nothing is performed it sleeps. The last
value is not its matter: settling carries it. A checkpoint goes along, at most once a second, watched or not: only a
start that dies loses what came after it. What the reporter still sends after the end is refused, and what it then hears
names an old token.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from jobkit.decision import StopReason
from jobkit.errors import StoreError
from jobkit.progress import Progress
from jobkit.store.replies import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit.store.client import Store
    from jobkit.store.operations import Operation
    from jobkit.store.replies import Lease, Reported

LOOK_SECONDS = 0.1
UNWATCHED_SECONDS = 1.0
CHECKPOINT_SECONDS = 1.0
RETRY_SECONDS = 0.25

_log = logging.getLogger("jobkit.worker")


class _Followed:
    """A run whose progress is being told."""

    def __init__(
        self, slot: str, lease: Lease, progress: Progress, look: Callable[[object, object], None] | None
    ) -> None:
        self.slot = slot
        self.look = look
        self.lease = lease
        self.progress = progress
        self.told: object = _UNTOUCHED
        self.told_checkpoint = progress.kept  # the store has it: it was there that this start got it
        self.sequence = 0
        self.due = 0.0
        self.checkpoint_due = 0.0

    def forget(self, due: float = 0.0) -> None:
        """What was told may not have arrived, or be lost: all is told again, from this moment on."""
        self.told, self.told_checkpoint = None, None
        self.due = self.checkpoint_due = due


class Reporter:
    """Reports for one process; `stop` is told the token of a start that the store says is over."""

    def __init__(self, store: Store, stop: Callable[[str, StopReason], None]) -> None:
        self._store = store
        self._stop = stop
        self._looking = threading.Lock()
        self._awake = threading.Event()
        self._followed: dict[str, _Followed] = {}
        self._over = False

    def start(self) -> None:
        threading.Thread(target=self._report_for_ever, name="jobkit-reporter", daemon=True).start()

    def follow(
        self, slot: str, lease: Lease, progress: Progress, look: Callable[[object, object], None] | None = None
    ) -> None:
        """Report this start; `look` is called with its revision and last checkpoint at every look."""
        self._followed[lease.token] = _Followed(slot, lease, progress, look)
        if not self._awake.is_set():
            self._awake.set()

    def leave(self, lease: Lease) -> None:
        """When this returns, nobody but the caller looks at the progress of this start any more."""
        with self._looking:
            self._followed.pop(lease.token, None)

    def end(self) -> None:
        """Its thread ends soon."""
        self._over = True
        self._awake.set()

    def hurry(self) -> None:
        """Report at the next look, whether or not anything has changed."""
        for followed in tuple(self._followed.values()):
            followed.forget()

    def _report_for_ever(self) -> None:
        while not self._over:
            self._awake.wait()
            time.sleep(LOOK_SECONDS)
            self._report()
            if not self._followed:
                self._rest()

    def _rest(self) -> None:
        self._awake.clear()
        if self._followed:
            self._awake.set()

    def _report(self) -> None:
        news: list[tuple[_Followed, Operation[Reported]]] = []
        for token in tuple(self._followed):
            with self._looking:  # for one at a time: who leaves waits for no other's
                followed = self._followed.get(token)
                operation = self._news(followed) if followed is not None else None
            if followed is not None and operation is not None:
                news.append((followed, operation))
        if news:
            self._send(news)

    def _news(self, followed: _Followed) -> Operation[Reported] | None:
        revision = followed.progress.revision()
        checkpoint = self._new_checkpoint(followed)
        if followed.look is not None:
            followed.look(revision, followed.progress.kept)
        if time.monotonic() < followed.due or (revision == followed.told and not checkpoint):
            return None
        followed.told = revision
        followed.sequence += 1
        body = followed.progress.view(time.time()).to_json()
        return self._store.operations.report(followed.lease, followed.sequence, body, checkpoint)

    def _new_checkpoint(self, followed: _Followed) -> bytes:
        """Empty when there is none, or it is not due."""
        now, kept = time.monotonic(), followed.progress.kept
        if kept is followed.told_checkpoint or now < max(followed.due, followed.checkpoint_due):
            return b""
        followed.told_checkpoint = kept
        followed.checkpoint_due = now + CHECKPOINT_SECONDS
        return followed.progress.checkpoint_to_json()

    def _send(self, news: list[tuple[_Followed, Operation[Reported]]]) -> None:
        sent = time.monotonic()
        try:
            answers: list[Reported] = self._store.execute_all([operation for _, operation in news])
        except StoreError as error:
            runs = ", ".join(followed.lease.run_id for followed, _ in news)
            _log.debug("The progress of %s could not be told (%s); it will be.", runs, error)
            for followed, _ in news:
                followed.forget(time.monotonic() + RETRY_SECONDS)
        else:
            for (followed, _), reported in zip(news, answers, strict=True):
                followed.due = sent + (0.0 if reported.watched else UNWATCHED_SECONDS)
                self._heed(followed, reported.verdict)

    def _heed(self, followed: _Followed, verdict: Verdict) -> None:
        match verdict:
            case Verdict.CANCEL:
                self._stop(followed.lease.token, StopReason.CANCELLED)
            case Verdict.ENDED | Verdict.LOST:
                self._stop(followed.lease.token, StopReason.LOST)
            case Verdict.UNKNOWN:
                self._reassert(followed)

    def _reassert(self, followed: _Followed) -> None:
        """The store has lost this run: it is told all that its lease said; how far it is, it hears right after.

        With the checkpoint, be it the one that this start began with.
        """
        followed.sequence = 0
        followed.forget()
        with suppress(StoreError):  # asked again with the next report
            verdict = self._store.execute(self._store.operations.reassert(followed.lease, followed.slot))
            if verdict is Verdict.OK:
                _log.warning("Run %s was lost by the store, and is asserted anew.", followed.lease.run_id)
            else:
                self._heed(followed, verdict)


_UNTOUCHED = Progress().revision()
