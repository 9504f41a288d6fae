"""The demo's page and its cookie; pure."""

from html.parser import HTMLParser

import pytest
from jobkit_demo import pages, visits
from jobkit_demo.forms import FORMS
from jobkit_demo.visits import Started

from jobkit import BadArguments, Snapshot, State

SECRET = b"a secret"


def started(number: int = 1, title: str = "Orders") -> Started:
    return Started(run_id=f"0-{number}", job="export", title=title, admission="joined")


class Tags(HTMLParser):
    """All tags of a page, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))


def test_visit_survives_its_cookie() -> None:
    visit = visits.new_visit().having(started())
    assert visits.opened(visits.sealed(visit, SECRET), SECRET) == visit


@pytest.mark.parametrize("cookie", ["", ".", "e30.x", "é.é", "a" * 5000])
def test_cookie_that_is_not_ours_is_none(cookie: str) -> None:
    assert visits.opened(cookie, SECRET) is None


def test_changed_cookie_is_none() -> None:
    payload, _, signature = visits.sealed(visits.new_visit(), SECRET).partition(".")
    assert visits.opened(f"{payload}A.{signature}", SECRET) is None
    assert visits.opened(f"{payload}.{signature}", b"another secret") is None


def test_newest_runs_are_remembered_each_once() -> None:
    visit = visits.new_visit()
    for number in [*range(10), 9, 7]:
        visit = visit.having(started(number))
    assert [run.run_id for run in visit.started] == ["0-7", "0-9", "0-8", "0-6", "0-5", "0-4"]


def test_cookie_of_a_full_visit_fits_into_a_browser() -> None:
    visit = visits.new_visit()
    for number in range(visits.MOST_STARTS):
        visit = visit.having(started(10**25 + number, title="Orders, all regions, 2024-01-01 to 2025-12-31"))
    assert len(visits.sealed(visit, SECRET)) < 3000


def test_every_control_has_a_label_and_nothing_is_inline() -> None:
    tags = Tags(pages.page([], "/demo.css")).found
    labelled = {attributes["for"] for tag, attributes in tags if tag == "label"}
    controls = {attributes["id"] for tag, attributes in tags if tag in ("select", "input")}
    assert labelled == controls
    assert not [tag for tag, attributes in tags if tag in ("style", "script") or "style" in attributes]


def test_texts_from_outside_are_no_markup() -> None:
    evil = started(title="<script>alert(1)</script>")
    snapshot = Snapshot(id="0-1", job="x", state=State.RUNNING, created_at=0, updated_at=0)
    shown = pages.Shown(started=evil, snapshot=snapshot, widget="<job-progress></job-progress>")
    html = pages.page([shown], "/demo.css", problem="<b>no</b>")
    assert "<script>" not in html
    assert "<b>no</b>" not in html
    assert "Joined a run that was under way" in html


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_offers_what_its_job_takes(form: object) -> None:
    for field in form.fields:  # type: ignore[attr-defined]
        for value in [value for value, _ in field.options] if hasattr(field, "options") else [field.value]:
            job = form.read({field.name: value})  # type: ignore[attr-defined]
            assert form.title(job)  # type: ignore[attr-defined]


@pytest.mark.parametrize("sent", [{"width": "1000000"}, {"view": "<b>"}, {"unknown": "1"}])
def test_what_no_form_sends_is_refused(sent: dict[str, str]) -> None:
    with pytest.raises(BadArguments, match="Draw the Mandelbrot set"):
        FORMS["picture"].read(sent)
