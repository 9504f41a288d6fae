"""`jobkit schedule`: what the clock starts, listed, paused, resumed and run without the code of its job."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import processes
from tests.cli.conftest import PROJECT, Cli
from tests.waiting import wait_until


@pytest.fixture
def timed(cli: Cli, env: dict[str, str], tmp_path: Path) -> Iterator[processes.Process]:
    """A worker of a kit with a schedule, which it has declared."""
    arguments = ("worker", "timed:kit", "--concurrency", "1")
    with processes.running(*arguments, folder=PROJECT, env=env, log=tmp_path / "timed.log") as process:
        process.wait_for("performs")
        wait_until(lambda: cli("schedule", "list").stdout, "it has declared its schedule")
        yield process


def test_without_a_schedule_there_is_nothing_to_list_or_to_run(cli: Cli) -> None:
    assert json.loads(cli("schedule", "list", "--json").stdout) == {"schedules": []}
    for command in ("pause", "resume", "run"):
        refused = cli("schedule", command, "nightly")
        assert refused.returncode == 2
        assert "There is no schedule 'nightly'" in refused.stderr
        assert "Traceback" not in refused.stderr


@pytest.mark.usefixtures("timed")
def test_a_schedule_is_listed_paused_resumed_and_run(cli: Cli) -> None:
    def listed() -> dict[str, object]:
        (only,) = json.loads(cli("schedule", "list", "--json").stdout)["schedules"]
        return dict(only)

    cells = cli("schedule", "list").stdout.rstrip("\n").split("\t")
    assert cells[:2] == ["nightly-us", "0 3 1 1 * America/New_York, missed: all"]
    assert cells[2].endswith("-01-01 03:00:00 EST")
    assert cells[3:] == ["-", "-", "timed.Nightly"]
    assert cli("schedule", "pause", "nightly-us").returncode == 0
    assert (listed()["paused"], listed()["next_at"]) == (True, None)
    run_id = cli("schedule", "run", "nightly-us").stdout.strip()
    assert cli("watch", run_id).stdout.strip() == '"US None"'
    assert cli("schedule", "resume", "nightly-us").returncode == 0
    after = listed()
    assert (after["paused"], after["last_run_id"], after["last_tick"]) == (False, run_id, None)
    assert str(after["next_at"]).endswith("-01-01T03:00:00-05:00")
    again = json.loads(cli("schedule", "run", "nightly-us", "--json").stdout)
    assert (again["admission"], again["id"] != run_id) == ("new", True)
