"""`jobkit workers`, `queue` and `control`: workers and queues, looked at and changed."""

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from jobkit.cli.commands import jobkit
from tests.cli.conftest import Cli
from tests.waiting import wait_until

Here = Callable[..., Result]

LONG = ("--timeout", "30")
"""For a busy machine; who answers is not waited for so long."""


@pytest.fixture
def here(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """Runs one `jobkit` command in this process, which is quicker; nothing that it would import is needed."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(jobkit, arguments)


@pytest.mark.usefixtures("worker")
def test_a_worker_is_listed_asked_and_changed(here: Here) -> None:
    wait_until(lambda: here("workers").stdout, "the worker has told of itself", timeout=30)
    (listed,) = json.loads(here("workers", "--json").stdout)["workers"]
    name = listed["name"]
    assert (listed["alive"], listed["concurrency"], listed["queues"]) == (True, 1, {"default": 0})
    cells = here("workers").stdout.split("\t")
    assert cells[:4] == [name, "alive", "0/1", "default"]

    pinged = here("control", "ping", *LONG)
    assert pinged.exit_code == 0
    assert pinged.stdout.startswith(f"{name}\tanswered in ")
    assert here("control", "runs", *LONG).stdout == f"{name}\tnothing\n"
    assert here("control", "grow", "2", name[:-2], *LONG).stdout == f"{name}\tperforms 3 at a time\n"
    refused = here("control", "shrink", "3", *LONG)
    assert refused.exit_code == 1
    assert "refused: it performs 3 at a time, and 0 is not from 1" in refused.stderr
    assert here("control", "queues", "--add", "mail=3", *LONG).stdout == f"{name}\tserves default,mail=3\n"
    answers = json.loads(here("control", "queues", "--remove", "mail", "--json", *LONG).stdout)
    assert answers["replies"][0]["value"] == {"default": 0}
    assert here("control", "stats", *LONG).stdout.split("\t")[:3] == [name, "alive", "0/3"]
    assert here("control", "stop", *LONG).exit_code == 0
    wait_until(lambda: not here("workers").stdout, "it has gone", timeout=30)


def test_without_workers_there_is_nobody_to_ask(here: Here) -> None:
    assert here("workers").stdout == ""
    assert json.loads(here("workers", "--json").stdout) == {"workers": []}
    pinged = here("control", "ping")
    assert (pinged.exit_code, pinged.stderr) == (1, "No worker is alive.\n")
    named = here("control", "ping", "nobody")
    assert named.exit_code == 2
    assert "There is no worker 'nobody'" in named.stderr


def test_queues_are_listed_paused_and_resumed(cli: Cli, here: Here) -> None:
    cli("submit", "counting:kit", "Count", "to=5", "--no-wait")
    assert here("queue", "list").stdout.split("\t")[:4] == ["default", "nobody serves it", "1", "0"]
    assert here("queue", "pause", "default").stdout == "The queue default is paused.\n"
    assert here("queue", "pause", "default").stdout == "The queue default was paused already.\n"
    (listed,) = json.loads(here("queue", "list", "--json").stdout)["queues"]
    assert (listed["queue"], listed["waiting"], listed["paused"], listed["workers"]) == ("default", 1, True, 0)
    assert here("queue", "resume", "default").stdout == "The queue default is served again.\n"


def test_a_limit_that_is_not_declared_cannot_be_changed(cli: Cli, here: Here) -> None:
    refused = cli("control", "limit", "counting:kit", "Count", "--max-running", "3")
    assert refused.returncode == 2
    assert "counting.Count declares no max_running of all its runs" in refused.stderr
    assert here("control", "limits").stderr == "All limits are as declared.\n"
