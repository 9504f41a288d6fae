"""Workers that cannot come up say why, and end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobkit import JobKit
from tests.life import scattered
from tests.life.jobs import Add
from tests.waiting import wait_until

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


def test_a_module_that_submits_while_a_worker_imports_it_is_refused_with_advice(
    start_worker: Callable[..., WorkerProcess],
) -> None:
    """It would wait for the worker, and the worker for the end of the import."""
    worker = start_worker(target="tests.life.eager:kit")
    assert worker.exit_code() == 1
    assert 'under `if __name__ == "__main__":`' in worker.text
    assert "kit.submit(Hello()).result()" in worker.text


def test_a_module_that_waits_while_a_worker_imports_it_is_refused_with_advice(
    kit: JobKit, start_worker: Callable[..., WorkerProcess]
) -> None:
    run = kit.submit(Add(a=1, b=2))
    worker = start_worker(target="tests.life.waiting_for:kit", LIFE_RUN=run.id)
    assert worker.exit_code() == 1
    assert 'under `if __name__ == "__main__":`' in worker.text


def test_a_long_import_is_told(kit: JobKit, start_worker: Callable[..., WorkerProcess]) -> None:
    worker = start_worker("--concurrency", "1", target="tests.life.slow:kit")
    assert kit.submit(Add(a=1, b=2)).result(timeout=30) == 3
    worker.says("Still importing tests.life.slow:kit, for 5 s")


def test_a_worker_of_the_usual_queue_tells_which_jobs_wait_elsewhere(
    start_worker: Callable[..., WorkerProcess],
) -> None:
    worker = start_worker("--concurrency", "1", target="tests.life.scattered:kit")
    wait_until(lambda: "does not serve" in worker.text, "it says what it does not serve")
    assert (
        "does not serve the queue exports, which tests.life.scattered.There names: add --queues default,exports"
        in worker.text
    )


@pytest.mark.parametrize("options", [("--queues", "default,exports"), ("--queues", "exports"), ("--all-queues",)])
def test_a_worker_whose_queues_were_chosen_says_nothing_of_others(
    options: tuple[str, ...], life_url: str, namespace: str, start_worker: Callable[..., WorkerProcess]
) -> None:
    worker = start_worker("--concurrency", "1", *options, target="tests.life.scattered:kit")
    with JobKit(life_url, namespace=namespace, jobs=scattered.kit.jobs.values()) as submitter:
        assert submitter.submit(scattered.There()).result(timeout=20) == "there"
    assert "does not serve" not in worker.text


def test_a_worker_of_all_queues_performs_what_waits_in_any(
    life_url: str, namespace: str, start_worker: Callable[..., WorkerProcess]
) -> None:
    start_worker("--concurrency", "1", "--all-queues", target="tests.life.scattered:kit")
    with JobKit(life_url, namespace=namespace, jobs=scattered.kit.jobs.values()) as submitter:
        runs = [submitter.submit(scattered.Here()), submitter.submit(scattered.There())]
        assert [run.result(timeout=20) for run in runs] == ["here", "there"]
