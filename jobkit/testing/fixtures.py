"""Fixtures: a pytest plugin. In a conftest.py: `pytest_plugins = ["jobkit.testing.fixtures"]`.

As soon as it is loaded, JOBKIT_URL and JOBKIT_FILES name a private embedded store that lives as long as the session. So
a kit that is made where your application makes it (`kit = JobKit(jobs=[...])`) is on that store, in this process and in
those that tests start. A kit that is given a URL of its own stays on that.

    def test_the_report_is_remembered_for_an_hour(jobkit_store, jobkit_inline, jobkit_clock):
        jobkit_store(kit)
        jobkit_inline(kit)
        first = kit.submit(SalesReport(month="2026-01"))
        jobkit_clock(kit).advance(hours=2)
        assert kit.submit(SalesReport(month="2026-01")).id != first.id
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobkit.testing.background import worker
from jobkit.testing.clock import Clock
from jobkit.testing.private import empty, inline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jobkit.engines.inline import Inline
    from jobkit.kit import JobKit

_DIRECTORY = pytest.StashKey[Path]()
_BEFORE = pytest.StashKey[dict[str, str | None]]()


def pytest_configure(config: pytest.Config) -> None:
    """Before any module of the application is imported."""
    directory = Path(tempfile.mkdtemp(prefix="jobkit-"))
    here = {
        "JOBKIT_URL": f"embedded:{directory}",
        "JOBKIT_FILES": str(directory / "files"),
        "JOBKIT_EMBEDDED_LINGER": "1",
    }
    config.stash[_DIRECTORY] = directory
    config.stash[_BEFORE] = {name: os.environ.get(name) for name in here}
    os.environ.update(here)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The server ends when its directory is gone."""
    for name, value in config.stash[_BEFORE].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    shutil.rmtree(config.stash[_DIRECTORY], ignore_errors=True)


@pytest.fixture
def jobkit_store(pytestconfig: pytest.Config) -> Iterator[Callable[[JobKit], JobKit]]:
    """`jobkit_store(kit)`: the kit, on a store with nothing in it; emptied again after the test.

    Fails for a kit that is not on the private store: nothing else is ever emptied.
    """
    private = f"embedded:{pytestconfig.stash[_DIRECTORY]}"
    used: list[JobKit] = []

    def emptied(kit: JobKit) -> JobKit:
        if kit.url != private:
            pytest.fail(f"{kit.location} is not the private store of the tests, and is not emptied.")
        used.append(kit)
        empty(kit)
        return kit

    yield emptied
    for kit in used:
        empty(kit)


@pytest.fixture
def jobkit_clock() -> Iterator[Callable[[JobKit], Clock]]:
    """`jobkit_clock(kit)`: the clock of the kit's store; back at the server's time after the test."""
    clocks: dict[int, Clock] = {}

    def clock(kit: JobKit) -> Clock:
        return clocks.setdefault(id(kit), Clock(kit))

    yield clock
    for each in clocks.values():
        each.reset()


@pytest.fixture
def jobkit_worker() -> Iterator[Callable[..., None]]:
    """`jobkit_worker(kit, concurrency=2)`: from now on a worker performs, until the test ends."""
    with ExitStack() as workers:

        def start(kit: JobKit, *, queues: Sequence[str] | str = (), concurrency: int = 1) -> None:
            workers.enter_context(worker(kit, queues=queues, concurrency=concurrency))

        yield start


@pytest.fixture
def jobkit_inline() -> Iterator[Callable[[JobKit], Inline]]:
    """`jobkit_inline(kit)`: from now on `submit` performs the job itself, until the test ends."""
    with ExitStack() as engines:

        def start(kit: JobKit) -> Inline:
            return engines.enter_context(inline(kit))

        yield start
