"""Something behind an open page goes away and comes back: the page is right again, and nothing is performed twice."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]
import pytest
from playwright.sync_api import expect

from tests.browser.visitor import RIGHT_AGAIN_MS
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.browser.conftest import NewVisitor
    from tests.browser.house import House, Job
    from tests.browser.visitor import Widget
    from tests.servers import Server


@pytest.mark.parametrize(
    ("number", "transport"),
    [(signal.SIGTERM, "sse"), (signal.SIGKILL, "sse"), (signal.SIGKILL, "long-poll")],
    ids=["ended", "killed", "killed-under-polls"],
)
def test_a_page_is_right_again_after_a_restart_of_the_web_server(
    number: signal.Signals, transport: str, own_house: Callable[[str], House], new_visitor: NewVisitor, valkey: Server
) -> None:
    house = own_house(valkey.url)
    job = house.job()
    widget = new_visitor(network_fails=True).open(house.watch(job, transport=transport))
    job.reach(30)
    widget.is_at(30)
    house.web.end(number)
    job.reach(60)
    expect(widget.part("time")).to_have_text("Reconnecting…")
    house.web.start()
    widget.is_at(60, RIGHT_AGAIN_MS)
    expect(widget.part("time")).not_to_have_text("Reconnecting…")
    job.end()
    widget.is_done()
    widget.never_ran_backwards()
    assert widget.result() == {"starts": 1}


def test_a_run_that_ended_while_the_web_server_was_away_is_shown_as_ended(
    own_house: Callable[[str], House], new_visitor: NewVisitor, valkey: Server
) -> None:
    house = own_house(valkey.url)
    job = house.job()
    widget = new_visitor(network_fails=True).open(house.watch(job))
    job.reach(30)
    widget.is_at(30)
    house.web.end(signal.SIGKILL)
    job.end()
    wait_until(lambda: "succeeded after" in house.worker.text, "the run has ended")
    house.web.start()
    widget.is_done(RIGHT_AGAIN_MS)


@pytest.fixture(params=["own_server", "own_redis_server"])
def server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_page_is_right_again_after_a_restart_of_the_store(
    how: str, server: Server, own_house: Callable[[str], House], new_visitor: NewVisitor
) -> None:
    house = own_house(server.tcp_url)
    job = house.job()
    widget = new_visitor(network_fails=True).open(house.watch(job))
    job.reach(30)
    widget.is_at(30)
    getattr(server, how)()
    job.reach(60)
    server.start()
    widget.is_at(60, RIGHT_AGAIN_MS)
    _ends_well(widget, job)


@pytest.fixture
def embedded_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="jobkit-", dir="/tmp") as folder:
        yield Path(folder, ".jobkit")
        wait_until(lambda: not _servers_in(folder), "the embedded server has ended by itself", timeout=20)


def test_a_page_is_right_again_after_a_crash_of_the_embedded_store(
    embedded_home: Path, own_house: Callable[[str], House], new_visitor: NewVisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBKIT_EMBEDDED_LINGER", "0.5")
    house = own_house(f"embedded:{embedded_home}")
    job = house.job()
    widget = new_visitor(network_fails=True).open(house.watch(job))
    job.reach(30)
    widget.is_at(30)
    (server,) = _servers_in(embedded_home)
    server.kill()
    job.reach(60)
    widget.is_at(60, RIGHT_AGAIN_MS)
    _ends_well(widget, job)
    house.close()


def test_a_run_whose_worker_was_killed_starts_again_under_the_page(
    own_house: Callable[[str], House], new_visitor: NewVisitor, valkey: Server
) -> None:
    house = own_house(valkey.url)
    job = house.job()
    widget = new_visitor().open(house.watch(job))
    job.reach(60)
    widget.is_at(60)
    house.worker.send(signal.SIGKILL)
    job.reach(20)
    house.start_worker()
    widget.is_at(20)
    job.end()
    widget.is_done()
    widget.never_ran_backwards()
    assert widget.starts()[-2:] == [1, 2]
    assert widget.result() == {"starts": 2}


def test_a_run_whose_process_was_killed_starts_again_under_the_page(
    own_house: Callable[[str], House], new_visitor: NewVisitor, valkey: Server
) -> None:
    house = own_house(valkey.url)
    job = house.job()
    widget = new_visitor().open(house.watch(job))
    job.reach(60)
    widget.is_at(60)
    psutil.Process(job.starts()[0]).kill()
    job.wait_for_start(2)
    job.end()
    widget.is_done()
    widget.never_ran_backwards()
    assert widget.result() == {"starts": 2}


def test_a_page_that_was_offline_is_right_again_when_it_is_back(
    own_house: Callable[[str], House], new_visitor: NewVisitor, valkey: Server
) -> None:
    """Being offline keeps a browser from connecting; it is the restart that cuts the connection there is."""
    house = own_house(valkey.url)
    job = house.job()
    visitor = new_visitor(network_fails=True)
    widget = visitor.open(house.watch(job))
    job.reach(30)
    widget.is_at(30)
    visitor.context.set_offline(True)
    house.web.end()
    house.web.start()
    job.reach(60)
    expect(widget.part("time")).to_have_text("Reconnecting…")
    widget.is_at(30)
    visitor.context.set_offline(False)
    widget.is_at(60, RIGHT_AGAIN_MS)
    _ends_well(widget, job)


def _ends_well(widget: Widget, job: Job) -> None:
    job.end()
    widget.is_done()
    widget.never_ran_backwards()
    assert widget.starts()[-1] == 1
    assert widget.result() == {"starts": 1}


def _servers_in(folder: Path | str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if "valkey-server" in process.name() and Path(process.cwd()).is_relative_to(Path(folder).resolve()):
                found.append(process)
        except psutil.Error:
            continue
    return found
