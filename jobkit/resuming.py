"""Resuming: what a start leaves for the next one, a state and its places in loops, and how these move together.

The job's thread writes and the reporter's reads, without a lock: what belongs together is one tuple, replaced whole
(`Keeping.kept`). So a reader sees state, cursor and counts of one and the same moment, which is always between two
items: the loop's body has finished item k, and not begun k + 1. Nor does it matter between which two steps of this
module a job is stopped: an item is in that tuple, or it is not.

A state that holds item k must never be kept with the place of k - 1 (k would be in it twice), nor one without k with
the place of k (it would be missing). That is why a loop has one of three ways:

* *plain*: no state is given in its body. Its place moves with every item.
* *stateful*: `checkpoint(state)` in its body. The state waits until the body has finished its item; then state and
  place move together. An item without a state moves neither: what came after the last state is done again.
* *asked*: `resume(…, state=…)`. Between two items, when it is due, the loop asks for the state itself.

Which of the first two it is, its first item tells. A state that is given later for the first time would lack what the
items before had added, had their place been kept meanwhile; so it is an error, in every start, and in the first test.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

import msgspec

from jobkit.checkpoint import Checkpoint, Place, cursor_to_json, state_to_json
from jobkit.errors import BadCheckpoint
from jobkit.snapshot import Number

T = TypeVar("T")

CursorOf = Callable[[Any], object]
StateOf = Callable[[], object]
Cursor = int | bytes | None
"""A cursor as it is, or its JSON; None where the count is the cursor."""

MOST_LOOPS: Final = 64
"""Of one run, each in a stage of its own."""

_LOW, _HIGH = -(2**63), 2**63
_MISSING: Final = object()


class Bar(Protocol):
    """What a loop fills."""

    done: Number


class Whole(Bar, Protocol):
    """The bar of the run."""

    @property
    def total(self) -> Number | None: ...
    @property
    def unit(self) -> str: ...
    @property
    def message(self) -> str: ...


Kept = tuple[bytes | None, Mapping[str, Place], "Loop | None", Cursor, int, Number, Mapping[str, int]]
"""State; places of loops that do not go on; the loop that does, its cursor, count and bar; the run's counts."""


class Keeping:
    """The checkpoint of one start.

    Once `summoned` is set, `leave` is called whenever all that is done is kept, and between two items at least `check`.
    A loop asks for its state every `interval` seconds.
    """

    __slots__ = (
        "_begun",
        "_counts",
        "_nothing",
        "_whole",
        "check",
        "counts",
        "interval",
        "kept",
        "leave",
        "loop",
        "summoned",
    )

    def __init__(
        self,
        restored: Checkpoint | None,
        whole: Whole,
        counts: dict[str, int],
        check: Callable[[], None],
        leave: Callable[[], None],
        interval: float,
    ) -> None:
        self._whole = whole
        self._counts = counts
        self._begun: set[str] = set()
        self.check = check
        self.leave = leave
        self.interval = interval
        self.summoned = False
        self.counts: Mapping[str, int] | None = None
        """A copy of the run's counts; None when they have changed since."""
        self.loop: Loop | None = None
        self.kept: Kept = (None, {}, None, None, 0, 0, {})
        self._nothing = self.kept
        if restored is not None:
            state = None if restored.state is None else state_to_json(restored.state)
            self.kept = (state, restored.loops, None, None, 0, whole.done, self.counted())

    @property
    def state(self) -> bytes | None:
        return self.kept[0]

    @property
    def empty(self) -> bool:
        return self.kept is self._nothing

    def give(self, state: object) -> None:
        """The job has said what it wants to go on from."""
        data = None if state is None else state_to_json(state)
        if self.loop is not None:
            self.loop.give(data)
            return
        self.kept = (data, self.kept[1], None, None, 0, self._whole.done, self.counted())
        if self.summoned:
            self.leave()

    def place_of(self, name: str) -> Place:
        """Where the loop of this name came to, or begins."""
        return self.kept[1].get(name) or Place()

    def begin(self, name: str) -> Place:
        """As `place_of`, of a loop that begins now.

        Raises:
            BadCheckpoint: the next start could not tell it from another one.
        """
        if self.loop is not None:
            raise BadCheckpoint(
                "The next start could not go on with a resume loop within another one: use `progress.track` for the"
                " inner one, so that an item of the outer one is the least that is done again."
            )
        if name in self._begun:
            where = f"the stage {name!r}" if name else "the run"
            raise BadCheckpoint(
                f"This is the second resume loop in {where}, and the next start could not tell their places apart:"
                ' put each into a stage of its own, `with progress.stage("…"):`.'
            )
        if len(self._begun) >= MOST_LOOPS:
            raise BadCheckpoint(
                f"A run has at most {MOST_LOOPS} resume loops: use `progress.track` for the smaller ones."
            )
        self._begun.add(name)
        return self.place_of(name)

    def end(self, loop: Loop, place: Place | None) -> None:
        """This loop goes on no more; None where it came to nothing new."""
        self.loop = None
        if place is not None:
            state, places, _, _, _, done, counts = self.kept
            done = done if loop.bar is self._whole else self._whole.done
            self.kept = (state, {**places, loop.name: place}, None, None, 0, done, counts)

    def counted(self) -> Mapping[str, int]:
        counts = self.counts
        if counts is None:
            counts = self.counts = self._counts.copy()
        return counts

    def checkpoint(self) -> Checkpoint | None:
        """What is kept, for any thread. Its state and cursors may be JSON still (`msgspec.Raw`)."""
        if self.empty:
            return None
        state, places, loop, cursor, count, done, counts = self.kept
        whole = self._whole
        return Checkpoint(
            state=None if state is None else msgspec.Raw(state),
            loops=dict(places) if loop is None else {**places, loop.name: loop.place(cursor, count, done)},
            done=done if loop is None or loop.bar is whole else whole.done,
            total=whole.total,
            counts=dict(counts),
            unit=whole.unit,
            message=whole.message,
        )


class Loop:
    """A resume loop that goes on. Its name is that of the stages that it runs in, '' outside of stages."""

    __slots__ = (
        "_asked", "_began", "_count", "_cursor_of", "_due", "_given", "_keeping", "_kept", "_others", "_pending",
        "_plain", "_state", "bar", "name",
    )  # fmt: skip

    def __init__(
        self, keeping: Keeping, name: str, place: Place, bar: Bar, cursor_of: CursorOf | None, asked: StateOf | None
    ) -> None:
        self.name = name
        self.bar = bar
        self._keeping = keeping
        self._began = place
        self._cursor_of = cursor_of
        self._asked = asked
        self._count = self._kept = place.count
        self._plain = place.count > 0 and not place.stateful and asked is None
        self._given = False
        self._pending: bytes | None = None
        self._due = 0.0
        self._state = keeping.state
        self._others = keeping.kept[1]
        keeping.loop = self

    def cursor(self, item: object) -> Cursor:
        """The item's cursor, before the body may change it."""
        if self._cursor_of is None:
            return None
        cursor = self._cursor_of(item)
        return cursor if type(cursor) is int and _LOW <= cursor < _HIGH else cursor_to_json(cursor)

    def give(self, state: bytes | None) -> None:
        """The body has a state, to be kept when it has finished its item."""
        if self._asked is not None:
            raise BadCheckpoint(
                "This loop asks for its state (`state=…`): leave out `progress.checkpoint` in its body."
            )
        if self._plain:
            raise BadCheckpoint(
                "This resume loop has kept its place without a state so far, so this one might lack what earlier items"
                " had added. Hand over a function that tells the state, `progress.resume(…, state=lambda: …)`, or call"
                " `progress.checkpoint` in the body of every item, from the first on."
            )
        self._pending, self._given = state, True

    def finish(self, cursor: Cursor) -> None:
        """The body has finished the item with this cursor."""
        keeping = self._keeping
        self.bar.done = done = self.bar.done + 1
        self._count = count = self._count + 1
        if self._plain and (counts := keeping.counts) is not None:  # as below: the usual step of a usual loop
            self._kept = count
            keeping.kept = (self._state, self._others, self, cursor, count, done, counts)
        elif self._plain:
            self._keep(cursor)
        elif self._asked is not None:
            self._ask_if_due(cursor, self._asked)
        elif self._given:
            self._given, self._state = False, self._pending
            self._keep(cursor)
        elif self._count == 1:
            self._plain = True
            self._keep(cursor)
        if keeping.summoned:
            (keeping.leave if self._kept == self._count else keeping.check)()

    def exhaust(self, cursor: Cursor) -> None:
        """There are no more items after the one with this cursor."""
        if self._asked is not None and self._kept != self._count:
            self._state = _json_of(self._asked())
            self._keep(cursor)
        self.close(ended=self._kept == self._count)

    def close(self, *, ended: bool = False) -> None:
        """The loop is left."""
        keeping = self._keeping
        if keeping.loop is not self:
            return
        place, kept = self._began, keeping.kept
        if kept[2] is self:
            place = self.place(*kept[3:6])
        if ended:
            place = msgspec.structs.replace(place, ended=True)
        keeping.end(self, None if place is self._began else place)

    def place(self, cursor: Cursor, count: int, done: Number) -> Place:
        shown = msgspec.Raw(cursor) if isinstance(cursor, bytes) else cursor
        return Place(count=count, cursor=shown, done=done, stateful=not self._plain)

    def _ask_if_due(self, cursor: Cursor, asked: StateOf) -> None:
        now = time.monotonic()
        if now >= self._due or self._keeping.summoned:
            self._due = now + self._keeping.interval
            self._state = _json_of(asked())
            self._keep(cursor)

    def _keep(self, cursor: Cursor) -> None:
        keeping = self._keeping
        counts = keeping.counts
        if counts is None:
            counts = keeping.counted()
        self._kept = count = self._count
        keeping.kept = (self._state, self._others, self, cursor, count, self.bar.done, counts)


def _json_of(state: object) -> bytes | None:
    return None if state is None else state_to_json(state)


# What is left to iterate over


def asked_for(rows: Callable[[Any], T], place: Place) -> T:
    """What a function of the last cursor answers."""
    return rows(None if place.count == 0 else msgspec.json.decode(_known(place)))


def left(rows: Iterable[T], place: Place, cursor_of: CursorOf | None) -> Iterable[T]:
    """The items after the place.

    Raises:
        BadCheckpoint: the place is not among them.
    """
    if place.ended:
        return ()
    if place.count == 0:
        return rows
    if cursor_of is not None:
        return _after(iter(rows), _known(place), cursor_of)
    if isinstance(rows, Sequence):
        if len(rows) < place.count:
            raise _too_few(place)
        return map(rows.__getitem__, range(place.count, len(rows)))
    items = iter(rows)
    if next(islice(items, place.count - 1, None), _MISSING) is _MISSING:
        raise _too_few(place)
    return items


async def left_async(items: AsyncIterator[T], place: Place, cursor_of: CursorOf | None) -> AsyncIterator[T]:
    """As `left`, of what is iterated asynchronously."""
    if place.ended:
        return _Nothing()
    if place.count == 0:
        return items
    if cursor_of is None:
        for _ in range(place.count):
            if await anext(items, _MISSING) is _MISSING:
                raise _too_few(place)
        return items
    wanted = _known(place)
    async for item in items:
        if cursor_to_json(cursor_of(item)) == wanted:
            return items
    raise _not_among(wanted)


class _Nothing:
    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        raise StopAsyncIteration


def _after(items: Iterator[T], wanted: bytes, cursor_of: CursorOf) -> Iterator[T]:
    """Compared as JSON: a tuple comes back as a list."""
    for item in items:
        if cursor_to_json(cursor_of(item)) == wanted:
            return items
    raise _not_among(wanted)


def _known(place: Place) -> bytes:
    if place.cursor is None:
        raise BadCheckpoint(
            f"The place of this loop was kept as a count ({place.count}), before it had a `cursor`: raise the job's"
            " cache_version when its loops change, or submit it anew."
        )
    return cursor_to_json(place.cursor)


def _too_few(place: Place) -> BadCheckpoint:
    return BadCheckpoint(
        f"The loop had finished {place.count} items, and now there are fewer, so they are not the same ones: iterate"
        " over what stays as it is, or name a `cursor` and hand over a function that reads on after it."
    )


def _not_among(wanted: bytes) -> BadCheckpoint:
    return BadCheckpoint(
        f"No item has the cursor {wanted.decode()[:80]}, to which the loop had come: iterate over the same items in the"
        " same order, or hand over a function that reads on after one, `progress.resume(lambda after: …, cursor=…)`."
    )
