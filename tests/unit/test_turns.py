"""Turns: weighted queues get starts in proportion, and nobody starves."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from jobkit.worker.turns import Turns

WEIGHTS = {"critical": 6, "default": 3, "low": 1}


def starts(turns: Turns, number: int, with_work: set[str]) -> list[str]:
    """Which queue gave a run, each time one was taken."""
    taken = []
    for _ in range(number):
        order = turns.order()
        queue = next(queue for queue in order if queue in with_work)
        turns.had(order, queue)
        taken.append(queue)
    return taken


@pytest.mark.parametrize("seed", range(5))
def test_queues_that_all_have_work_get_starts_in_proportion_to_their_weights(seed: int) -> None:
    shares = Counter(starts(Turns(WEIGHTS, Random(seed)), 1000, set(WEIGHTS)))
    for queue, weight in WEIGHTS.items():
        assert abs(shares[queue] - 100 * weight) <= 1


def test_in_every_stretch_of_a_whole_turn_everybody_is_served() -> None:
    taken = starts(Turns(WEIGHTS, Random(1)), 200, set(WEIGHTS))
    for first in range(len(taken) - 12):
        assert set(taken[first : first + 12]) == set(WEIGHTS)


def test_queues_without_work_leave_their_share_to_the_others() -> None:
    shares = Counter(starts(Turns(WEIGHTS, Random(2)), 400, {"default", "low"}))
    assert abs(shares["default"] - 300) <= 1
    assert set(starts(Turns(WEIGHTS, Random(2)), 5, {"low"})) == {"low"}


def test_a_queue_that_had_nothing_for_long_has_saved_nothing_up() -> None:
    turns = Turns(WEIGHTS, Random(3))
    starts(turns, 1000, {"low"})
    shares = Counter(starts(turns, 100, set(WEIGHTS)))
    assert abs(shares["low"] - 10) <= 2


def test_who_begins_anew_each_time_does_not_begin_with_the_same_queue_each_time() -> None:
    random = Random(4)
    first = Counter(Turns(WEIGHTS, random).order()[0] for _ in range(1000))
    assert first["critical"] > first["default"] > first["low"] > 20


def test_without_weights_nobody_has_a_turn() -> None:
    turns = Turns({"b": 0, "a": 0}, Random(5))
    assert not turns.are_taken
    turns.had(turns.order(), "a")
    assert turns.order() == ("b", "a")


def test_a_queue_without_a_weight_beside_others_weighs_one() -> None:
    shares = Counter(starts(Turns({"critical": 3, "other": 0}, Random(6)), 400, {"critical", "other"}))
    assert abs(shares["critical"] - 300) <= 1
