"""What a person is told when a job fails, and what nobody is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.jobs import SECRET

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.conftest import NewVisitor
    from tests.browser.house import House, Job
    from tests.browser.visitor import Visitor

MARKUP = '<img src=x onerror="document.title = 1"><script>document.title = 1</script>&amp; "\'>'
CONTROLS = "red \x1b[31m bell \a null \0 end\u202etxt.exe"


def test_a_public_error_is_told_in_the_words_of_the_job(house: House, job: Job, visitor: Visitor) -> None:
    widget = visitor.open(house.watch(job, "Says", message="There is no month 13.", ending="raise"))
    job.reach(60)
    widget.is_at(60)
    job.end()
    widget.is_in_state("failed")
    widget.says("There is no month 13.")
    expect(widget.cancel).to_be_hidden()
    widget.never_ran_backwards()


def test_an_unexpected_error_is_told_as_a_reference_only(house: House, job: Job, visitor: Visitor) -> None:
    address = house.watch(job, "Says", ending="break")
    widget = visitor.open(address)
    job.end()
    widget.is_in_state("failed")
    widget.says("Something went wrong")
    widget.says("Reference: ")
    reference = widget.part("detail").inner_text().removeprefix("Reference: ")
    assert reference in house.worker.text
    assert SECRET in house.worker.text
    for page in (widget.page, _page_of_the_run(widget.page, visitor)):
        assert SECRET not in page.content()
        expect(page.get_by_text(reference)).to_be_visible()
        expect(page.get_by_text("hunter2")).to_have_count(0)
    received = visitor.received()
    assert "event: end" in received  # the stream's body is among them
    assert reference in received
    assert "hunter2" not in received


@pytest.mark.parametrize("message", [MARKUP, CONTROLS], ids=["markup", "controls"])
def test_messages_stay_text(message: str, house: House, job: Job, visitor: Visitor) -> None:
    widget = visitor.open(house.watch(job, "Says", message=message, ending="raise"))
    shown = " ".join(message.split())
    job.reach(30)
    widget.is_at(30)
    page = _page_of_the_run(widget.page, visitor)
    for text in (widget.part("text"), page.locator("job-progress [part=text]")):
        _shows(text, shown)
    job.end()
    widget.is_in_state("failed")
    expect(page.get_by_role("heading")).to_have_text("Failed")
    _shows(widget.part("text"), shown)
    page.reload()
    _shows(page.locator("p.message"), shown)
    for shown_page in (widget.page, page):
        expect(shown_page.locator("img")).to_have_count(0)
        assert shown_page.title() != "1"


def test_messages_stay_text_without_javascript(house: House, job: Job, new_visitor: NewVisitor) -> None:
    page = new_visitor(script=False).context.new_page()
    page.goto(house.watch(job, "Says", message=MARKUP, ending="return"))
    page.get_by_role("link", name="Show the progress").click()
    job.reach(30)
    expect(page.locator("p.message")).to_contain_text(MARKUP)
    job.end()
    expect(page.get_by_role("heading")).to_have_text("Done")
    expect(page.locator("pre")).to_contain_text("<img src=x")
    expect(page.locator("img")).to_have_count(0)


def _page_of_the_run(page: Page, visitor: Visitor) -> Page:
    """Where the widget's link for pages without JavaScript leads."""
    address = page.locator("job-progress > a:not([slot])").evaluate("(link) => link.href")
    own = visitor.context.new_page()
    own.goto(address)
    return own


def _shows(text: Locator, message: str) -> None:
    expect(text).to_contain_text(message)
