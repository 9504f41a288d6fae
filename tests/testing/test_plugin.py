"""The pytest plugin, as a user's project has it: the tests of examples/reports.py, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pytest_of(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JOBKIT_", "PYTEST"))}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        "-c",
        os.devnull,
    ]
    return subprocess.run(
        [*command, *arguments, str(folder)],
        cwd=folder, env=environment, text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_examples_tests_pass() -> None:
    ran = pytest_of(ROOT / "examples")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 passed" in ran.stdout


def test_only_the_private_store_is_emptied(tmp_path: Path, store_url: str) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["jobkit.testing.fixtures"]\n')
    (tmp_path / "test_it.py").write_text(
        f"from jobkit import JobKit\nkit = JobKit({store_url!r})\ndef test_it(jobkit_store):\n    jobkit_store(kit)\n"
    )
    ran = pytest_of(tmp_path)
    assert ran.returncode == 1
    assert "is not the private store of the tests, and is not emptied" in ran.stdout


def test_the_private_store_is_gone_afterwards(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["jobkit.testing.fixtures"]\n')
    (tmp_path / "test_it.py").write_text(
        "import os\n"
        "from jobkit import JobKit\n"
        "kit = JobKit()\n"
        "def test_it():\n"
        "    assert kit.runs().snapshots == ()\n"
        "    print('STORE', os.environ['JOBKIT_URL'])\n"
    )
    ran = pytest_of(tmp_path, "-s")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    directory = ran.stdout.split("STORE embedded:")[1].split()[0].rstrip(".")
    assert not Path(directory).exists()
    assert not (tmp_path / ".jobkit").exists()
