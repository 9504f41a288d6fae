"""Workers that cannot come up say why, and end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.life.workers import WorkerProcess


@pytest.mark.parametrize(
    ("target", "advice"),
    [
        ("no_such_module:kit", "No module 'no_such_module' can be imported"),
        ("tests.life.no_such_module:kit", "No module 'tests.life.no_such_module' can be imported"),
        ("tests.life.jobs:kitt", "it has tests.life.jobs:kit"),
        ("tests.life.jobs:Add", "is no JobKit"),
        ("tests.life.broken:kit", "ZeroDivisionError"),
        (":", "write MODULE:KIT"),
    ],
)
def test_a_target_that_names_no_kit_ends_the_worker_with_advice(
    target: str, advice: str, start_worker: Callable[..., WorkerProcess]
) -> None:
    worker = start_worker(target=target)
    assert worker.exit_code() == 1
    assert advice in worker.text


def test_a_kit_whose_import_kills_the_process_is_given_up(start_worker: Callable[..., WorkerProcess]) -> None:
    worker = start_worker("--concurrency", "2", target="tests.life.deadly:kit")
    assert worker.exit_code() == 1
    assert "Giving up" in worker.text


def test_a_kit_whose_files_have_no_place_is_told_at_the_start(start_worker: Callable[..., WorkerProcess]) -> None:
    worker = start_worker(target="tests.life.filing:kit")
    assert worker.exit_code() == 4
    assert "set JOBKIT_FILES" in worker.text
