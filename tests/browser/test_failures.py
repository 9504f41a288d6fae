"""What a person is told when a job fails, and what nobody is told."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.jobs import SECRET
from tests.browser.visitor import Widget

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.conftest import NewVisitor
    from tests.browser.house import House, Job
    from tests.browser.visitor import Visitor

MARKUP = '<img src=x onerror="document.title = 1"><script>document.title = 1</script>&amp; "\'>'
CONTROLS = "red\x1b[31m bell\a null\0 line\nreverse\u202etxt.exe"


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
    widget = visitor.open(house.watch(job, "Says", ending="break"))
    job.end()
    widget.is_in_state("failed")
    widget.says("Something went wrong")
    reference = widget.part("detail").inner_text().removeprefix("Reference: ")
    assert reference in house.worker.text
    assert SECRET in house.worker.text
    for page in (widget.page, _page_of_the_run(widget.page, visitor)):
        expect(page.get_by_text(reference)).to_be_visible()
        expect(page.get_by_text("hunter2")).to_have_count(0)
    for answer in (widget.page.content(), widget.ask(""), widget.ask("/events")):
        assert reference in answer or answer.startswith("<!DOCTYPE html>")
        assert "hunter2" not in answer


def test_markup_in_messages_stays_text(house: House, job: Job, visitor: Visitor) -> None:
    widget = visitor.open(house.watch(job, "Says", message=MARKUP, ending="raise"))
    job.reach(30)
    widget.is_at(30)
    page = _page_of_the_run(widget.page, visitor)
    for watched in (widget, Widget(page)):
        watched.says(MARKUP)
    job.end()
    for watched in (widget, Widget(page)):
        watched.is_in_state("failed")
        watched.says(MARKUP)
    page.reload()
    expect(page.locator("p.message")).to_have_text(MARKUP)
    for shown in (widget.page, page):
        expect(shown.locator("img")).to_have_count(0)
        assert shown.title() != "1"


def test_control_characters_in_messages_are_not_shown(house: House, job: Job, visitor: Visitor) -> None:
    widget = visitor.open(house.watch(job, "Says", message=CONTROLS, ending="raise"))
    job.reach(30)
    widget.is_at(30)
    _is_harmless(widget.part("text"))
    job.end()
    widget.is_in_state("failed")
    _is_harmless(widget.part("text"))
    _is_harmless(_page_of_the_run(widget.page, visitor).locator("p.message"))


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


def _is_harmless(message: Locator) -> None:
    expect(message).to_contain_text("txt.exe")
    text = message.text_content() or ""
    assert [char for char in text if unicodedata.category(char).startswith("C")] == []
    assert {"red", "bell", "null", "line"} <= set(re.findall(r"[a-z]+", text))
