"""Real workers for the life suite: started, found, frozen, killed by process id, and gone after the test."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from jobkit import JobKit
from tests.life import jobs
from tests.life.workers import JOBKIT, Folder, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.servers import Server


@pytest.fixture
def life_url(valkey: Server) -> str:
    """Where the test's store is; a test on a server of its own overrides it."""
    return valkey.url


@pytest.fixture
def kit(life_url: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobKit]:
    """The submitting side, in the test's own process."""
    monkeypatch.setenv("JOBKIT_FILES", str(tmp_path / "files"))
    with JobKit(life_url, jobs=jobs.kit.jobs.values(), namespace=namespace) as kit:
        yield kit


@pytest.fixture
def start_worker(life_url: str, namespace: str, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Start a worker with these options; it is ended after the test."""
    workers: list[WorkerProcess] = []
    environment = os.environ | {
        "JOBKIT_URL": life_url,
        "JOBKIT_NAMESPACE": namespace,
        "JOBKIT_FILES": str(tmp_path / "files"),
    }

    def start(
        *options: str, target: str = "tests.life.jobs:kit", program: tuple[str, ...] = JOBKIT, **variables: str
    ) -> WorkerProcess:
        log = tmp_path / f"worker-{len(workers)}.log"
        workers.append(WorkerProcess(environment | variables, log, *options, target=target, program=program))
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop()
        sys.stderr.write(f"--- {worker.log.name}\n{worker.text[-20_000:]}\n")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    path = tmp_path / "folder"
    path.mkdir()
    return Folder(path)
