"""The pages for people: they work without JavaScript, show foreign text as text, and obey a strict policy."""

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import httpx
import pytest
from jobkit_web import access_token, widget

from jobkit import JobKit
from jobkit.files import File
from jobkit.snapshot import ProgressView, StageView
from jobkit.store.operations import Mark
from tests.web.performing import Performer, Public, Stubborn
from tests.web.test_markup import Tags

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x00\x1b[31m\u202eevil\u2066"


def page_of(client: httpx.Client, run: Performer, app: str = "open") -> str:
    response = client.get(f"/{app}/runs/{run.id}", headers=HTML)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return response.text


def test_page_of_a_waiting_run_says_where_it_stands(client: httpx.Client, run: Performer) -> None:
    page = page_of(client, run)
    assert "<h1>Waiting</h1>" in page
    assert "No worker serves this queue" in page


def test_page_of_a_running_run_shows_how_far_it_is(client: httpx.Client, run: Performer) -> None:
    run.report(done=25, message="Reading orders")
    page = page_of(client, run)
    assert '<progress aria-label="Progress" value="0.2500">' in page
    assert "Reading orders" in page
    assert "25 %" in page


def test_page_of_a_run_in_trouble_says_so(client: httpx.Client, run: Performer) -> None:
    run.report(done=25)
    assert "No progress" not in page_of(client, run)
    run.mark(Mark.STALLED)
    assert "No progress for a while." in page_of(client, run)
    run.run.cancel(force=True)
    assert "It was told to stop." in page_of(client, run)
    run.mark(Mark.KILLING)
    assert "It does not stop, so it is killed." in page_of(client, run)


@pytest.mark.parametrize(("public", "told"), [(True, "The bank is closed."), (False, "Something went wrong")])
def test_page_of_a_run_between_attempts_says_which_comes_when_and_why_the_last_one_failed(
    client: httpx.Client, kit: JobKit, public: bool, told: str
) -> None:
    run = Performer(kit, Stubborn())
    run.report(done=25, message="Reading orders")
    run.fail("The bank is closed.", public=public, retry_after=90.0)
    page = page_of(client, run)
    assert re.search(r"Attempt 2 of 5 in (90|89|88) s", page)
    assert told in page
    assert "Reading orders" not in page
    assert "<dt>Attempt</dt><dd>2 of 5</dd>" in page


def test_page_of_a_scheduled_run_says_when_it_starts(client: httpx.Client, kit: JobKit) -> None:
    for after, told in ((1200, "Starts in 20 min"), (7200, 'Starts at <time datetime="20')):
        scheduled = kit.submit(Stubborn(), after=after)
        assert told in client.get(f"/open/runs/{scheduled.id}", headers=HTML).text
        scheduled.cancel()


def test_unknown_total_is_never_shown_as_a_share(client: httpx.Client, run: Performer) -> None:
    run.report(done=25, total=None)
    page = page_of(client, run)
    assert '<progress aria-label="Progress">' in page
    assert "%" not in page.partition("<main")[2]


def test_page_comes_again_by_itself_until_the_run_has_ended(client: httpx.Client, run: Performer) -> None:
    assert f'<noscript><meta http-equiv="refresh" content="2;url=/open/runs/{run.id}">' in page_of(client, run)
    run.succeed()
    assert "refresh" not in page_of(client, run)


def test_plain_reader_with_a_token_follows_the_run_to_its_result(client: httpx.Client, run: Performer) -> None:
    """Each page brings the token for the next, and the form one for Cancel."""
    url = f"/jobs/runs/{run.id}?token={url_token(run)}"
    for done in range(3):
        run.report(done=done)
        page = client.get(url, headers=HTML).text
        url = re.findall(r'content="2;url=([^"]+)"', page)[0]
    run.succeed("x" * 20_000)
    page = client.get(url, headers=HTML).text
    assert client.get(str(Tags(page).named("a")[0]["href"])).json() == "x" * 20_000


def url_token(run: Performer) -> str:
    return str(Tags(widget(run.run)).named("a")[0]["href"]).partition("token=")[2]


def test_cancel_form_of_the_page_cancels(client: httpx.Client, run: Performer) -> None:
    page = client.get(f"/jobs/runs/{run.id}?token={url_token(run)}", headers=HTML).text
    (form,) = Tags(page).named("form")
    (field,) = Tags(page).named("input")
    response = client.post(str(form["action"]), data={"token": field["value"]}, follow_redirects=False)
    assert response.status_code == 303
    assert "<h1>Cancelled</h1>" in client.get(response.headers["location"], headers=HTML).text


def test_page_of_a_session_cancels_by_its_cookie(client: httpx.Client, perform: Callable[..., Performer]) -> None:
    run = perform(owner="ann")
    client.cookies.set("user", "ann")
    (form,) = Tags(page_of(client, run, "users")).named("form")
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    response = client.post(str(form["action"]), content="", headers=headers)
    assert (response.status_code, response.headers["location"]) == (303, f"/users/runs/{run.id}")


def test_reader_who_may_not_cancel_sees_no_form(client: httpx.Client, run: Performer) -> None:
    token = access_token(run.run, ["read"])
    page = client.get(f"/jobs/runs/{run.id}", headers={**HTML, "Authorization": f"Bearer {token}"}).text
    assert Tags(page).named("form") == []
    assert "cancellable" not in Tags(page).named("job-progress")[0]


@pytest.mark.parametrize("state", ["running", "failed", "succeeded"])
def test_foreign_text_is_shown_as_text(client: httpx.Client, perform: Callable[..., Performer], state: str) -> None:
    run = perform(Public())
    run.report(message=HOSTILE)
    if state == "failed":
        run.fail(HOSTILE, public=True)
    if state == "succeeded":
        run.succeed({HOSTILE: [HOSTILE]})
    page = page_of(client, run)
    assert {tag for tag, _ in Tags(page).found}.isdisjoint({"img", "x"})
    assert all("src" in script for script in Tags(page).named("script"))
    assert "&lt;script&gt;" in page
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e\u2066]", page)


def test_failure_is_told_decently(client: httpx.Client, run: Performer) -> None:
    run.fail("the password is hunter2")
    page = page_of(client, run)
    assert "<h1>Failed</h1>" in page
    assert "hunter2" not in page
    assert "Reference: <code>" in page


def test_picture_is_shown_and_any_file_can_be_downloaded(client: httpx.Client, run: Performer, tmp_path: Path) -> None:
    path = tmp_path / "a <b>.png"
    path.write_bytes(b"\x89PNG")
    run.succeed_with_file(File(path))
    page = page_of(client, run)
    (picture,) = Tags(page).named("img")
    assert client.get(str(picture["src"])).content == b"\x89PNG"
    (link,) = Tags(page).named("a")
    assert link["download"] == "a <b>.png"


def test_files_within_a_result_have_links_and_are_named_in_the_value(
    client: httpx.Client, run: Performer, tmp_path: Path
) -> None:
    for name in ("a.png", "b.csv"):
        (tmp_path / name).write_bytes(b"it is " + name.encode())
    run.succeed_with_files({"all": [File(tmp_path / "a.png"), File(tmp_path / "b.csv")], "rows": 3})
    page = client.get(f"/jobs/runs/{run.id}?token={url_token(run)}", headers=HTML).text
    assert [client.get(str(link["href"])).content for link in Tags(page).named("a")] == [b"it is a.png", b"it is b.csv"]
    assert [link["download"] for link in Tags(page).named("a")] == ["a.png", "b.csv"]
    assert [picture["alt"] for picture in Tags(page).named("img")] == ["a.png"]
    value = unescape(page.partition("<pre")[2].partition(">")[2].partition("</pre>")[0])
    assert json.loads(value) == {"all": ["a.png", "b.csv"], "rows": 3}


def test_a_value_that_only_looks_like_a_file_gets_no_link(client: httpx.Client, run: Performer) -> None:
    run.succeed({"name": "x", "media_type": "text/html", "size": 1, "url": "javascript:alert(1)"})
    page = page_of(client, run)
    assert Tags(page).named("a") == []
    assert "javascript:alert(1)" in page.partition("<pre")[2]


def test_page_of_a_run_in_stages_counts_the_one_under_way(client: httpx.Client, run: Performer) -> None:
    stage = StageView(name="read", done=6990, total=15190, fraction=0.46)
    run.report_view(ProgressView(done=7002, unit="files", stages=(stage,)))
    assert "6,990 of 15,190 files" in page_of(client, run)


def test_pages_hold_nothing_that_their_own_policy_forbids(client: httpx.Client, run: Performer) -> None:
    response = client.get(f"/open/runs/{run.id}", headers=HTML)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag, attributes in Tags(response.text).found:
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        assert tag != "style"
    assert all("integrity" in tag for tag in Tags(response.text).named("script"))
    assert response.headers["cache-control"] == "no-store"


def test_style_sheet_is_served(client: httpx.Client, run: Performer) -> None:
    sheet = next(tag for tag in Tags(page_of(client, run)).named("link") if tag["rel"] == "stylesheet")
    response = client.get(str(sheet["href"]))
    assert response.headers["content-type"].startswith("text/css")


def test_json_is_preferred_by_whoever_prefers_it(client: httpx.Client, run: Performer) -> None:
    for accept in ("*/*", "application/json", "application/json, text/html"):
        response = client.get(f"/open/runs/{run.id}", headers={"Accept": accept})
        assert response.headers["content-type"] == "application/json"
