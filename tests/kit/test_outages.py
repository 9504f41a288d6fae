"""A store that does not answer: how long a kit waits for it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from jobkit import JobKit, RunTimeout, StoreUnavailable
from tests.kit.conftest import Add

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobkit import Run
    from tests.servers import Server

MUCH_LESS_THAN_USUAL = 4.0
"""Seconds; what nobody bounds takes 10, at least."""


@pytest.mark.parametrize("warm", [True, False], ids=["that listens already", "that has to subscribe"])
def test_a_result_is_not_waited_for_much_longer_than_asked_when_the_store_is_frozen(
    own_server: Server, warm: bool
) -> None:
    with JobKit(own_server.url, jobs=[Add]) as kit:
        run = kit.submit(Add(a=1))
        if warm:
            with pytest.raises(RunTimeout):
                run.result(timeout=0.01)
        with own_server.paused():
            assert _seconds_in_vain(lambda: run.result(timeout=1.0)) < MUCH_LESS_THAN_USUAL


@pytest.mark.parametrize("warm", [True, False], ids=["that listens already", "that has to connect"])
def test_nor_is_it_on_an_event_loop(own_server: Server, warm: bool) -> None:
    async def scenario(kit: JobKit) -> None:
        run: Run[int] = await kit.asubmit(Add(a=1))
        if warm:
            with pytest.raises(RunTimeout):
                await run.aresult(timeout=0.01)
        else:
            await kit.aclose()
        with own_server.paused():
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await run.aresult(timeout=1.0)
            assert time.monotonic() - began < MUCH_LESS_THAN_USUAL
        await kit.aclose()

    asyncio.run(scenario(JobKit(own_server.url, jobs=[Add])))


def test_a_kit_of_little_patience_waits_for_no_frozen_store(own_server: Server) -> None:
    with JobKit(own_server.url, jobs=[Add], patience=1.0) as kit:
        run = kit.submit(Add(a=1))
        with own_server.paused():
            assert _seconds_in_vain(lambda: kit.submit(Add(a=2))) < MUCH_LESS_THAN_USUAL
            assert _seconds_in_vain(run.result) < MUCH_LESS_THAN_USUAL
        assert kit.submit(Add(a=1)).id == run.id


def _seconds_in_vain(ask: Callable[[], object]) -> float:
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        ask()
    return time.monotonic() - began
