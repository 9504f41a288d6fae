"""The markup for pages and the answer to forms: safe whatever is put in, and enough by itself."""

import base64
import hashlib
import re
import socket
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from jobkit_web import accepted, access_token, create_app, widget
from jobkit_web.access import URL_TTL, Signer

from jobkit.kit import JobKit
from tests.web.conftest import bearer
from tests.web.performing import Performer

HOSTILE = '"><script>alert(1)</script><x y="'


class Tags(HTMLParser):
    """The tags of some markup, in order."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def no_network(run: Performer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be sent any more, now that the run is submitted."""
    assert run.id

    def refuse(*_: object) -> None:
        raise AssertionError("this must not do I/O")

    monkeypatch.setattr(socket.socket, "sendall", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_widget_is_all_a_page_needs(run: Performer) -> None:
    tags = Tags(widget(run.run, then="reload"))
    (script,) = tags.named("script")
    assert script["type"] == "module"
    assert str(script["integrity"]).startswith("sha384-")
    (element,) = tags.named("job-progress")
    assert element.keys() == {"run", "endpoint", "token", "then", "cancellable"}
    assert (element["run"], element["endpoint"], element["then"]) == (run.id, "/jobs", "reload")
    (link,) = tags.named("a")
    assert str(link["href"]).startswith(f"/jobs/runs/{run.id}?token=")


def test_widget_offers_the_result_as_a_download_when_it_is_told_to(run: Performer) -> None:
    _, link = Tags(widget(run.run, download="Download the CSV")).named("a")
    assert link["slot"] == "success"
    assert "download" in link
    assert "href" not in link


@pytest.mark.usefixtures("no_network")
def test_widget_does_no_io(run: Performer) -> None:
    assert widget(run.run)


def test_widget_of_a_page_works(client: httpx.Client) -> None:
    markup = client.get("/page").text
    (element,) = Tags(markup).named("job-progress")
    assert client.get(f"/jobs/runs/{element['run']}", headers=bearer(str(element["token"]))).status_code == 200
    (link,) = Tags(markup).named("a")
    assert "<progress" in client.get(str(link["href"]), headers={"Accept": "text/html"}).text


def test_every_script_is_there_and_is_what_its_integrity_says(client: httpx.Client, run: Performer) -> None:
    tags = Tags(widget(run.run))
    addresses = [(tag["href"], tag["integrity"]) for tag in tags.named("link")]
    addresses += [(tag["src"], tag["integrity"]) for tag in tags.named("script")]
    assert len(addresses) > 1
    for address, integrity in addresses:
        response = client.get(str(address))
        digest = base64.b64encode(hashlib.sha384(response.content).digest()).decode()
        assert integrity == f"sha384-{digest}"
        assert response.headers["content-type"].startswith("text/javascript")
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_every_import_is_preloaded_from_the_same_version(client: httpx.Client, run: Performer) -> None:
    tags = Tags(widget(run.run))
    addresses = {str(tag["href"]) for tag in tags.named("link")} | {str(tag["src"]) for tag in tags.named("script")}
    for address in addresses:
        folder = address.rpartition("/")[0]
        for module in re.findall(r"""from ["']\./([\w.-]+)["']""", client.get(address).text):
            assert f"{folder}/{module}" in addresses


@pytest.mark.parametrize(
    "path", ["/static/0000000000000000/define.js", "/static/x/../app.py", "/static/x/%2e%2e/app.py"]
)
def test_no_other_file_is_served(client: httpx.Client, path: str) -> None:
    assert client.get("/jobs" + path).status_code == 404


def test_hostile_values_stay_values(run: Performer) -> None:
    markup = widget(run.run, then=HOSTILE, nonce=HOSTILE, label=HOSTILE, download=HOSTILE)
    assert [tag for tag, _ in Tags(markup).found if tag not in ("link", "script", "job-progress", "a")] == []
    assert len(Tags(markup).named("script")) == 1
    (element,) = Tags(markup).named("job-progress")
    assert element["then"] == element["label"] == HOSTILE


@pytest.mark.parametrize(
    "endpoint",
    [HOSTILE, "javascript:alert(1)", "//evil.example", "/\\evil", "jobs", "data:x", "/a b", "/a'b", " /jobs"],
)
def test_endpoint_that_is_no_path_is_refused(run: Performer, endpoint: str) -> None:
    with pytest.raises(ValueError, match="give the path the app is mounted at"):
        widget(run.run, endpoint=endpoint)
    with pytest.raises(ValueError, match="give the path the app is mounted at"):
        accepted(run.run, endpoint=endpoint)


@pytest.mark.parametrize("endpoint", ["", "/", "/jobs/", "/a/b", "https://jobs.example/x"])
def test_endpoint_is_where_the_app_is_mounted(run: Performer, endpoint: str) -> None:
    (link,) = Tags(widget(run.run, endpoint=endpoint)).named("a")
    assert str(link["href"]).startswith(f"{endpoint.rstrip('/')}/runs/{run.id}")


def test_nonce_is_on_every_tag_that_loads_code(run: Performer) -> None:
    tags = Tags(widget(run.run, nonce="abc"))
    assert {tag.get("nonce") for tag in tags.named("script") + tags.named("link")} == {"abc"}


def test_widget_that_cannot_cancel_grants_no_cancel(client: httpx.Client, run: Performer) -> None:
    (element,) = Tags(widget(run.run, cancellable=False)).named("job-progress")
    assert "cancellable" not in element
    response = client.post(f"/jobs/runs/{run.id}/cancel", headers=bearer(str(element["token"])))
    assert response.status_code == 403


def test_token_lives_as_long_as_it_is_told(run: Performer, kit: JobKit) -> None:
    signer = Signer(kit.secret(), kit.operations.namespace)
    for ttl in (90, timedelta(seconds=90)):
        assert signer.read(access_token(run.run, ["read"], ttl=ttl), now=0).ttl == 90


@pytest.mark.parametrize("use", [widget, accepted, access_token])
def test_what_is_no_run_is_refused_with_advice(use: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"'0-01J' is no run: give what kit\.submit\(job\) answers, or kit\.run\(id\)"):
        use("0-01J")


def test_what_is_no_endpoint_is_refused_and_any_label_is_shown(run: Performer) -> None:
    with pytest.raises(ValueError, match="endpoint=5"):
        widget(run.run, 5)  # type: ignore[arg-type]
    (element,) = Tags(widget(run.run, label=3)).named("job-progress")  # type: ignore[arg-type]
    assert element["label"] == "3"


@pytest.mark.parametrize(("kit", "what"), [(JobKit, "the class JobKit"), ("app:kit", "str")])
def test_an_app_is_made_of_a_kit(kit: Any, what: str) -> None:
    with pytest.raises(TypeError, match=f"create_app takes a kit, not {what}"):
        create_app(kit)


def test_link_of_the_widget_lives_shortly(run: Performer, kit: JobKit) -> None:
    (link,) = Tags(widget(run.run)).named("a")
    token = unescape(str(link["href"])).partition("?token=")[2]
    assert Signer(kit.secret(), kit.operations.namespace).read(token, now=0, from_url=True).ttl == URL_TTL


def test_script_that_sends_a_form_is_told_where_the_run_is(client: httpx.Client) -> None:
    response = client.post("/form", headers={"Sec-Fetch-Mode": "cors", "Accept": "*/*"})
    assert response.status_code == 202
    run_id = response.json()["id"]
    assert response.headers["location"] == f"/jobs/runs/{run_id}"
    token = response.headers["job-access-token"]
    assert client.get(response.headers["location"], headers=bearer(token)).json()["id"] == run_id


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Mode": "navigate"}, {"Accept": "text/html,*/*;q=0.8"}])
def test_browser_that_sends_a_plain_form_goes_to_the_runs_page(client: httpx.Client, headers: dict[str, str]) -> None:
    response = client.post("/form", headers=headers)
    assert response.status_code == 303
    page = client.get(response.headers["location"], headers={"Accept": "text/html"})
    assert "<h1>Waiting</h1>" in page.text


def test_handle_made_from_an_id_makes_a_token_without_an_interest(run: Performer, kit: JobKit) -> None:
    token = access_token(kit.run(run.id))
    assert Signer(kit.secret(), kit.operations.namespace).read(token, now=0).interest == ""
