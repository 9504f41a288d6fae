"""Refusals: wrong paths, methods, types and sizes; always a problem that says what is wrong and leaks nothing."""

import httpx
import pytest
from jobkit_web import create_app

from tests.web.performing import Performer
from tests.web.serving import served

JSON = {"Content-Type": "application/json"}


def is_problem(response: httpx.Response, status: int) -> bool:
    body = response.json()
    return (
        response.status_code == body["status"] == status
        and response.headers["content-type"] == "application/problem+json"
        and body.keys() == {"type", "title", "status", "detail"}
    )


@pytest.mark.parametrize("path", ["/", "/nothing", "/runs/", "/runs/x/y", "/jobs", "/static/x/define.js", "/health/"])
def test_what_is_not_there_is_a_problem(client: httpx.Client, path: str) -> None:
    assert is_problem(client.get("/jobs" + path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/runs/x/cancel", {"POST"}),
        ("POST", "/runs/x", {"GET", "HEAD"}),
        ("DELETE", "/runs/x", {"GET", "HEAD"}),
        ("PUT", "/events", {"GET", "HEAD", "POST"}),
        ("POST", "/runs/x/events", {"GET", "HEAD"}),
        ("GET", "/jobs/web.Report", {"POST"}),
    ],
)
def test_wrong_method_is_told_the_right_ones(client: httpx.Client, method: str, path: str, allowed: set[str]) -> None:
    response = client.request(method, "/open" + path)
    assert is_problem(response, 405)
    assert set(response.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/jobs/web.Report", "/events"])
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"])
def test_other_media_types_are_refused(client: httpx.Client, path: str, media_type: str) -> None:
    assert is_problem(client.post("/open" + path, content=b"{}", headers={"Content-Type": media_type}), 415)


@pytest.mark.parametrize("path", ["/jobs/web.Report", "/events", "/runs/x/cancel"])
def test_oversized_body_is_refused_unread(client: httpx.Client, path: str) -> None:
    assert is_problem(client.post("/open" + path, content=b'"' + b"x" * 2_000_000, headers=JSON), 413)


def test_oversized_body_without_a_length_is_refused_too(client: httpx.Client) -> None:
    def endless() -> object:
        for _ in range(40):
            yield b"x" * 65_536

    response = client.post("/open/jobs/web.Report", content=endless(), headers=JSON)  # type: ignore[arg-type]
    assert is_problem(response, 413)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"runs": []}', b'{"runs": [{"id": 1}]}', b'{"runs": "x"}'])
def test_selection_that_names_no_runs_is_refused(client: httpx.Client, body: bytes) -> None:
    assert is_problem(client.post("/open/events", content=body, headers=JSON), 422)


def test_person_is_shown_a_page_instead(client: httpx.Client) -> None:
    response = client.get("/jobs/nothing", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "<h1>Not Found</h1>" in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/runs/x", "/health", "/nothing", "/events"])
def test_every_answer_bears_the_security_headers(client: httpx.Client, path: str) -> None:
    headers = client.get("/jobs" + path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]


def test_error_of_the_applications_own_rule_leaks_nothing(run: Performer) -> None:
    def broken(*_: object) -> bool:
        raise RuntimeError("the password is hunter2")

    with served(create_app(run.kit, authorize=broken), run.kit) as web:
        response = httpx.get(f"{web.url}/runs/{run.id}")
    assert is_problem(response, 500)
    assert "hunter2" not in response.text
