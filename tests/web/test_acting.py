"""Cancelling and submitting over HTTP."""

from collections.abc import Callable

import httpx
import pytest
from jobkit_web import access_token

from jobkit.kit import JobKit
from tests.web.conftest import bearer
from tests.web.performing import Performer, Shared


def test_only_holder_of_an_interest_stops_the_run(client: httpx.Client, run: Performer) -> None:
    headers = bearer(access_token(run.run))
    response = client.post(f"/jobs/runs/{run.id}/cancel", headers=headers)
    assert (response.status_code, response.json()) == (202, {"stopping": True})
    again = client.post(f"/jobs/runs/{run.id}/cancel", headers=headers)
    assert (again.status_code, again.json()) == (202, {"stopping": True})


def test_run_that_others_wait_for_goes_on(client: httpx.Client, kit: JobKit) -> None:
    one, two = kit.submit(Shared(month="shared")), kit.submit(Shared(month="shared"))
    assert one.id == two.id
    first = client.post(f"/jobs/runs/{one.id}/cancel", headers=bearer(access_token(one)))
    assert (first.status_code, first.json()) == (200, {"stopping": False})
    assert one.snapshot().state == "queued"
    assert client.post(f"/jobs/runs/{one.id}/cancel", headers=bearer(access_token(two))).status_code == 202


def test_ended_run_cannot_be_stopped(client: httpx.Client, run: Performer) -> None:
    run.succeed(1)
    response = client.post(f"/jobs/runs/{run.id}/cancel", headers=bearer(access_token(run.run)))
    assert (response.status_code, response.json()) == (200, {"stopping": False})


def test_who_holds_no_interest_may_not_stop_it(client: httpx.Client, kit: JobKit, run: Performer) -> None:
    reader = kit.run(run.id)  # a handle made from an id
    assert client.post(f"/jobs/runs/{run.id}/cancel", headers=bearer(access_token(reader))).status_code == 403
    assert run.run.snapshot().state == "queued"


def test_cancel_all_stops_it_for_everybody(client: httpx.Client, kit: JobKit) -> None:
    one, _two = kit.submit(Shared(month="all")), kit.submit(Shared(month="all"))
    token = access_token(one, ["read", "cancel-all"])
    response = client.post(f"/jobs/runs/{one.id}/cancel?all=true", headers=bearer(token))
    assert (response.status_code, response.json()) == (202, {"stopping": True})
    assert one.snapshot().state == "cancelled"


def test_where_everybody_may_everything_a_stranger_stops_it(client: httpx.Client, run: Performer) -> None:
    assert client.post(f"/open/runs/{run.id}/cancel").json() == {"stopping": True}


def test_form_of_the_plain_page_goes_back_to_it(client: httpx.Client, run: Performer) -> None:
    token = access_token(run.run)
    response = client.post(f"/jobs/runs/{run.id}/cancel", data={"token": token})
    assert response.status_code == 303
    assert response.headers["location"].startswith(f"/jobs/runs/{run.id}?token=")
    assert "<h1>Cancelled</h1>" in client.get(response.headers["location"], headers={"Accept": "text/html"}).text


def test_form_with_a_bad_token_is_refused(client: httpx.Client, run: Performer) -> None:
    assert client.post(f"/jobs/runs/{run.id}/cancel", data={"token": "x"}).status_code == 401
    assert client.post(f"/jobs/runs/{run.id}/cancel", content=b"\xff%zz&&==").status_code == 401


def test_submission_is_answered_with_its_run(client: httpx.Client) -> None:
    response = client.post("/open/jobs/web.Report", json={"month": "2026-02"})
    assert response.status_code == 201
    body = response.json()
    assert body == {"id": body["id"], "admission": "new", "url": f"/open/runs/{body['id']}"}
    assert response.headers["location"] == body["url"]
    token = response.headers["job-access-token"]
    assert client.get(f"/jobs/runs/{body['id']}", headers=bearer(token)).json()["state"] == "queued"
    assert client.post(f"/jobs/runs/{body['id']}/cancel", headers=bearer(token)).status_code == 202


def test_second_equal_submission_joins(client: httpx.Client) -> None:
    first = client.post("/open/jobs/web.Shared", json={"month": "http"})
    second = client.post("/open/jobs/web.Shared", json={"month": "http"})
    assert (first.status_code, second.status_code) == (201, 200)
    assert (second.json()["id"], second.json()["admission"]) == (first.json()["id"], "joined")


def test_named_user_owns_what_they_submit(client: httpx.Client) -> None:
    client.cookies.set("user", "ann")
    location = client.post("/users/jobs/web.Report", json={}).headers["location"]
    assert client.get(location).status_code == 200
    client.cookies.set("user", "bob")
    assert client.get(location).status_code == 404


def test_body_may_be_empty_where_everything_has_a_default(client: httpx.Client) -> None:
    response = client.post("/open/jobs/web.Report", headers={"Content-Type": "application/json"})
    assert response.status_code == 201


@pytest.mark.parametrize("name", ["web.Hidden", "web.Nothing", "%2e%2e%2f", "web.Report%00"])
def test_job_that_is_not_submittable_is_not_there(client: httpx.Client, name: str) -> None:
    assert client.post(f"/open/jobs/{name}", json={}).status_code == 404


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"month": 3}', "month"),
        (b'{"moth": "2026-01"}', "moth"),
        (b"[]", ""),
        (b"{", ""),
        (b"\xff\xfe", ""),
        (b'{"size": NaN}', ""),
        (b'{"size": 1e999}', ""),
        (b"[" * 50_000, ""),
    ],
)
def test_bad_arguments_are_refused_and_named(client: httpx.Client, body: bytes, named: str) -> None:
    response = client.post("/open/jobs/web.Report", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert named in response.json()["detail"]


def test_who_may_not_submit_is_told_so(client: httpx.Client) -> None:
    assert client.post("/ruled/jobs/web.Report", json={}).status_code == 403
    assert client.post("/ruled/jobs/web.Report", json={}, headers={"x-may": "submit"}).status_code == 201


def test_cancel_reaches_the_owners_session(client: httpx.Client, perform: Callable[..., Performer]) -> None:
    anns = perform(owner="ann")
    anns.take()
    client.cookies.set("user", "ann")
    assert client.post(f"/users/runs/{anns.id}/cancel").status_code == 202
    assert client.get(f"/users/runs/{anns.id}").json()["cancellable"] is False
