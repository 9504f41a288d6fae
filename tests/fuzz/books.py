"""The books, made up after every event: what is stored obeys its rules, and is what the model says.

Four questions, each answered from all keys of the namespace: do model and store agree; do the sets, pointers, slots
and ends of keys obey the rules of docs/store-protocol.md, whatever the model says; did each record only move as records
may; did whoever listens hear of it. The I-numbers are those of the design's table of invariants.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import TYPE_CHECKING, Any

import msgspec

from tests.fuzz.calls import Cancel, Event, Invalidate, Reassert, Submit, SubmitMany
from tests.fuzz.runs import ENDED, REFRESH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.fuzz.model import Model
    from tests.fuzz.runs import Run
    from tests.fuzz.stored import Pairs, Record, Stored

WAITING = ("ready:", "parked:", "due", "leases")
NOT_OF_RUNS = ("workers:", "paced", "parking:", "stamps", "queues")
STANDING: dict[str, list[list[str]]] = {
    "scheduled": [["due"]],
    "queued": [["ready"], ["parked"]],
    "running": [["leases"]],
    "succeeded": [[]],
    "failed": [[]],
    "cancelled": [[]],
}
"""The sets a run stands in, by its state: one of these."""
FROZEN = ("state", "token", "start", "progress", "result", "error", "version", "finished", "fresh_until")
"""What an ended run keeps for ever."""
VISIBLE = ("state", "start", "progress", "result", "error", "cancelling", "finished", "stalled", "killing")
"""What a watcher sees: it changes under a new version only."""
MOST_MARKERS = 64
HOUR = 3_600_000


def check(model: Model, stored: Stored, event: Event, published: Iterable[tuple[str, str]]) -> None:
    """Raise an AssertionError that says what is wrong."""
    _agree(model, stored)
    _obey(model, stored)
    changed = [run_id for run_id, record in stored.runs.items() if record is not stored.before.get(run_id)]
    for run_id in changed:
        if run_id in stored.before:
            _moved_rightly(run_id, stored.before[run_id], stored.runs[run_id], event)
            _waited(run_id, stored.before[run_id], stored.runs[run_id], model.now, event)
    _heard(model, stored, changed, list(published))


# Model and store agree ------------------------------------------------------------------------------------------------


def _agree(model: Model, stored: Stored) -> None:
    partition = stored.hashes["partition"]
    assert int(partition.get("stamped", "0")) == max(model.stamps.values(), default=0), f"stamped: {partition}"
    assert int(partition.get("clock", "0")) == model.clock, f"the clock is {partition.get('clock')}, not {model.clock}"
    moments = [*stored.sets.get("due", {}).values(), *stored.sets.get("paced", {}).values()]
    assert float(partition.get("alarm", "0")) <= min(moments, default=inf), (
        f"{moments} are before the alarm: {partition}"
    )
    kept = {run_id for run_id, run in model.runs.items() if not run.evicted}
    assert stored.runs.keys() == kept, f"records: {_difference(stored.runs, kept)}"
    for run_id, record in stored.runs.items():
        said, stands = _said(model.runs[run_id]), record.facts
        if said["state"] in ENDED and run_id in stored.before and stored.before[run_id]["state"] not in ENDED:
            end = (model.runs[run_id].forget_at or 0) - model.now + HOUR
            assert stored.ttl[f"run:{run_id}"] == end, f"{run_id} ends in {stored.ttl[f'run:{run_id}']} ms, not {end}"
        assert record["state"] not in ENDED or "checkpoint" not in record, f"{run_id} has ended, and keeps a checkpoint"
        assert said == stands, f"{run_id}: the record says {_unlike(stands, said)}, the model {_unlike(said, stands)}"
    sets = {name: members for name, members in stored.sets.items() if name.partition(":")[0] in COMPARED}
    expected = _sets(model)
    for name in sets.keys() | expected.keys():
        one, other = sets.get(name, {}), expected.get(name, {})
        assert one == other, f"{name} holds {_unlike(one, other)}, the model says {_unlike(other, one)}"
    _counts_agree(model, stored)
    _pointers_agree(model, stored)
    _slots_agree(model, stored)


def _said(run: Run) -> dict[str, Any]:
    """What the model says of a run, as `Record.facts` says it of a record."""
    facts: dict[str, Any] = {
        "state": run.state, "queue": run.kind.queue, "key": run.key if run.shared else "", "start": run.start,
        "score": run.score, "token": run.token, "crashes": run.crashes, "cancelling": run.cancelling,
        "failures": run.failures, "explained": run.explained, "incidents": run.incidents,
        "result": run.result, "interests": run.interests, "owners": set(run.owners), "done": run.done,
        "lost": run.lost, "finished": run.finished, "fresh_until": run.fresh_until, "watched": run.watched,
        "parked": run.parked, "labels": " ".join(run.labels), "priority": run.priority, "stale_until": run.stale_until,
        "refresh_at": run.refresh_at, "refuse_until": run.refuse_until,
    }  # fmt: skip
    if run.state == "running":
        facts |= {"slot": run.slot, "sequence": run.sequence, "lease": run.lease, "started": run.started}
        facts |= {"stalled": run.stalled, "killing": run.killing}
    return facts


COMPARED = frozenset(
    {
        "ready", "parked", "due", "leases", "state", "runs", "forget", "workers", "abandon", "expiring", "owner",
        "holders", "parking", "stamps",
    }
)  # fmt: skip


def _sets(model: Model) -> dict[str, dict[str, float]]:
    """Every sorted set and set, as the model has it."""
    sets: dict[str, dict[str, float]] = {}
    for run in model.runs.values():
        for name, score in _stands(model, run):
            sets.setdefault(name, {})[run.id] = score
        if run.parked:
            sets.setdefault(f"parking:{run.parked}", {})[run.kind.queue] = 0.0
    if model.strays:
        sets.setdefault("abandon", {}).update(model.strays)
    if model.stamps:
        sets["stamps"] = {label: float(stamp) for label, stamp in model.stamps.items()}
    for queue, serving in model.workers.items():
        sets[f"workers:{queue}"] = {worker: float(seen) for worker, seen in serving.items()}
    return sets


def _stands(model: Model, run: Run) -> Iterator[tuple[str, float]]:
    """Where a run stands, and by what score."""
    yield "runs", run.created
    yield f"state:{run.state}", run.since
    match run.state:
        case "scheduled":
            yield "due", run.due or 0
        case "queued":
            yield f"parked:{run.parked}:{run.kind.queue}" if run.parked else f"ready:{run.kind.queue}", run.score / 1000
        case "running":
            yield "leases", run.lease_end
        case _:
            yield "forget", run.forget_at or 0
    yield from ((f"holders:{limit}", 0.0) for limit in run.limits if run.id in model.places.holders(limit))
    yield from ((f"owner:{owner}", when) for owner, when in run.owners.items())
    if run.abandon_at is not None:
        yield "abandon", run.abandon_at
    if run.expire_at is not None:
        yield "expiring", run.expire_at


def _counts_agree(model: Model, stored: Stored) -> None:
    """What the scripts count rather than look up."""
    parked = Counter(run.kind.queue for run in model.runs.values() if run.parked)
    counted = {queue: int(count) for queue, count in stored.hashes.get("parked", {}).items() if count != "0"}
    assert counted == parked, f"parked runs are counted as {counted}, not {dict(parked)}"
    for name, moment in stored.numbers.items():
        if name.startswith("tat:"):
            free_at = model.places.free_at.get(name.removeprefix("tat:"), 0)
            assert moment == free_at or max(moment, free_at) <= model.now_us, f"{name} is {moment}, not {free_at}"


def _pointers_agree(model: Model, stored: Stored) -> None:
    for key, pointer in model.pointers.items():
        names = stored.hashes.get(f"key:{key}", {})
        in_force = model.in_force(pointer)
        assert names.get("live") == pointer.live, f"live of {key} is {names.get('live')}, not {pointer.live}"
        until = _number(names.get("until"))
        assert not names or (until or 0) == pointer.until, f"{key} is remembered until {until}, not {pointer.until}"
        if names and not pointer.live and stored.has_changed(f"key:{key}"):
            left = stored.ttl[f"key:{key}"]
            assert left == pointer.until - model.now, f"{key} ends in {left} ms, and is to be remembered until {until}"
        for name, what in in_force.items():
            assert names.get(name) == what, f"{name} of {key} is {names.get(name)}, not {what}"
    unknown = {name for name in stored.hashes if name.startswith("key:")} - {f"key:{key}" for key in model.pointers}
    assert not unknown, f"pointers that nobody made: {unknown}"


def _slots_agree(model: Model, stored: Stored) -> None:
    held = {name.partition(":")[2]: holds for name, holds in stored.hashes.items() if name.startswith("slot:")}
    slots = {name: slot for name, slot in model.slots.items() if slot.says_anything}
    assert held.keys() == slots.keys(), f"slots: {_difference(held, slots)}"
    for name, slot in slots.items():
        holds = held[name]
        found = (holds.get("run"), _number(holds.get("token")), holds.get("nonce"), holds.get("dead") == "1")
        assert found == (slot.run, slot.token, slot.nonce, slot.dead), (
            f"slot {name} holds {holds}, the model says {slot}"
        )


# The rules of what is stored ------------------------------------------------------------------------------------------


def _obey(model: Model, stored: Stored) -> None:
    gone = {run_id for run_id, run in model.runs.items() if run.evicted} | model.strays.keys()
    standing = _standing(stored, gone)
    for run_id, record in stored.runs.items():
        _stands_as_its_state_says(run_id, record, standing[run_id])
        _is_counted_and_ends(run_id, record, stored)
    tokens = [record["token"] for record in stored.runs.values() if "token" in record]
    assert len(tokens) == len(set(tokens)), "I2: two runs share a token"
    for name, holds in stored.hashes.items():
        if name.startswith("key:"):
            _points_rightly(name, holds, stored)
        elif name.startswith("slot:"):
            _holds_rightly(name, holds, stored)
    for name in stored.sets:
        if name.startswith("parked:"):
            _moves_on(name, stored)
    for name, end in stored.ttl.items():
        _is_owned(name, end)


def _standing(stored: Stored, gone: set[str]) -> dict[str, list[str]]:
    """Where each run stands; no set lists what is not kept, but for an evicted run that nobody met yet."""
    standing: dict[str, list[str]] = {run_id: [] for run_id in stored.runs}
    for name, members in stored.sets.items():
        if name.startswith(NOT_OF_RUNS):
            continue
        for member in members:
            if member in standing:
                standing[member].append(name)
            else:
                assert member in gone, f"{name} lists {member}, which is not kept"
    return standing


def _moves_on(line: str, stored: Stored) -> None:
    """A limit that has room has offered it to a run that is ready, or will be offered."""
    kind, name, queue = line.removeprefix("parked:").split(":")
    limit = f"{kind}:{name}"
    numbers = [_limits(stored.runs[run_id])[limit] for run_id in stored.sets[line] if run_id in stored.runs]
    if limit in (overrides := stored.hashes.get("overrides", {})):
        numbers = [int(overrides[limit].split()[0])]
    is_full = kind != "r" and len(stored.sets.get(f"holders:{limit}", {})) >= min(numbers, default=0)
    ready = [run_id for run_id in stored.sets.get(f"ready:{queue}", {}) if run_id in stored.runs]
    is_offered = any(limit in _limits(stored.runs[run_id]) for run_id in ready)
    will_be = limit in stored.sets.get("paced", {})
    assert is_full or is_offered or will_be, f"runs are parked in {line}, and nothing brings them up"


def _limits(record: Record) -> dict[str, int]:
    words = record.get("limits", "").split()
    return dict(zip(words[0::2], map(int, words[1::2]), strict=True))


def _stands_as_its_state_says(run_id: str, record: Pairs, places: list[str]) -> None:
    """I6."""
    state = record["state"]
    waiting = [name.partition(":")[0] for name in places if name.startswith(WAITING)]
    assert waiting in STANDING[state], f"I6: {run_id} is {state}, and stands in {places}"
    listed = [name for name in places if name.startswith("state:")]
    assert listed == [f"state:{state}"], f"I6: {run_id} is {state}, and is listed in {listed}"
    assert "runs" in places, f"I6: {run_id} is not listed"


def _is_counted_and_ends(run_id: str, record: Record, stored: Stored) -> None:
    stakes = list(record.interests.values()).count(True)
    assert int(record["interests"]) == stakes, f"I4: {run_id} counts {record['interests']} of {stakes} interests"
    last = int(record.get("incidents", "0"))
    kept = {name for name in record if name.startswith("incident:")}
    assert kept == {f"incident:{number}" for number in range(max(1, last - 9), last + 1)}, f"{run_id} keeps {kept}"
    assert int(record.get("crashes", "0")) >= 0, f"{run_id} has fewer than no crashes"
    assert int(record.get("token", "0")) <= int(stored.hashes["partition"].get("clock", "0")), "I2: above the clock"
    ended = record["state"] in ENDED
    assert (stored.ttl[f"run:{run_id}"] > 0) == ended, f"{run_id} is {record['state']}, which its record's end belies"
    if record["state"] == "running" and record["slot"]:
        slot = f"slot:{record['slot']}"
        holds = stored.hashes.get(slot, {})
        assert (holds.get("run"), holds.get("token")) == (run_id, record["token"]), f"I6: {run_id} is not in its slot"
        assert stored.ttl[slot] == -1, f"the slot of {run_id} would end under it"


def _points_rightly(name: str, names: Pairs, stored: Stored) -> None:
    if "live" in names:
        assert stored.ttl[name] == -1, f"{name} would end under its live run"
        live = stored.runs.get(names["live"])
        if live:  # else it was evicted: the next submission passes it over
            assert f"key:{live['key']}" == name, f"I1: {name} names a run of {live['key']}"
            assert live["state"] not in ENDED, f"I1: {name} names {names['live']}, which has ended"
            assert live.get("cancelling") != "1", f"{name} names {names['live']}, which is being cancelled"
        return
    assert stored.ttl[name] > 0, f"{name} has no end"
    memo = stored.runs.get(names.get("memo", ""))
    assert not memo or memo["state"] != "succeeded" or "result" in memo, f"I8: {name} names a memo without a value"


def _holds_rightly(name: str, holds: Pairs, stored: Stored) -> None:
    """A slot without an end holds a run that may still be written through it."""
    if stored.ttl[name] > 0:
        return
    assert "dead" not in holds, f"{name} is dead, and has no end"
    assert "run" in holds, f"{name} holds nothing, and has no end"
    run = stored.runs.get(holds["run"])
    if run and run.start:  # else it was evicted (and submitted again): the child's next call ends the slot
        assert f"slot:{run['slot']}" == name, f"{name} lost its run, and has no end"
        assert run["token"] == holds["token"], f"{name} lost its lease, and has no end"
        assert run["state"] in {"running", "queued"}, f"{name} holds a run that is {run['state']}, and has no end"


def _is_owned(name: str, end: int) -> None:
    """Every key has an owner, or an end."""
    match name.partition(":")[0]:
        case "partition" | "runs" | "due" | "leases" | "forget" | "ready" | "state" | "run" | "key" | "slot":
            pass  # the partition's own, or judged above
        case "parked" | "parking" | "holders" | "paced" | "abandon" | "expiring" | "stamps" | "owner":
            pass  # live runs', or trimmed with what they list
        case "queues" | "overrides":
            pass  # those with runs; the sweep drops the others
        case "bell" | "workers" | "tat":
            assert end >= 0, f"{name} never ends"
        case _:
            raise AssertionError(f"a key that nobody owns: {name}")


# From one moment to the next ------------------------------------------------------------------------------------------


def _moved_rightly(run_id: str, before: Record, after: Record, event: Event) -> None:
    assert int(after.get("token", "0")) >= int(before.get("token", "0")), f"I2: {run_id} has an older token"
    assert after.order >= before.order, f"I9: {run_id} went back from {before.order} to {after.order}"
    if any(before.get(name) != after.get(name) for name in VISIBLE):
        assert after.order > before.order, f"I9: {run_id} changed under the same version"
    if before["state"] in ENDED:
        changed = [name for name in FROZEN if before.get(name) != after.get(name)]
        assert not changed, f"I2: {run_id} had ended, and still changed its {changed}"
    if before.start == after.start and before.get("sequence") != after.get("sequence"):
        assert after.facts["done"] >= before.facts["done"], f"I9: progress of {run_id} went back"
    _kept_its_interests(run_id, before, after, event)


def _waited(run_id: str, before: Record, after: Record, now: int, event: Event) -> None:
    """I5: between two starts a run waits out its time, whoever joins it; only its holder may know better."""
    if before["state"] == "scheduled" and before.start and after["state"] in {"queued", "running"}:
        is_over = now >= int(before["due"]) or isinstance(event, Reassert)
        assert is_over, f"I5: {run_id} was to wait until {before['due']}, and goes on at {now}"


def _kept_its_interests(run_id: str, before: Record, after: Record, event: Event) -> None:
    """I4: nobody's stake goes but by their own will; the system's goes when the run is superseded."""
    for name, counted in before.interests.items():
        assert name in after.interests, f"I4: {run_id} forgot the interest of {name}"
        own = isinstance(event, Cancel) and (event.id, event.interest) == (run_id, name)
        systems = name == REFRESH and isinstance(event, Submit | SubmitMany | Invalidate)
        assert after.interests[name] or not counted or own or systems, f"I4: {run_id} lost the interest of {name}"
    lost_owners = before.facts["owners"] - after.facts["owners"]
    assert not lost_owners, f"I4: {run_id} lost its owners {lost_owners}"


# Whoever listens, hears -----------------------------------------------------------------------------------------------


def _heard(model: Model, stored: Stored, changed: list[str], published: list[tuple[str, str]]) -> None:
    newest = {channel: text for channel, text in published if channel.startswith("snapshots:")}
    for run_id in changed:
        record, before = stored.runs[run_id], stored.before.get(run_id)
        if model.runs[run_id].watched is None or before is None or record["version"] == before["version"]:
            continue
        assert f"snapshots:{run_id}" in newest, f"I4: the watchers of {run_id} did not hear that it changed"
        heard = msgspec.json.decode(newest[f"snapshots:{run_id}"])
        assert (heard["state"], heard["start"], str(heard["version"])) == (
            record["state"], int(record.get("start", "0")), record["version"],
        ), f"I9: the watchers of {run_id} heard {heard}"  # fmt: skip
    told = [(channel, text) for channel, text in published if channel.startswith("worker:")]
    assert sorted(told) == sorted((f"worker:{worker}", text) for worker, text in model.told), (
        f"workers were told {told}"
    )
    invalidated = [text for channel, text in published if channel.endswith(":invalidated")]
    assert invalidated == model.invalidated, f"invalidated is published as {invalidated}, not {model.invalidated}"
    paused = stored.hashes.get("partition", {}).get("paused", "").split()
    assert sorted(paused) == sorted(model.paused), f"{paused} are paused, the model says {model.paused}"
    overrides = {name: int(text.split()[0]) for name, text in stored.hashes.get("overrides", {}).items()}
    assert overrides == model.places.overrides, f"{overrides} are overridden, the model says {model.places.overrides}"
    for queue in [queue for queue in model.places.rung if model.places.ready(queue)]:
        assert stored.numbers.get(f"bell:{queue}", 0) > 0, f"there is new work in {queue}, and no marker on its bell"
    for name, number in stored.numbers.items():
        assert not name.startswith("bell:") or number <= MOST_MARKERS, f"{name} holds {number} markers"


# Reading --------------------------------------------------------------------------------------------------------------


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def _unlike(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What the one says and the other does not."""
    missing = object()
    return {name: value for name, value in one.items() if value != other.get(name, missing)}


def _difference(stands: Iterable[str], expected: Iterable[str]) -> str:
    return f"too many {set(stands) - set(expected)}, missing {set(expected) - set(stands)}"
