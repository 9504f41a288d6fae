"""Progress: what a job says, and what a reader may see of it. Time is a value; there is no store."""

import asyncio
import contextlib
import gc
import math
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobkit.lifecycle import State
from jobkit.progress import Cancelled, Progress
from jobkit.snapshot import ProgressView, StageView

NOW = 1_795_000_000.0


def seen(progress: Progress) -> ProgressView:
    return progress.view(NOW)


def only_stage(progress: Progress) -> StageView:
    (stage,) = seen(progress).stages
    return stage


async def arriving(count: int) -> AsyncIterator[int]:
    for item in range(count):
        await asyncio.sleep(0)
        yield item


# counting


def test_an_untouched_progress_knows_nothing() -> None:
    assert seen(Progress()) == ProgressView()


def test_advance_counts() -> None:
    progress = Progress()
    progress.advance()
    progress.advance(4)
    assert progress.done == seen(progress).done == 5


def test_update_says_everything_at_once() -> None:
    progress = Progress()
    progress.update(3, total=12, message="Reading")
    view = seen(progress)
    assert (view.done, view.total, view.fraction, view.message) == (3, 12, 0.25, "Reading")


def test_properties_can_be_set_and_read() -> None:
    progress = Progress()
    progress.total, progress.done, progress.message, progress.unit = 10, 5, "Half way", "orders"
    assert (progress.total, progress.done, progress.message, progress.unit) == (10, 5, "Half way", "orders")
    assert (seen(progress).unit, seen(progress).fraction) == ("orders", 0.5)


def test_counts_are_kept_by_name() -> None:
    progress = Progress()
    progress.count("skipped")
    progress.count("failed", 2)
    progress.count("skipped", 3)
    assert seen(progress).counts == {"skipped": 4, "failed": 2}


# loops


def test_an_item_counts_once_the_body_has_finished_it() -> None:
    progress = Progress()
    assert [seen(progress).done for _ in progress.track("abc")] == [0, 1, 2]
    assert seen(progress).done == 3


def test_the_total_comes_from_the_length() -> None:
    progress = Progress()
    for _ in progress.track([1, 2, 3, 4], message="Reading orders"):
        progress.view(NOW)
    view = seen(progress)
    assert (view.total, view.message) == (4, "Reading orders")


def test_without_a_length_the_total_is_unknown_and_no_fraction_is_made_up() -> None:
    progress = Progress()
    for _ in progress.track(iter("abc")):
        assert seen(progress).fraction is None
    assert (seen(progress).done, seen(progress).total) == (3, None)


def test_a_total_given_to_a_loop_beats_its_length() -> None:
    progress = Progress()
    next(progress.track(iter("abc"), total=3))
    assert seen(progress).total == 3


def test_advance_inside_a_loop_adds_to_it() -> None:
    progress = Progress()
    for _ in progress.track(range(3), total=30):
        progress.advance(9)
    assert seen(progress).done == 30


def test_break_leaves_the_item_in_work_uncounted() -> None:
    progress = Progress()
    for item in progress.track(range(10)):
        if item == 4:
            break
    assert (seen(progress).done, seen(progress).fraction) == (4, 0.4)


def test_an_exception_in_the_body_passes_and_leaves_its_item_uncounted() -> None:
    def perform(progress: Progress) -> list[float]:
        return [1 / item for item in progress.track([1, 0])]

    progress = Progress()
    with pytest.raises(ZeroDivisionError):
        perform(progress)
    assert seen(progress).done == 1


def test_after_a_broken_inner_loop_advance_counts_for_the_outer_one() -> None:
    progress = Progress()
    for _ in progress.track(range(2), total=10):
        for _ in progress.track(range(5)):
            break
        progress.advance()
    assert seen(progress).done == 4


def test_a_loop_that_was_never_begun_leaves_no_trace() -> None:
    progress = Progress()
    progress.track([1, 2, 3]).close()
    assert seen(progress) == ProgressView()


def test_two_interleaved_loops_keep_their_own_counts() -> None:
    progress = Progress()
    for _ in zip(progress.track(range(4)), progress.track(range(4)), strict=False):
        pass
    assert (seen(progress).done, progress.done) == (4, 4)
    assert seen(progress).stages == ()


def test_an_empty_loop_is_neither_0_nor_100_percent() -> None:
    progress = Progress()
    assert list(progress.track([])) == []
    assert seen(progress).fraction is None


def test_more_items_than_the_length_promised_make_the_total_unknown() -> None:
    progress = Progress()
    for _ in progress.track(range(5), total=3):
        pass
    assert (seen(progress).done, seen(progress).total, seen(progress).fraction) == (5, None, None)


def test_what_cannot_be_iterated_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        Progress().track(5)  # type: ignore[call-overload]


def test_async_items_count_the_same_way() -> None:
    async def perform(progress: Progress) -> list[float]:
        return [seen(progress).done async for _ in progress.track(arriving(3), total=3)]

    progress = Progress()
    assert asyncio.run(perform(progress)) == [0, 1, 2]
    assert (seen(progress).done, seen(progress).total) == (3, 3)


def test_an_async_loop_left_by_break_ends_at_once() -> None:
    async def perform(progress: Progress) -> None:
        for _ in range(2):
            async for _ in progress.track(arriving(5)):
                break
        progress.advance(7)

    progress = Progress()
    asyncio.run(perform(progress))
    assert (seen(progress).done, seen(progress).stages) == (7, ())


def test_an_async_body_that_raises_ends_the_loop() -> None:
    async def perform(progress: Progress) -> None:
        async for item in progress.track(arriving(5)):
            1 / (item - 1)

    progress = Progress()
    with pytest.raises(ZeroDivisionError):
        asyncio.run(perform(progress))
    assert seen(progress).done == 1


# the whole, and what stands beside it


def test_an_inner_loop_has_its_own_bar_and_the_outer_one_counts() -> None:
    progress = Progress()
    for _ in progress.track(range(4), message="Files"):
        for _ in progress.track(range(10), message="Rows"):
            inner = seen(progress)
    assert (inner.done, inner.total, inner.fraction, inner.message) == (3, 4, 0.75, "Rows")
    assert [(stage.name, stage.done, stage.total) for stage in inner.stages] == [("Rows", 9, 10)]
    assert (seen(progress).stages, seen(progress).message) == ((), "Files")


def test_a_second_root_loop_shows_its_own_bar_and_the_whole_is_unknown() -> None:
    progress = Progress()
    for _ in progress.track(range(4)):
        pass
    for _ in progress.track(range(10), message="Again"):
        second = seen(progress)
    assert (second.fraction, second.total, second.done) == (None, None, 13)
    (bar,) = second.stages
    assert (bar.name, bar.done, bar.total, bar.fraction) == ("Again", 9, 10, 0.9)


def test_an_undeclared_stage_shows_its_own_bar_and_the_whole_is_unknown() -> None:
    progress = Progress(stages={"read": 3, "write": 1})
    with progress.stage("read"):
        pass
    assert seen(progress).fraction == 0.75
    with progress.stage("clean", total=2) as stage:
        stage.advance()
        assert seen(progress).fraction is None
        assert [(view.name, view.fraction) for view in seen(progress).stages][-1] == ("clean", 0.5)
    assert seen(progress).fraction is None


def test_the_number_done_never_falls_when_bars_come_and_go() -> None:
    progress = Progress()
    seen_done = [seen(progress).done for _ in range(3) for _ in progress.track(range(3))]
    assert seen_done == [0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_a_total_set_by_the_job_stands_and_loops_of_unknown_length_count_towards_it() -> None:
    progress = Progress()
    progress.total = 6
    for _ in range(2):
        for _ in progress.track(iter("abc")):
            pass
    view = seen(progress)
    assert (view.done, view.total, view.stages) == (6, 6, ())


def test_under_a_total_set_by_the_job_a_loop_of_known_length_is_a_detail() -> None:
    progress = Progress()
    progress.total = 2
    for _ in range(2):
        for _ in progress.track(range(100)):
            inside = seen(progress)
        progress.advance()
    assert (inside.done, inside.total, inside.fraction) == (1, 2, 0.5)
    assert seen(progress).done == 2


def test_the_weighted_stages_make_the_whole() -> None:
    progress = Progress()
    progress.plan(read=3, write=1)
    fractions = [seen(progress).fraction]
    with progress.stage("read", total=2):
        fractions += [seen(progress).fraction for _ in progress.track("ab")]
    with progress.stage("write"):
        fractions.append(seen(progress).fraction)
    assert fractions == [0.0, 0.0, 0.375, 0.75]


def test_planned_stages_are_listed_before_they_begin() -> None:
    progress = Progress(stages={"read": 3, "write": 1})
    assert [(stage.name, stage.weight, stage.fraction) for stage in seen(progress).stages] == [
        ("read", 3.0, 0.0),
        ("write", 1.0, 0.0),
    ]


def test_a_running_stage_of_unknown_total_counts_nothing_until_it_has_ended() -> None:
    progress = Progress(stages={"read": 1, "write": 1})
    with progress.stage("read") as read:
        for _ in read.track(iter("abc")):
            inside = seen(progress)
    assert (inside.fraction, inside.stages[0].fraction) == (0.0, None)
    assert seen(progress).fraction == 0.5


def test_a_stage_left_by_an_exception_has_not_finished() -> None:
    progress = Progress(stages={"read": 1, "write": 1})
    with contextlib.suppress(KeyError), progress.stage("read", total=4) as read:
        read.advance()
        raise KeyError
    assert (seen(progress).fraction, seen(progress).stages[0].fraction) == (0.125, 0.25)


def test_a_stage_entered_twice_is_not_counted_twice() -> None:
    progress = Progress(stages={"read": 1, "write": 1})
    for _ in range(2):
        with progress.stage("read"):
            pass
    assert seen(progress).fraction is None


def test_stages_nest_with_plans_of_their_own() -> None:
    progress = Progress(stages={"read": 3, "write": 1})
    with progress.stage("read"):
        progress.plan(open=1, parse=2)
        with progress.stage("open"):
            pass
        with progress.stage("parse", total=2) as parse:
            parse.advance()
            view = seen(progress)
    assert view.fraction == 0.5
    assert [(stage.name, stage.depth) for stage in view.stages] == [
        ("read", 0),
        ("open", 1),
        ("parse", 1),
        ("write", 0),
    ]


def test_a_stage_handle_moves_its_own_bar_whatever_was_entered_since() -> None:
    progress = Progress(stages={"a": 1, "b": 1})
    with progress.stage("a", total=4) as a, progress.stage("b"):
        a.advance(2)
        assert [stage.done for stage in seen(progress).stages if stage.name == "a"] == [2]


def test_the_message_of_an_ended_loop_gives_way_to_the_outer_one() -> None:
    progress = Progress(stages={"read": 1})
    with progress.stage("read", message="Reading"):
        for _ in progress.track(range(2)):
            progress.message = "row"
        assert seen(progress).message == "row"
    assert seen(progress).message == "row"
    progress.message = "Packing"
    assert seen(progress).message == "Packing"


@pytest.mark.parametrize("moments", [1, 2])
def test_a_plan_after_the_first_stage_is_refused(moments: int) -> None:
    progress = Progress(stages={"read": 1})
    for _ in range(moments):
        with progress.stage("read"):
            pass
    with pytest.raises(ValueError, match="planned before"):
        progress.plan(write=1)


def test_a_job_may_replace_the_plan_of_its_class() -> None:
    progress = Progress(stages={"read": 1})
    progress.plan(write=1)
    assert [stage.name for stage in seen(progress).stages] == ["write"]


def test_ten_thousand_loops_leave_no_bars_behind() -> None:
    progress = Progress()
    for _ in range(10_000):
        for _ in progress.track((1,)):
            pass
    assert (seen(progress).stages, seen(progress).done) == ((), 10_000)


def test_stages_nested_a_thousand_deep_still_give_a_view() -> None:
    progress = Progress()
    with contextlib.ExitStack() as stack:
        for depth in range(1_000):
            stack.enter_context(progress.stage(f"level {depth}"))
        progress.advance()
        assert len(seen(progress).stages) < 100
    assert seen(progress).done == 1


# honest fractions


def test_the_fraction_stays_below_one_until_the_run_has_succeeded() -> None:
    progress = Progress()
    for _ in progress.track(range(5)):
        pass
    assert seen(progress).fraction == 0.99
    assert progress.view(NOW, succeeded=True).fraction == 1.0


def test_success_makes_one_of_an_unknown_fraction_too_and_ends_the_estimates() -> None:
    progress = Progress()
    progress.advance(5)
    view = progress.view(NOW, succeeded=True)
    assert (view.fraction, view.done, view.total, view.rate, view.finish_at) == (1.0, 5, None, None, None)


def test_a_total_that_grows_a_little_holds_the_fraction() -> None:
    progress = Progress()
    progress.update(50, total=100)
    assert seen(progress).fraction == 0.5
    progress.total = 105
    assert seen(progress).fraction == 0.5


def test_a_larger_setback_makes_the_fraction_unknown_until_it_is_made_up() -> None:
    progress = Progress()
    progress.update(50, total=100)
    assert seen(progress).fraction == 0.5
    progress.update(50, total=1000)
    assert seen(progress).fraction is None
    progress.advance(500)
    assert seen(progress).fraction == 0.55


def test_done_follows_what_the_job_says_even_backwards() -> None:
    progress = Progress()
    progress.update(5)
    progress.update(2)
    assert seen(progress).done == 2


# estimates


def test_rate_and_end_are_estimated_from_what_was_seen() -> None:
    progress = Progress()
    progress.total = 100
    for second in range(11):
        progress.done = second * 2
        view = progress.view(NOW + second)
    assert (view.rate, view.finish_at) == (2.0, NOW + 50)


def test_the_end_is_estimated_from_weighted_stages_too() -> None:
    progress = Progress(stages={"read": 1, "write": 1})
    with progress.stage("read", total=20) as read:
        for second in range(11):
            read.update(second)
            view = progress.view(NOW + second)
    assert view.finish_at == pytest.approx(NOW + 40, abs=0.5)


def test_an_unknown_total_has_a_rate_but_no_end() -> None:
    progress = Progress()
    for second in range(11):
        progress.done = second
        view = progress.view(NOW + second)
    assert (view.rate, view.finish_at) == (1.0, None)


# bad input


@pytest.mark.parametrize("number", [math.nan, math.inf, -1, -0.5, 10**30])
def test_impossible_numbers_are_refused_where_it_is_cheap(number: float) -> None:
    progress = Progress()
    with pytest.raises(ValueError, match="finite number"):
        progress.update(number)
    with pytest.raises(ValueError, match="finite number"):
        progress.total = number
    with pytest.raises(ValueError, match="finite number"):
        progress.track([], total=number)
    with pytest.raises(ValueError, match="finite number"):
        progress.plan(read=number)
    assert seen(progress) == ProgressView()


@pytest.mark.parametrize("value", ["5", None, True, [5], Decimal(5), 1j])
def test_what_is_no_number_is_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match="done must be a number, not"):
        Progress().update(value)


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -(10**400), 1e308])
def test_garbage_in_advance_is_harmless_to_the_reader(garbage: float) -> None:
    progress = Progress()
    progress.update(3, total=10)
    assert seen(progress).done == 3
    progress.advance(garbage)
    view = seen(progress)
    assert math.isfinite(view.done)
    assert ProgressView.__name__ in repr(msgspec.json.decode(view.to_json(), type=ProgressView))


class Hostile:
    """A number that fails whenever it is looked at."""

    def __radd__(self, other: object) -> "Hostile":
        return self

    def __float__(self) -> float:
        raise RuntimeError("no")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


def test_the_reader_survives_a_number_that_raises() -> None:
    progress = Progress()
    progress.update(3)
    assert seen(progress).done == 3
    progress.advance(Hostile())  # type: ignore[arg-type]
    assert seen(progress).done == 3
    assert progress.revision() == progress.revision()


def test_negative_progress_is_never_shown() -> None:
    progress = Progress()
    progress.advance(-5)
    assert seen(progress).done == 0


def test_control_characters_in_a_message_become_spaces_and_text_direction_tricks_vanish() -> None:
    progress = Progress()
    progress.message = "a\x00b\nc\x1b[31m\u202egnp.exe\u2028d"
    assert seen(progress).message == "a b c [31mgnp.exe d"


def test_markup_in_a_message_is_left_as_text() -> None:
    progress = Progress()
    progress.message = "<b>& naïve 日本 👩‍🔬</b>"
    assert seen(progress).message == "<b>& naïve 日本 👩‍🔬</b>"


def test_half_a_surrogate_pair_does_not_break_the_wire() -> None:
    progress = Progress()
    progress.message = "broken \ud83d name"
    assert seen(progress).to_json()
    assert seen(progress).message == "broken \ufffd name"


def test_a_long_message_is_cut_with_an_ellipsis() -> None:
    progress = Progress()
    progress.update(1, message="x" * 1_000_000)
    assert seen(progress).message == "x" * 499 + "…"


@pytest.mark.parametrize("value", [5, None, b"raw", ValueError("x")])
def test_a_message_that_is_no_text_is_refused_with_advice(value: Any) -> None:
    with pytest.raises(TypeError, match=r"must be a str, not .* f-string"):
        Progress().message = value


def refused(action: Callable[[Progress], object]) -> str:
    with pytest.raises((ValueError, TypeError)) as caught:
        action(Progress())
    return str(caught.value)


def count_too_much(progress: Progress) -> None:
    for number in range(65):
        progress.count(f"kind {number}")


def test_what_has_a_bound_says_so() -> None:
    assert "at most 32 characters" in refused(lambda progress: setattr(progress, "unit", "x" * 33))
    assert "at most 64 stages" in refused(lambda progress: progress.plan(**{f"s{n}": 1 for n in range(65)}))
    assert "at most 64 different" in refused(count_too_much)
    assert "must be above 0" in refused(lambda progress: progress.plan(read=0))
    assert "must not be negative" in refused(lambda progress: progress.count("skipped", -1))
    assert "at most 100 characters" in refused(lambda progress: progress.stage("x" * 101).__enter__())


# stopping


def test_check_raises_once_the_run_is_to_stop() -> None:
    progress = Progress()
    progress.check()
    progress.stop("cancelled by its owner")
    with pytest.raises(Cancelled) as caught:
        progress.check()
    assert caught.value.reason == "cancelled by its owner"


def test_the_next_step_of_a_loop_raises_and_the_finished_item_counts() -> None:
    def perform(progress: Progress) -> None:
        for item in progress.track(range(10)):
            if item == 4:
                progress.stop("cancelled")

    progress = Progress()
    with pytest.raises(Cancelled):
        perform(progress)
    assert seen(progress).done == 5


def test_the_next_step_of_an_async_loop_raises() -> None:
    async def perform(progress: Progress) -> None:
        async for item in progress.track(arriving(10)):
            if item == 4:
                progress.stop()

    progress = Progress()
    with pytest.raises(Cancelled):
        asyncio.run(perform(progress))
    assert seen(progress).done == 5


def test_no_loop_and_no_stage_begins_after_a_stop() -> None:
    progress = Progress()
    progress.stop()
    with pytest.raises(Cancelled):
        next(progress.track([1]))
    with pytest.raises(Cancelled), progress.stage("read"):
        pass


def test_cleaning_up_may_still_say_what_it_does() -> None:
    progress = Progress()
    progress.stop()
    progress.advance()
    progress.update(2, message="Rolling back")
    assert seen(progress).message == "Rolling back"


def test_a_stop_is_not_swallowed_by_the_jobs_own_except_exception() -> None:
    assert not issubclass(Cancelled, Exception)


# reading


def test_the_revision_is_equal_until_a_reader_would_see_a_difference() -> None:
    progress = Progress()
    stage = progress.stage("read")
    changes: list[Callable[[], object]] = [
        progress.advance,
        lambda: progress.update(1, total=9),
        lambda: setattr(progress, "message", "Reading"),
        lambda: setattr(progress, "unit", "rows"),
        lambda: progress.count("skipped"),
        stage.__enter__,
        progress.advance,
    ]
    for change in changes:
        before = progress.revision()
        assert progress.revision() == before
        progress.view(NOW)
        assert progress.revision() == before
        change()
        assert progress.revision() != before


def test_a_snapshot_without_a_run_is_running_and_has_no_id() -> None:
    progress = Progress()
    progress.update(1, total=4)
    snapshot = progress.snapshot()
    assert (snapshot.id, snapshot.state, snapshot.fraction) == ("", State.RUNNING, 0.25)


def test_without_a_run_the_token_is_empty() -> None:
    assert (Progress().token, Progress("41").token) == ("", "41")


def test_a_reader_in_another_thread_sees_progress_that_only_grows() -> None:
    """The reader looks without pause while the job loops, nests, counts and finishes stages."""
    progress = Progress(stages={"read": 3, "write": 1})
    ended = threading.Event()
    views: list[ProgressView] = []

    def read() -> None:
        while not ended.is_set():
            progress.revision()
            views.append(progress.view(NOW + len(views)))

    reader = threading.Thread(target=read)
    reader.start()
    for name in ("read", "write"):
        with progress.stage(name):
            for item in progress.track(range(200)):
                progress.message = f"item {item}"
                for _ in progress.track(range(50)):
                    progress.count(f"kind {item % 50}")
    ended.set()
    reader.join()
    views.append(seen(progress))
    fractions = [view.fraction for view in views]
    assert None not in fractions
    assert fractions == sorted(fractions, key=lambda fraction: fraction or 0.0)
    done = [view.done for view in views]
    assert (done, done[-1]) == (sorted(done), 400)


def test_a_progress_that_is_dropped_is_collected() -> None:
    class Watched(Progress):
        __slots__ = ("__weakref__",)

    progress = Watched()
    for _ in progress.track(range(3)):
        break
    gone = weakref.ref(progress)
    del progress
    gc.collect()
    assert gone() is None


# whatever a job does

Step = Callable[[Progress, list[Any]], None]


def begin_stage(name: str) -> Step:
    return lambda progress, opened: opened.append(progress.stage(name)) or opened[-1].__enter__()  # type: ignore[func-returns-value]


def begin_loop(length: int | None) -> Step:
    def step(progress: Progress, opened: list[Any]) -> None:
        loop: Iterator[int] = progress.track(iter(range(5)) if length is None else range(length))
        next(loop, None)
        opened.append(loop)

    return step


def end_one(position: int) -> Step:
    def step(_: Progress, opened: list[Any]) -> None:
        if opened:
            part = opened.pop(position % len(opened))
            part.close() if hasattr(part, "close") else part.__exit__(None, None, None)

    return step


def go_on(progress: Progress, opened: list[Any]) -> None:
    for part in opened:
        if hasattr(part, "close"):
            next(part, None)
    progress.advance(0)


numbers = st.integers(-3, 20) | st.floats()
amounts = st.integers(0, 20)
steps = st.one_of(
    numbers.map(lambda n: lambda progress, _: progress.advance(n)),
    amounts.map(lambda n: lambda progress, _: progress.update(n)),
    amounts.map(lambda n: lambda progress, _: setattr(progress, "total", n)),
    st.just(lambda progress, _: setattr(progress, "total", None)),
    st.sampled_from(["read", "write", "other"]).map(begin_stage),
    (st.none() | st.integers(0, 6)).map(begin_loop),
    st.integers(0, 5).map(end_one),
    st.just(go_on),
)


@given(st.booleans(), st.lists(st.tuples(steps, st.floats(0, 100)), max_size=40))
def test_whatever_a_job_does_its_views_are_sound_and_never_run_backwards(
    planned: bool,
    script: list[tuple[Step, float]],
) -> None:
    progress = Progress(stages={"read": 3, "write": 1} if planned else None)
    opened: list[Any] = []
    highest, now = 0.0, NOW
    for step, pause in script:
        step(progress, opened)
        now += pause
        revision = progress.revision()
        view = progress.view(now)
        assert progress.revision() == revision
        assert math.isfinite(view.done)
        assert view.done >= 0
        assert view.total is None or view.total >= view.done
        assert view.finish_at is None or view.finish_at >= now - 0.1
        assert all(0 <= stage.fraction <= 1 for stage in view.stages if stage.fraction is not None)
        assert msgspec.json.decode(view.to_json(), type=ProgressView) == view
        if view.fraction is not None:
            assert highest <= view.fraction < 1
            highest = view.fraction
    assert progress.view(now, succeeded=True).fraction == 1
