"""Reading: snapshots of runs as they stand, pages of them, and what is published."""

import json

import pytest

from jobkit.errors import RunNotFound
from jobkit.lifecycle import State
from jobkit.store.operations import checked_run_id, new_run_id
from jobkit.store.replies import Page, Recalled, page
from tests.store.world import World, submission
from tests.waiting import wait_until


@pytest.mark.parametrize("state", list(State))
def test_a_snapshot_has_every_field_in_its_order_in_every_state(world: World, state: State) -> None:
    run_id = world.in_state(state)
    raw = world.raw.fcall(*_by_hand(world, run_id))[0]
    names = list(json.loads(raw))
    assert names == [
        "id", "job", "state", "version", "start", "attempt", "max_attempts", "progress", "queue", "cancellable",
        "stopping", "stalled", "created_at", "started_at", "updated_at", "finished_at", "due_at", "result",
        "result_inline", "result_url", "error", "retry_of",
    ]  # fmt: skip
    snapshot = world.load(run_id).snapshot
    assert snapshot.state is state
    assert snapshot.cancellable is not state.terminal
    assert (snapshot.finished_at is not None) is state.terminal
    assert (snapshot.due_at is not None) is (state is State.SCHEDULED)


def _by_hand(world: World, run_id: str) -> tuple[object, ...]:
    return world.operations.load(run_id).command()[1:]


def test_moments_have_milliseconds(world: World) -> None:
    snapshot = world.load(world.submit().id).snapshot
    assert abs(snapshot.created_at - world.now() / 1000) < 5
    assert snapshot.created_at == round(snapshot.created_at, 3)


def test_loading_changes_nothing_but_that_it_is_watched(world: World) -> None:
    run = world.submit()
    before = world.record(run.id)
    world.load(run.id)
    assert world.record(run.id) == before
    world.load(run.id, watch=0.001)
    assert set(world.record(run.id)) - set(before) == {"watched"}


def test_an_ended_run_is_not_marked_as_watched(world: World) -> None:
    lease = world.succeeded()
    world.load(lease.run_id, watch=30.0)
    assert "watched" not in world.record(lease.run_id)


def test_a_result_comes_only_when_asked_for(world: World) -> None:
    lease = world.succeeded(result=b"7")
    assert world.load(lease.run_id).result is None
    assert world.load(lease.run_id, result=True).result == b"7"


def test_an_unknown_run_is_not_found(world: World) -> None:
    unknown = new_run_id()
    with pytest.raises(RunNotFound, match=unknown):
        world.load(unknown)
    with pytest.raises(RunNotFound, match=unknown):
        world.execute(world.operations.owned(unknown, "ann"))


@pytest.mark.parametrize(
    "text",
    ["", "0-", "x", "1024-" + "0" * 26, "00-" + "0" * 26, "0-" + "I" * 26, "0-" + "0" * 25, "0-" + "0" * 27, "0\n"],
)
def test_what_cannot_be_a_run_id_is_not_found_without_asking(text: str) -> None:
    with pytest.raises(RunNotFound):
        checked_run_id(text)


def test_run_ids_are_unique_and_rise_with_time() -> None:
    ids = [new_run_id() for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert [run_id[:12] for run_id in ids] == sorted(run_id[:12] for run_id in ids)
    assert all(checked_run_id(run_id) == run_id for run_id in ids)


def test_every_change_of_a_watched_run_is_published_as_its_whole_snapshot(world: World) -> None:
    queue = "watched"
    run = world.submit(queue=queue)
    with world.raw.pubsub(ignore_subscribe_messages=False) as ear:
        ear.subscribe(world.operations.snapshots_channel(run.id))
        wait_until(lambda: ear.get_message(timeout=0.1), "the subscription is acknowledged")
        world.load(run.id, watch=30.0)
        lease = world.take(queues=(queue,))
        world.report(lease, done=1)
        world.settle(lease)
        heard: list[dict[str, object]] = []
        wait_until(lambda: _hear(ear.get_message(timeout=0.1), heard), "the end is published")
    assert [each["state"] for each in heard] == ["running", "running", "succeeded"]
    versions = [each["version"] for each in heard]
    assert versions == sorted(set(versions))  # type: ignore[type-var]


def _hear(message: dict[str, bytes] | None, heard: list[dict[str, object]]) -> bool:
    if message is not None:
        heard.append(json.loads(message["data"]))
    return bool(heard) and heard[-1]["state"] == "succeeded"


def test_a_run_that_nobody_ever_watched_is_not_published(world: World) -> None:
    with world.raw.pubsub(ignore_subscribe_messages=True) as ear:
        ear.psubscribe(f"{world.prefix}snapshots:*")
        world.succeeded()
        world.raw.publish(f"{world.prefix}snapshots:end", "end")
        heard: list[bytes] = []
        wait_until(lambda: _until_end(ear.get_message(timeout=0.1), heard), "the last publication arrives")
    assert heard == [b"end"]


def _until_end(message: dict[str, bytes] | None, heard: list[bytes]) -> bool:
    if message is not None:
        heard.append(message["data"])
    return heard[-1:] == [b"end"]


# Pages ----------------------------------------------------------------------------------------------------------------


def _page(world: World, state: State | None = None, limit: int = 50, cursor: str = "") -> Page:
    return page([world.execute(world.operations.list(state, limit, cursor))], limit)


def test_runs_are_listed_newest_first(world: World) -> None:
    ids = [world.submit().id for _ in range(3)]
    for number, run_id in enumerate(ids):
        world.raw.zadd(f"{world.prefix}runs", {run_id: number})
    assert [snapshot.id for snapshot in _page(world).snapshots] == ids[::-1]


def test_a_list_of_one_state_holds_only_that_state(world: World) -> None:
    expected = {state: world.in_state(state) for state in State}
    for state, run_id in expected.items():
        assert [snapshot.id for snapshot in _page(world, state).snapshots] == [run_id]


def test_pages_of_runs_from_one_moment_neither_repeat_nor_skip(world: World) -> None:
    ids = [world.submit().id for _ in range(10)]
    world.raw.zadd(f"{world.prefix}runs", dict.fromkeys(ids[2:], 1_795_000_000_123))
    read: list[str] = []
    cursor, pages = "", 0
    while pages == 0 or cursor:
        found = _page(world, limit=3, cursor=cursor)
        read += [snapshot.id for snapshot in found.snapshots]
        cursor, pages = found.cursor, pages + 1
    assert sorted(read) == sorted(ids)
    assert pages == 4


def test_runs_that_come_or_go_meanwhile_shift_nothing(world: World) -> None:
    ids = [world.submit().id for _ in range(6)]
    for number, run_id in enumerate(ids):
        world.raw.zadd(f"{world.prefix}runs", {run_id: number + 1})
    first = _page(world, limit=2)
    world.submit()
    world.raw.zrem(f"{world.prefix}runs", first.snapshots[-1].id)
    second = page([world.store.execute(world.operations.list(None, 2, first.cursor))], 2)
    assert [snapshot.id for snapshot in second.snapshots] == [ids[3], ids[2]]
    world.raw.zadd(f"{world.prefix}runs", {first.snapshots[-1].id: 5})


def test_runs_that_are_no_longer_kept_are_passed_over(world: World) -> None:
    gone, kept = world.succeeded(), world.succeeded()
    world.raw.delete(world.record_key(gone.run_id))
    assert [snapshot.id for snapshot in _page(world, limit=1).snapshots] == [kept.run_id]


@pytest.mark.parametrize("cursor", ["x", "1", "1 2 3", "inf 0-x", "( 0-" + "0" * 26])
def test_a_cursor_that_no_page_gave_is_refused(world: World, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        _page(world, cursor=cursor)


def test_a_page_of_none_is_empty_and_the_last(world: World) -> None:
    world.submit()
    assert _page(world, limit=0) == Page((), "")


def test_an_ended_run_waits_for_no_worker(world: World) -> None:
    world.renew()
    waiting, ended = world.submit(), world.succeeded()
    assert world.load(waiting.id).snapshot.queue.workers == 1
    assert world.load(ended.run_id).snapshot.queue.workers is None


def test_a_run_that_is_missing_in_its_queue_has_no_place_there(world: World) -> None:
    run = world.submit()
    world.raw.zrem(f"{world.prefix}ready:default", run.id)
    assert world.store.execute(world.operations.load(run.id)).snapshot.queue.position is None
    world.raw.zadd(f"{world.prefix}ready:default", {run.id: 1})


# What a run was submitted with ----------------------------------------------------------------------------------------


def test_what_a_run_was_submitted_with_is_told(world: World) -> None:
    asked = submission(
        "k", queue="slow", priority=3, owner="ann", interest="owner:ann", tags=("eu",), limits="m:one 1", max_attempts=4
    )
    world.execute(world.operations.submit(asked))
    recalled = world.execute(world.operations.recall(asked.id))
    assert recalled == Recalled(
        state=State.QUEUED,
        job='"reports.Sales"',
        queue="slow",
        terms=asked.conditions.terms,
        labels=("job:reports.Sales", "tag:eu"),
        priority=3,
        owner="ann",
        key="k",
        limits="m:one 1",
        work=asked.work,
    )


def test_what_was_not_said_is_told_as_nothing(world: World) -> None:
    recalled = world.execute(world.operations.recall(world.submit().id))
    assert (recalled.priority, recalled.owner, recalled.key, recalled.limits) == (0, "", "", "")


def test_of_a_run_that_is_not_kept_nothing_is_told(world: World) -> None:
    world.submit()
    with pytest.raises(RunNotFound):
        world.execute(world.operations.recall(new_run_id()))
