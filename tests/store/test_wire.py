"""What the scripts answer, to the letter: docs/store-protocol.md promises it to whoever writes another client."""

from contextlib import suppress
from typing import Any

import pytest
import redis

from jobkit.lifecycle import Outcome
from jobkit.store.operations import Operation
from jobkit.store.replies import Verdict
from jobkit.store.script import LIBRARY
from tests.store.world import LOST, World, submission


def said(world: World, operation: Operation[Any]) -> Any:
    """The reply as it comes."""
    with suppress(redis.ResponseError):  # it is there already
        world.raw.function_load(LIBRARY.source)
    reply = world.raw.execute_command(*operation.command())
    world.check()
    return reply


def test_open_answers_what_the_first_founded_and_on_which_server(world: World) -> None:
    first, second = world.operations.open(founding=1), world.operations.open(founding=1)
    format_number, _, incarnation, secret, *_ = first.arguments
    given = [str(each).encode() for each in (format_number, incarnation, secret)]
    server = world.raw.info("server")["run_id"].encode()
    assert [said(world, opening) for opening in (first, second)] == [[*given, server, b"1"]] * 2
    assert world.raw.hmget(f"{world.prefix}partition", "format", "incarnation", "secret") == given


def test_open_founds_nothing_unless_it_is_told_how_much(world: World) -> None:
    with pytest.raises(redis.ResponseError, match="NOPARTITION"):
        said(world, world.operations.open())
    assert not world.raw.exists(f"{world.prefix}partition")


def test_a_submission_is_answered_in_five_values(world: World) -> None:
    world.store.open()
    new, again = submission("k"), submission("k")
    assert said(world, world.operations.submit(new)) == [b"new", new.id.encode(), None, b"", 0]
    assert said(world, world.operations.submit(again)) == [b"joined", new.id.encode(), None, b"", 0]
    full = said(world, world.operations.submit(submission(max_queued=1)))
    assert full == [b"full", b"", None, b"", 1000]
    failed = world.started("f", failure_ttl=60_000)
    world.settle(failed, Outcome.FAILED)
    until = int(world.record(failed.run_id)["refuse_until"])
    refused = said(world, world.operations.submit(submission("f")))
    assert refused == [b"refused", failed.run_id.encode(), None, b"", until]


def test_a_stale_value_is_fresh_for_no_time(world: World) -> None:
    memo = world.succeeded("k", cache_ttl=60_000, stale_ttl=60_000)
    world.outdate(memo.run_id, stale_for=60.0)
    refresh = submission("k", cache_ttl=60_000)
    assert said(world, world.operations.submit(refresh)) == [
        b"stale", memo.run_id.encode(), b"42", refresh.id.encode(), 0,
    ]  # fmt: skip


def test_take_answers_a_lease_or_none_with_the_next_due_time_or_dead(world: World) -> None:
    world.submit()
    lease = said(world, world.operations.take("w/1", "1", ["default"]))
    assert lease[0] == b"lease"
    assert lease[3:5] == world.raw.hmget(f"{world.prefix}partition", "incarnation", "server")
    assert said(world, world.operations.take("w/1", "2", ["default"])) == [b"dead"]
    assert said(world, world.operations.take("w/2", "1", ["default"])) == [b"none", -1]
    world.cancel(lease[1].decode())
    world.lapse(lease[1].decode())
    assert said(world, world.operations.take("w/1", "1", ["default"])) == [b"none", 0]
    world.release("w/3")
    assert said(world, world.operations.take("w/3", "1", ["default"])) == [b"dead"]


@pytest.mark.parametrize(("watch", "flag"), [(0.0, 0), (30.0, 1), (-1.0, 0)])
def test_take_and_report_say_by_1_or_0_whether_somebody_watches(world: World, watch: float, flag: int) -> None:
    run = world.submit()
    if watch:
        world.load(run.id, watch=30.0)
        world.raw.hset(world.record_key(run.id), "watched", world.now() + int(watch * 1000))
    lease = world.take()
    assert lease.watched is bool(flag)
    assert said(world, world.operations.take("w/1", "1", ["default"]))[9] == flag
    assert said(world, world.operations.report(lease, 1, b'{"done":1}')) == [b"ok", flag]
    assert said(world, world.operations.report(lease, 1, b'{"done":1}')) == [b"ok", flag]


def test_a_refused_report_says_that_nobody_watches(world: World) -> None:
    lease = world.started()
    world.load(lease.run_id, watch=30.0)
    world.settle(lease)
    assert said(world, world.operations.report(lease, 1, b'{"done":1}')) == [b"ended", 0]


def test_load_says_by_1_or_0_whether_the_worker_was_lost(world: World) -> None:
    whole, lost = world.started(slot="w/1"), world.started(slot="w/2", max_crashes=0)
    world.settle(whole, Outcome.FAILED, traceback="Traceback: …")
    world.release("w/2")
    assert said(world, world.operations.load(whole.run_id))[1:] == [None, 0, "Traceback: …".encode(), None, None]
    assert said(world, world.operations.load(lost.run_id))[1:] == [None, 1, None, None, None]
    assert not world.load(whole.run_id).lost_worker


def test_sweep_says_by_1_or_0_whether_it_swept_and_whether_there_is_more(world: World) -> None:
    lease = world.started()
    world.raw.zadd(f"{world.prefix}leases", {lease.run_id: world.now() - 1})
    world.swept_ago(1.0)
    sweep = world.operations.sweep(1.0, LOST)
    assert [said(world, sweep) for _ in range(2)] == [[1, 1, -1, 0], [0, 0, -1, 0]]
    ids = {f"0-{number:026d}": 0 for number in range(501)}
    for name in ("forget", "runs", "state:failed"):
        world.raw.zadd(f"{world.prefix}{name}", ids)
    world.swept_ago(1.0)
    assert [said(world, sweep) for _ in range(2)] == [[1, 0, -1, 1], [1, 0, -1, 0]]


def test_a_release_with_a_token_answers_whether_that_very_start_was_given_back(world: World) -> None:
    before = world.started(slot="w/1")
    world.settle(before)
    now = world.started(slot="w/1")
    other = world.operations.release("w/1", crashed=True, failure=LOST, token=before.token)
    this = world.operations.release("w/1", crashed=True, failure=LOST, token=now.token)
    assert said(world, other) == [b"idle", b""]
    assert world.report(now).verdict is Verdict.OK
    assert said(world, this) == [b"ok", now.run_id.encode()]
    assert said(world, this) == [b"ok", b""]
    assert world.record(now.run_id)["crashes"] == "1"


def test_owned_answers_1_or_0_or_nothing(world: World) -> None:
    run = world.submit(owner="ann")
    owned = world.operations.owned
    answers = [said(world, owned(run.id, "ann")), said(world, owned(run.id, "")), said(world, owned("0-x", "ann"))]
    assert answers == [1, 0, None]


def test_invalidate_answers_its_stamp(world: World) -> None:
    world.submit("k")
    for invalidation in (world.operations.invalidate(key="k"), world.operations.invalidate(label="tag:eu")):
        assert said(world, invalidation) == world.raw.hget(f"{world.prefix}partition", "clock")
