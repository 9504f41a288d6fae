"""The transition table: what can happen to a run, and what the server and the docs make of it."""

from pathlib import Path

import pytest

from jobkit.lifecycle import ENDED, MOVES, Move, Outcome, State, as_lua, as_mermaid
from jobkit.store.script import LIBRARY

DOC = Path(__file__).parents[2] / "docs" / "store-protocol.md"


def test_nothing_leaves_an_ended_state() -> None:
    assert not [move for origin, move in MOVES if origin in ENDED]


def test_a_state_is_terminal_exactly_when_it_has_ended() -> None:
    assert {state for state in State if state.terminal} == set(ENDED)


def test_every_state_is_reached_and_every_move_happens() -> None:
    assert set(MOVES.values()) == set(State)
    assert {move for _, move in MOVES} == set(Move)


@pytest.mark.parametrize("state", list(State))
def test_from_every_state_an_end_can_be_reached(state: State) -> None:
    reached, new = {state}, {state}
    while new:
        new = {target for (origin, _), target in MOVES.items() if origin in new} - reached
        reached |= new
    assert reached & ENDED


@pytest.mark.parametrize("state", [state for state in State if not state.terminal])
def test_a_run_can_be_cancelled_until_it_ends(state: State) -> None:
    assert MOVES[state, Move.CANCEL] is State.CANCELLED


def test_only_a_running_run_succeeds_or_fails() -> None:
    assert [origin for origin, move in MOVES if move in (Move.SUCCEED, Move.FAIL)] == [State.RUNNING] * 2


def test_an_outcome_is_an_ended_state_or_a_release() -> None:
    assert {outcome.value for outcome in Outcome} == {*(state.value for state in ENDED), "released"}


def test_the_scripts_carry_the_very_table() -> None:
    assert as_lua() in LIBRARY.source


def test_the_lua_table_has_every_move() -> None:
    lua = as_lua()
    assert all(f"move == '{move}' and '{target}'" in lua for (_, move), target in MOVES.items())
    assert all(f"state == '{state}'" in lua for state in ENDED)


def test_the_diagram_in_the_docs_is_the_table() -> None:
    """When this fails: python tools/draw_lifecycle.py"""
    assert f"```mermaid\n{as_mermaid()}\n```" in DOC.read_text("utf-8")
