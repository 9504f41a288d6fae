"""The clients: many threads, forks, interrupted callers, and what one process hears over one connection."""

import asyncio
import itertools
import random
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
import redis

from jobkit import JobKit
from jobkit.errors import StoreUnavailable
from jobkit.store.async_client import AsyncStore
from jobkit.store.client import Store
from jobkit.store.listening import Listening
from jobkit.store.location import locate
from jobkit.store.operations import Operations, new_run_id
from jobkit.store.pool import Pool
from tests import servers
from tests.store.clients import KINDS
from tests.store.proxy import Proxy
from tests.store.storm_job import Report
from tests.store.world import submission
from tests.waiting import await_until, wait_until


class Interrupted(Exception):
    """What the signal handler raises, as Ctrl-C does."""


@pytest.fixture
def operations(namespace: str) -> Operations:
    return Operations(namespace)


@pytest.fixture
def proxy(valkey: servers.Server) -> Iterator[Proxy]:
    proxy = Proxy(valkey.port)
    yield proxy
    proxy.close()


# Threads and processes ------------------------------------------------------------------------------------------------


def test_125_threads_share_one_kit_and_64_connections(valkey: servers.Server, namespace: str) -> None:
    raw: Any = redis.Redis.from_url(valkey.url)
    before = raw.info("clients")["connected_clients"]
    start = threading.Barrier(125)
    runs, most = [], 0
    with JobKit(valkey.url, namespace=namespace) as kit:

        def submit() -> None:
            start.wait()
            runs.extend(kit.submit(Report(month=f"{number}")).id for number in range(8))

        threads = [threading.Thread(target=submit) for _ in range(125)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            most = max(most, raw.info("clients")["connected_clients"] - before)
        assert (len(runs), len(set(runs))) == (1000, 8)
        assert most <= 64
    raw.close()


def test_a_program_with_one_thread_has_one_connection(own_server: servers.Server) -> None:
    raw: Any = redis.Redis.from_url(own_server.url)
    with JobKit(own_server.url) as kit:
        for number in range(20):
            kit.submit(Report(month=f"{number}"))
        assert raw.info("clients")["connected_clients"] == 2
    raw.close()


FORKING = """
import os, sys
from jobkit import JobKit
from tests.store.storm_job import Report
kit = JobKit(sys.argv[1], namespace=sys.argv[2])
ids = [kit.submit(Report(month=str(number))).id for number in range(3)]
child = os.fork()
again = [kit.submit(Report(month=str(number))).id for _ in range(50) for number in range(3)]
assert again == ids * 50, again
kit.close()
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_kit_that_was_used_survives_a_fork(valkey: servers.Server, namespace: str) -> None:
    command = [sys.executable, "-c", FORKING, valkey.url, namespace]
    subprocess.run(command, cwd=servers.ROOT, check=True, timeout=30)


def test_a_kit_may_be_used_again_after_it_was_closed(valkey: servers.Server, namespace: str) -> None:
    kit = JobKit(valkey.url, namespace=namespace)
    first = kit.submit(Report(month="1"))
    kit.close()
    assert kit.submit(Report(month="1")).id == first.id
    kit.close()


def test_a_thread_that_gets_no_connection_in_time_is_told_so() -> None:
    pool = Pool(_Connection, size=1, patience=0.01)
    taken = pool.acquire()
    with pytest.raises(redis.ConnectionError, match="all 1 connections"):
        pool.acquire()
    pool.release(taken)
    assert pool.acquire() is taken


def test_a_thread_that_waits_gets_the_connection_that_another_releases() -> None:
    pool = Pool(_Connection, size=1, patience=10.0)
    taken, got = pool.acquire(), []
    waiting = threading.Thread(target=lambda: got.append(pool.acquire()))
    waiting.start()
    wait_until(lambda: pool._waiting, "the other thread waits")
    pool.release(taken)
    waiting.join()
    assert got == [taken]


def test_a_connection_whose_thread_was_interrupted_before_it_had_it_is_made_anew() -> None:
    """As by a signal between the end of `acquire` and the next step: nobody releases it, and nobody can."""
    pool = Pool(_Connection, size=2, patience=10.0)
    kept, lost, got = pool.acquire(), pool.acquire(), []
    waiting = threading.Thread(target=lambda: got.append(pool.acquire()))
    waiting.start()
    wait_until(lambda: pool._waiting, "the other thread waits")
    del lost
    waiting.join()
    assert got != [kept]


class _Connection:
    """Something to be lent."""


# Interrupted callers --------------------------------------------------------------------------------------------------


def test_a_signal_in_the_middle_of_a_reply_poisons_nothing(proxy: Proxy, operations: Operations) -> None:
    """The reply that nobody read must not be taken for the answer to the next question."""
    store = Store(locate(f"redis://127.0.0.1:{proxy.port}"), operations)
    run = store.execute(operations.submit(submission("k")))

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise Interrupted

    handler = signal.signal(signal.SIGUSR1, interrupt)
    main = threading.get_ident()
    try:
        with proxy.holding():
            teller = threading.Thread(
                target=lambda: (proxy.held.wait(10), signal.pthread_kill(main, signal.SIGUSR1)), daemon=True
            )
            teller.start()
            with pytest.raises(Interrupted):
                store.execute(operations.owned(run.id, "ann"))
            teller.join()
    finally:
        signal.signal(signal.SIGUSR1, handler)
    for _ in range(3):
        assert store.execute(operations.load(run.id)).snapshot.id == run.id
    store.close()


STORM_OF_SIGNALS = """
import random, signal, sys
from jobkit import JobKit
from tests.store.storm_job import Report

class Interrupted(BaseException):
    pass

def interrupt(_number, _frame):
    raise Interrupted

kit = JobKit(sys.argv[1], namespace=sys.argv[2])
runs = [kit.submit(Report(month=str(number))) for number in range(20)]
dice = random.Random(1)
signal.signal(signal.SIGALRM, interrupt)
for number in range(3000):
    run = runs[number % len(runs)]
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.00003, 0.0005), 0.05)
            while True:
                assert run.snapshot().id == run.id
                assert kit.submit(Report(month=str(number % len(runs)))).id == run.id
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupted:
        pass
kit.close()
"""


def test_a_program_survives_signals_at_any_place(valkey: servers.Server, namespace: str) -> None:
    """Three thousand, each after a random time: none crashes it, takes a connection away, or leaves a reply unread."""
    command = [sys.executable, "-c", STORM_OF_SIGNALS, valkey.url, namespace]
    subprocess.run(command, cwd=servers.ROOT, check=True, timeout=60)


def test_signals_between_any_two_steps_take_no_connection_away(valkey: servers.Server, operations: Operations) -> None:
    """At every line of an exchange in turn, many times each."""
    store = Store(locate(valkey.url), operations)
    run = store.execute(operations.submit(submission("k")))
    steps = itertools.count()

    def interrupt_at(step: int) -> Any:
        def trace(frame: Any, event: str, _argument: Any) -> Any:
            if not frame.f_code.co_filename.endswith("pool.py"):
                return None
            if event == "line" and next(steps) == step:
                raise Interrupted
            return trace

        return trace

    interrupted = 0
    for step in [*range(25)] * 70:
        steps = itertools.count()
        sys.settrace(interrupt_at(step))
        try:
            assert store.execute(operations.load(run.id)).snapshot.id == run.id
        except Interrupted:
            interrupted += 1
        finally:
            sys.settrace(None)
    assert interrupted > 64
    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.append(store.execute(operations.load(run.id))), daemon=True)
    asking.start()
    wait_until(lambda: answers, "there is a connection left")
    store.close()


def test_a_cancelled_task_in_the_middle_of_a_reply_poisons_nothing(proxy: Proxy, operations: Operations) -> None:
    async def scenario() -> None:
        store = AsyncStore(locate(f"redis://127.0.0.1:{proxy.port}"), operations)
        run = await store.execute(operations.submit(submission("k")))
        with proxy.holding():
            asking = asyncio.create_task(store.execute(operations.owned(run.id, "ann")))
            await await_until(proxy.held.is_set, "the reply is held back")
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        for _ in range(3):
            assert (await store.execute(operations.load(run.id))).snapshot.id == run.id
        await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("what", ["execute", "feed"])
def test_a_task_can_be_cancelled_at_any_moment(valkey: servers.Server, operations: Operations, what: str) -> None:
    """Also just when what it waits for is there: `asyncio.wait_for` would swallow that."""
    dice = random.Random(7)

    async def scenario() -> None:
        store = AsyncStore(locate(valkey.tcp_url), operations)
        run = await store.execute(operations.submit(submission("k")))

        async def work() -> None:
            if what == "execute":
                await store.execute(operations.load(run.id))
            else:
                async with store.subscriptions.feed(operations.snapshots_channel(new_run_id())) as feed:
                    await feed.next(60.0)
            await asyncio.sleep(60.0)

        for _ in range(30):
            tasks = [asyncio.create_task(work()) for _ in range(40)]
            for _ in range(dice.randrange(1, 30)):
                await asyncio.sleep(0)
            await asyncio.sleep(dice.choice([0, 0.001, 0.002, 0.003]))
            for task in tasks:
                task.cancel()
            _, stuck = await asyncio.wait(tasks, timeout=10.0)
            assert not stuck
        assert (await store.execute(operations.load(run.id))).snapshot.id == run.id
        await store.close()

    asyncio.run(scenario())


def test_a_reply_that_does_not_come_is_given_up_and_its_connection_closed(
    proxy: Proxy, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobkit.store.connections.SHORTEST_SILENCE", 0.1)

    async def scenario() -> None:
        store = AsyncStore(locate(f"redis://127.0.0.1:{proxy.port}"), operations, patience=0.1)
        run = await store.execute(operations.submit(submission("k")))
        with proxy.holding(), pytest.raises(StoreUnavailable, match=r"no reply within 0\.1 s"):
            await store.execute(operations.owned(run.id, "ann"))
        for _ in range(3):
            assert (await store.execute(operations.load(run.id))).snapshot.id == run.id
        await store.close()

    asyncio.run(scenario())


def test_an_idle_connection_that_the_server_cut_is_replaced_without_a_word(
    own_server: servers.Server, operations: Operations
) -> None:
    store = Store(locate(own_server.url), operations)
    run = store.execute(operations.submit(submission("k")))
    raw: Any = redis.Redis.from_url(own_server.url)
    raw.client_kill_filter(_type="normal", skipme=True)
    assert store.execute(operations.submit(submission("k"))).id == run.id
    raw.close()
    store.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_can_open_no_more_files_is_told_that_the_store_is_out_of_reach(
    kind: str, own_server: servers.Server, operations: Operations
) -> None:
    client = KINDS[kind](own_server.url, operations, 1.0)
    client.execute_all([operations.queues()])
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    raw: Any = redis.Redis.from_url(own_server.url)
    raw.client_kill_filter(_type="normal", skipme=True)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, usual[1]))
        with pytest.raises(StoreUnavailable):
            client.execute_all([operations.queues()])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    client.execute_all([operations.queues()])
    client.close()


def test_waiting_for_a_bell_of_a_server_that_dies_says_so(own_server: servers.Server, operations: Operations) -> None:
    store = Store(locate(own_server.url), operations)
    raw: Any = redis.Redis.from_url(own_server.url)
    failures: list[Exception] = []

    def wait() -> None:
        try:
            store.wait(["default"], timeout=30.0)
        except StoreUnavailable as error:
            failures.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    wait_until(lambda: raw.info("clients")["blocked_clients"] == 1, "the waiter blocks")
    raw.close()
    own_server.kill()
    waiter.join()
    assert len(failures) == 1
    store.close()


# Bells ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["own_server", "own_redis_server"])
def bell_server(request: pytest.FixtureRequest) -> servers.Server:
    server: servers.Server = request.getfixturevalue(request.param)
    return server


def test_a_short_wait_for_a_bell_is_over_in_time(bell_server: servers.Server, operations: Operations) -> None:
    """The server by itself would end it up to a tenth of a second later."""
    store = Store(locate(bell_server.url), operations)
    store.partitions()
    seconds = []
    for _ in range(25):
        began = time.monotonic()
        assert store.wait(["default"], timeout=0.02) is None
        seconds.append(time.monotonic() - began)
    assert 0.02 <= statistics.median(seconds) < 0.05
    store.close()


def test_a_bell_that_rings_in_a_short_wait_is_heard_and_after_it_is_kept(
    bell_server: servers.Server, operations: Operations
) -> None:
    raw: Any = redis.Redis.from_url(bell_server.url)
    store = Store(locate(bell_server.url), operations)
    rang: list[int | None] = []
    store.partitions()
    for _ in range(20):
        waiter = threading.Thread(target=lambda: rang.append(store.wait(["default"], timeout=0.2)))
        waiter.start()
        raw.rpush(operations.bell("default"), "")
        waiter.join()
    assert rang == [0] * 20
    assert store.wait(["default"], timeout=0.01) is None
    raw.rpush(operations.bell("default"), "")
    assert raw.llen(operations.bell("default")) == 1, "nobody waits there any more, who would take it away"
    raw.close()
    store.close()


# Hearing --------------------------------------------------------------------------------------------------------------


def test_listeners_of_one_channel_share_a_subscription_and_all_hear(
    own_server: servers.Server, operations: Operations
) -> None:
    async def scenario() -> None:
        raw: Any = redis.Redis.from_url(own_server.url)
        store = AsyncStore(locate(own_server.url), operations)
        heard: list[list[bytes | None]] = [[], [], []]
        for place in heard:
            await store.subscriptions.subscribe("a", place.append)
        await store.subscriptions.subscribe("b", heard[0].append)
        assert raw.pubsub_numsub("a") == [(b"a", 1)]
        raw.publish("a", "one")
        await await_until(lambda: heard[1] == heard[2] == [b"one"], "all hear it")
        assert raw.info("clients")["pubsub_clients"] == 1
        raw.close()
        await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["own_server", "own_redis_server"])
def test_after_a_gap_every_listener_is_told_to_read_anew(
    request: pytest.FixtureRequest, operations: Operations, kind: str
) -> None:
    server: servers.Server = request.getfixturevalue(kind)

    async def scenario() -> None:
        store = AsyncStore(locate(server.url), operations)
        heard: list[bytes | None] = []
        await store.subscriptions.subscribe("a", heard.append)
        await asyncio.to_thread(server.restart)
        await await_until(lambda: heard == [None], "the gap is told")
        raw: Any = redis.Redis.from_url(server.url)
        raw.publish("a", "after")
        await await_until(lambda: heard == [None, b"after"], "what is published afterwards is heard")
        raw.close()
        await store.close()

    asyncio.run(scenario())


def test_a_listener_that_fails_does_not_deafen_the_others(valkey: servers.Server, operations: Operations) -> None:
    def fail(_payload: bytes | None) -> NoReturn:
        raise ValueError("a listener's own fault")

    async def scenario() -> None:
        raw: Any = redis.Redis.from_url(valkey.url)
        store = AsyncStore(locate(valkey.url), operations)
        heard: list[bytes | None] = []
        channel = operations.snapshots_channel("0-x")
        await store.subscriptions.subscribe(channel, fail)
        await store.subscriptions.subscribe(channel, heard.append)
        raw.publish(channel, "one")
        await await_until(lambda: heard == [b"one"], "the other hears it")
        raw.close()
        await store.close()

    asyncio.run(scenario())


def test_who_comes_back_while_a_channel_is_being_left_still_hears(
    valkey: servers.Server, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last listener's linger ends; before the unsubscription is sent, another listener subscribes."""
    monkeypatch.setattr("jobkit.store.subscriptions.LINGER", 0.0)

    async def scenario() -> None:
        raw: Any = redis.Redis.from_url(valkey.url)
        store = AsyncStore(locate(valkey.url), operations)
        channel, other = (operations.snapshots_channel(name) for name in ("0-x", "0-y"))
        await store.subscriptions.subscribe(other, lambda _payload: None)
        for _ in range(20):
            heard: list[bytes | None] = []
            await store.subscriptions.subscribe(channel, heard.append)
            raw.publish(channel, "one")
            await await_until(lambda heard=heard: heard == [b"one"], "it is heard")
            store.subscriptions.unsubscribe(channel, heard.append)
            await asyncio.sleep(0)
        raw.close()
        await store.close()

    asyncio.run(scenario())


def test_blocking_watchers_of_a_process_share_one_loop(valkey: servers.Server, operations: Operations) -> None:
    raw: Any = redis.Redis.from_url(valkey.url)
    listening = Listening(lambda: AsyncStore(locate(valkey.url), operations))
    channel = operations.snapshots_channel("0-x")
    with listening.feed(channel) as first, listening.feed(channel) as second:
        assert first.next(0.0) is None
        raw.publish(channel, "one")
        assert [feed.next(10.0) for feed in (first, second)] == [b"one", b"one"]
        assert sum(thread.name == "jobkit listening" for thread in threading.enumerate()) == 1
    listening.close()
    raw.close()
    assert all(thread.name != "jobkit listening" for thread in threading.enumerate())
