"""A store that comes back empty, or older: what is performed goes on, and nobody who waits hangs."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
import redis

from jobkit import RunNotFound, State, following
from jobkit.store.operations import failure_head
from jobkit.store.replies import Admission
from tests.life.jobs import Add, CountUntilGo, HoldUntilGo, Refusing, Shared
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit import JobKit, Run
    from tests.life.workers import Folder, WorkerProcess
    from tests.servers import Server


@pytest.fixture(params=["own_server", "own_redis_server"])
def server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def life_url(server: Server) -> str:
    return server.url


@pytest.fixture
def no_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody performs it, so its holder's turn need not be long."""
    monkeypatch.setattr(following, "HOLDERS_TURN", 1.0)


class Waiting:
    """Somebody who waits for a result, in a thread."""

    def __init__(self, run: Run[int]) -> None:
        self.got: list[object] = []
        self._run = run
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        try:
            self.got.append(self._run.result(timeout=40))
        except Exception as error:  # noqa: BLE001  (what they get is the question)
            self.got.append(error)

    def result(self) -> object:
        wait_until(lambda: self.got, "they get an answer", timeout=45)
        return self.got[0]


@pytest.mark.parametrize("job", [CountUntilGo, HoldUntilGo], ids=["reporting", "silent"])
def test_a_running_job_goes_on_in_an_emptied_store_and_its_waiters_get_its_result(
    job: type[CountUntilGo], kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder, server: Server
) -> None:
    start_worker("--concurrency", "2")  # another child is idle, and must not perform it too
    run = kit.submit(job(folder=str(folder)), owner="ann")
    folder.wait_for_start()
    waiting = Waiting(run)
    server.come_back_empty()
    wait_until(lambda: _state(run) is State.RUNNING, "its worker asserts it", timeout=15)
    assert run.owned_by("ann")
    folder.go()
    assert waiting.result() == 1
    assert len(folder.starts()) == 1


def test_a_job_that_ends_just_after_the_loss_is_settled(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], folder: Folder, server: Server
) -> None:
    worker = start_worker("--concurrency", "1")
    run = kit.submit(CountUntilGo(folder=str(folder)))
    folder.wait_for_start()
    server.stop()
    folder.go()
    wait_until(lambda: "succeeded after" in worker.text, "the job has ended")
    server.come_back_empty()
    wait_until(lambda: _state(run) is State.SUCCEEDED, "it is settled in the emptied store", timeout=15)
    assert run.result(timeout=5) == 1
    assert len(folder.starts()) == 1


@pytest.mark.usefixtures("no_holder")
def test_who_waits_for_a_lost_queued_run_submits_it_again(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], server: Server
) -> None:
    run = kit.submit(Add(a=1, b=1))
    waiting = Waiting(run)
    wait_until(lambda: listeners(server, kit, run), "they listen")
    server.come_back_empty()
    start_worker("--concurrency", "1")
    assert waiting.result() == 2
    assert kit.run(run.id).snapshot().state is State.SUCCEEDED


@pytest.mark.usefixtures("no_holder")
def test_who_waits_on_an_event_loop_does_so_too(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], server: Server
) -> None:
    async def wait() -> int:
        run = await kit.asubmit(Add(a=2, b=2))
        result = asyncio.create_task(run.aresult(timeout=40))
        async for _ in run.awatch():
            break
        await asyncio.to_thread(server.come_back_empty)
        await asyncio.to_thread(start_worker, "--concurrency", "1")
        value = await result
        await kit.aclose()
        return value

    assert asyncio.run(wait()) == 4


@pytest.mark.usefixtures("no_holder")
def test_who_sees_a_second_start_lost_sees_the_third(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], server: Server
) -> None:
    take, release = kit.operations.take, kit.operations.release
    run = kit.submit(Add(a=1, b=4))
    kit.store().execute(take("w/1", "1", ["default"]))
    kit.store().execute(release("w/1", crashed=True, failure=failure_head("lost")))
    kit.store().execute(take("w/2", "1", ["default"]))  # and is not heard of again
    waiting = Waiting(run)
    wait_until(lambda: has_read(server, kit, run), "they have seen the second start")
    server.come_back_empty()
    start_worker("--concurrency", "1")
    assert waiting.result() == 5
    assert run.snapshot().start == 3


@pytest.mark.usefixtures("no_holder")
def test_who_was_not_the_first_to_submit_it_again_gets_the_result_of_who_was(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], server: Server
) -> None:
    run = kit.submit(Shared(a=1))
    waiting = Waiting(run)
    wait_until(lambda: listeners(server, kit, run), "they listen")
    server.come_back_empty()
    other = kit.submit(Shared(a=1))
    wait_until(lambda: run.id == other.id, "the handle moves to the run that answers", timeout=30)
    assert not other.cancel()  # the other one has a stake in it, and can withdraw it
    start_worker("--concurrency", "1")
    assert waiting.result() == 1
    assert other.result(timeout=10) == 1


@pytest.mark.usefixtures("no_holder")
def test_a_result_that_was_lost_before_anybody_had_it_is_made_again(
    kit: JobKit, start_worker: Callable[..., WorkerProcess], server: Server
) -> None:
    start_worker("--concurrency", "1")
    run = kit.submit(Add(a=2, b=3))
    assert [snapshot.state for snapshot in run.watch()][-1] is State.SUCCEEDED
    server.come_back_empty()
    assert run.result(timeout=20) == 5
    assert kit.run(run.id, Add).result(timeout=0) == 5


@pytest.mark.usefixtures("no_holder")
@pytest.mark.parametrize("left", ["cancelled", "seen to its end", "refused"])
def test_what_nobody_waits_for_is_not_submitted_again(
    left: str, kit: JobKit, start_worker: Callable[..., WorkerProcess], server: Server
) -> None:
    worker = start_worker("--concurrency", "1")
    starts = 1
    match left:
        case "cancelled":
            starts = 0
            run: Run[Any] = kit.submit(Add(a=1, b=1), after=60)
            assert run.cancel()
        case "seen to its end":
            run = kit.submit(Add(a=1, b=1))
            assert run.result(timeout=10) == 2
        case _:
            kit.submit(Refusing()).snapshot()
            wait_until(lambda: kit.submit(Refusing()).admission is Admission.REFUSED, "its failure refuses")
            run = kit.submit(Refusing())
    worker.says(" starts.", starts)
    server.come_back_empty()
    with pytest.raises(RunNotFound):
        run.result(timeout=20)
    assert worker.text.count(" starts.") == starts


def test_a_handle_that_knows_no_more_than_an_id_gets_a_clear_error(kit: JobKit, server: Server) -> None:
    run = kit.submit(Add(a=1, b=1))
    waiting = Waiting(kit.run(run.id))
    wait_until(lambda: listeners(server, kit, run), "they listen")
    server.come_back_empty()
    error = waiting.result()
    assert isinstance(error, RunNotFound)
    assert run.id in str(error)


def listeners(server: Server, kit: JobKit, run: Run[int]) -> int:
    with redis.Redis.from_url(server.url) as raw:
        return int(raw.pubsub_numsub(kit.operations.snapshots_channel(run.id))[0][1])


def has_read(server: Server, kit: JobKit, run: Run[int]) -> bool:
    """Whether somebody who listens to it has read it."""
    with redis.Redis.from_url(server.url) as raw:
        return bool(raw.hexists(f"{kit.operations.prefix(run.id)}run:{run.id}", "watched"))


def _state(run: Run[int]) -> State | None:
    try:
        return run.snapshot().state
    except RunNotFound:
        return None
