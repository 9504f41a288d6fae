"""Streams of snapshots: framing, order, ends, reconnects; one run and many."""

import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import redis
from jobkit_web import access_token, allow_all, create_app
from jobkit_web.access import Signer
from jobkit_web.hub import Hub

from jobkit.kit import JobKit
from tests.servers import Server
from tests.waiting import wait_until
from tests.web.conftest import bearer
from tests.web.performing import Performer, Public
from tests.web.serving import Thread, served
from tests.web.streams import opened

UNKNOWN = "0-01JABCDEFGHJKMNPQRSTVWXYZ0"


def hub_of(app: Any) -> Hub:
    hub: Hub = app._site._hub
    return hub


def events_url(run: Performer, app: str = "open") -> str:
    return f"/{app}/runs/{run.id}/events"


# One run --------------------------------------------------------------------------------------------------------------


def test_first_frame_is_the_run_as_it_is_and_the_last_one_its_end(client: httpx.Client, run: Performer) -> None:
    with opened(client, events_url(run)) as stream:
        first = stream.next()
        assert (first.name, first.state) == ("snapshot", "queued")
        run.report(done=5, message="reading")
        assert stream.next().state == "running"
        run.succeed()
        *_, last = stream.rest()
    assert (last.name, last.state) == ("end", "succeeded")
    assert last.data["progress"]["done"] == 5


@pytest.mark.parametrize("app", ["open", "awaited", "a/deep/place", "wrapped"])
def test_stream_works_wherever_it_is_mounted(client: httpx.Client, run: Performer, app: str) -> None:
    with opened(client, events_url(run, app)) as stream:
        stream.next()
        run.report(done=1)
        run.succeed()
        assert stream.rest()[-1].name == "end"


def test_headers_keep_proxies_from_holding_it_back(client: httpx.Client, run: Performer) -> None:
    with opened(client, events_url(run)) as stream:
        headers = stream.response.headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_every_event_has_one_line_of_data_and_an_id(client: httpx.Client, run: Performer) -> None:
    run.report(message='markup <b>&amp;</b>, line\nend\r\n, \u2028 and "event: end\n\ndata: {}"\x00\x1b[31m')
    with opened(client, events_url(run)) as stream:
        event = stream.next()
    assert [line.partition(": ")[0] for line in event.lines] == ["id", "event", "data"]
    assert event.data["progress"]["message"].startswith("markup <b>&amp;</b>, line\nend\r\n")


def test_finished_run_gets_its_end_at_once(client: httpx.Client, run: Performer) -> None:
    run.succeed()
    with opened(client, events_url(run)) as stream:
        (only,) = stream.rest()
    assert only.name == "end"
    assert only.id.endswith(".end")


def test_coming_back_after_the_end_is_told_to_stay_away(client: httpx.Client, run: Performer) -> None:
    run.succeed()
    with opened(client, events_url(run)) as stream:
        seen = stream.next().id
    response = client.get(events_url(run), headers={"Last-Event-ID": seen})
    assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("seen", ["", "garbage", "1-2.end", ".end", "x.end", "1-2", "%00", "9" * 5000 + ".end"])
def test_garbage_for_a_last_event_id_is_ignored(client: httpx.Client, run: Performer, seen: str) -> None:
    run.succeed()
    with opened(client, events_url(run), headers={"Last-Event-ID": seen}) as stream:
        assert stream.next().name == "end"


def test_reconnecting_to_a_run_that_goes_on_gets_the_newest(client: httpx.Client, run: Performer) -> None:
    run.report(done=1)
    with opened(client, events_url(run)) as stream:
        seen = stream.next().id
    run.report(done=2)
    with opened(client, events_url(run), headers={"Last-Event-ID": seen}) as stream:
        assert stream.next().data["progress"]["done"] == 2


def test_head_opens_no_stream(client: httpx.Client, run: Performer) -> None:
    response = client.head(events_url(run))
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert client.head(f"/open/runs/{UNKNOWN}/events").status_code == 404


def test_unknown_run_has_no_stream(client: httpx.Client) -> None:
    assert client.get(f"/open/runs/{UNKNOWN}/events").status_code == 404


def test_failure_is_redacted_in_the_stream_too(client: httpx.Client, run: Performer) -> None:
    with opened(client, events_url(run)) as stream:
        run.fail("the password is hunter2")
        end = stream.until("end")
    assert "hunter2" not in str(end.lines)
    assert end.data["error"]["reference"]


def test_shared_frames_carry_public_results_only(client: httpx.Client, perform: Callable[..., Performer]) -> None:
    private, public = perform(), perform(Public())
    private.succeed({"total": 1})
    public.succeed({"total": 2})
    with opened(client, events_url(private)) as stream:
        data = stream.next().data
    assert (data["result"], data["result_inline"]) == (None, False)
    assert client.get(data["result_url"]).json() == {"total": 1}
    with opened(client, events_url(public)) as stream:
        assert stream.next().data["result"] == {"total": 2}


def test_each_reader_of_a_shared_stream_gets_only_what_is_theirs(client: httpx.Client, run: Performer) -> None:
    reads, fetches = bearer(access_token(run.run, ["read"])), bearer(access_token(run.run))
    url = events_url(run, "jobs")
    with opened(client, url, headers=reads) as one, opened(client, url, headers=fetches) as two:
        run.succeed(7)
        assert one.until("end").data["result_url"] is None
        assert client.get(two.until("end").data["result_url"]).json() == 7


def test_bursts_are_conflated_and_the_last_word_arrives(client: httpx.Client, run: Performer) -> None:
    run.take()
    with opened(client, events_url(run)) as stream:
        stream.next()
        for done in range(200):
            run.report(done=done)
        run.succeed()
        events = stream.rest()
    assert len(events) < 100
    assert events[-1].data["progress"]["done"] == 199


def test_versions_only_rise(client: httpx.Client, run: Performer) -> None:
    with opened(client, events_url(run)) as stream:
        for done in range(30):
            run.report(done=done)
        run.succeed()
        orders = [event.order for event in stream.rest()]
    assert orders == sorted(orders)


# Time -----------------------------------------------------------------------------------------------------------------


def pass_time(web: Thread, app: Any, seconds: float) -> None:
    """As if so much later the hub looked at its watchers."""

    async def look() -> None:
        hub = hub_of(app)
        for watcher in tuple(hub._watchers):
            watcher.keep_house(hub.now() + seconds)

    web.call(look)


def test_idle_stream_gets_a_comment(client: httpx.Client, run: Performer, web: Thread, jobs_app: Any) -> None:
    with opened(client, events_url(run, "jobs"), headers=bearer(access_token(run.run))) as stream:
        stream.next()
        pass_time(web, jobs_app, 16)
        assert stream.next().lines == [":"]


def test_idle_stream_gets_an_event_if_it_wants_one(
    client: httpx.Client, run: Performer, web: Thread, jobs_app: Any
) -> None:
    url = f"{events_url(run, 'jobs')}?heartbeat=event"
    with opened(client, url, headers=bearer(access_token(run.run))) as stream:
        stream.next()
        pass_time(web, jobs_app, 16)
        assert stream.next().name == "heartbeat"


def test_stream_is_rotated_in_order(client: httpx.Client, run: Performer, web: Thread, jobs_app: Any) -> None:
    with opened(client, events_url(run, "jobs"), headers=bearer(access_token(run.run))) as stream:
        stream.next()
        pass_time(web, jobs_app, 601)
        (bye,) = stream.rest()
    assert (bye.name, bye.data) == ("bye", {"reason": "rotate"})
    assert bye.retry is not None
    assert 0 < bye.retry <= 500


def test_stream_ends_with_its_access_and_brings_the_next(client: httpx.Client, run: Performer) -> None:
    with opened(client, events_url(run, "jobs"), headers=bearer(access_token(run.run, ttl=1.0))) as stream:
        events = stream.rest()
    assert [event.name for event in events] == ["snapshot", "token", "bye"]
    fresh = events[1]
    assert fresh.data["id"] == run.id
    with opened(client, events_url(run, "jobs"), headers=bearer(fresh.data["token"])) as stream:
        assert stream.until("snapshot").state == "queued"


def test_token_in_the_second_half_of_its_time_is_renewed_at_once(
    client: httpx.Client, run: Performer, kit: JobKit
) -> None:
    signer = Signer(kit.secret(), kit.operations.namespace)
    old = signer.sign(run.id, ["read"], now=time.time() - 3000, ttl=5000)
    with opened(client, events_url(run, "jobs"), headers=bearer(old)) as stream:
        fresh = stream.next()
        assert stream.next().name == "snapshot"
    claims = signer.read(fresh.data["token"], now=time.time() + 4000)
    assert claims.actions == ("read",)


def test_token_that_lasts_long_enough_is_not_renewed(client: httpx.Client, run: Performer) -> None:
    with opened(client, events_url(run, "jobs"), headers=bearer(access_token(run.run))) as stream:
        assert stream.next().name == "snapshot"


def test_ended_run_renews_nothing(client: httpx.Client, run: Performer) -> None:
    run.succeed()
    with opened(client, events_url(run, "jobs"), headers=bearer(access_token(run.run, ttl=5.0))) as stream:
        assert [event.name for event in stream.rest()] == ["end"]


# Many runs ------------------------------------------------------------------------------------------------------------


def chosen(*runs: Performer) -> dict[str, Any]:
    return {"runs": [{"id": run.id, "token": access_token(run.run)} for run in runs]}


def test_many_runs_share_a_stream_that_ends_with_the_last(
    client: httpx.Client, perform: Callable[..., Performer]
) -> None:
    one, two = perform(), perform()
    with opened(client, "/jobs/events", "POST", json=chosen(one, two)) as stream:
        assert {stream.next().data["id"], stream.next().data["id"]} == {one.id, two.id}
        one.succeed()
        first = stream.until("end")
        two.succeed()
        events = stream.rest()
    assert first.data["id"] == one.id
    assert not first.id.endswith(".end"), "coming back with it must not be the end of the others"
    assert (events[-1].name, events[-1].data["id"]) == ("end", two.id)
    assert events[-1].id.endswith(".end")


def test_run_that_cannot_be_watched_is_told_apart(client: httpx.Client, perform: Callable[..., Performer]) -> None:
    good, bad, unknown = perform(), perform(), perform()
    body = chosen(good)
    body["runs"] += [
        {"id": bad.id, "token": "jk1.x.y.z"},
        {"id": unknown.id, "token": access_token(good.run)},
        {"id": UNKNOWN},
    ]
    good.succeed()
    with opened(client, "/jobs/events", "POST", json=body) as stream:
        events = stream.rest()
    gone = {event.data["id"]: event.data["status"] for event in events if event.name == "gone"}
    assert gone == {bad.id: 401, unknown.id: 404, UNKNOWN: 401}
    assert events[-1].name == "end"


def test_stream_of_nothing_that_may_be_watched_ends(client: httpx.Client) -> None:
    with opened(client, "/jobs/events", "POST", json={"runs": [{"id": UNKNOWN}]}) as stream:
        assert [event.name for event in stream.rest()] == ["gone"]


def test_session_watches_many_by_get(client: httpx.Client, perform: Callable[..., Performer]) -> None:
    one, two, bobs = perform(owner="ann"), perform(owner="ann"), perform(owner="bob")
    one.succeed()
    two.succeed()
    client.cookies.set("user", "ann")
    with opened(client, "/users/events", params={"id": [one.id, two.id, bobs.id]}) as stream:
        events = stream.rest()
    assert [event.name for event in events] == ["gone", "end", "end"]
    again = client.get("/users/events", params={"id": [one.id, two.id]}, headers={"Last-Event-ID": events[-1].id})
    assert again.status_code == 204


def test_place_in_the_queue_moves_without_a_new_version(client: httpx.Client, run: Performer) -> None:
    second = run.kit.submit(Public(), queue=run.queue)
    with opened(client, f"/open/runs/{second.id}/events") as stream:
        first = stream.next()
        run.take()
        moved = stream.next()
    assert (first.data["queue"]["position"], moved.data["queue"]["position"]) == (2, 1)
    assert first.order == moved.order


# Trouble --------------------------------------------------------------------------------------------------------------


def test_lost_subscription_is_healed(client: httpx.Client, run: Performer, valkey: Server) -> None:
    """The connection is killed; what is published before it is back is read anew after the gap."""
    run.report(done=1)
    with opened(client, events_url(run)) as stream, redis.Redis.from_url(valkey.url) as server:
        stream.next()
        server.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        run.report(done=2)
        event = stream.next()
        while event.data["progress"]["done"] != 2:
            event = stream.next()
        run.succeed()
        assert stream.until("end").state == "succeeded"


def test_open_stream_is_right_again_after_the_store_was_restarted(own_server: Server, namespace: str) -> None:
    kit = JobKit(own_server.url, namespace=namespace)
    run = Performer(kit)
    run.report(done=1)
    with served(create_app(kit, authorize=allow_all), kit) as web, httpx.Client(base_url=web.url, timeout=10) as client:
        with opened(client, f"/runs/{run.id}/events") as stream:
            stream.next()
            own_server.restart()
            began = time.monotonic()
            run.report(done=2)
            assert any(event.name == "snapshot" and event.data["progress"]["done"] == 2 for event in stream)
            assert time.monotonic() - began < 5
            run.succeed()
            assert stream.until("end").state == "succeeded"
        assert client.get("/health").status_code == 200
        own_server.stop()
        unhealthy = client.get("/health")
        assert (unhealthy.status_code, unhealthy.headers["retry-after"]) == (503, "2")
        own_server.start()


def test_no_snapshot_is_missed_while_a_stream_opens(client: httpx.Client, perform: Callable[..., Performer]) -> None:
    """Reports and the end fall before, between and after subscribing and reading; each stream still sees the end."""
    for late in range(8):
        run = perform()
        run.take()
        opener = httpx.Client(base_url=client.base_url, timeout=10)
        with opener, opened(opener, events_url(run)) as stream:
            for done in range(late):
                run.report(done=done)
            run.succeed()
            orders = [event.order for event in stream.rest()]
        assert orders == sorted(orders)
        assert orders[-1] == run.run.snapshot().order


def test_older_publication_is_dropped(web: Thread, jobs_app: Any, client: httpx.Client, run: Performer) -> None:
    """One that was published before the snapshot was read arrives after it."""
    old = run.run.snapshot().to_json()
    run.report(done=9)
    with opened(client, events_url(run, "jobs"), headers=bearer(access_token(run.run))) as stream:
        assert stream.next().data["progress"]["done"] == 9

        async def arrive() -> None:
            hub_of(jobs_app)._topics[run.id].listener(old)  # type: ignore[misc]

        web.call(arrive)
        run.report(done=10)
        assert stream.next().data["progress"]["done"] == 10


def stalled(web: Thread, path: str, token: str) -> socket.socket:
    """A reader that asks, and then reads nothing."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = web.url.removeprefix("http://").split(":")
    reader.connect((host, int(port)))
    reader.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    return reader


def report_until_blocked(run: Performer, hub: Hub) -> int:
    """Large reports, until a reader is stuck; how many there were."""
    sent = 0

    def blocked() -> bool:
        nonlocal sent
        sent += 1
        run.report(done=sent, message="x" * 50_000)
        return any(watcher._blocked is not None for watcher in tuple(hub._watchers))

    wait_until(blocked, "the reader that does not read is stuck")
    return sent


def test_stalled_reader_costs_nothing_and_gets_the_newest(
    web: Thread, jobs_app: Any, run: Performer, client: httpx.Client
) -> None:
    run.report(done=0)
    token = access_token(run.run)
    with stalled(web, events_url(run, "jobs"), token) as reader:
        wait_until(lambda: hub_of(jobs_app) and hub_of(jobs_app).watcher_count, "the stream is open")
        sent = report_until_blocked(run, hub_of(jobs_app))
        for more in range(50):
            run.report(done=sent + more, message="x" * 50_000)
        run.report(done=1_000_000, message="newest")
        with opened(client, events_url(run, "jobs"), headers=bearer(token)) as stream:
            others_are_not_held_up = (event.data["progress"]["done"] == 1_000_000 for event in stream)
            assert any(others_are_not_held_up)
        run.succeed()
        reader.settimeout(10)
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += reader.recv(65_536)
    assert received.count(b"event: snapshot") < sent + 10
    assert b'"message":"newest"' in received[-3000:]
    assert b"event: end" in received[-3000:]


def test_reader_stalled_for_too_long_is_given_up(web: Thread, jobs_app: Any, run: Performer) -> None:
    run.report(done=0)
    with stalled(web, events_url(run, "jobs"), access_token(run.run)):
        wait_until(lambda: hub_of(jobs_app) and hub_of(jobs_app).watcher_count, "the stream is open")
        report_until_blocked(run, hub_of(jobs_app))
        pass_time(web, jobs_app, 21)
        wait_until(lambda: hub_of(jobs_app).watcher_count == 0, "the reader is given up")


def test_hub_closes_with_its_last_watcher(client: httpx.Client, run: Performer, jobs_app: Any) -> None:
    with opened(client, events_url(run, "jobs"), headers=bearer(access_token(run.run))) as stream:
        stream.next()
        assert hub_of(jobs_app).topic_count == 1
    wait_until(lambda: hub_of(jobs_app).topic_count == 0, "the topic is closed")
    wait_until(lambda: not hub_of(jobs_app)._steady, "ticker and auditor have ended")


def test_watched_run_is_known_to_its_worker(client: httpx.Client, run: Performer, kit: JobKit) -> None:
    lease = run.take()
    report = kit.operations.report(lease, 10, b'{"done":1}')
    with opened(client, events_url(run)) as stream:
        stream.next()
        assert kit.store().execute(report).watched


def test_two_hundred_readers_of_a_run_get_the_same(web: Thread, run: Performer) -> None:
    readers = [stalled(web, events_url(run), "none") for _ in range(200)]
    try:
        run.report(done=1, message="hello")
        run.succeed()
        for reader in readers:
            reader.settimeout(10)
            received = b""
            while not received.endswith(b"0\r\n\r\n"):
                received += reader.recv(65_536)
            assert b"event: end" in received
    finally:
        for reader in readers:
            reader.close()
