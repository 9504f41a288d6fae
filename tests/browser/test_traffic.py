"""What pages ask the server for: one stream each, and nothing once there is nothing to wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.visitor import Widget
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.browser.conftest import NewVisitor
    from tests.browser.house import House, Job
    from tests.browser.visitor import Visitor

PAGES = 7  # browsers open six connections to a host over HTTP/1.1


@pytest.mark.parametrize("transport", ["sse", "long-poll", "poll"])
def test_nothing_is_asked_for_after_the_end(
    transport: str, house: House, job: Job, new_visitor: NewVisitor
) -> None:
    """Another page polls meanwhile, so that time passes for as long as it takes to ask three times more."""
    polling, ended = new_visitor(), new_visitor()
    widget = ended.open(house.watch(job, transport=transport))
    job.end()
    widget.is_done()
    asked = len(ended.requests)
    other = house.job()
    polling.open(house.watch(other, transport="poll"))
    before = len(polling.requests)
    wait_until(lambda: _pass(polling) and len(polling.requests) >= before + 3, "the other page polls")
    other.end()
    assert ended.requests[asked:] == []


def test_a_page_with_many_runs_has_one_stream(house: House, visitor: Visitor) -> None:
    jobs = [house.job() for _ in range(PAGES)]
    page = visitor.context.new_page()
    page.goto(f"{house.web.url}/many?" + "&".join(f"folder={job}" for job in jobs))
    widgets = [Widget(page, position) for position in range(PAGES)]
    for job in jobs:
        job.end()
    for widget in widgets:
        widget.is_done()
    assert [url for url in visitor.requests if "/events" in url] == [f"{house.web.url}/jobs/events"]


def test_seven_pages_of_one_browser_all_go_on(house: House, visitor: Visitor) -> None:
    jobs = [house.job() for _ in range(PAGES)]
    widgets = [visitor.open(house.watch(job)) for job in jobs]
    own = "async () => (await fetch('/own', {cache: 'no-store'})).text()"
    assert [widget.page.evaluate(own) for widget in widgets] == ["own"] * PAGES
    for job in jobs:
        job.end()
    for widget in widgets:
        widget.is_done()


def _pass(visitor: Visitor) -> bool:
    """Let Playwright hear what happened."""
    visitor.context.pages[0].evaluate("0")
    return True
