"""Child: the process that performs runs, one at a time, in its main thread.

It takes a run only when it is free, in the same round trip that settles the last one, and waits on the queues' bells
while there is none. Whatever it is doing, its process may be killed: the supervisor renews its leases and gives them
back. Started by the supervisor only: python -m jobkit.worker.child TARGET DESCRIPTOR PARENT LEVEL
"""

from __future__ import annotations

import faulthandler
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from jobkit.errors import StoreError, StoreMisconfigured, StoreUnavailable
from jobkit.execution import Execution
from jobkit.job import spec_of
from jobkit.store.client import Store
from jobkit.store.conversation import backoff
from jobkit.store.replies import Lease, NoWork, SlotDead, Verdict
from jobkit.worker.interruption import SIGNAL, Drained, Interruption
from jobkit.worker.link import (
    TO_CHILD,
    USUAL_GRACE,
    Begin,
    Drain,
    Link,
    Ready,
    Recount,
    Stop,
    Terms,
    Timetable,
    ToChild,
    Unfit,
)
from jobkit.worker.parentage import die_with_parent
from jobkit.worker.reporter import Reporter
from jobkit.worker.target import BadTarget, load_kit

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit.job import JobSpec, ProgressJob
    from jobkit.kit import JobKit
    from jobkit.progress import Progress
    from jobkit.store.operations import Operation

T = TypeVar("T")

LONGEST_WAIT = 2.0
SHORTEST_WAIT = 0.005
ENDING_SECONDS = 2.0
"""How long threads that jobs left behind may hold up the end of the process."""

_log = logging.getLogger("jobkit.worker")


class _Ended(NamedTuple):
    """A start that is over, and what settles it."""

    lease: Lease
    settling: Operation[Verdict]


class Child:
    """Serves one slot. It is also the `Performer` of its runs."""

    def __init__(self, kit: JobKit, link: Link, interruption: Interruption, begin: Begin) -> None:
        self._begin = begin
        self._kit = kit
        self._link = link
        self._interruption = interruption
        self._store = Store(kit.location, kit.operations, patience=math.inf)
        self._reporter = Reporter(Store(kit.location, kit.operations, patience=0.0), begin.slot, interruption.stop)
        self._execution = Execution(
            kit.jobs, kit.operations, lambda run_id, token, file: kit.files.keep(run_id, token, file), self
        )
        self._nonces = count()
        self._partitions = 1
        self._turn = 0
        """The partition to be asked first."""

    def serve(self) -> None:
        """Take and perform runs until there is nothing more to take."""
        self._reporter.start()
        ended: _Ended | None = None
        try:
            self._partitions = self._count_partitions()
            self._link.say(Timetable(declarations=tuple(self._kit.declarations(self._partitions))))
            while not self._interruption.draining:
                work = self._next(ended)
                ended = None
                if isinstance(work, Lease):
                    settling = self._execution.execute(work)
                    ended = None if settling is None else _Ended(work, settling)
                else:
                    self._wait(work)
        except (Drained, SlotDead):
            return
        if ended is not None:
            self._heed(ended, self._ask([ended.settling])[0])

    def recount(self) -> None:
        """Tell the store again what is performed. (For another thread.)"""
        self._reporter.hurry()

    def perform(self, lease: Lease, spec: JobSpec, job: ProgressJob[Any], progress: Progress) -> object:
        if spec.options.cancel_grace != USUAL_GRACE or lease.duration < self._begin.lease:
            self._link.say(Terms(token=lease.token, cancel_grace=spec.options.cancel_grace, lease=lease.duration))
        self._reporter.follow(lease, progress)
        try:
            return self._interruption.perform(lease.token, progress, lambda: job.perform(progress))
        finally:
            self._reporter.leave()

    def _count_partitions(self) -> int:
        with self._interruption.waiting():
            return self._persist(self._store.partitions)

    def _next(self, ended: _Ended | None) -> Lease | NoWork:
        """Settle the last run and take the next, of the partition whose turn it is, else of the one after it.

        One is asked after the other: who asks two at once may get a run of each.
        """
        dues: list[float] = []
        for _ in range(self._partitions):
            partition = self._turn % self._partitions
            self._turn = partition + 1
            work = self._take(partition) if ended is None else self._settle_and_take(ended, partition)
            ended = None
            if isinstance(work, Lease):
                return work
            if work.next_due is not None:
                dues.append(work.next_due)
        return NoWork(min(dues, default=None))

    def _take(self, partition: int) -> Lease | NoWork:
        with self._interruption.waiting():
            work: Lease | NoWork = self._ask([self._taking(partition)])[0]
            return work

    def _settle_and_take(self, ended: _Ended, partition: int) -> Lease | NoWork:
        """In one round trip, unless another server's trouble might keep us from settling, and a taken run waiting."""
        settling = ended.settling
        if settling.partition != partition and not self._store.together({settling.partition, partition}):
            self._heed(ended, self._ask([settling])[0])
            return self._take(partition)
        verdict, work = self._ask([settling, self._taking(partition)])
        self._heed(ended, verdict)
        taken: Lease | NoWork = work
        return taken

    def _taking(self, partition: int) -> Operation[Lease | NoWork]:
        begin = self._begin
        nonce = str(next(self._nonces))
        return self._kit.operations.take(begin.slot, nonce, begin.queues, begin.lease, partition)

    def _wait(self, idle: NoWork) -> None:
        due = LONGEST_WAIT if idle.next_due is None else idle.next_due
        with self._interruption.waiting():
            try:
                rang = self._store.wait(self._begin.queues, min(max(due, SHORTEST_WAIT), LONGEST_WAIT))
            except StoreUnavailable:
                return  # the next take waits until it is back
        if rang is not None:
            self._turn = rang

    def _ask(self, operations: list[Operation[Any]]) -> list[Any]:
        return self._persist(lambda: self._store.execute_all(operations))

    def _persist(self, ask: Callable[[], T]) -> T:
        """Ask until there is an answer: what was performed is not thrown away because the store is in trouble."""
        said = ""
        for pause in backoff():
            try:
                return ask()
            except StoreError as error:
                if str(error) != said:
                    said = str(error)
                    _log.error("%s (Asking again.)", said)
                time.sleep(pause)
        raise AssertionError("backoff never ends")

    def _heed(self, ended: _Ended, verdict: Verdict) -> None:
        if verdict is Verdict.UNKNOWN:  # the store has lost the run: it is asserted anew, to be settled
            reassert = self._kit.operations.reassert(ended.lease, slot="")
            verdict = self._ask([reassert, ended.settling])[-1]
        if verdict is Verdict.ENDED:  # by this outcome, if it had to be sent again, or by a verdict that came first
            _log.info("Run %s has ended already.", ended.lease.run_id)
        elif verdict is not Verdict.OK:
            _log.warning("Run %s: its outcome was refused (%s); another start came first.", ended.lease.run_id, verdict)


class _Listener:
    """Hears the supervisor, in a thread of its own; its end is the process's."""

    def __init__(self, link: Link, interruption: Interruption) -> None:
        self._link = link
        self._interruption = interruption
        self._begun = threading.Event()
        self._begin: Begin | None = None
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
            case Begin():
                self._begin = message
                self._begun.set()
            case Stop(token=token, reason=reason):
                self._interruption.stop(token, reason)
            case Drain():
                self._interruption.drain()
            case Recount():
                if self.child is not None:
                    self.child.recount()


def main(target: str, descriptor: str, parent: str, level: str) -> int:
    die_with_parent(int(parent))
    faulthandler.enable()
    _leave_signals_to_the_supervisor()
    link = Link(socket.socket(fileno=int(descriptor)))
    kit = _imported(target, link)
    if kit is None:
        return 1
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    interruption = Interruption()
    listener = _Listener(link, interruption)
    listener.start()
    link.say(_ready(kit))
    try:
        begin = listener.begin()
        if begin is not None:
            listener.child = Child(kit, link, interruption, begin)
            listener.child.serve()
    except Drained:
        pass
    _end_soon()
    return 0


def _imported(target: str, link: Link) -> JobKit | None:
    try:
        kit = load_kit(target)
        _refuse_files_without_a_place(kit)
        return kit
    except BadTarget as error:
        link.say(Unfit(message=str(error)))
    except StoreMisconfigured as error:
        link.say(Unfit(message=str(error), exit_code=4))
    except BaseException as error:  # noqa: BLE001  the user's module, so anything
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
