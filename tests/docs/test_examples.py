"""What the docs show is Python, and runs: each page from its first block to its last, as a reader would copy it.

A block that begins with a comment naming a file (`# conftest.py`) is that file. `<!-- fragment -->` in the line before
a block marks one that stands for itself and is not run; it is compiled all the same.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import processes

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGES = [ROOT / "README.md", ROOT / "js-client/README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = [
    "jobs",
    "kit",
    "sharing",
    "limits",
    "schedules",
    "retries",
    "queues",
    "control",
    "progress",
    "checkpoints",
    "hooks",
    "observing",
    "web",
]
"""Of docs/; testing.md is run by pytest, and the README's example by `tests/examples`."""

_BLOCK = re.compile(r"(<!-- fragment -->\n)?```python\n(.*?)```", re.S)
_FILE = re.compile(r"# (\w+\.py)\n")


@dataclass(frozen=True)
class Block:
    """A Python block of a page."""

    line: int
    code: str
    fragment: bool

    @property
    def file(self) -> str:
        """The file that it says to be; "" when it says none."""
        named = _FILE.match(self.code)
        return named[1] if named else ""


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(line=text.count("\n", 0, found.start(2)) + 1, code=found[2], fragment=bool(found[1]))
        for found in _BLOCK.finditer(text)
    ]


def in_a_project(command: list[str], folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run in a folder with the files of the README's example."""
    for name in ("reports.py", "orders.py", "orders.csv"):
        shutil.copy(EXAMPLES / name, folder)
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, text=True, capture_output=True, timeout=120, check=False
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.relative_to(ROOT)}")
def test_every_python_block_is_python(page: Path) -> None:
    for block in blocks_of(page):
        compile(block.code, f"{page.name}, line {block.line}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.fixture
def env(store_url: str, namespace: str, tmp_path: Path) -> dict[str, str]:
    return processes.environment(
        JOBKIT_URL=store_url, JOBKIT_NAMESPACE=namespace, JOBKIT_FILES=str(tmp_path / "files"), PYTHONPATH=str(tmp_path)
    )


def write_page(name: str, folder: Path) -> None:
    """All of a page that is run, as the module `page`."""
    blocks = [block for block in blocks_of(ROOT / "docs" / f"{name}.md") if not block.fragment]
    assert blocks
    (folder / "page.py").write_text("\n".join(block.code for block in blocks), "utf-8")


@pytest.mark.parametrize("name", RUN)
def test_a_page_runs_from_its_first_block_to_its_last(name: str, env: dict[str, str], tmp_path: Path) -> None:
    write_page(name, tmp_path)
    ran = in_a_project(["page.py"], tmp_path, env)
    assert ran.returncode == 0, ran.stderr


def test_the_shown_ways_to_deal_with_a_full_queue_do(env: dict[str, str], tmp_path: Path) -> None:
    write_page("limits", tmp_path)
    (tmp_path / "full.py").write_text(
        "from page import Export, app, submit_all\n"
        "from starlette.testclient import TestClient\n"
        "jobs = [Export(customer=f'{n}', month='2026-10') for n in range(1002)]\n"
        "assert submit_all(jobs) == jobs[1000:]\n"
        "answer = TestClient(app).post('/exports/ann/2026-10')\n"
        "print(answer.status_code, answer.headers['retry-after'], answer.text)\n"
    )
    ran = in_a_project(["full.py"], tmp_path, env)
    assert re.fullmatch(r"503 (\d+) Too much to do: try again in \1 s\.\n", ran.stdout), ran.stdout + ran.stderr


def test_the_tests_that_the_docs_show_pass(tmp_path: Path) -> None:
    for block in blocks_of(ROOT / "docs/testing.md"):
        assert block.file, f"docs/testing.md, line {block.line}: a block names its file"
        (tmp_path / block.file).write_text(block.code, "utf-8")
    env = {name: value for name, value in processes.environment().items() if not name.startswith("PYTEST")}
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", os.devnull]
    ran = in_a_project(command, tmp_path, env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 passed" in ran.stdout
