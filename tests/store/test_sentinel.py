"""A store that its sentinels tell: clients find its primary, and follow it when it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import redis

from jobkit.errors import StoreUnavailable
from jobkit.lifecycle import Outcome
from jobkit.store.async_client import AsyncStore
from jobkit.store.location import locate
from jobkit.store.operations import Operations, new_run_id
from jobkit.store.replies import Lease, Verdict
from tests import servers
from tests.fleets import ask
from tests.store.clients import Client
from tests.store.world import submission
from tests.waiting import await_until

if TYPE_CHECKING:
    from tests.fleets import Replicated

Connect = Callable[..., Client]


def test_operations_go_to_the_primary(connect: Connect, replicated: Replicated, namespace: str) -> None:
    client = connect(f"{replicated.url}?partitions=2")
    runs = [new_run_id(partition) for partition in (0, 1)]
    client.execute_all([client.operations.submit(submission(id=run)) for run in runs])
    records = [f"{client.operations.prefix(run)}run:{run}" for run in runs]
    assert ask(replicated.primary, "EXISTS", *records) == 2
    assert namespace in records[0]


def test_a_run_goes_on_at_the_replica_when_the_primary_dies(connect: Connect, replicated: Replicated) -> None:
    client = connect(f"{replicated.url}?partitions=2", patience=30.0)
    operations = client.operations
    run = new_run_id(1)
    client.execute_all([operations.submit(submission("k", id=run))])
    lease = client.execute_all([operations.take("w/1", "1", ["default"], partition=1)])[0]
    assert isinstance(lease, Lease)
    replicated.synchronize()
    replicated.fail_over()
    reported, joined, settled, loaded = client.execute_all(
        [
            operations.report(lease, 1, b'{"done":1}'),
            operations.submit(submission("k", id=new_run_id(1))),
            operations.settle(lease, Outcome.SUCCEEDED, result=b"7"),
            operations.load(run, result=True),
        ]
    )
    assert (reported.verdict, joined.id, settled, loaded.result) == (Verdict.OK, run, Verdict.OK, b"7")


def test_what_is_asked_while_there_is_no_primary_is_answered_by_the_next_one(
    connect: Connect, replicated: Replicated
) -> None:
    client = connect(replicated.url, patience=30.0)
    run = client.execute_all([client.operations.submit(submission("k"))])[0]
    replicated.synchronize()
    dead = replicated.primary
    dead.kill()
    assert client.execute_all([client.operations.submit(submission("k"))])[0].id == run.id
    assert replicated.primary is not dead


def test_who_gave_up_looks_for_the_primary_the_next_time(connect: Connect, replicated: Replicated) -> None:
    client = connect(replicated.url, patience=0.0)
    client.execute_all([client.operations.submit(submission())])
    replicated.fail_over()
    with pytest.raises(StoreUnavailable):
        client.execute_all([client.operations.list()])
    client.execute_all([client.operations.list()])


def test_a_primary_that_changes_places_with_its_replica_is_followed(connect: Connect, replicated: Replicated) -> None:
    """Nobody dies: the old primary goes on answering, as a replica that takes no writes."""
    client = connect(replicated.url, patience=30.0)
    run = client.execute_all([client.operations.submit(submission("k"))])[0]
    replicated.switch()
    assert client.execute_all([client.operations.submit(submission("k"))])[0].id == run.id
    demoted = next(server for server in replicated.servers if server is not replicated.primary)
    assert demoted.alive


def test_a_primary_that_was_replaced_without_a_word_is_left_within_a_minute(
    connect: Connect, replicated: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It still takes itself for a primary, as one does that only its sentinels and its replica have lost."""
    monkeypatch.setattr("jobkit.store.sentinel.SentinelTopology.believed_for", 0.0)
    client = connect(replicated.url, patience=30.0)
    operations = client.operations
    client.execute_all([operations.submit(submission())])
    replicated.synchronize()
    old = replicated.primary
    old.pause()
    replicated.wait_for_another(old)
    old.resume()
    run = client.execute_all([operations.submit(submission())])[0]
    assert ask(replicated.primary, "EXISTS", f"{operations.prefix(run.id)}run:{run.id}") == 1


def test_subscriptions_follow_the_primary(replicated: Replicated, namespace: str) -> None:
    async def scenario() -> None:
        store = AsyncStore(locate(replicated.url), Operations(namespace))
        heard: list[bytes | None] = []
        await store.subscriptions.subscribe("news", heard.append)
        await asyncio.to_thread(replicated.fail_over)
        await await_until(lambda: heard == [None], "the gap is told", 30)
        ask(replicated.primary, "PUBLISH", "news", "after")
        await await_until(lambda: heard == [None, b"after"], "what the new primary publishes is heard")
        await store.close()

    asyncio.run(scenario())


def test_sentinels_that_do_not_answer_are_named_with_their_reasons(connect: Connect) -> None:
    ports = servers.free_port(), servers.free_port()
    client = connect(f"redis+sentinel://ann:s3cret@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/jobs", patience=0.0)
    with pytest.raises(StoreUnavailable, match="no sentinel names the primary of jobs") as refusal:
        client.partitions()
    assert all(f"127.0.0.1:{port}: Error" in str(refusal.value) for port in ports)
    assert "s3cret" not in str(refusal.value)


def test_a_sentinel_that_is_away_is_passed_over(connect: Connect, replicated: Replicated) -> None:
    client = connect(replicated.url.replace("//", f"//127.0.0.1:{servers.free_port()},"))
    assert client.partitions() == 1


def test_a_service_that_the_sentinels_do_not_know_says_so(connect: Connect, replicated: Replicated) -> None:
    client = connect(replicated.url.replace("/jobs", "/other"), patience=0.0)
    with pytest.raises(StoreUnavailable, match=r"the primary of other .*knows no such service"):
        client.partitions()


def test_sentinels_and_servers_have_logins_of_their_own(connect: Connect, replicated: Replicated) -> None:
    for server in replicated.servers:
        ask(server, "CONFIG", "SET", "masterauth", "the-servers")
        ask(server, "CONFIG", "SET", "requirepass", "the-servers")
    with redis.Redis(port=replicated.port) as sentinel:
        sentinel.execute_command("SENTINEL", "SET", replicated.SERVICE, "auth-pass", "the-servers")  # type: ignore[no-untyped-call]
        sentinel.execute_command("ACL", "SETUSER", "default", ">the-sentinels")  # type: ignore[no-untyped-call]
    url = replicated.url.replace("//", "//:the-servers@")
    assert connect(f"{url}?sentinel_password=the-sentinels").partitions() == 1
    with pytest.raises(StoreUnavailable, match="Authentication required") as refusal:
        connect(url, patience=0.0).partitions()
    assert "the-servers" not in str(refusal.value)
