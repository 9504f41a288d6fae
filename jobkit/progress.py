"""Responsible for progress: the handle a job reports through, and the view a reader gets of it. No I/O.

One thread mutates, the job's; one thread reads, the reporter's; there is no lock. What the job calls in its hot
loop (`advance`, a step of `track`) is one addition to one slot of one stage. Everything else, sums over the
stages, weights, estimates and the judgement of odd values, is the reader's, at most ten times a second. So
`advance` believes what it is given, and nonsense (NaN, a negative sum) is dropped when it is read; `update` and
`total =`, which are called rarely, refuse it in the job's own thread.

How the whole is known:

* The first loop fills the bar of the run (or of the stage it runs in). Loops and stages inside a running loop
  show bars of their own and change nothing else: the outer loop counts items.
* A total that the job sets itself stands: the job moves the bar, with `advance` or with loops of unknown length.
* A plan of weighted stages: the whole is the weighted sum. A stage whose own fraction is unknown counts nothing
  until it has ended.
* Anything else (a second loop after the first, a stage that no plan names) shows its own bar, and the whole is
  unknown from then on: None is honest, a bar that starts again is not.

The fraction never falls while it is a number. A small setback (a total that grows a little) is held, a larger one
makes it None until it is made up. It stays below 1 until the run has succeeded: the last hundredth is for what
follows the loops, and for whoever settles.
"""

from __future__ import annotations

import math
import operator
import time
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import contextmanager
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar, overload

import msgspec

from jobkit.checkpoint import Checkpoint, Place
from jobkit.estimate import Estimate
from jobkit.lifecycle import State
from jobkit.resuming import Keeping, Loop, asked_for, left, left_async
from jobkit.snapshot import ProgressView, Snapshot, StageView
from jobkit.text import LONGEST_MESSAGE, one_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator, Mapping
    from datetime import datetime

    from jobkit.resuming import Cursor, CursorOf, StateOf
    from jobkit.snapshot import Number

T = TypeVar("T")
C = TypeVar("C")

UNIT_LENGTH: Final = 32
NAME_LENGTH: Final = 100
MOST_NAMES: Final = 64
"""How many stages a plan, and how many names `count`, may have."""

_HIGHEST_RUNNING: Final = 0.99
"""The highest fraction of a run that has not succeeded; above 0.995 readers would round it to 100 %."""

_HELD_SETBACK: Final = 0.05
"""A fraction that falls by no more than this is held where it was."""

_DEEPEST: Final = 16
"""Stages nested deeper work as usual but are not shown."""

_MOST_SHOWN: Final = 100
"""Stages in a view."""

_LARGEST: Final = 2**53
"""The largest count that JSON readers in browsers take in exactly."""

_NO_CURSOR: Final = (
    "`rows` is a function of the cursor that the loop has come to, so say what the cursor of an item is: "
    "progress.resume(lambda after: …, cursor=lambda row: row.id)"
)
_NEITHER: Final = "`resume` goes over what can be iterated, or a function of a cursor that answers such a thing."


class Cancelled(BaseException):
    """Raised in the job by `check`, or by a step of a loop, once the run is to stop.

    Not an `Exception`, so that a job's own `except Exception` does not swallow it.
    """

    def __init__(self, reason: str = "cancelled") -> None:
        super().__init__(reason)
        self.reason = reason


class _Wish(NamedTuple):
    """What a `resume` loop is to be; items through the place `before` are passed over."""

    total: Number | None
    message: str | None
    before: Place
    cursor: CursorOf | None
    state: StateOf | None


class _Reporting:
    """What is reported of a stage: of itself (`Stage`), or of the one that was entered last (`Progress`)."""

    __slots__ = ()

    @property
    def _here(self) -> Stage:
        raise NotImplementedError

    @property
    def total(self) -> Number | None:
        """How much `done` will be in the end; None while unknown."""
        return self._here._total

    @total.setter
    def total(self, value: Number | None) -> None:
        here = self._here
        here._total = None if value is None else _amount(value, "total")
        here._explicit = value is not None
        if here._explicit:
            here._spoiled = False
            here._below = (0, here._below[1])

    @property
    def message(self) -> str:
        """What is being done, for people: one line of at most 500 characters, longer ones are cut."""
        return self._here._message

    @message.setter
    def message(self, value: str) -> None:
        self._here._message = _line(value, "message")

    @property
    def unit(self) -> str:
        """What `done` counts, in the plural ("orders"); at most 32 characters."""
        return self._here._unit

    @unit.setter
    def unit(self, value: str) -> None:
        self._here._unit = _label(value, "unit", UNIT_LENGTH)

    def update(self, done: Number, total: Number | None = None, message: str | None = None) -> None:
        """Say how much is done, and what else has changed.

        Raises:
            ValueError: if a number is negative, infinite or not a number.
            TypeError: if a number or the message is of another type.
        """
        done = _amount(done, "done")
        if total is not None:
            self.total = total
        self._here.done = done
        if message is not None:
            self.message = message

    @overload
    def track(
        self, iterable: Iterable[T], total: Number | None = None, message: str | None = None
    ) -> Generator[T, None, None]: ...
    @overload
    def track(
        self, iterable: AsyncIterable[T], total: Number | None = None, message: str | None = None
    ) -> AsyncIterator[T]: ...
    def track(
        self, iterable: Iterable[T] | AsyncIterable[T], total: Number | None = None, message: str | None = None
    ) -> Generator[T, None, None] | AsyncIterator[T]:
        """Iterate and count each item once the body has finished it; `total` is taken from `len()` if it can be.

        Raises:
            Cancelled: between two items, if the run is to stop.
        """
        total = _length(iterable) if total is None else _amount(total, "total")
        message = None if message is None else _line(message, "message")
        if isinstance(iterable, AsyncIterable) and not isinstance(iterable, Iterable):
            return _TrackedAsync(self._here, aiter(iterable), total, message)
        return self._here._tracked(iter(iterable), total, message)

    @overload
    def resume(
        self,
        rows: Iterable[T],
        cursor: Callable[[T], object] | None = None,
        total: Number | None = None,
        message: str | None = None,
        *,
        state: Callable[[], object] | None = None,
    ) -> Generator[T, None, None]: ...
    @overload
    def resume(
        self,
        rows: AsyncIterable[T],
        cursor: Callable[[T], object] | None = None,
        total: Number | None = None,
        message: str | None = None,
        *,
        state: Callable[[], object] | None = None,
    ) -> AsyncIterator[T]: ...
    @overload
    def resume(
        self,
        rows: Callable[[C | None], Iterable[T]],
        cursor: Callable[[T], C],
        total: Number | None = None,
        message: str | None = None,
        *,
        state: Callable[[], object] | None = None,
    ) -> Generator[T, None, None]: ...
    @overload
    def resume(
        self,
        rows: Callable[[C | None], AsyncIterable[T]],
        cursor: Callable[[T], C],
        total: Number | None = None,
        message: str | None = None,
        *,
        state: Callable[[], object] | None = None,
    ) -> AsyncIterator[T]: ...
    def resume(
        self,
        rows: Any,
        cursor: Any = None,
        total: Number | None = None,
        message: str | None = None,
        *,
        state: Any = None,
    ) -> Any:
        """Iterate as `track`, and have the next start go on after the last item that the body has finished.

        `rows` are the same items in the same order in every start; or a function that is given the cursor of the last
        finished item (None: from the beginning) and answers those after it, and then `cursor` tells the cursor of an
        item: something unique that JSON holds, such as its id. Without `cursor` their count is it. `total` is that of
        all items. `state` tells what the job wants to find in `restored` next time, and is asked for now and then.

        Raises:
            Cancelled: between two items, if the run is to stop, or its worker is about to end.
            BadCheckpoint: the place of an earlier start is not in `rows`; there is another such loop in this stage.
        """
        message = None if message is None else _line(message, "message")
        whole = _length(rows) if total is None else _amount(total, "total")
        here = self._here
        before = here._progress._keeping.place_of(here._path())
        if not isinstance(rows, Iterable | AsyncIterable):
            if cursor is None:
                raise TypeError(_NO_CURSOR if callable(rows) else _NEITHER)
            rows, count = asked_for(rows, before), before.count
            before = Place(ended=before.ended)
            if total is None and (more := _length(rows)) is not None:
                whole = count + more
        wish = _Wish(whole, message, before, cursor, state)
        if isinstance(rows, AsyncIterable) and not isinstance(rows, Iterable):
            return _ResumedAsync(here, aiter(rows), wish)
        return here._resumed(rows, wish)

    def plan(self, **weights: float) -> None:
        """Declare the stages to come; a weight is the expected share of the time: `plan(read=3, write=1)`.

        Raises:
            ValueError: if a weight is not above 0, there are too many stages, or one has already begun.
        """
        here = self._here
        if here._looping or any(child.opened for child in here._below[1]):
            raise ValueError("The stages are planned before the first of them, or a loop, begins.")
        if len(weights) > MOST_NAMES:
            raise ValueError(f"A plan has at most {MOST_NAMES} stages, not {len(weights)}: group them.")
        stages = (
            Stage(here._progress, _label(name, "stage name", NAME_LENGTH), here, _weight(name, weight))
            for name, weight in weights.items()
        )
        here._below = (here._below[0], tuple(stages))
        here._planned = bool(weights)

    @contextmanager
    def stage(self, name: str, total: Number | None = None, message: str | None = None) -> Iterator[Stage]:
        """Work on a stage: `with progress.stage("read") as stage:`; left without an exception, it has finished.

        Raises:
            Cancelled: on entering, if the run is to stop.
        """
        here = self._here
        here._progress.check()
        stage = here._declared(name) or here._undeclared(_label(name, "stage name", NAME_LENGTH))
        if total is not None:
            stage.total = total
        if message is not None:
            stage.message = message
        stage._open()
        try:
            yield stage
        except BaseException:
            stage._close()
            raise
        stage.finished = True
        stage._close()


class Stage(_Reporting):
    """A named part of a run with a bar of its own; made by `Progress.stage`."""

    __slots__ = (
        "_below",
        "_carried",
        "_claimed",
        "_counted",
        "_depth",
        "_ended",
        "_explicit",
        "_looping",
        "_message",
        "_parent",
        "_planned",
        "_progress",
        "_seen",
        "_spoiled",
        "_total",
        "_unit",
        "done",
        "finished",
        "name",
        "opened",
        "weight",
    )

    def __init__(
        self, progress: Progress, name: str, parent: Stage | None, weight: float | None = None, *, counted: bool = True
    ) -> None:
        self._progress = progress
        self._parent = parent
        self._depth: int = parent._depth + 1 if parent else 0
        self._counted = counted  # whether `done` adds to the parent's
        self._below: tuple[Number, tuple[Stage, ...]] = (0, ())  # done by stages that are gone; stages shown
        self._planned = False
        self._spoiled = False  # something ran beside the bar: the whole is unknown
        self._looping = False
        self._claimed = False  # a loop has filled the bar
        self._explicit = False  # the job has set the total itself
        self._ended = False
        self._carried: Number = 0  # `done` as an earlier start left it, before anything has begun
        self._seen: Number = 0  # the reader's: the last sensible `done`
        self._total: Number | None = None
        self._message = ""
        self._unit = ""
        self.done: Number = 0
        self.name = name
        self.weight = weight
        self.opened = False
        self.finished = False

    @property
    def _here(self) -> Stage:
        return self

    def advance(self, n: Number = 1) -> None:
        """Count `n` more as done."""
        self.done += n

    def _tracked(self, items: Iterator[T], total: Number | None, message: str | None) -> Generator[T, None, None]:
        bar = self._begin_loop(total, message)
        progress = self._progress
        try:
            for item in items:
                yield item
                bar.done += 1  # an attribute, not a local count: the body may call `advance`
                if progress._stopped is not None:
                    raise Cancelled(progress._stopped)
        finally:
            self._end_loop(bar)

    def _resumed(self, rows: Iterable[T], wish: _Wish) -> Generator[T, None, None]:
        loop = self._begin_resumed(wish)
        last: Cursor = None
        named = wish.cursor is not None
        try:
            for item in left(rows, wish.before, wish.cursor):
                if named:
                    last = loop.cursor(item)
                yield item
                loop.finish(last)
            loop.exhaust(last)
        finally:
            self._end_resumed(loop)

    def _begin_resumed(self, wish: _Wish) -> Loop:
        name, keeping = self._path(), self._progress._keeping
        place = keeping.begin(name)
        bar = self._begin_loop(wish.total, wish.message, place.done)
        return Loop(keeping, name, place, bar, wish.cursor, wish.state)

    def _end_resumed(self, loop: Loop) -> None:
        loop.close()
        self._end_loop(loop.bar)

    def _carry_over(self, restored: Checkpoint) -> None:
        self.done = self._carried = _amount(restored.done, "done")
        self._total = restored.total
        self._unit = restored.unit
        self._message = restored.message

    def _path(self) -> str:
        """The names of the stages down to this one; '' outside of stages."""
        names: list[str] = []
        stage = self
        while stage._parent is not None:
            names.append(stage.name)
            stage = stage._parent
        return "/".join(reversed(names))

    def _begin_loop(self, total: Number | None, message: str | None, resumed: Number | None = None) -> Stage:
        """The bar that a loop fills; `resumed` is what an earlier start did of it, for a loop that knows."""
        self._progress.check()
        if self._takes_loop(total):
            bar = self
            if resumed is None and self._carried:
                total = self._go_on(total)
            self._looping = True
            if not self._explicit:
                self._claimed = True
                self._total = total
        else:
            bar = self._undeclared((message or "")[:NAME_LENGTH])
            bar._total = total
            bar._open()
        if message is not None:
            bar._message = message
        if resumed is not None and resumed != bar.done:
            bar.done = resumed
            self._progress._jumps += 1
        return bar

    def _go_on(self, total: Number | None) -> Number | None:
        """The total of the bar when this loop is what an earlier start left, or everything once more."""
        if not self._progress._asked_for_restored or (total is not None and total == self._total):
            self.done = 0
            return total
        return None if total is None else total + self._carried

    def _end_loop(self, bar: object) -> None:
        if bar is self:
            self._looping = False
        else:
            assert isinstance(bar, Stage)
            bar._close()

    def _takes_loop(self, total: Number | None) -> bool:
        """Whether a loop fills this very bar; otherwise it gets one of its own."""
        if self._planned or self._looping or self._spoiled:
            return False
        if self._explicit:
            return total is None or (total == self._total and self.done == self._carried)
        return not self._claimed and self.done == self._carried

    def _declared(self, name: str) -> Stage | None:
        fresh = (child for child in self._below[1] if child.weight is not None and not child.opened)
        return next((child for child in fresh if child.name == name), None)

    def _undeclared(self, name: str) -> Stage:
        inner = not self._planned and (self._looping or self._explicit)
        if not inner:
            self._spoiled = True
        return Stage(self._progress, name, self, counted=not inner)

    def _open(self) -> None:
        self.opened = True
        self._progress._stage = self
        if self.weight is None and self._parent and self._depth <= _DEEPEST:
            gone, shown = self._parent._below
            self._parent._below = (gone, (*shown, self))

    def _close(self) -> None:
        self._ended = True
        parent = self._parent
        if parent is None:
            return
        if self.weight is None:
            parent._forget(self)
        if parent._parent is None and self._counted and self._message:
            parent._message = self._message  # what was said last stays until something else is said
        if self._progress._stage is self:
            self._progress._stage = self._nearest_open()

    def _forget(self, child: Stage) -> None:
        """Drop an ended stage, keeping what it has done; one assignment, so that a reader sees it once."""
        gone, shown = self._below
        left = tuple(stage for stage in shown if stage is not child)
        self._below = (gone + _done_within(child) if child._counted else gone, left)

    def _nearest_open(self) -> Stage:
        stage = self
        while stage._parent is not None and stage._ended:
            stage = stage._parent
        return stage


class Progress(_Reporting):
    """How a job says how far it is: `for row in progress.track(rows)`, `progress.advance()`, `progress.message = …`.

    Everything applies to the stage that was entered last, or to the whole run outside of stages. Without a run it
    works in memory: call `perform(Progress())` in a test and look at `snapshot()`.
    """

    __slots__ = (
        "_asked_for_restored",
        "_counts",
        "_created",
        "_interrupted",
        "_jumps",
        "_keeping",
        "_reader",
        "_restored",
        "_root",
        "_scheduled_for",
        "_stage",
        "_stopped",
        "_token",
    )

    def __init__(
        self,
        token: str = "",
        stages: Mapping[str, float] | None = None,
        *,
        restored: Checkpoint | None = None,
        checkpoint_seconds: float = 0.0,
        scheduled_for: datetime | None = None,
    ) -> None:
        """Begin where `restored` says. Loops ask for their state no sooner than `checkpoint_seconds` after the last."""
        self._token = token
        self._scheduled_for = scheduled_for
        self._stopped: str | None = None
        self._interrupted: str | None = None
        self._asked_for_restored = False
        self._jumps = 0  # of `done`, that are nobody's work
        self._counts: dict[str, int] = {}
        self._created = time.time()
        self._root = Stage(self, "", None)
        self._stage = self._root
        self._reader = _Reader(self)
        if restored is not None:
            self._counts.update(restored.counts)
            self._root._carry_over(restored)
        self._keeping = Keeping(restored, self._root, self._counts, self.check, self._leave, checkpoint_seconds)
        self._restored = self._keeping.state
        if stages:
            self.plan(**stages)

    @property
    def token(self) -> str:
        """The fencing token of this start, for side effects outside; "" without a run."""
        return self._token

    @property
    def restored(self) -> Any:
        """The state of the last checkpoint, as an earlier start of this run gave it; None without one."""
        self._asked_for_restored = True
        return None if self._restored is None else msgspec.json.decode(self._restored)

    @property
    def scheduled_for(self) -> datetime | None:
        """The moment for which a schedule started the run, in UTC; None for any other run."""
        return self._scheduled_for

    @property
    def _here(self) -> Stage:
        return self._stage

    @property
    def done(self) -> Number:
        """How much is done; setting it is `update`."""
        return self._stage.done

    @done.setter
    def done(self, value: Number) -> None:
        self._stage.update(value)

    def advance(self, n: Number = 1) -> None:
        """Count `n` more as done; the cheapest call there is, so it neither checks `n` nor stops the job."""
        self._stage.done += n

    def count(self, name: str, n: int = 1) -> None:
        """Count something beside the work done, such as "skipped" or "failed".

        Raises:
            ValueError: if `n` is negative or there are more than 64 different names.
        """
        more = operator.index(n)
        if more < 0:
            raise ValueError(f"A count only rises: n must not be negative, not {n}.")
        if name not in self._counts:
            name = _label(name, "name of a count", NAME_LENGTH)
            if name not in self._counts and len(self._counts) >= MOST_NAMES:
                raise ValueError(f"A run has at most {MOST_NAMES} different counts: put {name!r} into the message.")
        self._counts[name] = self._counts.get(name, 0) + more
        self._keeping.counts = None

    def checkpoint(self, state: object) -> None:
        """Have the next start of this run find `state` in `restored`, should this one not come to its end.

        Numbers, text, lists and dicts, of at most 256 KiB as JSON; None is no state. It is written down at once, so it
        may change afterwards, and goes to the store with the next report. In a `resume` loop it is kept together with
        the item in work, once the body has finished that.

        Raises:
            Cancelled: outside of such loops, once it is kept, if the run is to stop, or its worker is about to end.
            BadCheckpoint: `state` would not come back as it is, or is too large.
        """
        self._keeping.give(state)

    def check(self) -> None:
        """Raise `Cancelled` if the run is to stop; for long stretches of work without `track`."""
        if self._stopped is not None:
            raise Cancelled(self._stopped)

    def stop(self, reason: str = "cancelled") -> None:
        """Have the next `check`, step of `track` or new stage raise `Cancelled`; from any thread, not undone."""
        self._stopped = reason
        self._keeping.summoned = True

    def interrupt(self, reason: str = "handed back") -> None:
        """Have the next checkpoint, or step of `resume`, raise `Cancelled` once it is kept; from any thread."""
        self._interrupted = reason
        self._keeping.summoned = True

    @property
    def kept(self) -> object:
        """The last checkpoint, only to be compared with `is`. For any thread."""
        return self._keeping.kept

    def checkpointed(self) -> Checkpoint | None:
        """What the next start would be given: the last checkpoint, or the one this start began with; for tests, too."""
        data = self.checkpoint_to_json()
        return Checkpoint.from_json(data) if data else None

    def checkpoint_to_json(self) -> bytes:
        """As `checkpointed`, in JSON; empty without one. For any thread."""
        checkpoint = self._keeping.checkpoint()
        return checkpoint.to_json() if checkpoint is not None else b""

    def view(self, now: float, succeeded: bool = False) -> ProgressView:
        """What a reader may know at `now` (epoch seconds); for one reading thread, never raises."""
        return self._reader.view(now, succeeded=succeeded)

    def revision(self) -> object:
        """Equal to the last one unless something but the estimates has changed; for the reading thread."""
        return self._reader.facts()

    def snapshot(self) -> Snapshot:
        """The progress as a snapshot of a run without id, for tests and for jobs performed by hand."""
        now = time.time()
        return Snapshot(
            id="",
            job="",
            state=State.RUNNING,
            progress=self.view(now),
            created_at=self._created,
            started_at=self._created,
            updated_at=now,
        )

    def _leave(self) -> None:
        self.check()
        if self._interrupted is not None:
            raise Cancelled(self._interrupted)


class _TrackedAsync(Generic[T]):
    """An async loop over one bar.

    Not an async generator: after `break` one is closed by the event loop at some later time, and the next loop
    would find it still open.
    """

    __slots__ = ("_bar", "_items", "_message", "_owner", "_total")

    def __init__(self, owner: Stage, items: AsyncIterator[T], total: Number | None, message: str | None) -> None:
        self._owner = owner
        self._items = items
        self._total = total
        self._message = message
        self._bar: Stage | None = None

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            self._step()
            return await anext(self._items)
        except BaseException:
            self._end()
            raise

    def _step(self) -> None:
        if self._bar is None:
            self._bar = self._owner._begin_loop(self._total, self._message)
        else:
            self._bar.done += 1
            self._owner._progress.check()

    def _end(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            self._owner._end_loop(bar)

    def __del__(self) -> None:
        self._end()


class _ResumedAsync(Generic[T]):
    """An async `resume` loop; for why it is no generator see `_TrackedAsync`."""

    __slots__ = ("_begun", "_cursor", "_items", "_loop", "_owner", "_wish")

    def __init__(self, owner: Stage, items: AsyncIterator[T], wish: _Wish) -> None:
        self._owner = owner
        self._items = items
        self._wish = wish
        self._begun = False
        self._cursor: Cursor = None
        self._loop: Loop | None = None

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        try:
            await self._step()
            item = await anext(self._items)
            self._cursor = self._loop.cursor(item) if self._loop is not None else None
            return item
        except StopAsyncIteration:
            if self._loop is not None:
                self._loop.exhaust(self._cursor)
            self._end()
            raise
        except BaseException:
            self._end()
            raise

    async def _step(self) -> None:
        if self._loop is not None:
            self._loop.finish(self._cursor)
        elif self._begun:
            raise StopAsyncIteration
        else:
            self._begun = True
            self._loop = self._owner._begin_resumed(self._wish)
            self._items = await left_async(self._items, self._wish.before, self._wish.cursor)

    def _end(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            self._owner._end_resumed(loop)

    def __del__(self) -> None:
        self._end()


class _Reader:
    """The reporter's side: what the stages amount to, and what was already shown."""

    __slots__ = ("_highest", "_jumps", "_pace", "_planned_pace", "_progress")

    _pace: Estimate
    _planned_pace: Estimate

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._highest = 0.0
        self._jumps = -1

    def view(self, now: float, *, succeeded: bool) -> ProgressView:
        facts = self.facts()
        if succeeded:
            return msgspec.structs.replace(facts, fraction=1.0)
        self._pass_over_jumps()
        self._pace.observe(now, facts.done, facts.total)
        return msgspec.structs.replace(
            facts, rate=_significant(self._pace.rate(now)), finish_at=self._finish_at(now, facts)
        )

    def _pass_over_jumps(self) -> None:
        """What an earlier start has done says nothing about the pace of this one. (None is known at first.)"""
        jumps = self._progress._jumps
        if jumps != self._jumps:
            self._jumps = jumps
            self._pace, self._planned_pace = Estimate(), Estimate()

    def facts(self) -> ProgressView:
        """Everything but the estimates."""
        root = self._progress._root
        return ProgressView(
            done=_done_within(root),
            total=None if root._planned or root._spoiled else _shown_total(root),
            fraction=self._never_falling(_fraction(root)),
            unit=root._unit,
            message=self._message(),
            counts={name: min(n, _LARGEST) for name, n in self._progress._counts.copy().items()},
            stages=tuple(_shown_stages(root)),
        )

    def _finish_at(self, now: float, facts: ProgressView) -> float | None:
        root = self._progress._root
        finish_at = None
        if root._planned:
            whole = _fraction(root) or 0.0
            self._planned_pace.observe(now, whole, 1.0 if any(stage.opened for stage in root._below[1]) else None)
            finish_at = self._planned_pace.finish_at(now, 1.0 - whole)
        elif facts.total is not None:
            finish_at = self._pace.finish_at(now, facts.total - facts.done)
        return None if finish_at is None or facts.fraction is None else round(finish_at, 1)

    def _never_falling(self, fraction: float | None) -> float | None:
        if fraction is None:
            return None
        fraction = round(min(fraction, _HIGHEST_RUNNING), 6)
        if self._highest - fraction > _HELD_SETBACK:
            return None
        self._highest = max(self._highest, fraction)
        return self._highest

    def _message(self) -> str:
        stage: Stage | None = self._progress._stage
        while stage is not None:
            if stage._message:
                return stage._message
            stage = stage._parent
        return ""


def _done(stage: Stage) -> Number:
    """The stage's own count; nonsense leaves it at the last sensible value."""
    stage._seen = _sensible(stage.done, stage._seen)
    return stage._seen


def _done_within(stage: Stage) -> Number:
    gone, shown = stage._below
    return _sensible(gone + _done(stage) + sum(_done_within(child) for child in shown if child._counted), 0)


def _shown_total(stage: Stage) -> Number | None:
    """The total, unless more is done than it says: then it was wrong."""
    total = stage._total
    return total if total is not None and total >= _done(stage) else None


def _fraction(stage: Stage) -> float | None:
    if stage.finished:
        return 1.0
    if stage._spoiled:
        return None
    if stage._planned:
        planned = [child for child in stage._below[1] if child.weight is not None]
        weights = sum(child.weight or 0.0 for child in planned)
        return sum((child.weight or 0.0) * (_fraction(child) or 0.0) for child in planned) / weights
    total = _shown_total(stage)
    return min(1.0, _done(stage) / total) if total else None


def _shown_stages(root: Stage) -> Iterator[StageView]:
    """The stages below in tree order, each after its parent, up to a bounded number."""
    waiting = list(reversed(root._below[1]))
    for _ in range(_MOST_SHOWN):
        if not waiting:
            return
        stage = waiting.pop()
        yield _shown_stage(stage)
        waiting.extend(reversed(stage._below[1]))


def _shown_stage(stage: Stage) -> StageView:
    return StageView(
        name=stage.name,
        depth=stage._depth - 1,
        done=_done(stage),
        total=_shown_total(stage),
        fraction=_fraction(stage) if stage.opened else 0.0,
        weight=stage.weight,
        unit=stage._unit,
        message=stage._message,
    )


def _sensible(value: object, otherwise: Number) -> Number:
    try:
        number = _plain(value)
        return min(max(number, 0), _LARGEST) if math.isfinite(number) else otherwise
    except Exception:  # noqa: BLE001  # whatever the job has added: a reader must go on
        return otherwise


def _amount(value: object, name: str) -> Number:
    """`value` as a plain number that is finite and not negative, or an error that names it."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}: {value!r:.80}")
    number = _plain(value)
    if not 0 <= number <= _LARGEST:
        raise ValueError(f"{name} must be a finite number from 0 to 2**53, not {number!r:.80}")
    return number


def _plain(value: Any) -> Number:
    """Any kind of number as an int or float, since only those have a place in JSON."""
    return operator.index(value) if hasattr(value, "__index__") else float(value)


def _weight(name: str, weight: float) -> float:
    number = _amount(weight, f"The weight of stage {name!r}")
    if number == 0:
        raise ValueError(f"The weight of stage {name!r} must be above 0: leave the stage out if it takes no time.")
    return float(number)


def _length(iterable: object) -> int | None:
    try:
        return len(iterable)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError, OverflowError):
        return None


def _label(value: str, name: str, longest: int) -> str:
    label = _line(value, name, longest)
    if len(value) > longest:
        raise ValueError(f"A {name} has at most {longest} characters, not {len(value)}.")
    return label


def _line(value: str, name: str, longest: int = LONGEST_MESSAGE) -> str:
    if not isinstance(value, str):
        raise TypeError(f"The {name} must be a str, not {type(value).__name__}: write str(...) or an f-string.")
    return one_line(value, longest)


def _significant(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
