"""What is sent to the store."""

from __future__ import annotations

import inspect

import pytest

from jobkit.lifecycle import Outcome, State
from jobkit.store.operations import Declaration, Mark, Operations
from jobkit.store.replies import Lease, ScheduleRow
from tests.store.world import submission

OPERATIONS = Operations()
LEASE = Lease(
    run_id="0-01J0000000000000000000000A",
    token="7",
    incarnation="a",
    job="reports.Sales",
    cache_version="1",
    arguments=b"{}",
    start=2,
    failures=1,
    duration=15.0,
    max_attempts=3,
    watched=False,
    kept=(b"", b"x"),
)
DECLARATION = Declaration(name="nightly", schedule="{}", mark="a", submission=submission())
ROW = ScheduleRow(
    name="nightly",
    mark="a",
    schedule="{}",
    job="reports.Sales",
    queue="default",
    next_tick=1,
    paused=False,
    last_tick=None,
    last_at=None,
    last_run="",
    declared=1,
)
EVERY_KIND = {
    "open": OPERATIONS.open(founding=3),
    "submit": OPERATIONS.submit(submission("k", priority=-2)),
    "submit_many": OPERATIONS.submit_many([submission("k"), submission(limits="m:a 1")]),
    "take": OPERATIONS.take("w/1", "1", ["default", "slow"], 4.5),
    "renew": OPERATIONS.renew("w", ["default"], ["w/1"]),
    "retire": OPERATIONS.retire("w", ["default"]),
    "report": OPERATIONS.report(LEASE, 1, b"{}"),
    "settle": OPERATIONS.settle(LEASE, Outcome.FAILED, delay=1.5, retry_after=0.5),
    "settle_and_take": OPERATIONS.settle_and_take(
        OPERATIONS.settle(LEASE, Outcome.SUCCEEDED), OPERATIONS.take("w/1", "1", ["default"])
    ),
    "reassert": OPERATIONS.reassert(LEASE, "w/1"),
    "release": OPERATIONS.release("w/1", crashed=True, failure=b"{"),
    "mark": OPERATIONS.mark(LEASE.run_id, LEASE.token, Mark.KILLING),
    "cancel": OPERATIONS.cancel(LEASE.run_id, "", force=True),
    "invalidate": OPERATIONS.invalidate(key="k"),
    "sweep": OPERATIONS.sweep(1.0, b"{"),
    "load": OPERATIONS.load(LEASE.run_id, watch=30.0, result=True),
    "load_stored": OPERATIONS.load_stored(LEASE.run_id),
    "incidents": OPERATIONS.incidents(LEASE.run_id),
    "recall": OPERATIONS.recall(LEASE.run_id),
    "owned": OPERATIONS.owned(LEASE.run_id, "ann"),
    "list": OPERATIONS.list(State.RUNNING),
    "schedules": OPERATIONS.schedules([("nightly", "a")]),
    "declare": OPERATIONS.declare(DECLARATION, 1, instead_of=ROW, paused=True),
    "move_away": OPERATIONS.move_away(DECLARATION, ROW, 3),
    "fire": OPERATIONS.fire(DECLARATION, 1, 2, 1),
    "run_schedule": OPERATIONS.run_schedule("nightly", 0),
    "pause_schedule": OPERATIONS.pause_schedule(ROW, 0),
    "resume_schedule": OPERATIONS.resume_schedule(ROW, 1, 0),
    "announce": OPERATIONS.announce("w", b"{}", 600.0),
    "workers": OPERATIONS.workers(),
    "tell": OPERATIONS.tell("control", b"{}"),
    "pause": OPERATIONS.pause("default"),
    "queues": OPERATIONS.queues(["default"]),
    "limit": OPERATIONS.limit("m:aaaa", 3, "job:reports.Sales"),
    "limits": OPERATIONS.limits(),
}


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_word_of_a_command_is_text_or_bytes(kind: str) -> None:
    """What hiredis has to write out itself, a number, crashes the process when a signal handler raises meanwhile."""
    assert {type(word) for word in EVERY_KIND[kind].command()} <= {str, bytes}


def test_no_operation_is_left_out_here() -> None:
    methods = [method for _, method in inspect.getmembers(Operations, inspect.isfunction)]
    making = {method.__name__ for method in methods if method.__annotations__["return"].startswith("Operation[")}
    assert {name for name in making if not name.startswith("_")} == EVERY_KIND.keys()
