"""A real browser, and the processes behind its pages."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.house import House, Job
from tests.browser.visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Playwright

    from tests.servers import Server

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class NewVisitor(Protocol):
    """Makes a visitor; `network_fails` if pages may complain of that, `script=False` for one without JavaScript."""

    def __call__(self, *, network_fails: bool = False, script: bool = True) -> Visitor: ...


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Ends with the module: while it lives, its event loop counts as running in this thread."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright, chromium_path: Path) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=chromium_path, args=_ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture
def new_visitor(browser: Browser) -> Iterator[NewVisitor]:
    """Visitors, whose pages must not have complained by the end of the test."""
    visitors: list[tuple[Visitor, bool]] = []

    def new(*, network_fails: bool = False, script: bool = True) -> Visitor:
        visitor = Visitor(browser.new_context(java_script_enabled=script, locale="en-GB"))
        visitors.append((visitor, network_fails))
        return visitor

    yield new
    troubles = [visitor.troubles(network=network_fails) for visitor, network_fails in visitors]
    for visitor, _ in visitors:
        visitor.context.close()
    assert troubles == [[] for _ in visitors]


@pytest.fixture
def visitor(new_visitor: NewVisitor) -> Visitor:
    return new_visitor()


@pytest.fixture(scope="session")
def shared_house(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(valkey.url, f"test-{uuid4().hex[:12]}", tmp_path_factory.mktemp("house"))
    yield house.open()
    house.close()


@pytest.fixture
def house(shared_house: House) -> Iterator[House]:
    """Shared by all tests that break nothing in it."""
    yield shared_house
    shared_house.end_jobs()


@pytest.fixture
def own_house(namespace: str) -> Iterator[Callable[[str], House]]:
    """A house over a store of this URL, for tests that break something in it."""
    with ExitStack() as ending:

        def build(store_url: str) -> House:
            folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="jobkit-", dir="/tmp"))
            house = House(store_url, namespace, Path(folder))
            ending.callback(house.close)
            return house.open()

        yield build


@pytest.fixture
def job(house: House) -> Job:
    """A job of the shared house."""
    return house.job()
