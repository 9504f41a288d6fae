"""What the bar says of a snapshot; pure, its clock is a value."""

import msgspec
from rich.console import Console

from jobkit import Snapshot, State
from jobkit.cli.bar import Bar, duration, printable
from jobkit.snapshot import Failure, ProgressView, QueuePlace, StageView

NOW = 1000.0


def snapshot(state: State = State.RUNNING, **changes: object) -> Snapshot:
    base = Snapshot(id="0-X", job="reports.Sales", state=state, version=1, start=1, created_at=990.0, updated_at=NOW)
    return msgspec.structs.replace(base, **changes)


def drawn(*snapshots: Snapshot) -> str:
    bar = Bar("jobkit worker reports:kit", clock=lambda: NOW)
    for each in snapshots:
        bar.show(each)
    console = Console(width=120, force_terminal=False)
    with console.capture() as capture:
        console.print(bar)
    return capture.get()


def test_running_shows_share_amount_time_left_and_message() -> None:
    progress = ProgressView(
        done=1200, total=5000, fraction=0.24, unit="orders", message="Reading", finish_at=1012.4, counts={"skipped": 3}
    )
    text = drawn(snapshot(progress=progress))
    assert "reports.Sales" in text
    assert " 24 %" in text
    assert "1,200 of 5,000 orders · 12 s left" in text
    assert "Reading · 3 skipped" in text


def test_of_a_run_in_stages_the_one_under_way_is_counted() -> None:
    stage = StageView(name="read", done=6990, total=15190, fraction=0.46)
    text = drawn(snapshot(progress=ProgressView(done=7002, unit="files", fraction=0.4, stages=(stage,))))
    assert "6,990 of 15,190 files" in text


def test_bar_never_runs_backwards_within_a_start() -> None:
    ahead = snapshot(version=2, progress=ProgressView(done=5, fraction=0.5))
    behind = snapshot(version=3, progress=ProgressView(done=5, fraction=0.4))
    assert " 50 %" in drawn(ahead, behind)


def test_older_snapshot_is_passed_over() -> None:
    newer = snapshot(State.SUCCEEDED, version=9, started_at=990.0, finished_at=992.5)
    assert "succeeded in 2.5 s" in drawn(newer, snapshot(version=8))


def test_new_start_begins_anew() -> None:
    first = snapshot(start=1, version=5, progress=ProgressView(fraction=0.9))
    second = snapshot(start=2, version=6, progress=ProgressView(fraction=0.1))
    assert " 10 %" in drawn(first, second)


def test_unknown_total_shows_no_share() -> None:
    text = drawn(snapshot(progress=ProgressView(done=7, unit="rows")))
    assert "%" not in text
    assert "7 rows" in text


def test_waiting_shows_the_place_in_line() -> None:
    text = drawn(snapshot(State.QUEUED, queue=QueuePlace(position=3, workers=2)))
    assert "queued 10 s · number 3 in line" in text


def test_unserved_queue_says_which_command_serves_it() -> None:
    text = drawn(snapshot(State.QUEUED, queue=QueuePlace(name="slow", position=1, workers=0)))
    assert "queued 10 s" in text
    assert "no worker serves the queue 'slow': start one with jobkit worker reports:kit --queues slow" in text


def test_worker_may_still_be_starting() -> None:
    assert "no worker" not in drawn(snapshot(State.QUEUED, created_at=NOW - 1, queue=QueuePlace(workers=0)))


def test_a_scheduled_run_says_when_it_starts() -> None:
    assert "starts in 12 s" in drawn(snapshot(State.SCHEDULED, start=0, due_at=NOW + 12))
    assert "starts at any moment" in drawn(snapshot(State.SCHEDULED, start=0, due_at=NOW - 3))
    assert "starts later" in drawn(snapshot(State.SCHEDULED, start=0))


def test_a_run_between_attempts_says_which_comes_when_and_why_the_last_one_failed() -> None:
    error = Failure(message="No route", reference="AB-1", public=True)
    waiting = snapshot(State.SCHEDULED, attempt=2, max_attempts=5, due_at=NOW + 12, error=error)
    text = drawn(waiting)
    assert "attempt 2 of 5 in 12 s" in text
    assert "No route (reference AB-1)" in text
    bar = Bar("", clock=lambda: NOW)
    bar.show(waiting)
    assert bar.text() == "reports.Sales: attempt 2 of 5 in 12 s · No route (reference AB-1)"


def test_a_later_attempt_is_called_so_while_it_runs() -> None:
    assert "attempt 2 of 5 · 7 rows" in drawn(
        snapshot(attempt=2, max_attempts=5, progress=ProgressView(done=7, unit="rows"))
    )


def test_failure_shows_message_and_reference() -> None:
    failed = snapshot(State.FAILED, error=Failure(message="No such month", reference="AB-1", public=True))
    assert "No such month (reference AB-1)" in drawn(failed)


def test_trouble_is_told_in_words() -> None:
    assert "no progress for a while" in drawn(snapshot(stalled=True))
    assert "told to stop" in drawn(snapshot(stopping="cancelling"))
    assert "does not stop, so it is killed" in drawn(snapshot(stopping="killing"))


def test_markup_and_control_characters_are_shown_as_text() -> None:
    text = drawn(snapshot(progress=ProgressView(message="[red]x[/red]\x1b[2J\u202e")))
    assert "[red]x[/red]" in text
    assert "\x1b" not in text
    assert printable("a\x07b\n") == "a b "


def test_durations_are_told_in_the_unit_that_fits() -> None:
    assert [duration(value) for value in (-1, 0.4, 59.4, 61, 3700)] == ["0 s", "0 s", "59 s", "1 min 1 s", "1 h 1 min"]
