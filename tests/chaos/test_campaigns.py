"""The campaigns, short; `make chaos` runs them long. A failure tells its seed, the run, and where the logs are."""

from __future__ import annotations

import asyncio
import random
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from tests.chaos import everything, freeze, kill, network, outage, storm
from tests.chaos.load import orders

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tests.chaos.books import Books


@pytest.fixture
def seed() -> int:
    """New each time; a failure prints it with the books."""
    return random.randrange(10**9)


def balances(campaign: Awaitable[Books]) -> None:
    """Nothing is lost, nothing stale is accepted, nobody saw a run go back. How fast it was is for `make chaos`."""

    async def books() -> Books:
        return await campaign

    told = asyncio.run(books())
    print(told)  # noqa: T201  pytest shows it with a failure
    assert told.balanced, told.problems[0]


def test_each_key_of_a_storm_has_one_run(seed: int) -> None:
    balances(storm.campaign(seed, storm.SHORT))


def test_nothing_is_lost_when_children_and_workers_are_killed(seed: int) -> None:
    balances(kill.campaign(seed, kill.SHORT))


def test_what_frozen_workers_write_when_they_wake_is_refused(seed: int) -> None:
    balances(freeze.campaign(seed, freeze.SHORT))


def test_lost_replies_and_one_way_partitions_cost_nothing_but_time(seed: int) -> None:
    balances(network.campaign(seed, network.SHORT))


def test_an_outage_of_the_store_is_not_a_death(seed: int) -> None:
    balances(outage.campaign(seed, outage.SHORT))


def test_all_of_it_at_once_loses_nothing_either(seed: int) -> None:
    balances(everything.campaign(seed, everything.SHORT))


def test_a_seed_makes_one_plan(seed: int) -> None:
    blows = everything.planned(seed, everything.LONG)
    assert everything.planned(seed, everything.LONG) == blows
    assert everything.planned(seed + 1, everything.LONG) != blows
    assert {blow.kind for blow in blows} == set(everything.Kind)
    assert len(blows) >= 300


def test_a_seed_makes_one_load(seed: int) -> None:
    first, second = (list(islice(orders(seed, everything.MIX, "journal"), 1_000)) for _ in range(2))
    assert first == second
