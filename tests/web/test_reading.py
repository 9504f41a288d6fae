"""Snapshots by GET: JSON with ETag, long polls, several at once."""

import threading
import time
import uuid
from collections.abc import Callable

import httpx
import pytest
from jobkit_web import access_token

from jobkit.kit import JobKit
from jobkit.snapshot import Snapshot
from tests.web.conftest import bearer
from tests.web.performing import Performer, Public

UNKNOWN = "0-01JABCDEFGHJKMNPQRSTVWXYZ0"


def test_snapshot_is_the_stores_own(client: httpx.Client, run: Performer) -> None:
    response = client.get(f"/open/runs/{run.id}")
    assert response.headers["content-type"] == "application/json"
    assert Snapshot.from_json(response.content) == run.run.snapshot()


def test_answers_are_not_kept_and_say_nothing_about_where_from(client: httpx.Client, run: Performer) -> None:
    headers = client.get(f"/open/runs/{run.id}").headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_unchanged_run_is_not_sent_again(client: httpx.Client, run: Performer) -> None:
    run.report(done=1)
    first = client.get(f"/open/runs/{run.id}")
    again = client.get(f"/open/runs/{run.id}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    run.report(done=2)
    changed = client.get(f"/open/runs/{run.id}", headers={"If-None-Match": f'W/"x", {first.headers["etag"]}'})
    assert changed.json()["progress"]["done"] == 2


def test_page_and_json_are_two_things_to_a_cache(client: httpx.Client, run: Performer) -> None:
    json = client.get(f"/open/runs/{run.id}")
    page = client.get(f"/open/runs/{run.id}", headers={"Accept": "text/html", "If-None-Match": json.headers["etag"]})
    assert page.status_code == 200
    assert json.headers["vary"] == page.headers["vary"] == "Accept"


def test_place_in_the_queue_changes_the_etag(client: httpx.Client, run: Performer) -> None:
    waiting = run.kit.submit(Public(), queue=run.queue)
    second = client.get(f"/open/runs/{waiting.id}")
    run.take()
    first = client.get(f"/open/runs/{waiting.id}", headers={"If-None-Match": second.headers["etag"]})
    assert (second.json()["queue"]["position"], first.json()["queue"]["position"]) == (2, 1)


def test_unfinished_run_says_when_to_come_back(client: httpx.Client, run: Performer) -> None:
    assert client.get(f"/open/runs/{run.id}").headers["retry-after"] == "2"
    run.succeed()
    assert "retry-after" not in client.get(f"/open/runs/{run.id}").headers


def test_long_poll_answers_when_the_version_changes(client: httpx.Client, run: Performer) -> None:
    run.report(done=1)
    version = run.run.snapshot().version
    threading.Timer(0.2, run.report, kwargs={"done": 2}).start()
    began = time.monotonic()
    response = client.get(f"/open/runs/{run.id}?wait=8&version={version}")
    assert response.json()["progress"]["done"] == 2
    assert 0.1 < time.monotonic() - began < 4


def test_long_poll_of_another_version_or_an_ended_run_answers_at_once(client: httpx.Client, run: Performer) -> None:
    run.report(done=1)
    began = time.monotonic()
    assert client.get(f"/open/runs/{run.id}?wait=8&version=1").json()["progress"]["done"] == 1
    run.succeed()
    version = run.run.snapshot().version
    assert client.get(f"/open/runs/{run.id}?wait=8&version={version}").json()["state"] == "succeeded"
    assert time.monotonic() - began < 4


def test_long_poll_without_news_answers_when_its_time_is_over(client: httpx.Client, run: Performer) -> None:
    run.report(done=1)
    version = run.run.snapshot().version
    assert client.get(f"/open/runs/{run.id}?wait=0.1&version={version}").json()["version"] == version


def test_long_poll_of_an_unknown_run_finds_nothing(client: httpx.Client) -> None:
    assert client.get(f"/open/runs/{UNKNOWN}?wait=8&version=1").status_code == 404


@pytest.mark.parametrize("query", ["wait=x&version=1", "wait=1&version=-1", "wait=nan&version=1", "wait=1&version=1e9"])
def test_long_poll_with_bad_numbers_is_refused(client: httpx.Client, run: Performer, query: str) -> None:
    assert client.get(f"/open/runs/{run.id}?{query}").status_code == 422


def test_failure_is_told_without_its_text_unless_it_is_public(
    client: httpx.Client, perform: Callable[..., Performer]
) -> None:
    secret, public = perform(), perform()
    secret.fail("psycopg: password 'hunter2' is wrong")
    public.fail("The month has no orders.", public=True)
    hidden = client.get(f"/open/runs/{secret.id}").json()["error"]
    assert "hunter2" not in str(hidden)
    assert hidden["reference"]
    assert client.get(f"/open/runs/{public.id}").json()["error"]["message"] == "The month has no orders."


def test_small_result_comes_along_for_those_who_may_read_it(client: httpx.Client, run: Performer) -> None:
    run.succeed({"total": 12})
    with_result = client.get(f"/jobs/runs/{run.id}", headers=bearer(access_token(run.run))).json()
    assert (with_result["result"], with_result["result_inline"]) == ({"total": 12}, True)
    only_read = bearer(access_token(run.run, ["read"]))
    without = client.get(f"/jobs/runs/{run.id}", headers=only_read).json()
    assert (without["result"], without["result_inline"], without["result_url"]) == (None, False, None)


def test_large_result_is_fetched_by_its_url(client: httpx.Client, run: Performer) -> None:
    run.succeed("x" * 17_000)
    snapshot = client.get(f"/jobs/runs/{run.id}", headers=bearer(access_token(run.run))).json()
    assert (snapshot["result"], snapshot["result_inline"]) == (None, False)
    assert client.get(snapshot["result_url"]).json() == "x" * 17_000


def test_several_runs_are_read_at_once_and_the_others_named(
    client: httpx.Client, perform: Callable[..., Performer]
) -> None:
    one, two, bobs = perform(owner="ann"), perform(owner="ann"), perform(owner="bob")
    client.cookies.set("user", "ann")
    answer = client.get("/users/runs", params={"id": [one.id, two.id, bobs.id, UNKNOWN, one.id]}).json()
    assert [run["id"] for run in answer["runs"]] == [one.id, two.id]
    assert answer["gone"] == [{"id": bobs.id, "status": 404}, {"id": UNKNOWN, "status": 404}]


@pytest.mark.parametrize("ids", [[], [f"0-{number:026}" for number in range(201)]])
def test_none_or_too_many_runs_are_refused(client: httpx.Client, ids: list[str]) -> None:
    assert client.get("/open/runs", params={"id": ids}).status_code == 422


def test_urls_follow_the_mount(client: httpx.Client, run: Performer) -> None:
    run.succeed(1)
    snapshot = client.get(f"/a/deep/place/runs/{run.id}").json()
    assert snapshot["result_url"] == f"/a/deep/place/runs/{run.id}/result"
    assert client.get(snapshot["result_url"]).json() == 1


def test_health_asks_the_store(client: httpx.Client) -> None:
    assert client.get("/jobs/health").json() == {"status": "ok"}


# The caller's own -----------------------------------------------------------------------------------------------------


def as_user(name: str) -> dict[str, str]:
    return {"Cookie": f"user={name}"}


def test_users_find_what_they_submitted_and_nothing_else(client: httpx.Client, kit: JobKit) -> None:
    user = f"user-{uuid.uuid4().hex}"
    ids = [kit.submit(Public(), queue="mine", owner=user).id for _ in range(3)]
    kit.submit(Public(), queue="mine", owner="somebody else")
    mine = client.get("/users/runs?mine", headers=as_user(user)).json()
    assert sorted(run["id"] for run in mine["runs"]) == sorted(ids)
    assert client.get("/users/runs?mine", headers=as_user("nobody-yet")).json() == {"runs": [], "cursor": ""}


def test_own_runs_come_in_pages(client: httpx.Client, kit: JobKit) -> None:
    user = f"user-{uuid.uuid4().hex}"
    ids = {kit.submit(Public(), queue="mine", owner=user).id for _ in range(5)}
    first = client.get("/users/runs?mine&limit=3", headers=as_user(user)).json()
    rest = client.get("/users/runs", params={"mine": "", "cursor": first["cursor"]}, headers=as_user(user)).json()
    assert [len(page["runs"]) for page in (first, rest)] == [3, 2]
    assert {run["id"] for page in (first, rest) for run in page["runs"]} == ids


def test_nobody_in_particular_has_runs_of_their_own(client: httpx.Client) -> None:
    assert client.get("/users/runs?mine").status_code == 401
    assert client.get("/open/runs?mine").status_code == 401


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "limit=-1", "cursor=nonsense"])
def test_pages_that_make_no_sense_are_refused(client: httpx.Client, query: str) -> None:
    assert client.get(f"/users/runs?mine&{query}", headers=as_user("ann")).status_code == 422
