"""A namespace of several partitions: each is a partition like any other, and none is forgotten."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import redis

from jobkit.errors import RunNotFound, StoreMisconfigured
from jobkit.store.client import Store
from jobkit.store.location import locate
from jobkit.store.operations import Operation, Operations, new_run_id
from jobkit.store.replies import Admission
from tests.store import (
    test_cancel,
    test_joining,
    test_leases,
    test_limits,
    test_memo,
    test_submit,
    test_take,
)
from tests.store.clients import Client
from tests.store.proxy import Proxy
from tests.store.world import World, submission
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests import servers

THIRD = 2
MODULES = (test_cancel, test_joining, test_leases, test_limits, test_memo, test_submit, test_take)
SCENARIOS = {
    f"{module.__name__.rpartition('.')[2]}-{name}": scenario
    for module in MODULES
    for name, scenario in vars(module).items()
    if name.startswith("test_") and list(inspect.signature(scenario).parameters) == ["world"]
}


# Each is a partition like any other -----------------------------------------------------------------------------------


class OperationsOfThird(Operations):
    """Where a test of ours names no partition, it means the third."""

    def prefix(self, run_id: str = "0-") -> str:
        return super().prefix(f"{THIRD}-" if run_id == "0-" else run_id)

    def _operation(self, script: str, run_id: str, *arguments: Any, **details: Any) -> Any:
        return super()._operation(script, f"{THIRD}-" if run_id == "0-" else run_id, *arguments, **details)


@pytest.fixture
def third(valkey: servers.Server, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The third of three partitions, as the world of a test."""
    monkeypatch.setattr("tests.store.world.new_run_id", lambda: new_run_id(THIRD))
    for module in MODULES:
        monkeypatch.setattr(module, "new_run_id", lambda: new_run_id(THIRD), raising=False)
    store = Store(locate(f"{valkey.url}?partitions=3"), Operations(namespace))
    world = World(redis.Redis.from_url(valkey.url, protocol=2), store, OperationsOfThird(namespace))
    yield world
    world.check()
    world.store.close()
    world.raw.close()


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_what_holds_in_the_first_partition_holds_in_the_third(scenario: Callable[[World], None], third: World) -> None:
    scenario(third)
    others = [key for key in _keys(third.raw, third.operations.namespace) if f":{THIRD}}}:" not in key]
    assert [key.rpartition(":")[2] for key in others] == ["partition"], "only the first is open, and empty"


# How many there are, and who they are ---------------------------------------------------------------------------------


Connect = Callable[..., Client]


@pytest.fixture
def found(connect: Connect, valkey: servers.Server) -> Connect:
    """A client whose URL names so many partitions."""

    def found(partitions: int | None = None, url: str = valkey.tcp_url) -> Client:
        return connect(url if partitions is None else f"{url}?partitions={partitions}")

    return found


@pytest.fixture
def raw(valkey: servers.Server) -> Iterator[Any]:
    with redis.Redis.from_url(valkey.url) as raw:
        yield raw


def test_a_namespace_has_as_many_partitions_as_the_url_of_its_founder_names(found: Connect) -> None:
    assert [found(partitions).partitions() for partitions in (4, None, 4)] == [4, 4, 4]


def test_a_namespace_has_one_partition_unless_its_founder_names_another_number(found: Connect) -> None:
    assert [found(partitions).partitions() for partitions in (None, 1)] == [1, 1]


def test_a_url_that_names_another_number_is_refused_with_advice(found: Connect) -> None:
    assert found(4).partitions() == 4
    other = found(2)
    with pytest.raises(StoreMisconfigured, match=r"in 4 partitions, and its URL says partitions=2.*write partitions=4"):
        other.execute_all([_submission(other, 1)])
    assert found().partitions() == 4


def test_a_namespace_that_was_founded_anew_with_another_number_is_refused_until_the_process_begins_anew(
    found: Connect, raw: Any, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobkit.store.partitions.OPEN_FOR", 0.0)
    client, founder = found(), found(2)
    founder.execute_all([_submission(founder, 1)])
    client.execute_all([_submission(client, 1)])
    raw.delete(*_keys(raw, namespace))
    found(3).partitions()
    with pytest.raises(StoreMisconfigured, match="in 3 partitions, and had 2 when this process began"):
        client.execute_all([client.operations.list()])


def test_who_knew_an_emptied_namespace_founds_it_as_it_was(found: Connect, raw: Any, namespace: str) -> None:
    found(3).partitions()
    client = found()
    client.execute_all([_submission(client, 2)])
    raw.delete(*_keys(raw, namespace))
    client.execute_all([client.operations.list()])
    assert found().partitions() == 3


def test_all_have_the_secret_of_the_first_and_each_an_incarnation_of_its_own(found: Connect) -> None:
    first, second = found(3), found()
    assert first.secret() == second.secret()
    incarnations = [first.incarnation(partition) for partition in range(3)]
    assert [second.incarnation(partition) for partition in range(3)] == incarnations
    assert len(set(incarnations)) == 3


def test_a_partition_that_lost_its_data_comes_back_as_another_and_the_others_stay(
    found: Connect, raw: Any, namespace: str
) -> None:
    client = found(3)
    before = [client.incarnation(partition) for partition in range(3)]
    secret = client.secret()
    raw.delete(f"{{{namespace}:1}}:partition")
    client.execute_all([_submission(client, 1)])
    after = [client.incarnation(partition) for partition in range(3)]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True]
    assert client.secret() == secret


# Which one a run belongs to ------------------------------------------------------------------------------------------


def test_operations_of_several_partitions_are_answered_in_the_order_asked(found: Connect) -> None:
    client = found(4)
    ids = [new_run_id(partition) for partition in (2, 0, 3, 0, 2, 1)]
    admitted = client.execute_all([client.operations.submit(submission(id=each)) for each in ids])
    assert [each.id for each in admitted] == ids
    loaded = client.execute_all([client.operations.load(each) for each in reversed(ids)])
    assert [each.snapshot.id for each in loaded] == ids[::-1]


def test_operations_of_several_partitions_of_one_server_take_one_round_trip(
    found: Connect, valkey: servers.Server, raw: Any
) -> None:
    """No reply is given until all have been applied."""
    proxy = Proxy(valkey.port)
    client = found(4, f"redis://127.0.0.1:{proxy.port}")
    client.execute_all([_submission(client, partition) for partition in range(4)])
    ids = [new_run_id(partition) for partition in range(4)]
    asking = threading.Thread(
        target=client.execute_all, args=([client.operations.submit(submission(id=each)) for each in ids],)
    )
    with proxy.holding():
        asking.start()
        records = [f"{client.operations.prefix(each)}run:{each}" for each in ids]
        wait_until(lambda: raw.exists(*records) == 4, "all were applied, while no reply came")
    asking.join()
    proxy.close()


def test_a_run_of_a_partition_that_is_not_there_is_not_found_and_founds_nothing(
    found: Connect, raw: Any, namespace: str
) -> None:
    client = found(2)
    stranger = new_run_id(2)
    operations = client.operations
    for operation in (
        operations.load(stranger),
        operations.owned(stranger, "ann"),
        operations.cancel(stranger, "owner:ann", force=True),
    ):
        with pytest.raises(RunNotFound):
            client.execute_all([operation])
    known, unknown = client.execute_all([_submission(client, 1), operations.load_stored(stranger)])
    assert (known.admission, unknown) == (Admission.NEW, None)
    assert {key[: key.index("}") + 1] for key in _keys(raw, namespace)} == {f"{{{namespace}:{n}}}" for n in range(2)}


def test_a_waiting_worker_hears_the_bells_of_all_partitions_and_which_one_rang(
    valkey: servers.Server, namespace: str
) -> None:
    store = Store(locate(f"{valkey.url}?partitions=3"), Operations(namespace))
    assert store.wait(["default", "reports"], timeout=0.01) is None
    for partition in (2, 0, 1):
        store.execute(store.operations.submit(submission(id=new_run_id(partition), queue="reports")))
        assert store.wait(["default", "reports"], timeout=5.0) == partition
    store.close()


def _submission(client: Client, partition: int) -> Operation[Any]:
    return client.operations.submit(submission(id=new_run_id(partition)))


def _keys(raw: Any, namespace: str) -> list[str]:
    return sorted(key.decode() for key in raw.scan_iter(f"*{namespace}*"))
