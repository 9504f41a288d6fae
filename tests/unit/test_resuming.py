"""Checkpoints and loops that resume: what a start leaves, and what the next one begins with. No store."""

import asyncio
import itertools
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobkit.checkpoint import LARGEST_CURSOR, LARGEST_STATE, Checkpoint, Place
from jobkit.errors import BadCheckpoint
from jobkit.progress import Cancelled, Progress

NOW = 1_795_000_000.0
TEXT = st.text(st.characters(codec="utf-8"))


class Boom(Exception):
    pass


def next_start(progress: Progress) -> Progress:
    """What a start that begins after this one's death is given."""
    checkpoint = progress.checkpointed()
    return Progress(restored=None if checkpoint is None else Checkpoint.from_json(checkpoint.to_json()))


def until(items: Iterator[Any], last: object) -> list[Any]:
    """Finish items through `last`, and die in the body of the one after it."""
    finished: list[Any] = []
    with pytest.raises(Boom):
        for item in items:
            if finished and finished[-1] == last:
                raise Boom
            finished.append(item)
    return finished


async def arriving(items: Sequence[Any]) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


# The state ------------------------------------------------------------------------------------------------------------


def test_without_a_checkpoint_nothing_is_restored() -> None:
    progress = Progress()
    assert (progress.restored, progress.checkpointed()) == (None, None)


def test_the_last_state_is_restored() -> None:
    progress = Progress()
    progress.checkpoint({"page": 1})
    progress.checkpoint({"page": 2, "open": ["a", None, 1.5, True]})
    assert next_start(progress).restored == {"page": 2, "open": ["a", None, 1.5, True]}


def test_a_state_is_as_it_was_when_it_was_given() -> None:
    progress = Progress()
    state = {"pages": [1]}
    progress.checkpoint(state)
    state["pages"].append(2)
    assert next_start(progress).restored == {"pages": [1]}


def test_what_is_done_to_a_restored_state_changes_no_checkpoint() -> None:
    first = Progress()
    first.checkpoint([1])
    second = next_start(first)
    second.restored.append(2)
    assert next_start(second).restored == [1]


def test_a_start_without_a_checkpoint_of_its_own_hands_on_what_it_got() -> None:
    first = Progress()
    first.checkpoint("half")
    assert next_start(next_start(first)).restored == "half"


def test_a_state_of_none_is_none() -> None:
    progress = Progress()
    progress.checkpoint("half")
    progress.checkpoint(None)
    assert next_start(progress).restored is None


@pytest.mark.parametrize(
    ("state", "complaint"),
    [
        ({1: "a"}, r"\$ has the key 1.*str"),
        ({"seen": [{1}]}, r"\$\['seen'\]\[0\] is a set.*sorted"),
        ({"a": {"b": float("nan")}}, r"\$\['a'\]\['b'\] is a float"),
        ([b"text"], r"\$\[0\] is a bytes"),
        ({"a": [object()]}, r"\$\['a'\]\[0\]: .*object"),
        ("\ud800", r"surrogates"),
        (Checkpoint(), r"\$ is a Checkpoint"),
    ],
)
def test_a_state_that_would_come_back_as_another_is_refused_with_the_path(state: object, complaint: str) -> None:
    progress = Progress()
    with pytest.raises(BadCheckpoint, match=complaint):
        progress.checkpoint(state)
    assert progress.checkpointed() is None


def test_a_state_that_contains_itself_is_refused() -> None:
    state: list[Any] = []
    state.append(state)
    with pytest.raises(BadCheckpoint, match="contains itself"):
        Progress().checkpoint(state)


def test_tuples_come_back_as_lists() -> None:
    progress = Progress()
    progress.checkpoint({"at": (1, 2)})
    assert next_start(progress).restored == {"at": [1, 2]}


def test_a_state_may_take_256_kib_and_no_more() -> None:
    progress = Progress()
    progress.checkpoint("a" * (LARGEST_STATE - 2))
    with pytest.raises(BadCheckpoint, match=r"256 KiB.*file"):
        progress.checkpoint("a" * (LARGEST_STATE - 1))
    assert len(next_start(progress).restored) == LARGEST_STATE - 2


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
        max_leaves=20,
    )
)
def test_whatever_json_holds_comes_back_as_it_was(state: object) -> None:
    progress = Progress()
    progress.checkpoint(state)
    assert next_start(progress).restored == state


def test_what_is_stored_and_is_no_checkpoint_says_so() -> None:
    with pytest.raises(BadCheckpoint):
        Checkpoint.from_json(b'{"done":"many"}')


def test_fields_of_a_later_version_are_passed_over() -> None:
    assert Checkpoint.from_json(b'{"state":1,"colour":"red"}') == Checkpoint(state=1)


# Loops that resume ----------------------------------------------------------------------------------------------------


def rows_of(kind: str, count: int = 10) -> Any:
    rows = list(range(count))
    return {"list": rows, "range": range(count), "iterator": iter(rows), "set": dict.fromkeys(rows)}[kind]


@pytest.mark.parametrize("kind", ["list", "range", "iterator", "set"])
@pytest.mark.parametrize("last", [0, 4, 8])
def test_the_next_start_goes_on_after_the_last_finished_item(kind: str, last: int) -> None:
    first = Progress()
    assert until(first.resume(rows_of(kind)), last) == list(range(last + 1))
    assert list(next_start(first).resume(rows_of(kind))) == list(range(last + 1, 10))


def test_an_item_in_whose_body_the_job_died_comes_again() -> None:
    first = Progress()
    with pytest.raises(Boom):
        for _ in first.resume([1, 2, 3]):
            raise Boom
    assert list(next_start(first).resume([1, 2, 3])) == [1, 2, 3]


def test_a_sequence_is_not_read_from_its_beginning_again() -> None:
    class Lazy(Sequence[int]):
        def __init__(self) -> None:
            self.read: list[int] = []

        def __len__(self) -> int:
            return 10

        def __getitem__(self, index: Any) -> Any:
            if index >= 10:
                raise IndexError
            self.read.append(index)
            return index

    first, rows = Progress(), Lazy()
    until(first.resume(Lazy()), 6)
    assert list(next_start(first).resume(rows)) == rows.read == [7, 8, 9]


def test_with_a_cursor_the_loop_goes_on_after_the_item_that_has_it() -> None:
    first = Progress()
    until(first.resume("abcdef", cursor=str.upper), "c")
    second = next_start(first)
    assert list(second.resume(iter("xabcdef"), cursor=str.upper)) == ["d", "e", "f"]


def test_a_function_is_asked_for_what_comes_after_the_cursor() -> None:
    asked: list[int | None] = []

    def after(cursor: int | None) -> list[dict[str, int]]:
        asked.append(cursor)
        return [{"id": number} for number in range(10, 20) if cursor is None or number > cursor]

    first = Progress()
    until(first.resume(after, cursor=lambda row: row["id"]), {"id": 14})
    second = next_start(first)
    assert [row["id"] for row in second.resume(after, cursor=lambda row: row["id"])] == [15, 16, 17, 18, 19]
    assert asked == [None, 14]
    assert second.snapshot().progress.total == 10


def test_a_function_without_a_cursor_is_refused() -> None:
    """Its argument would be a count, and most functions take an id: rows would be left out and nobody knew."""
    with pytest.raises(TypeError, match=r"cursor=lambda row: row\.id"):
        Progress().resume(lambda _after: [1])  # type: ignore[call-overload]


def test_what_cannot_be_iterated_is_refused() -> None:
    with pytest.raises(TypeError, match="can be iterated"):
        Progress().resume(3)  # type: ignore[call-overload]


@pytest.mark.parametrize("cursor", [7, -1, 2**70, "name", 1.5, ["eu", 3], ("eu", 3), {"page": "x"}, True])
def test_cursors_come_back_as_they_were(cursor: object) -> None:
    first = Progress()
    until(first.resume([cursor, "other"], cursor=lambda item: item), cursor)
    assert list(next_start(first).resume([cursor, "other"], cursor=lambda item: item)) == ["other"]
    got: list[object] = []
    list(next_start(first).resume(lambda after: got.append(after) or [], cursor=lambda item: item))
    assert got == [list(cursor) if isinstance(cursor, tuple) else cursor]


@pytest.mark.parametrize(
    ("cursor", "complaint"), [({1}, "set"), (None, "None"), (b"x", "bytes"), ("x" * LARGEST_CURSOR, "4096")]
)
def test_a_cursor_that_cannot_be_kept_is_refused(cursor: object, complaint: str) -> None:
    with pytest.raises(BadCheckpoint, match=complaint):
        list(Progress().resume([1], cursor=lambda _: cursor))


def test_the_cursor_is_read_before_the_body_may_change_the_item() -> None:
    first, items = Progress(), [{"id": 1}, {"id": 2}]
    for item in first.resume(items, cursor=lambda item: item.get("id", "gone")):
        if item["id"] == 2:
            break
        item.clear()
    assert first.checkpointed() == Checkpoint(loops={"": Place(count=1, cursor=1, done=1)}, done=1, total=2)


def test_a_cursor_that_is_nowhere_says_so() -> None:
    first = Progress()
    until(first.resume(["a", "b", "c"], cursor=str), "b")
    with pytest.raises(BadCheckpoint, match='No item has the cursor "b"'):
        list(next_start(first).resume(["a", "c"], cursor=str))


@pytest.mark.parametrize("kind", ["list", "iterator"])
def test_fewer_items_than_were_finished_say_so(kind: str) -> None:
    first = Progress()
    until(first.resume(range(10)), 6)
    with pytest.raises(BadCheckpoint, match="finished 7 items"):
        list(next_start(first).resume(rows_of(kind, 5)))


def test_a_count_is_no_cursor() -> None:
    first = Progress()
    until(first.resume(range(10)), 6)
    with pytest.raises(BadCheckpoint, match="kept as a count"):
        list(next_start(first).resume(range(10), cursor=lambda item: item))


def test_a_loop_that_came_to_its_end_has_no_items_in_the_next_start() -> None:
    first = Progress()
    assert list(first.resume([1, 2], cursor=lambda item: item)) == [1, 2]
    second = next_start(first)
    assert list(second.resume([1, 2, 3], cursor=lambda item: item)) == []
    assert list(next_start(second).resume(lambda _: [3], cursor=lambda item: item)) == []


def test_an_empty_loop_is_none() -> None:
    progress = Progress()
    assert list(progress.resume([])) == []
    assert list(next_start(progress).resume([1])) == []


def test_a_loop_that_was_left_by_break_goes_on_in_the_next_start() -> None:
    first = Progress()
    for item in first.resume(range(5)):
        if item == 2:
            break
    first.checkpoint("after the loop")
    second = next_start(first)
    assert (second.restored, list(second.resume(range(5)))) == ("after the loop", [2, 3, 4])


def test_stages_have_a_loop_each() -> None:
    def perform(progress: Progress, last: object) -> dict[str, list[int]]:
        seen: dict[str, list[int]] = {"read": [], "write": []}
        for name, wanted in seen.items():
            with progress.stage(name):
                for item in progress.resume(range(4)):
                    wanted.append(item)
                    if (name, item) == last:
                        raise Boom
        return seen

    first = Progress(stages={"read": 1, "write": 1})
    with pytest.raises(Boom):
        perform(first, ("write", 2))
    second = Progress(stages={"read": 1, "write": 1}, restored=first.checkpointed())
    assert perform(second, None) == {"read": [], "write": [2, 3]}
    assert second.snapshot().progress.fraction == 0.99


def test_a_second_loop_in_the_same_stage_is_refused() -> None:
    progress = Progress()
    list(progress.resume([1]))
    with pytest.raises(BadCheckpoint, match=r"second resume loop in the run.*stage"):
        list(progress.resume([1]))
    with progress.stage("write"):
        list(progress.resume([1]))
        with pytest.raises(BadCheckpoint, match="in the stage 'write'"):
            list(progress.resume([1]))


def test_a_loop_within_a_loop_is_refused() -> None:
    progress = Progress()
    with pytest.raises(BadCheckpoint, match=r"within another one.*progress\.track"):
        for _ in progress.resume([1, 2]):
            with progress.stage("inner"):
                list(progress.resume([1]))


def test_loops_are_bounded_in_number() -> None:
    progress = Progress()
    with pytest.raises(BadCheckpoint, match="at most 64"):
        for number in range(100):
            with progress.stage(str(number)):
                list(progress.resume([1]))


# State and place move together ----------------------------------------------------------------------------------------


def summing(progress: Progress, count: int, *, every: int = 1, die_at: int | None = None) -> int:
    """Sums `count` numbers, with a state after each `every`th."""
    total = progress.restored or 0
    for number in progress.resume(range(count)):
        if number == die_at:
            raise Boom
        total += number
        if number % every == 0:
            progress.checkpoint(total)
        if die_at is not None and number == die_at - 0.5:
            raise Boom
    return int(total)


@pytest.mark.parametrize("every", [1, 3, 7])
@pytest.mark.parametrize("deaths", [(1,), (5,), (6, 7, 8), (3, 9)])
def test_a_sum_over_several_starts_is_the_sum(every: int, deaths: tuple[int, ...]) -> None:
    progress = Progress()
    for death in deaths:
        with pytest.raises(Boom):
            summing(progress, 10, every=every, die_at=death)
        progress = next_start(progress)
    assert summing(progress, 10, every=every) == 45


def test_a_state_is_kept_only_once_the_body_has_finished_its_item() -> None:
    """The interleaving: `checkpoint` in the body of item 2 holds it already, the place is still that of item 1."""
    progress = Progress()
    with pytest.raises(Boom):
        for number in progress.resume([1, 2, 3], cursor=lambda number: number):
            progress.checkpoint({"last": number})
            if number == 2:
                raise Boom
    checkpoint = progress.checkpointed()
    assert checkpoint is not None
    assert (checkpoint.state, checkpoint.loops[""].cursor) == ({"last": 1}, 1)


def test_of_several_states_in_one_body_the_last_is_kept() -> None:
    progress = Progress()
    for number in progress.resume([1, 2]):
        progress.checkpoint("begun")
        progress.checkpoint(f"finished {number}")
    assert next_start(progress).restored == "finished 2"


def test_without_a_state_for_an_item_its_place_is_not_kept_either() -> None:
    progress = Progress()
    until_5 = progress.resume(range(10))
    with pytest.raises(Boom):
        for number in until_5:
            if number == 5:
                raise Boom
            if number <= 2:
                progress.checkpoint(number)
    second = next_start(progress)
    assert (second.restored, list(second.resume(range(10)))) == (2, [3, 4, 5, 6, 7, 8, 9])


def test_a_loop_whose_last_items_have_no_state_has_not_ended_for_the_next_start() -> None:
    progress = Progress()
    for number in progress.resume(range(4)):
        if number == 0:
            progress.checkpoint(number)
    assert list(next_start(progress).resume(range(4))) == [1, 2, 3]


def test_a_state_that_comes_after_items_without_one_is_refused() -> None:
    """Had the job died in between, that state would lack what these items had added."""
    progress = Progress()
    with pytest.raises(BadCheckpoint, match="state=lambda"):
        for number in progress.resume(range(1000)):
            if number == 999:
                progress.checkpoint(number)


def test_so_it_is_in_the_next_start() -> None:
    first = Progress()
    until(first.resume(range(10)), 3)
    with pytest.raises(BadCheckpoint, match="state=lambda"):
        for number in (second := next_start(first)).resume(range(10)):
            second.checkpoint(number)


def test_a_state_that_is_given_before_a_loop_stays_while_its_place_moves() -> None:
    first = Progress()
    first.checkpoint({"file": "orders.csv"})
    until(first.resume(range(5)), 2)
    second = next_start(first)
    assert (second.restored, list(second.resume(range(5)))) == ({"file": "orders.csv"}, [3, 4])


def test_a_loop_asks_for_its_state() -> None:
    first, totals = Progress(), {"sum": 0}
    with pytest.raises(Boom):
        for number in first.resume(range(10), state=lambda: totals):
            totals["sum"] += number
            if number == 6:
                raise Boom
    second = next_start(first)
    assert second.restored == {"sum": 15}
    assert list(second.resume(range(10), state=lambda: totals)) == [6, 7, 8, 9]


def test_a_loop_asks_for_its_state_when_it_is_due_and_at_its_end() -> None:
    finished = 0
    asked: list[int] = []

    def state() -> int:
        asked.append(finished)
        return finished

    progress = Progress(checkpoint_seconds=3600.0)
    for _ in progress.resume(range(1000), state=state):
        finished += 1
    assert asked == [1, 1000]
    assert next_start(progress).restored == 1000


def test_between_two_times_of_asking_neither_state_nor_place_moves() -> None:
    first = Progress(checkpoint_seconds=3600.0)
    until(first.resume(range(10), state=lambda: "first"), 7)
    assert list(next_start(first).resume(range(10), state=lambda: "")) == list(range(1, 10))


def test_a_loop_that_asks_is_not_given_a_state() -> None:
    progress = Progress()
    with pytest.raises(BadCheckpoint, match="leave out"):
        for _ in progress.resume([1], state=lambda: 1):
            progress.checkpoint(2)


def test_counts_are_those_of_the_place() -> None:
    progress = Progress()
    with pytest.raises(Boom):
        for number in progress.resume(range(10)):
            progress.count("seen")
            if number == 4:
                raise Boom
    assert next_start(progress).snapshot().progress.counts == {"seen": 4}


def test_a_reader_never_sees_a_state_with_the_place_of_another_item() -> None:
    """Another thread reads as fast as it can while the job's writes."""
    progress, over, wrong = Progress(), threading.Event(), []

    def read() -> None:
        while not over.is_set():
            body = json.loads(progress.checkpoint_to_json() or "{}")
            place = body.get("loops", {}).get("", {})
            seen = (body.get("state"), place.get("cursor"), place.get("count"), place.get("done"))
            if len({value for value in seen if value is not None}) > 1 or body.get("counts", {}).get("n") not in seen:
                wrong.append(body)

    reader = threading.Thread(target=read)
    reader.start()
    for number in progress.resume(range(1, 20_001), cursor=lambda number: number):
        progress.count("n")
        progress.checkpoint(number)
    over.set()
    reader.join()
    assert not wrong


# Honest progress ------------------------------------------------------------------------------------------------------


def test_the_bar_begins_where_the_checkpoint_was() -> None:
    first = Progress()
    first.unit, first.message = "orders", "Reading orders"
    until(first.resume(range(10)), 5)
    view = next_start(first).view(NOW)
    assert (view.done, view.total, view.fraction, view.unit, view.message) == (6, 10, 0.6, "orders", "Reading orders")


def test_what_was_counted_after_the_last_checkpoint_is_shown_as_lost() -> None:
    first = Progress()
    first.total = 10
    first.done = 4
    first.checkpoint("at 4")
    first.advance(3)
    assert (first.view(NOW).done, next_start(first).view(NOW).done) == (7, 4)


def test_the_fraction_does_not_fall_while_a_resumed_loop_goes_on() -> None:
    first = Progress()
    until(first.resume(range(100)), 40)
    second = next_start(first)
    fractions = [second.view(NOW).fraction]
    fractions += [second.view(NOW).fraction for _ in second.resume(range(100))]
    fractions.append(second.view(NOW).fraction)
    assert None not in fractions
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.41, 0.99)


def test_the_rate_and_the_time_left_are_of_this_start_alone() -> None:
    first = Progress()
    until(first.resume(range(1000)), 899)
    second = next_start(first)
    second.view(NOW)
    for moment, _ in zip(range(1, 11), second.resume(range(1000)), strict=False):
        second.view(NOW + moment)
    view = second.view(NOW + 10)
    assert view.rate == pytest.approx(1.0, abs=0.2)
    assert view.finish_at == pytest.approx(NOW + 101, abs=15)


def test_what_a_stage_restores_says_nothing_about_the_pace() -> None:
    def perform(progress: Progress, last: int) -> None:
        with progress.stage("read"):
            for moment, item in enumerate(progress.resume(range(1000))):
                if item == last:
                    raise Boom
                progress.view(NOW + moment)

    first = Progress(stages={"read": 1})
    with pytest.raises(Boom):
        perform(first, 900)
    second = Progress(stages={"read": 1}, restored=first.checkpointed())
    second.view(NOW - 1)
    with pytest.raises(Boom):
        perform(second, 911)
    assert second.view(NOW + 10).rate == pytest.approx(1.0, abs=0.2)


def test_a_job_that_tracks_what_is_left_goes_on_counting() -> None:
    first = Progress()
    first.update(4, total=10)
    first.checkpoint(4)
    second = next_start(first)
    rest = range(second.restored, 10)
    assert [second.view(NOW).fraction for _ in second.track(rest)] == [0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_a_job_that_tracks_everything_again_counts_from_the_beginning() -> None:
    first = Progress()
    first.update(4, total=10)
    first.checkpoint(4)
    second = next_start(first)
    assert second.restored == 4
    assert [second.view(NOW).done for _ in second.track(range(10))] == list(range(10))


def test_a_job_that_never_looks_at_what_is_restored_counts_from_the_beginning() -> None:
    first = Progress()
    first.update(4, total=10)
    first.checkpoint(4)
    assert [view.done for view in _views(next_start(first), 3)] == [0, 1, 2]


def _views(progress: Progress, count: int) -> Iterator[Any]:
    return (progress.view(NOW) for _ in progress.track(range(count)))


# Interruption ---------------------------------------------------------------------------------------------------------


def test_an_interrupted_job_leaves_at_its_next_checkpoint_once_that_is_kept() -> None:
    progress = Progress()
    progress.checkpoint(1)
    progress.interrupt("handed back")
    progress.advance()
    progress.check()
    list(progress.track([1, 2]))
    with pytest.raises(Cancelled, match="handed back"):
        progress.checkpoint(2)
    assert next_start(progress).restored == 2


@pytest.mark.parametrize("way", ["plain", "stateful", "asked"])
def test_an_interrupted_loop_ends_between_two_items_and_loses_none(way: str) -> None:
    progress = Progress(checkpoint_seconds=3600.0)
    finished: list[int] = []
    asked: dict[str, Any] = {"state": lambda: finished} if way == "asked" else {}
    with pytest.raises(Cancelled, match="handed back"):
        for number in progress.resume(range(10), **asked):
            if number == 5:
                progress.interrupt("handed back")
            finished.append(number)
            if way == "stateful":
                progress.checkpoint(finished)
    assert finished == [0, 1, 2, 3, 4, 5]
    second = next_start(progress)
    assert second.restored == (None if way == "plain" else finished)
    assert list(second.resume(range(10), **asked)) == [6, 7, 8, 9]


def test_an_interrupted_loop_whose_states_are_rare_goes_on_to_its_next_one() -> None:
    progress, finished = Progress(), []
    with pytest.raises(Cancelled):
        for number in progress.resume(range(100)):
            if number == 15:
                progress.interrupt()
            finished.append(number)
            if number % 10 == 0:
                progress.checkpoint(number)
    assert (len(finished), next_start(progress).restored) == (21, 20)


def test_a_loop_that_is_to_stop_stops_between_any_two_items() -> None:
    progress = Progress()
    with pytest.raises(Cancelled, match="cancelled"):
        for number in progress.resume(range(100)):
            if number == 0:
                progress.checkpoint(number)
            if number == 15:
                progress.stop()
    assert number == 15


def test_a_loop_does_not_begin_when_the_run_is_to_stop() -> None:
    progress = Progress()
    progress.stop()
    with pytest.raises(Cancelled):
        list(progress.resume([1]))


def test_wherever_a_job_is_stopped_state_and_place_are_of_the_same_item() -> None:
    """A stop comes between any two steps of Python: here as an exception after each line that is run, in turn."""
    for step in itertools.count(1):
        progress, total = Progress(), 0
        try:
            with _stopped_after(step):
                for number in progress.resume(range(1, 5), cursor=lambda number: number):
                    total += number
                    progress.checkpoint(total)
        except Boom:
            checkpoint = progress.checkpointed()
            if checkpoint is not None:
                place = checkpoint.loops.get("", Place())
                assert checkpoint.state == (sum(range(1, place.count + 1)) or None), f"stopped after {step} lines"
                assert place.cursor == (place.count or None)
        else:
            assert step > 50
            return


class _stopped_after:  # noqa: N801  reads as a phrase
    def __init__(self, lines: int) -> None:
        self._left = lines

    def __enter__(self) -> None:
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: Any, event: str, _argument: object) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.endswith("resuming.py"):
            return self._trace
        if event == "line":
            self._left -= 1
            if self._left == 0:
                raise Boom
        return self._trace


# Async ----------------------------------------------------------------------------------------------------------------


async def finish_until(items: AsyncIterator[Any], last: object) -> list[Any]:
    finished: list[Any] = []
    async for item in items:
        if finished and finished[-1] == last:
            break
        finished.append(item)
    return finished


@pytest.mark.parametrize("cursor", [None, lambda item: item])
def test_an_async_loop_resumes_too(cursor: Any) -> None:
    async def perform(progress: Progress, last: object) -> list[int]:
        return await finish_until(progress.resume(arriving(range(10)), cursor, total=10), last)

    first = Progress()
    assert asyncio.run(perform(first, 5)) == [0, 1, 2, 3, 4, 5]
    second = next_start(first)
    assert second.view(NOW).fraction == 0.6
    assert asyncio.run(perform(second, None)) == [6, 7, 8, 9]
    assert asyncio.run(perform(next_start(second), None)) == []


def test_an_async_function_is_asked_for_what_comes_after_the_cursor() -> None:
    async def perform(progress: Progress, last: object) -> list[int]:
        rows = progress.resume(lambda after: arriving(range((after or 0) + 1, 6)), cursor=lambda item: item)
        return await finish_until(rows, last)

    first = Progress()
    assert asyncio.run(perform(first, 2)) == [1, 2]
    assert asyncio.run(perform(next_start(first), None)) == [3, 4, 5]


def test_an_async_loop_keeps_its_state_with_its_place() -> None:
    async def perform(progress: Progress, last: int) -> list[int]:
        finished: list[int] = progress.restored or []
        async for item in progress.resume(arriving(range(5))):
            if item == last:
                raise Boom
            finished.append(item)
            progress.checkpoint(finished)
        return finished

    first = Progress()
    with pytest.raises(Boom):
        asyncio.run(perform(first, 3))
    assert asyncio.run(perform(next_start(first), 9)) == [0, 1, 2, 3, 4]


def test_an_async_loop_over_too_few_items_says_so() -> None:
    async def perform(progress: Progress, count: int, cursor: Any = None) -> list[int]:
        return await finish_until(progress.resume(arriving(range(count)), cursor), 5)

    first, second = Progress(), Progress()
    asyncio.run(perform(first, 10))
    asyncio.run(perform(second, 10, lambda item: item))
    with pytest.raises(BadCheckpoint, match="finished 6"):
        asyncio.run(perform(next_start(first), 3))
    with pytest.raises(BadCheckpoint, match="No item has the cursor 5"):
        asyncio.run(perform(next_start(second), 3, lambda item: item))


def test_an_async_loop_that_was_left_is_not_gone_on_with() -> None:
    async def perform(progress: Progress) -> None:
        loop = progress.resume(arriving(range(3)))
        assert [item async for item in loop] == [0, 1, 2]
        assert [item async for item in loop] == []

    asyncio.run(perform(Progress()))
