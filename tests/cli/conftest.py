"""The command line on a real store, in a folder with a kit."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import processes

if TYPE_CHECKING:
    from subprocess import CompletedProcess

PROJECT = Path(__file__).parent / "project"

Cli = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def env(store_url: str, namespace: str, tmp_path: Path) -> dict[str, str]:
    """The shared store, a namespace of the test's own."""
    return processes.environment(JOBKIT_URL=store_url, JOBKIT_NAMESPACE=namespace, JOBKIT_FILES=str(tmp_path / "files"))


@pytest.fixture
def cli(env: dict[str, str]) -> Cli:
    """Runs one `jobkit` command in the project's folder."""
    return lambda *arguments, **changes: processes.jobkit(*arguments, folder=PROJECT, env={**env, **changes})


@pytest.fixture
def worker(env: dict[str, str], tmp_path: Path) -> Iterator[processes.Process]:
    """A worker of the project's kit, ready."""
    arguments = ("worker", "counting:kit", "--concurrency", "1")
    with processes.running(*arguments, folder=PROJECT, env=env, log=tmp_path / "worker.log") as process:
        process.wait_for("performs")
        yield process
