"""Short walks of the store's fuzzer in every test run: fixed seeds, and one that is new each time."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from jobkit.store.script import LIBRARY
from tests import servers
from tests.fuzz.coverage import Coverage
from tests.fuzz.namespace import Namespace
from tests.fuzz.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = 1_500
SEEDS = (1, 2, 3, 4, random.randrange(10**9))  # the last one's name tells it


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Server]:
    """To itself: a walk reads every key there is."""
    with servers.running(servers.valkey_binary()) as server:
        yield server


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seeded_walk_finds_store_and_model_of_one_mind(server: servers.Server, seed: int) -> None:
    with closing(Namespace(server.socket, f"walk-{seed}", LIBRARY)) as namespace:
        walk = Walk(namespace, seed)
        walk.go(STEPS)
    assert not walk.coverage.misses(), "too seldom met"
    assert walk.ledger.counts["lost"] == walk.ledger.counts["ended twice"] == 0


def test_a_walk_that_misses_an_answer_says_which() -> None:
    coverage = Coverage()
    coverage.calls["Take"] = 10_000
    coverage.answers["Take"].update({"lease": 9_000, "lease with a checkpoint": 900, "none": 980, "dead": 20})
    assert coverage.misses() == ["Take dead: 20 of 10000"]
