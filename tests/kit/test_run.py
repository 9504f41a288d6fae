"""A run's handle: what it reads, what it raises, and that both faces say the same."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobkit import JobKit, RunCancelled, RunFailed, RunNotFound, RunTimeout, Snapshot, State, WorkerLost
from jobkit.store.operations import new_run_id
from tests.kit.conftest import Add, Hands

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SECONDS = 10.0


async def first(snapshots: AsyncIterator[Snapshot]) -> Snapshot:
    return await asyncio.wait_for(anext(snapshots), SECONDS)


def test_the_result_is_what_was_settled_in_the_jobs_own_type(kit: JobKit, hands: Hands) -> None:
    run = kit.submit(Add(a=1, b=2))
    hands.succeed(hands.take(), 3)
    assert run.result(timeout=SECONDS) == 3
    assert kit.run(run.id).result(timeout=SECONDS) == 3


def test_the_result_of_a_failed_run_is_an_error_with_the_workers_traceback(kit: JobKit, hands: Hands) -> None:
    run = kit.submit(Add(a=1))
    hands.fail(hands.take(), "The job failed unexpectedly.", "Traceback…\nValueError: no such order\n")
    with pytest.raises(RunFailed, match=f"Run {run.id} .* failed: ValueError: no such order") as caught:
        run.result(timeout=SECONDS)
    assert caught.value.error is not None
    assert caught.value.run_id == run.id
    assert "Traceback…" in caught.value.__notes__[0]


def test_a_run_whose_workers_died_too_often_says_so_by_its_type(kit: JobKit, hands: Hands) -> None:
    run = kit.submit(Add(a=1))
    for _ in range(Add.max_crashes + 1):
        hands.die(hands.take())
    with pytest.raises(WorkerLost, match="It was lost"):
        run.result(timeout=SECONDS)


def test_a_cancelled_run_has_no_result(kit: JobKit) -> None:
    run = kit.submit(Add(a=1))
    assert run.cancel()
    with pytest.raises(RunCancelled):
        run.result(timeout=SECONDS)


def test_waiting_too_long_leaves_the_run_alone(kit: JobKit, hands: Hands) -> None:
    run = kit.submit(Add(a=1))
    hands.take()
    with pytest.raises(RunTimeout, match=r"within 0\.05 s\. It goes on: wait again, or cancel it\.") as caught:
        run.result(timeout=timedelta(seconds=0.05))
    assert isinstance(caught.value, TimeoutError)
    assert run.snapshot().state is State.RUNNING


@pytest.mark.parametrize(("queue", "option"), [("default", ""), ("slow", " --queues slow")])
def test_waiting_for_a_run_that_no_worker_serves_says_how_to_start_one(kit: JobKit, queue: str, option: str) -> None:
    run = kit.submit(Add(a=1), queue=queue)
    advice = f"no worker served the queue '{queue}': start one with `jobkit worker MODULE:KIT{option}`"
    with pytest.raises(RunTimeout, match=advice):
        run.result(timeout=0.05)


def test_a_run_that_nobody_keeps_is_not_found(kit: JobKit) -> None:
    run = kit.run(new_run_id())
    for ask in (run.snapshot, run.result, run.cancel, lambda: run.owned_by("ann"), lambda: next(run.watch())):
        with pytest.raises(RunNotFound):
            ask()
    with pytest.raises(RunNotFound):
        kit.run("no such thing")


def test_a_watcher_sees_newer_and_newer_snapshots_to_the_end(kit: JobKit, hands: Hands) -> None:
    run = kit.submit(Add(a=1))
    watching = run.watch()
    seen = [next(watching)]
    lease = hands.take()
    seen.append(next(watching))
    hands.report(lease, 4)
    seen.append(next(watching))
    hands.succeed(lease, 1)
    seen.extend(watching)
    assert [snapshot.state for snapshot in seen] == [State.QUEUED, State.RUNNING, State.RUNNING, State.SUCCEEDED]
    assert seen[2].done == 4
    assert [snapshot.order for snapshot in seen] == sorted({snapshot.order for snapshot in seen})


def test_an_async_watcher_sees_the_same(kit: JobKit, hands: Hands) -> None:
    async def watched() -> list[State]:
        run = await kit.asubmit(Add(a=1))
        watching = run.awatch()
        seen = [await first(watching)]
        lease = await asyncio.to_thread(hands.take)
        seen.append(await first(watching))
        await asyncio.to_thread(hands.succeed, lease, 1)
        seen += [snapshot async for snapshot in watching]
        await kit.aclose()
        return [snapshot.state for snapshot in seen]

    assert asyncio.run(watched()) == [State.QUEUED, State.RUNNING, State.SUCCEEDED]


def test_every_async_twin_answers_as_the_blocking_method(kit: JobKit, hands: Hands) -> None:
    async def asked() -> None:
        run = await kit.asubmit(Add(a=1), owner="ann")
        assert (await run.asnapshot()).state is State.QUEUED
        assert await run.aowned_by("ann")
        assert not await run.aowned_by("bob")
        with pytest.raises(RunTimeout, match="no worker served"):
            await run.aresult(timeout=0.05)
        assert (await kit.aruns(State.QUEUED)).snapshots[0].id == run.id
        assert await run.acancel()
        with pytest.raises(RunCancelled):
            await run.aresult(timeout=SECONDS)
        again = await kit.asubmit(Add(a=2))
        lease = await asyncio.to_thread(hands.take)
        await asyncio.to_thread(hands.succeed, lease, 2)
        assert await again.aresult(timeout=SECONDS) == 2
        await kit.aclose()

    asyncio.run(asked())


def test_the_last_one_to_leave_stops_a_shared_run(kit: JobKit) -> None:
    first, second = kit.submit(Add(a=1)), kit.submit(Add(a=1))
    assert first.id == second.id
    assert not first.cancel()
    assert not first.cancel(), "one stake is withdrawn once"
    assert second.cancel()


def test_force_stops_it_for_everybody_and_a_bare_handle_for_nobody(kit: JobKit) -> None:
    run = kit.submit(Add(a=1))
    bare = kit.run(run.id)
    assert not bare.cancel()
    assert bare.cancel(force=True)
    assert run.snapshot().state is State.CANCELLED


def test_an_owner_withdraws_their_stake_from_another_process(kit: JobKit) -> None:
    run = kit.submit(Add(a=1), owner="ann")
    assert not kit.run(run.id, owner="bob").cancel()
    assert kit.run(run.id, owner="ann").cancel()


def test_many_threads_wait_for_one_run_over_one_connection(kit: JobKit, hands: Hands) -> None:
    run = kit.submit(Add(a=1))
    results: list[int] = []
    waiting = [threading.Thread(target=lambda: results.append(run.result(timeout=SECONDS))) for _ in range(20)]
    for thread in waiting:
        thread.start()
    hands.succeed(hands.take(), 1)
    for thread in waiting:
        thread.join(SECONDS)
    assert results == [1] * 20
