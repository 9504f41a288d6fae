"""`jobkit demo`, as somebody sees it who tries it out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator, Page

    from tests.browser.conftest import NewVisitor
    from tests.browser.visitor import Visitor
    from tests.servers import Server

A_WHILE_MS = 60_000  # on a busy machine


@pytest.fixture(scope="module")
def demo(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address; the shop is made anew."""
    folder = tmp_path_factory.mktemp("demo")
    environment = processes.environment(
        JOBKIT_URL=valkey.url,
        JOBKIT_NAMESPACE=f"test-{uuid4().hex[:12]}",
        JOBKIT_FILES=f"{folder / 'files'}",
        XDG_CACHE_HOME=f"{folder / 'cache'}",
    )
    with processes.running("demo", "--port", "0", folder=folder, env=environment, log=folder / "log") as process:
        yield process.wait_for(r"http://[\w.:]+/")[0]


def test_every_job_of_the_demo_comes_to_its_end(demo: str, visitor: Visitor) -> None:
    page = _open(demo, visitor)
    page.get_by_label("Size").select_option("640")
    for button in ("Draw", "Export", "Count", "Sign"):
        _press(page, button)
    _is(_run(page, "Invoices"), "failed")
    expect(_run(page, "Invoices").locator("[part=message]")).to_contain_text("has no VAT number")
    for title in ("words", "640 by 480", "Orders"):
        _is(_run(page, title), "succeeded")
    expect(_run(page, "words").get_by_role("row")).to_have_count(13)
    picture = _run(page, "640 by 480").get_by_role("img")
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("naturalWidth", 640)
    with page.expect_download() as download:
        _run(page, "Orders").get_by_role("link", name="Download").click()
    assert re.fullmatch(r"orders-europe-.*\.csv", download.value.suggested_filename)
    assert len(download.value.path().read_text().splitlines()) > 100_000


def test_two_visitors_of_the_demo_share_a_run_until_the_last_one_cancels(demo: str, new_visitor: NewVisitor) -> None:
    ann, bob = (_open(demo, new_visitor()) for _ in range(2))
    for page, admission in ((ann, "New run"), (bob, "Joined a run that was under way")):
        page.get_by_label("Size").select_option("1600")
        _press(page, "Draw")
        expect(_run(page, "1600 by 1200").get_by_text(admission)).to_be_visible()
    for page, state in ((ann, "left"), (bob, "cancelled")):
        page.get_by_role("button", name="Cancel", exact=True).click()
        _is(_run(page, "1600 by 1200"), state)


def test_a_request_repeated_in_the_demo_is_answered_from_memory(demo: str, new_visitor: NewVisitor) -> None:
    for admission in ("New run", "Answered from memory"):
        page = _open(demo, new_visitor())
        page.get_by_label("Part").select_option("whole")
        page.get_by_label("Size").select_option("640")
        _press(page, "Draw")
        _is(_run(page, "The whole set"), "succeeded")
        expect(_run(page, "The whole set").get_by_text(admission)).to_be_visible()
        expect(page.get_by_role("img", name="The whole set")).to_be_visible()


def test_an_unforeseen_failure_in_the_demo_is_told_as_a_reference_only(demo: str, visitor: Visitor) -> None:
    page = _open(demo, visitor)
    page.get_by_label("Problem").select_option("unforeseen")
    _press(page, "Sign")
    _is(_run(page, "Invoices"), "failed")
    expect(_run(page, "Invoices").locator("[part=message]")).to_contain_text("Reference: ")
    assert "division" not in page.content()
    expect(page.get_by_text("division")).to_have_count(0)


def _open(demo: str, visitor: Visitor) -> Page:
    page = visitor.context.new_page()
    page.goto(demo)
    return page


def _press(page: Page, button: str) -> None:
    """It leads to the page again, with one more run."""
    runs = page.get_by_role("article").count()
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_role("article")).to_have_count(runs + 1)


def _run(page: Page, title: str) -> Locator:
    return page.get_by_role("article").filter(has=page.get_by_role("heading", name=title))


def _is(run: Locator, state: str) -> None:
    expect(run.locator("job-progress")).to_have_attribute("state", state, timeout=A_WHILE_MS)
