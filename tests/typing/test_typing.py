"""What type checkers tell an author: right uses pass, wrong uses are flagged, by mypy --strict and pyright alike."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RIGHT, WRONG = HERE / "right_uses.py", HERE / "wrong_uses.py"

Complaints = dict[tuple[str, int], str]
"""File name and line number (from 1), to what the checker says there."""


def complaints_of_mypy() -> Complaints:
    options = ["--strict", "--follow-imports=silent", "--no-error-summary", "--hide-error-context"]
    lines = answer_of("mypy", *options, str(RIGHT), str(WRONG)).splitlines()
    found = [re.match(r"(?P<file>[^:]+):(?P<line>\d+): error: (?P<text>.*)", line) for line in lines]
    return {(Path(match["file"]).name, int(match["line"])): match["text"] for match in found if match}


def complaints_of_pyright() -> Complaints:
    answer = json.loads(answer_of("pyright", "--outputjson", "--pythonpath", sys.executable, str(RIGHT), str(WRONG)))
    return {
        (Path(found["file"]).name, found["range"]["start"]["line"] + 1): found["message"]
        for found in answer["generalDiagnostics"]
        if found["severity"] == "error"
    }


def answer_of(checker: str, *arguments: str) -> str:
    environment = {**os.environ, "MYPYPATH": str(ROOT / "web"), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    process = subprocess.run(
        [sys.executable, "-m", checker, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert process.returncode in (0, 1), process.stdout + process.stderr
    return process.stdout


@pytest.fixture(scope="module", params=[complaints_of_mypy, complaints_of_pyright], ids=["mypy", "pyright"])
def complaints(request: pytest.FixtureRequest) -> Complaints:
    found: Complaints = request.param()
    return found


def test_right_uses_are_accepted_with_the_exact_types(complaints: Complaints) -> None:
    assert {place: text for place, text in complaints.items() if place[0] == RIGHT.name} == {}


def test_wrong_uses_are_flagged_and_nothing_else(complaints: Complaints) -> None:
    marked = {number for number, line in enumerate(WRONG.read_text().splitlines(), 1) if "# WRONG" in line}
    flagged = {line: text for (name, line), text in complaints.items() if name == WRONG.name}
    assert marked - set(flagged) == set(), "not flagged"
    assert {line: flagged[line] for line in set(flagged) - marked} == {}, "flagged without being marked"
