"""Somebody starts a job and watches it in a browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.visitor import Widget, accessible

if TYPE_CHECKING:
    from tests.browser.conftest import NewVisitor
    from tests.browser.house import House, Job
    from tests.browser.visitor import Visitor


def test_a_job_is_watched_from_its_start_to_its_end(house: House, job: Job, visitor: Visitor) -> None:
    widget = visitor.open(house.watch(job))
    for percent in (20, 55, 90):
        job.reach(percent)
        widget.is_at(percent)
        widget.says("Counting")
        widget.says(f"{percent} of 100 steps")
    job.end()
    widget.is_done()
    assert widget.result() == {"starts": 1}
    widget.never_ran_backwards()


def test_a_result_that_is_a_file_is_downloaded_under_its_name(house: House, job: Job, visitor: Visitor) -> None:
    widget = visitor.open(house.watch(job, "MakesFile"))
    job.end()
    widget.is_done()
    with widget.page.expect_download() as download:
        widget.download.click()
    assert download.value.suggested_filename == "report-2026.csv"
    assert download.value.path().read_text() == "sku,amount\nA-1,3\n"


def test_a_reload_in_the_middle_goes_on_where_the_run_is(house: House, job: Job, visitor: Visitor) -> None:
    widget = visitor.open(house.watch(job))
    job.reach(40)
    widget.is_at(40)
    widget.page.reload()
    widget.is_at(40)
    job.end()
    widget.is_done()
    assert widget.result() == {"starts": 1}


def test_a_reload_after_the_end_shows_the_same_result(house: House, job: Job, visitor: Visitor) -> None:
    widget = visitor.open(house.watch(job))
    job.end()
    widget.is_done()
    widget.page.reload()
    widget.is_done()
    assert widget.result() == {"starts": 1}


def test_two_tabs_with_the_same_request_watch_one_run(house: House, job: Job, visitor: Visitor) -> None:
    tabs = [visitor.open(house.watch(job)) for _ in range(2)]
    job.reach(30)
    for tab in tabs:
        tab.is_at(30)
    job.end()
    for tab in tabs:
        tab.is_done()
        tab.never_ran_backwards()
    assert [tab.result() for tab in tabs] == [{"starts": 1}] * 2
    assert len({tab.seen()[0]["id"] for tab in tabs}) == 1


def test_a_form_leads_to_the_page_of_the_run_and_that_to_its_result(house: House, job: Job, visitor: Visitor) -> None:
    page = visitor.context.new_page()
    page.goto(f"{house.web.url}/form")
    page.get_by_label("Folder").fill(str(job))
    page.get_by_role("button", name="Start").click()
    job.reach(30)
    Widget(page).is_at(30)
    expect(page.get_by_role("heading")).to_have_text("In progress")
    job.end()
    expect(page.get_by_role("heading")).to_have_text("Done")
    expect(page.locator("pre")).to_have_text('{\n  "starts": 1\n}')


def test_assistive_technology_is_told_of_a_running_run(house: House, job: Job, visitor: Visitor) -> None:
    widget = visitor.open(house.watch(job))
    job.reach(10)
    widget.is_at(10)
    job.reach(40)
    widget.is_at(40)
    said = accessible(widget.page)
    assert re.fullmatch("Progress: (2[5-9]|3.|40)%", said.pop("status")), "a quarter is news"
    assert said == {"group": "Progress", "progressbar": "Progress, 0.4", "button": "Cancel"}


def test_assistive_technology_is_told_of_an_ended_run(house: House, job: Job, visitor: Visitor) -> None:
    widget = visitor.open(house.watch(job))
    job.end()
    widget.is_done()
    assert accessible(widget.page) == {
        "group": "Progress",
        "progressbar": "Progress, 1",
        "link": "Download the result",
        "status": "Progress: Done",
    }


def test_somebody_without_javascript_reaches_the_result(house: House, job: Job, new_visitor: NewVisitor) -> None:
    page = new_visitor(script=False).context.new_page()
    page.goto(house.watch(job))
    page.get_by_role("link", name="Show the progress").click()
    job.reach(40)
    expect(page.get_by_role("progressbar")).to_have_js_property("value", 0.4)
    job.end()
    expect(page.get_by_role("heading")).to_have_text("Done")
    expect(page.locator("pre")).to_have_text('{\n  "starts": 1\n}')
