"""The whole tool, as it is called: what tests see is killed, what no test runs survives."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mutation import books
from tests.mutation.campaign import Tried, Verdict
from tests.mutation.equivalent import EQUIVALENT, Equivalent, parsed
from tests.mutation.mutants import mutants, sources
from tests.servers import ROOT

RETIRING = "tests/store/test_submit.py::test_submit_tells_how_many_workers_serve_the_queue"
OPENING = "tests/store/test_reading.py::test_an_unknown_run_is_not_found"


def campaign(path: Path, *arguments: str) -> tuple[int, str, list[dict[str, Any]]]:
    command = [sys.executable, "-m", "tests.mutation", "--seed", "1", "--script", "retire", "--json", str(path)]
    ended = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert path.exists(), ended.stdout + ended.stderr
    return ended.returncode, ended.stdout, json.loads(path.read_text())["mutants"]


def test_a_planted_mistake_is_a_survivor_when_no_test_runs_the_script(tmp_path: Path) -> None:
    code, said, tried = campaign(tmp_path / "mutants.json", "--sample", "1", "--tests", OPENING)
    assert (code, [each["verdict"] for each in tried]) == (1, ["unreached"])
    assert f"{tried[0]['name']}  (no test runs this)\n    - {tried[0]['was']}\n" in said


def test_a_planted_mistake_is_killed_by_the_test_that_sees_it(tmp_path: Path) -> None:
    _, said, tried = campaign(tmp_path / "mutants.json", "--tests", RETIRING)
    verdicts = {each["name"]: each for each in tried}
    deleted = next(each for name, each in verdicts.items() if name.endswith("call deleted"))
    assert (deleted["verdict"], deleted["test"]) == ("killed", f"{RETIRING}[valkey]")
    assert "retire.lua" in said


def test_the_score_leaves_out_what_is_not_lua_and_what_nobody_can_tell() -> None:
    counts = {Verdict.KILLED: 6, Verdict.HUNG: 1, Verdict.SURVIVED: 2, Verdict.UNREACHED: 1}
    left_out = {Verdict.STILLBORN: 5, Verdict.EQUIVALENT: 3}
    mutant = mutants(sources()[0])[0]
    tried = [Tried(mutant, verdict) for verdict, count in {**counts, **left_out}.items() for _ in range(count)]
    assert books.score(tried) == pytest.approx(0.7)


def test_an_entry_without_a_surviving_mutant_is_stale() -> None:
    made = mutants(sources()[0])
    entries = [Equivalent(each.file, each.was, each.became, "why") for each in made[:2]]
    gone = Equivalent("gone.lua", "a", "b", "why")
    tried = [Tried(made[0], Verdict.EQUIVALENT), Tried(made[1], Verdict.KILLED)]
    assert books.stale([*entries, gone], made, tried) == [entries[1], gone]


def test_entries_are_read_as_they_are_written() -> None:
    text = """
# It
# does not matter.
a.lua
    - x = 1
    + x = 2
    + (nothing)
b.lua
    - y()
    + (nothing)

# Nor this.
c.lua
    - z
    + w
"""
    assert list(parsed(text)) == [
        Equivalent("a.lua", "x = 1", "x = 2", "It does not matter."),
        Equivalent("a.lua", "x = 1", "(nothing)", "It does not matter."),
        Equivalent("b.lua", "y()", "(nothing)", "It does not matter."),
        Equivalent("c.lua", "z", "w", "Nor this."),
    ]


def test_every_entry_has_a_reason() -> None:
    assert all(entry.why for entry in EQUIVALENT)
