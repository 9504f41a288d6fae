"""Who is let in: nobody, unless an access token, an owner's session or the application's own rule says so."""

import logging
import time
from collections.abc import Callable

import httpx
import pytest
from jobkit_web import access_token
from jobkit_web.access import Signer

from jobkit.kit import JobKit
from tests.web.conftest import bearer
from tests.web.performing import Performer, Shared
from tests.web.serving import Thread

UNKNOWN = "0-01JABCDEFGHJKMNPQRSTVWXYZ0"
READS = ["/runs/{id}", "/runs/{id}/events", "/runs/{id}/result"]
ALL = [("GET", path) for path in READS] + [("POST", "/runs/{id}/cancel")]


@pytest.mark.parametrize(("method", "path"), [*ALL, ("POST", "/jobs/web.Report"), ("HEAD", "/runs/{id}/events")])
def test_nobody_is_let_in_without_access(client: httpx.Client, run: Performer, method: str, path: str) -> None:
    response = client.request(method, "/jobs" + path.format(id=run.id))
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ALL)
def test_token_of_another_run_finds_nothing(
    client: httpx.Client, run: Performer, perform: Callable[..., Performer], method: str, path: str
) -> None:
    other = access_token(perform().run)
    wrong = client.request(method, "/jobs" + path.format(id=run.id), headers=bearer(other))
    unknown = client.request(method, "/jobs" + path.format(id=UNKNOWN), headers=bearer(other))
    assert wrong.status_code == unknown.status_code == 404
    assert wrong.content == unknown.content


@pytest.mark.parametrize(("method", "path"), ALL)
def test_strangers_session_cannot_tell_a_run_from_none(
    client: httpx.Client, perform: Callable[..., Performer], method: str, path: str
) -> None:
    anns = perform(owner="ann")
    client.cookies.set("user", "bob")
    wrong = client.request(method, "/users" + path.format(id=anns.id))
    unknown = client.request(method, "/users" + path.format(id=UNKNOWN))
    garbage = client.request(method, "/users" + path.format(id="%00..%20x"))
    assert wrong.status_code == unknown.status_code == garbage.status_code == 404
    assert wrong.content == unknown.content == garbage.content
    assert wrong.headers.keys() == unknown.headers.keys()


def test_owner_reads_and_cancels(client: httpx.Client, perform: Callable[..., Performer]) -> None:
    anns = perform(owner="ann")
    client.cookies.set("user", "ann")
    assert client.get(f"/users/runs/{anns.id}").json()["state"] == "queued"
    assert client.post(f"/users/runs/{anns.id}/cancel").json() == {"stopping": True}
    assert client.get(f"/users/runs/{anns.id}").json()["state"] == "cancelled"


def test_nobody_in_particular_is_asked_to_log_in(client: httpx.Client, perform: Callable[..., Performer]) -> None:
    assert client.get(f"/users/runs/{perform(owner='ann').id}").status_code == 401


def test_expired_token_is_refused(client: httpx.Client, run: Performer, kit: JobKit) -> None:
    signer = Signer(kit.secret(), kit.operations.namespace)
    old = signer.sign(run.id, ["read"], now=time.time() - 61, ttl=60)
    response = client.get(f"/jobs/runs/{run.id}", headers=bearer(old))
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_tampered_token_is_refused(client: httpx.Client, run: Performer) -> None:
    good = access_token(run.run)
    changed = good[:-2] + ("AA" if good[-2:] != "AA" else "BB")
    assert client.get(f"/jobs/runs/{run.id}", headers=bearer(changed)).status_code == 401


def test_token_for_another_audience_is_refused(client: httpx.Client, run: Performer, kit: JobKit) -> None:
    foreign = Signer(kit.secret(), "another-namespace").sign(run.id, ["read"], now=time.time(), ttl=60)
    assert client.get(f"/jobs/runs/{run.id}", headers=bearer(foreign)).status_code == 401


@pytest.mark.parametrize(
    ("granted", "method", "path"),
    [
        ("read", "POST", "/runs/{id}/cancel"),
        ("read", "GET", "/runs/{id}/result"),
        ("result", "GET", "/runs/{id}"),
        ("cancel", "GET", "/runs/{id}/events"),
        ("cancel", "POST", "/runs/{id}/cancel?all=true"),
    ],
)
def test_token_allows_what_it_names_and_no_more(
    client: httpx.Client, run: Performer, granted: str, method: str, path: str
) -> None:
    token = access_token(run.run, [granted])
    assert client.request(method, "/jobs" + path.format(id=run.id), headers=bearer(token)).status_code == 403


def test_rule_of_the_application_decides_action_by_action(client: httpx.Client, run: Performer) -> None:
    may_read = {"x-may": "read"}
    assert client.get(f"/ruled/runs/{run.id}", headers=may_read).status_code == 200
    assert client.get(f"/ruled/runs/{run.id}/result", headers=may_read).status_code == 404
    assert client.post(f"/ruled/runs/{run.id}/cancel", headers=may_read).status_code == 404
    assert client.get(f"/ruled/runs/{run.id}").status_code == 404


def test_session_or_rule_is_enough(client: httpx.Client, perform: Callable[..., Performer]) -> None:
    anns = perform(owner="ann")
    assert client.get(f"/both/runs/{anns.id}", headers={"x-may": "read"}).status_code == 200
    client.cookies.set("user", "ann")
    assert client.get(f"/both/runs/{anns.id}").status_code == 200


def test_bearer_of_the_hosts_own_is_left_to_its_session(
    client: httpx.Client, perform: Callable[..., Performer]
) -> None:
    client.cookies.set("user", "ann")
    response = client.get(f"/users/runs/{perform(owner='ann').id}", headers=bearer("eyJhbGciOiJIUzI1NiJ9.e30.x"))
    assert response.status_code == 200


def test_long_lived_token_does_not_work_in_a_url(client: httpx.Client, run: Performer) -> None:
    assert client.get(f"/jobs/runs/{run.id}?token={access_token(run.run)}").status_code == 401


def test_token_in_a_url_reaches_no_log(run: Performer, web: Thread) -> None:
    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    lines: list[str] = []
    log, handler = logging.getLogger("uvicorn.access"), Kept()
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.INFO)
    try:
        with httpx.Client(base_url=web.url) as fresh:
            assert fresh.get(f"/jobs/runs/{run.id}?a=1&token=jk1.secret").status_code == 401
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    assert lines
    assert "jk1.secret" not in str(lines)
    assert "token=redacted" in str(lines)


def test_header_counts_before_the_url(client: httpx.Client, run: Performer) -> None:
    response = client.get(f"/jobs/runs/{run.id}?token=garbage", headers=bearer(access_token(run.run)))
    assert response.status_code == 200


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://{host}", "Sec-Fetch-Site": "cross-site"},
]
OWN = [
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://{host}"},
    {"Origin": "http://{host}"},
]


def sent(client: httpx.Client, headers: dict[str, str]) -> dict[str, str]:
    host = f"{client.base_url.host}:{client.base_url.port}"
    return {name: value.format(host=host) for name, value in headers.items()}


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("app", ["users", "open"])
def test_foreign_site_cannot_cancel_by_the_visitors_cookie(
    client: httpx.Client, perform: Callable[..., Performer], headers: dict[str, str], app: str
) -> None:
    anns = perform(owner="ann")
    client.cookies.set("user", "ann")
    assert client.post(f"/{app}/runs/{anns.id}/cancel", headers=sent(client, headers)).status_code == 403
    assert anns.run.snapshot().state == "queued"


@pytest.mark.parametrize("headers", FOREIGN)
def test_foreign_site_cannot_submit_by_the_visitors_cookie(client: httpx.Client, headers: dict[str, str]) -> None:
    client.cookies.set("user", "ann")
    assert client.post("/users/jobs/web.Report", json={}, headers=sent(client, headers)).status_code == 403


@pytest.mark.parametrize("headers", OWN)
def test_own_page_and_no_browser_at_all_may(
    client: httpx.Client, perform: Callable[..., Performer], headers: dict[str, str]
) -> None:
    anns = perform(owner="ann")
    client.cookies.set("user", "ann")
    assert client.post("/users/jobs/web.Report", json={}, headers=sent(client, headers)).status_code == 201
    assert client.post(f"/users/runs/{anns.id}/cancel", headers=sent(client, headers)).status_code == 202


@pytest.mark.parametrize("headers", FOREIGN)
def test_token_needs_no_such_check(client: httpx.Client, run: Performer, headers: dict[str, str]) -> None:
    sent_along = {**sent(client, headers), **bearer(access_token(run.run))}
    assert client.post(f"/jobs/runs/{run.id}/cancel", headers=sent_along).status_code == 202


def test_joined_run_is_readable_for_both_owners(client: httpx.Client, kit: JobKit) -> None:
    first = kit.submit(Shared(month="joined"), owner="ann")
    second = kit.submit(Shared(month="joined"), owner="bob")
    assert first.id == second.id
    for user in ("ann", "bob"):
        client.cookies.set("user", user)
        assert client.get(f"/users/runs/{first.id}").status_code == 200
