"""Serving: one slot of a worker takes runs, performs them and settles them, one at a time, in a thread of its own.

It takes a run only when it is free, in the same round trip that settles the last one, and waits on the queues' bells
while there is none. Whatever it is doing, its process may be killed: the supervisor renews its leases and gives them
back.
"""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from itertools import count as numbers
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from jobkit.errors import StoreError, StoreUnavailable
from jobkit.execution import Execution
from jobkit.store.conversation import backoff
from jobkit.store.replies import Lease, NoWork, SlotDead, Verdict
from jobkit.worker.guard import boot_time
from jobkit.worker.interruption import Drained
from jobkit.worker.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from jobkit.execution import Count, Kit
    from jobkit.job import JobSpec, ProgressJob
    from jobkit.progress import Progress
    from jobkit.store.client import Store
    from jobkit.store.operations import Operation
    from jobkit.worker.interruption import Interruption

T = TypeVar("T")

LONGEST_WAIT = 2.0
SHORTEST_WAIT = 0.005

_log = logging.getLogger("jobkit.worker")


class Watch(Protocol):
    """Whoever wants to know what the slots of a process perform."""

    def begins(self, slot: str, lease: Lease, spec: JobSpec, progress: Progress, asked_at: float) -> None:
        """Performing begins; the lease was asked for at `asked_at` (boot time)."""

    def ends(self, slot: str, lease: Lease, error: BaseException | None) -> None:
        """It is over. When this returns, nobody but the caller looks at its progress any more."""


class _Ended(NamedTuple):
    """A start that is over, and what settles it."""

    lease: Lease
    settling: Operation[Verdict]


class Serving:
    """One slot. It is also the `Performer` of its runs.

    `queues` are taken from with these weights (0: none). `lease` (s) is for jobs that name none. `turn` is held while
    it waits for work, so of slots with a common one a single one waits, for `longest_wait` seconds at a time. `taken`
    is called when a run was taken, `done` when one was settled, with whether it was still ours to settle.
    """

    def __init__(
        self,
        kit: Kit,
        store: Store,
        slot: str,
        queues: Mapping[str, int],
        lease: float,
        *,
        interruption: Interruption,
        watch: Watch,
        turn: AbstractContextManager[Any] | None = None,
        longest_wait: float = LONGEST_WAIT,
        taken: Callable[[], None] = lambda: None,
        done: Callable[[bool], None] = lambda _ours: None,
        count: Count | None = None,
    ) -> None:
        self.slot = slot
        self.busy = False
        """Whether it has a run that it has not settled yet."""
        self._store = store
        self._operations = kit.operations
        self._turns = Turns(queues, Random())
        self._lease = lease
        self._interruption = interruption
        self._watch = watch
        self._turn = turn or nullcontext()
        self._longest_wait = longest_wait
        self._taken = taken
        self._done = done
        self._execution = Execution(kit, self, count)
        self._nonces = numbers()
        self._partitions = 1
        self._first = 0
        """The partition to be asked first."""
        self._asked_at = 0.0
        """When a run was asked for last: no lease begins before."""

    def serve(self) -> None:
        """Take and perform runs until there is nothing more to take."""
        ended: _Ended | None = None
        try:
            with self._interruption.waiting():
                self._partitions = self._persist(self._store.partitions)
            while not self._interruption.draining:
                work = self._next(ended)
                lease = work if isinstance(work, Lease) else self._awaited(work)
                self.busy = True
                self._taken()
                settling = self._execution.execute(lease)
                ended = None if settling is None else _Ended(lease, settling)
                if ended is None:
                    self._over(ours=False)
            if ended is not None:
                self._heed(ended, self._ask([ended.settling])[0])
        except (Drained, SlotDead):
            return
        finally:
            self.busy = False

    def serve_queues(self, queues: Mapping[str, int]) -> None:
        """Take from these from now on. (For another thread.)"""
        self._turns = Turns(queues, Random())

    def perform(self, lease: Lease, spec: JobSpec, job: ProgressJob[Any], progress: Progress) -> object:
        self._watch.begins(self.slot, lease, spec, progress, self._asked_at)
        error: BaseException | None = None
        try:
            return self._interruption.perform(lease.token, progress, lambda: job.perform(progress))
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._watch.ends(self.slot, lease, error)

    def _next(self, ended: _Ended | None) -> Lease | NoWork:
        """Settle the last run and take the next, of the partition whose turn it is, else of the one after it.

        One is asked after the other: who asks two at once may get a run of each.
        """
        dues: list[float] = []
        for _ in range(self._partitions):
            partition = self._first % self._partitions
            self._first = partition + 1
            work = self._take(partition) if ended is None else self._settle_and_take(ended, partition)
            ended = None
            if isinstance(work, Lease):
                return work
            if work.next_due is not None:
                dues.append(work.next_due)
        return NoWork(min(dues, default=None))

    def _awaited(self, idle: NoWork) -> Lease:
        """The next run, when there is one."""
        with self._turn:
            work: Lease | NoWork = idle
            while not isinstance(work, Lease):
                self._wait(work)
                work = self._next(None)
            return work

    def _take(self, partition: int) -> Lease | NoWork:
        with self._interruption.waiting():
            turns = self._turns
            order = turns.order()
            return _taken(turns, order, self._ask([self._taking(partition, turns, order)])[0])

    def _settle_and_take(self, ended: _Ended, partition: int) -> Lease | NoWork:
        """In one round trip, unless another server's trouble might keep us from settling, and a taken run waiting."""
        settling = ended.settling
        alike = settling.partition == partition
        if not alike and not self._store.together({settling.partition, partition}):
            self._heed(ended, self._ask([settling])[0])
            return self._take(partition)
        turns = self._turns
        order = turns.order()
        taking = self._taking(partition, turns, order)
        if alike:
            ((verdict, work),) = self._ask([self._operations.settle_and_take(settling, taking)])
        else:
            verdict, work = self._ask([settling, taking])
        self._heed(ended, verdict, busy=isinstance(work, Lease))
        return _taken(turns, order, work)

    def _taking(self, partition: int, turns: Turns, order: Sequence[str]) -> Operation[Lease | NoWork]:
        self._asked_at = boot_time()
        nonce, take = str(next(self._nonces)), self._operations.take
        return take(self.slot, nonce, order, self._lease, partition, in_turn=turns.are_taken)

    def _wait(self, idle: NoWork) -> None:
        due = self._longest_wait if idle.next_due is None else idle.next_due
        with self._interruption.waiting():
            try:
                rang = self._store.wait(self._turns.queues, min(max(due, SHORTEST_WAIT), self._longest_wait))
            except StoreUnavailable:
                return  # the next take waits until it is back
        if rang is not None:
            self._first = rang

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

    def _heed(self, ended: _Ended, verdict: Verdict, *, busy: bool = False) -> None:
        """What became of it; `busy` tells whether there is another run already."""
        if verdict is Verdict.UNKNOWN:  # the store has lost the run: it is asserted anew, to be settled
            reassert = self._operations.reassert(ended.lease, slot="")
            verdict = self._ask([reassert, ended.settling])[-1]
        if verdict is Verdict.ENDED:  # by this outcome, if it had to be sent again, or by a verdict that came first
            _log.info("Run %s has ended already.", ended.lease.run_id)
        elif verdict is not Verdict.OK:
            _log.warning("Run %s: its outcome was refused (%s); another start came first.", ended.lease.run_id, verdict)
        self._over(ours=verdict in (Verdict.OK, Verdict.ENDED), busy=busy)

    def _over(self, *, ours: bool, busy: bool = False) -> None:
        self.busy = busy
        self._done(ours)


def _taken(turns: Turns, order: tuple[str, ...], work: Lease | NoWork) -> Lease | NoWork:
    if turns.are_taken and isinstance(work, Lease):
        turns.had(order, work.queue)
    return work
