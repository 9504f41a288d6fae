"""Cancel withdraws one's own interest; the last one to leave stops the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.browser.conftest import NewVisitor
    from tests.browser.house import House, Job
    from tests.browser.visitor import Visitor


def test_a_run_goes_on_for_the_other_when_one_of_two_cancels(house: House, job: Job, new_visitor: NewVisitor) -> None:
    ann, bob = (new_visitor().open(house.watch(job, owner=name)) for name in ("ann", "bob"))
    job.reach(30)
    ann.is_at(30)
    ann.cancel.click()
    ann.is_in_state("left")
    ann.says("You left; it goes on for others")
    expect(ann.cancel).to_be_hidden()
    job.end()
    bob.is_done()
    assert bob.result() == {"starts": 1}


def test_a_run_is_cancelled_when_the_last_one_cancels(house: House, job: Job, new_visitor: NewVisitor) -> None:
    ann, bob = (new_visitor().open(house.watch(job, owner=name)) for name in ("ann", "bob"))
    job.reach(30)
    bob.is_at(30)
    ann.cancel.click()
    ann.is_in_state("left")
    bob.cancel.click()
    bob.is_in_state("cancelled")
    bob.says("Cancelled")
    expect(bob.cancel).to_be_hidden()
    bob.never_ran_backwards()


def test_an_owner_who_reloaded_still_counts_once(house: House, job: Job, visitor: Visitor) -> None:
    widget = visitor.open(house.watch(job, owner="ann"))
    job.reach(30)
    widget.is_at(30)
    widget.page.reload()
    widget.is_at(30)
    widget.cancel.click()
    widget.is_in_state("cancelled")


def test_somebody_without_javascript_can_cancel(house: House, job: Job, new_visitor: NewVisitor) -> None:
    page = new_visitor(script=False).context.new_page()
    page.goto(house.watch(job))
    page.get_by_role("link", name="Show the progress").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading")).to_have_text("Cancelled")
