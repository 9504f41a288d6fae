"""Child: the process that performs runs: one at a time in its main thread, or several, each in a thread of its own.

Started by the supervisor only: python -m jobkit.worker.child TARGET LINK STACKS PARENT LEVEL STYLE POOL
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from jobkit.errors import StoreError, StoreMisconfigured
from jobkit.incident import size
from jobkit.job import spec_of
from jobkit.records import name_runs, write_log
from jobkit.store.client import Store
from jobkit.worker import stacks
from jobkit.worker.guarded import GuardedStarts
from jobkit.worker.interruption import SIGNAL, AnyThread, Drained, MainThread, OneLoop
from jobkit.worker.link import (
    TO_CHILD,
    USUAL_GRACE,
    Begin,
    Counted,
    Drain,
    GiveUp,
    Leaving,
    Link,
    LogFrom,
    Ready,
    Recount,
    Serve,
    Stop,
    Tell,
    Terms,
    Timetable,
    ToChild,
    Unfit,
)
from jobkit.worker.memory import resident
from jobkit.worker.parentage import die_with_parent
from jobkit.worker.reporter import Reporter
from jobkit.worker.serving import Serving
from jobkit.worker.slots import Alone, Threads
from jobkit.worker.tally import Tally
from jobkit.worker.target import BadTarget, load_kit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobkit.job import JobSpec
    from jobkit.kit import JobKit
    from jobkit.progress import Progress
    from jobkit.store.replies import Lease
    from jobkit.worker.interruption import Interruption

INTERRUPTIONS: Mapping[str, Callable[[], Interruption]] = {
    "process": MainThread,
    "thread": AnyThread,
    "asyncio": OneLoop,
}
"""How jobs are stopped in each pool."""
ENDING_SECONDS = 2.0
"""How long threads that jobs left behind may hold up the end of the process."""

_log = logging.getLogger("jobkit.worker")


class Child:
    """Serves the slots of this process: a single one in the main thread, or each in a thread of its own."""

    def __init__(self, kit: JobKit, link: Link, interruption: Interruption, begin: Begin) -> None:
        self._begin = begin
        self._link = link
        self._interruption = interruption
        self._tally = Tally()
        self._guarded = GuardedStarts(link)
        self._reporter = Reporter(Store(kit.location, kit.operations, patience=0.0), interruption.stop)
        self._kit = kit
        self._store = store = Store(kit.location, kit.operations, patience=math.inf)
        alone = isinstance(interruption, MainThread)
        turn = None if alone else threading.Lock()
        self._servings = [
            Serving(
                kit, store, slot, begin.queues, begin.lease,
                interruption=interruption, watch=self, turn=turn, taken=self._taken, done=self._done,
                count=self._count if begin.counted else None,
            )
            for slot in begin.slots
        ]  # fmt: skip
        self._slots: Alone | Threads = Alone(self._servings[0]) if alone else Threads(self._servings)

    def serve(self) -> None:
        """Until there is nothing more to take, and all that was taken is settled."""
        self._reporter.start()
        threading.Thread(target=self._tell_timetable, name="jobkit-timetable", daemon=True).start()
        self._slots.serve()

    def drain(self) -> None:
        """Take nothing more. (For another thread.)"""
        self._interruption.drain()
        self._slots.drain()

    def heed(self, message: GiveUp | Recount | Serve | Tell) -> None:
        """(For another thread.)"""
        match message:
            case GiveUp(slot=slot):
                self._slots.give_up(slot)
                self._interruption.give_up()
            case Recount():
                self._reporter.hurry()
            case Serve(queues=queues):
                self.serve_queues(queues)
            case Tell():
                self.tell()

    def serve_queues(self, queues: Mapping[str, int]) -> None:
        """Take from these from now on. (For another thread.)"""
        for slot in self._servings:
            slot.serve_queues(queues)

    def tell(self) -> None:
        """Tell the supervisor what is and was performed. (For another thread.)"""
        self._link.say(self._tally.told())

    def begins(self, slot: str, lease: Lease, spec: JobSpec, progress: Progress, asked_at: float) -> None:
        grace = spec.options.cancel_grace
        if grace != USUAL_GRACE or lease.duration < self._begin.lease:
            self._link.say(Terms(slot=slot, token=lease.token, cancel_grace=grace, lease=lease.duration))
        look = self._guarded.begins(slot, lease, spec.options, asked_at)
        self._reporter.follow(slot, lease, progress, look)
        self._tally.begins(slot, lease)

    def ends(self, slot: str, lease: Lease, error: BaseException | None) -> None:
        self._tally.ends(slot, error)
        self._reporter.leave(lease)
        self._guarded.ends(lease)

    def _count(self, lease: Lease, outcome: str, seconds: float) -> None:
        waited = lease.waited if lease.start == 1 else None
        self._link.say(Counted(job=lease.job, outcome=outcome, seconds=seconds, waited=waited))

    def _tell_timetable(self) -> None:
        """Once the store has said how many partitions there are, for what is declared depends on that."""
        with suppress(StoreError):  # it cannot be used, as the supervisor hears too
            self._link.say(Timetable(declarations=tuple(self._kit.declarations(self._store.partitions()))))

    def _taken(self) -> None:
        self._slots.taken()

    def _done(self, ours: bool) -> None:
        why = self._why_to_leave(ours)
        if why and not self._interruption.draining:
            self._link.say(Leaving(why=why, idle=not any(slot.busy for slot in self._servings)))
            self.drain()
        self._slots.done()

    def _why_to_leave(self, ours: bool) -> str:
        begin, runs = self._begin, self._tally.performed
        if not ours:
            return "it had lost a lease, so it may be in trouble"
        if begin.most_runs is not None and runs >= begin.most_runs:
            return f"it has performed {runs} runs"
        if begin.most_memory is not None and (used := resident()) > begin.most_memory:
            return f"it has {size(used)} of memory"
        return ""


class _Listener:
    """Hears the supervisor, in a thread of its own; its end is the process's."""

    def __init__(self, link: Link, interruption: Interruption) -> None:
        self._link = link
        self._interruption = interruption
        self._begun = threading.Event()
        self._begin: Begin | None = None
        self.queues: Mapping[str, int] = {}
        """Those to be served, as was said last."""
        self.child: Child | None = None

    def start(self) -> None:
        threading.Thread(target=self._listen, name="jobkit-listener", daemon=True).start()

    def begin(self) -> Begin | None:
        """Blocks until the supervisor says so; None when it wants nothing any more."""
        with self._interruption.waiting():
            self._begun.wait()
        return self._begin

    def _listen(self) -> None:
        while (messages := self._link.hear(TO_CHILD)) is not None:
            for message in messages:
                self._heed(message)
        os._exit(1)

    def _heed(self, message: ToChild) -> None:
        match message:
            case Begin(queues=queues):
                self.queues = queues
                self._begin = message
                self._begun.set()
            case Stop(token=token, reason=reason):
                self._interruption.stop(token, reason)
            case Drain():
                if self.child is not None:
                    self.child.drain()
                else:
                    self._interruption.drain()
            case LogFrom(level=level):
                logging.getLogger().setLevel(level)
            case GiveUp() | Recount() | Serve() | Tell():
                self.queues = message.queues if isinstance(message, Serve) else self.queues
                if self.child is not None:
                    self.child.heed(message)


def main(target: str, descriptor: str, stacks_file: str, parent: str, level: str, style: str, pool: str) -> int:
    die_with_parent(int(parent))
    stacks.write_into(int(stacks_file))
    _leave_signals_to_the_supervisor()
    link = Link(socket.socket(fileno=int(descriptor)))
    name_runs()
    begin_log = partial(write_log, level, style)
    kit = _imported(target, link, begin_log)
    begin_log()
    name_runs()  # anew, should the module have a record factory of its own
    if kit is None:
        return 1
    interruption = INTERRUPTIONS[pool]()
    listener = _Listener(link, interruption)
    listener.start()
    link.say(_ready(kit))
    try:
        begin = listener.begin()
        if begin is not None:
            listener.child = Child(kit, link, interruption, begin)
            listener.child.serve_queues(listener.queues)  # others may have been named meanwhile
            listener.child.serve()
            listener.child.tell()
    except Drained:
        pass
    _end_soon()
    return 0


def _imported(target: str, link: Link, begin_log: Callable[[], None]) -> JobKit | None:
    """The log begins after it, for the module has the first word in how that is written."""
    try:
        kit = load_kit(target)
        _refuse_files_without_a_place(kit)
        return kit
    except BadTarget as error:
        link.say(Unfit(message=str(error)))
    except StoreMisconfigured as error:
        link.say(Unfit(message=str(error), exit_code=4))
    except BaseException as error:  # noqa: BLE001  the user's module, so anything
        begin_log()
        _log.exception("%s could not be imported.", target)
        link.say(Unfit(message=f"{target} could not be imported: {type(error).__name__} (its traceback is above)."))
    return None


def _refuse_files_without_a_place(kit: JobKit) -> None:
    """Better said now than when the first file is finished."""
    if any(spec_of(job).returns_files for job in kit.jobs.values()):
        kit.files  # noqa: B018  raises where there is none


def _ready(kit: JobKit) -> Ready:
    leases = [spec_of(job).options.lease for job in kit.jobs.values()]
    return Ready(
        url=kit.url,
        namespace=kit.operations.namespace,
        jobs={name: spec_of(job).options.queue for name, job in kit.jobs.items()},
        queues=kit.queues,
        shortest_lease=min((lease for lease in leases if lease is not None), default=None),
    )


def _leave_signals_to_the_supervisor() -> None:
    """Service managers signal every process of a service; the child ends when its supervisor says so.

    The handler does nothing: unlike SIG_IGN it does not live on in programs that jobs start. In processes that they
    fork it would, and `multiprocessing` ends those with SIGTERM.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    os.register_at_fork(after_in_child=_take_signals_as_usual)


def _take_signals_as_usual() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, SIGNAL):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_soon() -> None:
    """Let the interpreter end in order, but not be held up by threads that never end."""
    timer = threading.Timer(ENDING_SECONDS, os._exit, (0,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
