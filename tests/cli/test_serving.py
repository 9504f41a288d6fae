"""`jobkit worker`, `web` and `dev`: processes that serve until they are told to end."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests import processes
from tests.cli.conftest import PROJECT, Cli
from tests.servers import free_port
from tests.waiting import wait_until


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_worker_ends_in_order_on_a_signal(env: dict[str, str], tmp_path: Path, number: signal.Signals) -> None:
    with processes.running("worker", "counting:kit", folder=PROJECT, env=env, log=tmp_path / "log") as worker:
        worker.wait_for("performs the 6 jobs of counting:kit")
        worker.send(number)
        assert worker.wait() == 0
        assert "Traceback" not in worker.output


def test_worker_of_a_store_that_cannot_be_used_exits_4(cli: Cli) -> None:
    refused = cli("worker", "counting:kit", JOBKIT_URL="localhost")
    assert refused.returncode == 4
    assert "JOBKIT_URL: The store's URL has no known scheme" in refused.stderr


def test_worker_without_a_kit_says_so_and_fails(cli: Cli) -> None:
    refused = cli("worker", "counting:kot")
    assert refused.returncode == 1
    assert "counting has no 'kot': it has counting:kit." in refused.stderr


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [
        ("--lease", "0", "--lease"),
        ("--grace", "-1", "--grace"),
        ("--queues", " ,", "one or more names"),
        ("--queues", "fast=often", "The weight of the queue 'fast' must be a whole number, as critical=6, not 'often'"),
        ("--queues", "fast=0", "'fast' cannot be served: its weight, 0, must be a whole number from 1 to 1000"),
        ("--queues", "fast,not so fast", "'not so fast' cannot be served: its name must be 1 to 100 letters"),
    ],
)
def test_worker_refuses_what_makes_no_sense(cli: Cli, option: str, value: str, advice: str) -> None:
    refused = cli("worker", "counting:kit", option, value)
    assert refused.returncode == 2
    assert advice in " ".join(refused.stderr.split())


def test_worker_whose_store_cannot_be_used_says_why_and_does_not_try_on(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = cli("worker", "counting:kit", JOBKIT_URL=f"embedded:{tmp_path / 'file'}")
    assert refused.returncode == 1
    assert "cannot be used" in refused.stderr
    assert "Trying again" not in refused.stderr
    assert "did not confirm" not in refused.stderr


def test_worker_says_that_its_store_does_not_answer(env: dict[str, str], tmp_path: Path) -> None:
    away = {**env, "JOBKIT_URL": f"unix://{tmp_path / 'nobody-listens.sock'}"}
    with processes.running("worker", "counting:kit", folder=PROJECT, env=away, log=tmp_path / "log") as worker:
        worker.wait_for("does not answer yet: nothing is performed until it does")
        worker.wait_for("(?s)does not answer yet.*does not answer yet")


def test_web_refuses_strangers(env: dict[str, str], tmp_path: Path) -> None:
    with serving(env, tmp_path) as (_, url):
        assert httpx.get(f"{url}health").status_code == 200
        assert httpx.get(f"{url}runs/0-01ARZ3NDEKTSV4RRFFQ69G5FAV").status_code == 401


def test_public_web_lets_everybody_in_and_warns(cli: Cli, env: dict[str, str], tmp_path: Path) -> None:
    run_id = cli("submit", "counting:kit", "Count", "to=5", "--no-wait").stdout.strip()
    with serving(env, tmp_path, "--public") as (web, url):
        assert httpx.get(f"{url}runs/{run_id}").json()["state"] == "queued"
        assert "Warning: --public lets everybody" in web.output


def test_taken_port_is_refused_with_advice(cli: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = cli("web", "counting:kit", "--port", str(port))
    assert refused.returncode == 2
    assert f"Port {port} on 127.0.0.1 is taken" in refused.stderr
    assert "--port" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_dev_performs_and_serves_and_one_signal_ends_it_all(cli: Cli, env: dict[str, str], tmp_path: Path) -> None:
    arguments = ("dev", "counting:kit", "--port", "0", "--public")
    with processes.running(*arguments, folder=PROJECT, env=env, log=tmp_path / "log") as dev:
        url = dev.wait_for(r"Serving on (\S+)")[1]
        run_id = cli("submit", "counting:kit", "Count", "to=5", "--no-wait").stdout.strip()
        wait_until(lambda: state_of(url, run_id) == "succeeded", "the run succeeds")
        family = psutil.Process(dev.pid).children(recursive=True)
        assert len(family) >= 3
        dev.send(signal.SIGINT)
        assert dev.wait() == 0
        wait_until(lambda: not any(map(is_alive, family)), "all its processes end")


def test_killed_dev_leaves_nobody_behind(env: dict[str, str], tmp_path: Path) -> None:
    """SIGKILL cannot be handled: the others notice that their standard input has closed."""
    with processes.running("dev", "counting:kit", "--port", "0", folder=PROJECT, env=env, log=tmp_path / "log") as dev:
        dev.wait_for("Serving on")
        dev.wait_for("performs")
        family = psutil.Process(dev.pid).children(recursive=True)
        dev.send(signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, family)), "all its processes end")


def test_dev_ends_with_the_reason_when_one_part_cannot_start(cli: Cli) -> None:
    refused = cli("dev", "counting:kit", "--app", "counting:nothing", "--port", "0")
    assert refused.returncode == 2
    assert refused.stderr == "Error: counting has no app 'nothing'.\n"


def test_dev_says_once_that_there_is_no_such_kit(cli: Cli) -> None:
    refused = cli("dev", "counting:kot", "--port", "0")
    assert (refused.returncode, refused.stderr) == (2, "Error: counting has no 'kot': it has counting:kit.\n")


def test_dev_says_once_that_its_port_is_taken(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = cli("dev", "counting:kit", "--port", str(taken.getsockname()[1]))
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "is taken by another process" in refused.stderr


def test_dev_refuses_a_module_that_submits_and_waits_while_it_is_imported(cli: Cli) -> None:
    refused = cli("dev", "eager:kit", "--port", "0")
    assert refused.returncode == 2
    assert 'under `if __name__ == "__main__":`' in refused.stderr
    assert "eager.py, line 5: kit.submit(Refuse()).result()" in refused.stderr


def test_dev_serves_all_queues_that_its_jobs_name(cli: Cli, env: dict[str, str], tmp_path: Path) -> None:
    with processes.running("dev", "counting:kit", "--port", "0", folder=PROJECT, env=env, log=tmp_path / "log") as dev:
        dev.wait_for("performs .* from queues default, nobody-serves-this")
        assert cli("submit", "counting:kit", "Elsewhere").returncode == 0


def test_dev_serves_and_performs_new_code_when_it_changes_and_survives_code_that_is_wrong(
    env: dict[str, str], tmp_path: Path
) -> None:
    project, port = tmp_path / "project", free_port()
    project.mkdir()
    write_words(project, "old")
    arguments = ("dev", "words:kit", "--port", str(port), "--public", "--concurrency", "1")
    with processes.running(*arguments, folder=project, env=env, log=tmp_path / "log") as dev:
        dev.wait_for("performs")
        assert processes.jobkit("submit", "words:kit", "Word", folder=project, env=env).stdout == '"old"\n'
        (project / "words.py").write_text("def broken(:")
        dev.wait_for("a change starts it again")
        write_words(project, "new")
        wait_until(
            lambda: processes.jobkit("submit", "words:kit", "Word", folder=project, env=env).stdout == '"new"\n',
            "the new code is performed",
            timeout=40,
        )
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/"), "the web server is back")
        dev.send(signal.SIGINT)
        assert dev.wait() == 0


def write_words(project: Path, word: str) -> None:
    (project / "words.py").write_text(
        "from jobkit import JobKit, Progress, ProgressJob\n"
        "class Word(ProgressJob[str]):\n"
        f"    def perform(self, progress: Progress) -> str: return {word!r}\n"
        "kit = JobKit(jobs=[Word])\n"
    )


def test_dev_ends_with_its_worker(env: dict[str, str], tmp_path: Path) -> None:
    with processes.running("dev", "counting:kit", "--port", "0", folder=PROJECT, env=env, log=tmp_path / "log") as dev:
        dev.wait_for("performs")
        workers = [it for it in psutil.Process(dev.pid).children() if "worker" in it.cmdline()]
        workers[0].send_signal(signal.SIGKILL)
        assert dev.wait() == 1
        assert "the worker process ended with exit code -9; stopping the rest" in dev.output


def test_a_kit_in_place_of_an_app_is_refused_with_advice(cli: Cli) -> None:
    refused = cli("web", "counting:kit", "--app", "counting:kit", "--port", "0")
    assert refused.returncode == 2
    assert "--app counting:kit is no ASGI app but JobKit: name the one that mounts create_app(kit)." in refused.stderr


def state_of(url: str, run_id: str) -> str:
    state: str = httpx.get(f"{url}runs/{run_id}").json()["state"]
    return state


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@contextmanager
def serving(env: dict[str, str], tmp_path: Path, *options: str) -> Iterator[tuple[processes.Process, str]]:
    """`jobkit web` on a free port, and its URL."""
    arguments = ("web", "counting:kit", "--port", "0", *options)
    with processes.running(*arguments, folder=PROJECT, env=env, log=tmp_path / "web.log") as web:
        url = web.wait_for(r"Serving on (\S+)")[1]
        wait_until(lambda: answers(url), "it answers")
        yield web, url


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}health").status_code == 200
    except httpx.TransportError:
        return False
