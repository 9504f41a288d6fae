"""`jobkit watch`, `runs`, `cancel` and `retry`: they need no kit, only the store."""

import json
from pathlib import Path

import pytest

from tests import processes
from tests.cli.conftest import Cli


@pytest.fixture
def queued(cli: Cli) -> str:
    """A run that nobody performs."""
    return cli("submit", "counting:kit", "Count", "to=5", "--no-wait").stdout.strip()


def test_runs_are_listed_newest_first_as_one_json_document(cli: Cli, queued: str) -> None:
    newer = cli("submit", "counting:kit", "Count", "to=6", "--no-wait").stdout.strip()
    listed = json.loads(cli("runs", "--json").stdout)["runs"]
    assert [run["id"] for run in listed] == [newer, queued]
    assert {run["state"] for run in listed} == {"queued"}


def test_runs_are_listed_by_state_and_as_lines_for_pipes(cli: Cli, queued: str) -> None:
    assert cli("runs", "--state", "running").stdout == ""
    assert cli("runs", "--state", "queued", "--limit", "1").stdout.split("\t")[:3] == [
        queued,
        "counting.Count",
        "queued",
    ]


def test_unknown_state_is_a_usage_error_that_lists_them(cli: Cli) -> None:
    refused = cli("runs", "--state", "lost")
    assert refused.returncode == 2
    assert "'scheduled', 'queued', 'running'" in refused.stderr


def test_cancel_withdraws_what_this_user_submitted(cli: Cli, queued: str) -> None:
    assert json.loads(cli("cancel", queued, "--json").stdout) == {"id": queued, "stopping": True}
    watched = cli("watch", queued)
    assert watched.returncode == 3
    assert "cancelled" in watched.stderr


def test_cancelling_again_answers_as_the_first_time(cli: Cli, queued: str) -> None:
    assert [cli("cancel", queued).returncode for _ in range(2)] == [0, 0]


def test_retry_does_once_more_what_has_ended(cli: Cli, queued: str) -> None:
    refused = cli("retry", queued)
    assert refused.returncode == 1
    assert "only what has ended is begun anew" in refused.stderr
    cli("cancel", queued)
    again = json.loads(cli("retry", queued, "--no-wait", "--json").stdout)
    assert again["admission"] == "new"
    listed = json.loads(cli("runs", "--json", "--state", "queued").stdout)["runs"]
    assert [(run["id"], run["retry_of"]) for run in listed] == [(again["id"], queued)]


def test_retry_watches_the_new_run_to_its_result(cli: Cli, worker: processes.Process) -> None:
    cli("submit", "counting:kit", "Count", "to=5")
    run_id = json.loads(cli("runs", "--json").stdout)["runs"][0]["id"]
    retried = cli("retry", run_id)
    assert (retried.returncode, retried.stdout.strip()) == (0, "5")
    assert "Started run" in retried.stderr
    assert worker.pid


def test_run_that_others_wait_for_is_stopped_by_force_only(cli: Cli, queued: str) -> None:
    joined = cli("submit", "counting:kit", "Count", "to=5", "--no-wait", LOGNAME="somebody-else")
    assert joined.stdout.strip() == queued
    left = cli("cancel", queued)
    assert left.returncode == 1
    assert "It goes on, for others wait for it. To stop it for everybody: --force." in left.stderr
    assert cli("cancel", queued, "--force").returncode == 0


def test_ended_run_cannot_be_cancelled(cli: Cli, worker: processes.Process) -> None:
    cli("submit", "counting:kit", "Count", "to=5")
    run_id = json.loads(cli("runs", "--json").stdout)["runs"][0]["id"]
    refused = cli("cancel", run_id)
    assert refused.returncode == 1
    assert "It had ended already: succeeded." in refused.stderr
    assert worker.pid


@pytest.mark.parametrize("command", ["watch", "cancel", "retry"])
@pytest.mark.parametrize("run_id", ["nonsense", "0-01ARZ3NDEKTSV4RRFFQ69G5FAV"])
def test_unknown_run_exits_5(cli: Cli, command: str, run_id: str) -> None:
    refused = cli(command, run_id)
    assert refused.returncode == 5
    assert run_id in refused.stderr
    assert "Traceback" not in refused.stderr


def test_unreachable_store_exits_4_without_its_password(cli: Cli) -> None:
    refused = cli("runs", "--url", "redis://:geheim@127.0.0.1:1")
    assert refused.returncode == 4
    assert "redis://:***@127.0.0.1:1/0 does not answer" in refused.stderr
    assert "geheim" not in refused.stderr + refused.stdout
    assert "Traceback" not in refused.stderr


def test_url_that_names_no_store_exits_4(cli: Cli) -> None:
    refused = cli("runs", "--url", "reddis://localhost")
    assert refused.returncode == 4
    assert "Did you mean redis:" in refused.stderr


def test_store_and_namespace_are_taken_from_options(env: dict[str, str], queued: str, tmp_path: Path) -> None:
    options = ("--url", env["JOBKIT_URL"], "--namespace", env["JOBKIT_NAMESPACE"])
    listed = processes.jobkit("runs", "--json", *options, folder=tmp_path, env=processes.environment())
    assert json.loads(listed.stdout)["runs"][0]["id"] == queued


@pytest.mark.usefixtures("worker")
def test_what_befell_a_run_is_told_where_it_is_watched_and_when_it_is_asked_for(cli: Cli) -> None:
    watched = cli("submit", "counting:kit", "Die")
    assert watched.returncode == 1
    assert "ended by itself with exit code 7" in watched.stderr
    assert "It was nice" in watched.stderr
    assert "\x1b" not in watched.stderr
    run_id = json.loads(cli("runs", "--json", "--limit", "1").stdout)["runs"][0]["id"]
    (incident,) = json.loads(cli("incidents", run_id, "--json").stdout)["incidents"]
    assert (incident["kind"], incident["exit_code"], incident["start"]) == ("crashed", 7, 1)
    assert "Start 1 (attempt 1) crashed" in cli("incidents", run_id).stdout


def test_a_run_that_nothing_befell_says_so(cli: Cli, queued: str) -> None:
    assert cli("incidents", queued).stdout == "Nothing befell it.\n"
    assert cli("incidents", "0-" + "0" * 26).returncode == 5
