"""`jobkit submit`: arguments from texts, waiting, results, exit codes."""

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest

from jobkit.cli.submit import SAID
from jobkit.store.replies import Admission
from tests import processes
from tests.cli.conftest import PROJECT, Cli
from tests.processes import Process
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("namespace")


def test_there_is_a_sentence_for_every_admission() -> None:
    assert set(SAID) == set(Admission)


@pytest.mark.usefixtures("worker")
class TestWithAWorker:
    def test_result_goes_to_standard_output_and_the_bar_to_standard_error(self, cli: Cli) -> None:
        done = cli("submit", "counting:kit", "Count", "to=30")
        assert (done.returncode, done.stdout) == (0, "30\n")
        assert "Started run 0-" in done.stderr
        assert "counting.Count: succeeded in" in done.stderr

    def test_repeated_submit_is_answered_from_memory(self, cli: Cli) -> None:
        cli("submit", "counting:kit", "Count", "to=31")
        again = cli("submit", "counting:kit", "Count", "to=31")
        assert "Answered from memory by run 0-" in again.stderr
        assert again.stdout == "31\n"

    def test_json_is_one_snapshot_a_line_and_the_last_has_the_result(self, cli: Cli) -> None:
        done = cli("submit", "counting:kit", "counting.Count", "to=32", "--json")
        snapshots = [json.loads(line) for line in done.stdout.splitlines()]
        assert [snapshots[-1][key] for key in ("state", "result", "result_inline")] == ["succeeded", 32, True]
        orders = [(snapshot["start"], snapshot["version"]) for snapshot in snapshots]
        assert orders == sorted(orders)
        assert done.stderr == ""

    def test_file_is_printed_with_its_place(self, cli: Cli, tmp_path: Path) -> None:
        done = cli("submit", "counting:kit", "Write", f"folder={tmp_path}")
        kept = json.loads(done.stdout)["$file"]
        assert (kept["name"], Path(kept["path"]).read_text()) == ("hello.txt", "hello 0")

    def test_result_is_printed_so_that_it_cannot_act_on_the_terminal_and_stays_the_same(self, cli: Cli) -> None:
        done = cli("submit", "counting:kit", "Trick")
        assert done.stdout == r'"\u001b[31m\u009b31m\u202etxt.exe é"' + "\n"
        assert json.loads(done.stdout) == "\x1b[31m\x9b31m\u202etxt.exe é"

    def test_public_failure_exits_1_with_its_message(self, cli: Cli) -> None:
        failed = cli("submit", "counting:kit", "Refuse")
        assert failed.returncode == 1
        assert re.search(r"failed in .* · There is no such month\. \(reference \w", failed.stderr)
        assert failed.stdout == ""

    def test_unforeseen_failure_shows_its_author_the_workers_traceback(self, cli: Cli) -> None:
        failed = cli("submit", "counting:kit", "Refuse", "public=false")
        assert failed.returncode == 1
        assert "ZeroDivisionError: a secret" in failed.stderr
        assert "\x1b" not in failed.stderr

    def test_cancelled_run_exits_3(self, cli: Cli, env: dict[str, str], tmp_path: Path) -> None:
        arguments = ("submit", "counting:kit", "Count", "to=40", f"gate={tmp_path / 'never'}")
        with processes.running(*arguments, folder=PROJECT, env=env, log=tmp_path / "log") as watching:
            run_id = watching.wait_for(r"Started run (\S+)\.")[1]
            watching.wait_for("Counting|running")
            assert cli("cancel", run_id).stdout == "It stops.\n"
            assert watching.wait() == 3

    def test_interrupted_watching_exits_130_and_the_run_goes_on(
        self, cli: Cli, env: dict[str, str], tmp_path: Path
    ) -> None:
        gate = tmp_path / "gate"
        arguments = ("submit", "counting:kit", "Count", "to=41", f"gate={gate}")
        with processes.running(*arguments, folder=PROJECT, env=env, log=tmp_path / "log") as watching:
            run_id = watching.wait_for(r"Started run (\S+)\.")[1]
            watching.wait_for("Counting|running")
            watching.send(signal.SIGINT)
            assert watching.wait() == 130
            assert f"The run goes on. Watch it: jobkit watch {run_id}" in watching.output
        gate.touch()
        assert cli("watch", run_id).stdout == "41\n"

    def test_bar_on_a_terminal_never_runs_backwards(self, env: dict[str, str]) -> None:
        output = on_a_terminal(["submit", "counting:kit", "Count", "to=3000000"], env)
        shares = [int(share) for share in re.findall(r"(\d+) %", output)]
        assert shares == sorted(shares)
        assert "succeeded in" in output


def on_a_terminal(arguments: list[str], env: dict[str, str]) -> str:
    """What a command draws on a terminal of its own."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*processes.COMMAND, *arguments], cwd=PROJECT, env={**env, "TERM": "xterm"}, stderr=theirs, stdout=theirs
    )
    os.close(theirs)
    drawn = b""
    try:
        while part := _read(ours):
            drawn += part
    finally:
        process.wait(30)
        os.close(ours)
    return drawn.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # on Linux, the end of a terminal whose other side is closed
        return b""


def test_without_waiting_the_id_alone_is_printed(cli: Cli) -> None:
    first = cli("submit", "counting:kit", "Count", "to=5", "--no-wait")
    assert re.fullmatch(r"0-\w{26}\n", first.stdout)
    second = cli("submit", "counting:kit", "Count", "to=5", "--no-wait", "--json")
    assert json.loads(second.stdout) == {"id": first.stdout.strip(), "admission": "joined"}


def test_unserved_queue_is_said_with_the_command_that_serves_it(env: dict[str, str], tmp_path: Path) -> None:
    arguments = ("submit", "counting:kit", "Elsewhere")
    with processes.running(*arguments, folder=PROJECT, env=env, log=tmp_path / "log") as watching:
        said = watching.wait_for(
            r"queued (\d+) s .*no worker serves the queue 'nobody-serves-this': start one with (.*)"
        )
        assert said[2] == "jobkit worker counting:kit --queues nobody-serves-this"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Count also needs to=…. Its arguments: to: int, gate: str = ''"),
        (("to=many",), "The argument to=many does not fit: Expected `int`"),
        (("too=3",), "Count has no argument 'too'. Did you mean 'to'?"),
        (("to=3", "region=XX"), "write one of EU, US"),
        (("to=3", "day=soon"), "The argument day=soon does not fit"),
        (("to=3", "labels=a"), """write JSON, as labels='["a", "b"]'"""),
        (("to=3", "labels=[1]"), "labels"),
        (("to=3", "to=4"), "The argument 'to' is given twice"),
        (("3",), "'3' is no argument: write key=value"),
    ],
)
def test_bad_argument_is_refused_with_its_name(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    refused = cli("submit", "counting:kit", "Count", *arguments)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("target", "job", "said"),
    [
        ("countin:kit", "Count", "No module 'countin' can be imported"),
        ("counting:kot", "Count", "counting has no 'kot': it has counting:kit"),
        ("counting:not_a_kit", "Count", "is no JobKit but int"),
        ("counting.py:kit", "Count", "is a path: write it as in an import, counting:kit"),
        ("broken:kit", "Count", "RuntimeError: the settings are missing\n  at "),
        ("counting:kit", "Cuont", "There is no job 'Cuont'. Did you mean counting.Count? The kit has counting.Count, "),
    ],
)
def test_what_cannot_be_found_is_refused_with_advice(cli: Cli, target: str, job: str, said: str) -> None:
    refused = cli("submit", target, job, "to=1")
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_queued_run_starts_when_a_worker_comes(env: dict[str, str], tmp_path: Path) -> None:
    arguments = ("submit", "counting:kit", "Count", "to=6")
    with processes.running(*arguments, folder=PROJECT, env=env, log=tmp_path / "log") as watching:
        watching.wait_for("no worker serves the queue 'default': start one with jobkit worker counting:kit")
        serving = Process(("worker", "counting:kit"), PROJECT, env, tmp_path / "worker.log")
        try:
            wait_until(lambda: "succeeded in" in watching.output, "the run succeeds")
            assert watching.wait() == 0
        finally:
            serving.close()
