"""Moves: the server itself refuses what the transition table does not draw, whichever script would try it."""

import pytest
import redis

from jobkit.lifecycle import MOVES, Move, State
from jobkit.store.script import LIBRARY
from tests.store.world import World


@pytest.mark.parametrize("state", list(State))
def test_a_move_that_is_not_drawn_is_refused_by_the_server(world: World, state: State) -> None:
    run_id = world.in_state(state)
    before = world.record(run_id)
    attempt = (
        "redis.register_function{function_name = 'attempt', callback = function(KEYS, ARGV) "
        "return begin(KEYS[1]) or move(read_run(ARGV[1]), ARGV[2]) end}"
    )
    scripts = LIBRARY.source.replace(LIBRARY.name, "jobkit_attempts")
    world.raw.function_load(scripts + attempt, replace=True)
    for move in Move:
        if (state, move) not in MOVES:
            with pytest.raises(redis.ResponseError, match=f'no move "{move}" from "{state}" for run {run_id}'):
                world.raw.fcall("attempt", 1, f"{world.prefix}partition", run_id, move)
    assert world.record(run_id) == before
