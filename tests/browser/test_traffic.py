"""What pages ask the server for: one stream each, and nothing once there is nothing to wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.visitor import Widget

if TYPE_CHECKING:
    from tests.browser.conftest import NewVisitor
    from tests.browser.house import House, Job
    from tests.browser.visitor import Visitor

PAGES = 7  # browsers open six connections to a host over HTTP/1.1


def test_nothing_is_asked_for_after_the_end(house: House, job: Job, new_visitor: NewVisitor) -> None:
    """Another page polls meanwhile, so that time passes for as long as it takes to ask three times more."""
    polling, ended = new_visitor(), new_visitor()
    widgets = [ended.open(house.watch(job, transport=transport)) for transport in ("sse", "long-poll", "poll")]
    job.end()
    for widget in widgets:
        widget.is_done()
    asked = len(ended.requests)
    other = house.job()
    page = polling.open(house.watch(other, transport="poll")).page
    for _ in range(3):
        with page.expect_request("**/runs/*"):
            pass
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
    visitor.context.set_default_navigation_timeout(5000)
    jobs = [house.job() for _ in range(PAGES)]
    widgets = [visitor.open(house.watch(job)) for job in jobs]
    own = "async () => (await fetch('/own', { cache: 'no-store', signal: AbortSignal.timeout(5000) })).text()"
    assert [widget.page.evaluate(own) for widget in widgets] == ["own"] * PAGES
    for job in jobs:
        job.end()
    for widget in widgets:
        widget.is_done()
