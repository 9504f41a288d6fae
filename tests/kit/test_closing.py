"""Closing a kit, and what ends with an event loop: at any time, from any thread, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]
import pytest

from jobkit import JobKit, Progress, ProgressJob, RunTimeout, StoreUnavailable
from tests.kit.conftest import Add
from tests.waiting import await_until, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers import Server

SECONDS = 10.0


class Remembered(ProgressJob[int]):
    job_name = "kit.Remembered"
    cache_key = ()
    cache_ttl = 60
    l1_ttl = 60

    def perform(self, progress: Progress) -> int:
        progress.advance()
        return 1


class Waiting:
    """A thread that does this, and what came of it."""

    def __init__(self, what: Callable[[], object]) -> None:
        self.outcome: object = None
        self._what = what
        self.thread = threading.Thread(target=self._do, daemon=True)
        self.thread.start()

    def _do(self) -> None:
        try:
            self.outcome = self._what()
        except BaseException as error:  # noqa: BLE001
            self.outcome = error

    def ended(self) -> object:
        self.thread.join(SECONDS)
        assert not self.thread.is_alive(), "it still waits"
        return self.outcome


def is_listening() -> bool:
    return any(thread.name == "jobkit listening" for thread in threading.enumerate())


# Threads --------------------------------------------------------------------------------------------------------------


def test_who_waits_for_a_run_when_the_kit_is_closed_is_told_so_at_once(kit: JobKit) -> None:
    run = kit.submit(Add(a=1))
    watching = run.watch()
    next(watching)
    waiting = Waiting(run.result)
    wait_until(lambda: len(kit.listening()._feeds) == 2, "the other thread listens")
    kit.close()
    assert isinstance(waiting.ended(), StoreUnavailable)
    assert not is_listening()
    with pytest.raises(RunTimeout):
        run.result(timeout=0.01)


def test_who_subscribes_when_the_kit_is_closed_is_told_so_at_once(own_server: Server) -> None:
    with JobKit(own_server.url, jobs=[Add]) as kit:
        run = kit.submit(Add(a=1))
        with own_server.paused():
            waiting = Waiting(run.result)
            wait_until(lambda: kit.listening()._feeds, "the other thread subscribes")
            kit.close()
            assert isinstance(waiting.ended(), StoreUnavailable)


def test_a_watcher_may_leave_after_the_kit_was_closed(kit: JobKit) -> None:
    watching = kit.submit(Add(a=1)).watch()
    next(watching)
    kit.close()
    watching.close()  # type: ignore[attr-defined]


def test_threads_that_ask_while_the_kit_is_closed_again_and_again_are_answered_or_told_so(kit: JobKit) -> None:
    run, over, dice = kit.submit(Add(a=1)), threading.Event(), random.Random(3)

    def read() -> None:
        while not over.is_set():
            assert run.snapshot().id == run.id

    def wait() -> None:
        while not over.is_set():
            with suppress(RunTimeout, StoreUnavailable):
                run.result(timeout=0.02)

    asking = [Waiting(ask) for ask in (read, wait) * 3]
    for _ in range(60):
        kit.close()
        over.wait(dice.uniform(0.0, 0.02))
    over.set()
    assert [each.ended() for each in asking] == [None] * 6
    kit.close()
    assert not is_listening()


def test_what_is_still_being_subscribed_ends_in_order(own_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with JobKit(own_server.url, jobs=[Remembered]) as kit:
        kit.runs()
        with own_server.paused():
            kit._clients.l1()
            kit.close()
        gc.collect()
    assert caplog.text == ""


# Event loops ----------------------------------------------------------------------------------------------------------


def test_a_task_that_waits_for_a_run_when_its_loops_client_is_closed_is_told_so_at_once(kit: JobKit) -> None:
    async def scenario() -> None:
        run = await kit.asubmit(Add(a=1))
        waiting = asyncio.create_task(run.aresult())
        await await_until(lambda: kit.async_store().subscriptions._feeds, "it listens")
        await kit.aclose()
        async with asyncio.timeout(SECONDS):
            with pytest.raises(StoreUnavailable, match="was closed"):
                await waiting

    asyncio.run(scenario())


def test_a_loop_that_ends_takes_its_connections_along(kit: JobKit) -> None:
    async def submit() -> None:
        await kit.asubmit(Add(a=1))

    async def watch() -> None:
        async for _ in (await kit.asubmit(Add(a=1))).awatch():
            return

    asyncio.run(submit())
    before = _descriptors()
    for _ in range(20):
        asyncio.run(submit())
        asyncio.run(watch())
    assert _descriptors() == before


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_loop_that_was_not_ended_in_order_is_forgotten_when_another_comes(kit: JobKit) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(kit.asubmit(Add(a=1)))
    loop.close()
    gone = weakref.ref(loop)
    del loop
    asyncio.run(kit.asubmit(Add(a=1)))
    gc.collect()
    assert gone() is None


def _descriptors() -> int:
    number: int = psutil.Process().num_fds()
    return number
