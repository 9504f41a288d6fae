"""One namespace of a real store, driven operation by operation, with every invariant checked after each step.

`World.execute` is the store's own `execute`; after it all keys of the namespace are read raw and compared: the sets a
run stands in with its state, pointers with what they point to, slots with their runs, expiries with owners, snapshots
with records. Time is the server's and is not waited for: `lapse`, `ripen` and `outdate` move the stored moments.
"""

import itertools
import json
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import redis

from jobkit.incident import Incident
from jobkit.lifecycle import Outcome, State
from jobkit.snapshot import Snapshot
from jobkit.store.client import Store
from jobkit.store.location import locate
from jobkit.store.operations import (
    Conditions,
    Mark,
    Operation,
    Operations,
    Submission,
    Terms,
    failure_head,
    new_run_id,
    work_of,
)
from jobkit.store.replies import (
    Admission,
    Admitted,
    Cancelling,
    Lease,
    Loaded,
    NoWork,
    Renewed,
    Reported,
    Swept,
    Verdict,
)

T = TypeVar("T")

LOST = failure_head("Its worker was lost.")
FAILED = failure_head("It did not work.", public=True)
SWEEP_EVERY = 1.0


def submission(key: str = "", **changes: Any) -> Submission:
    """A submission as the kit would make it; `changes` are fields of it, of its conditions, or of its terms."""
    run_id = changes.pop("id", None) or new_run_id()
    job = changes.pop("job", "reports.Sales")
    tags = changes.pop("tags", ())
    terms = {"max_attempts": 1, "max_crashes": 3, "keep": 3_600_000, "undeliverable": 600_000}
    terms |= {name: int(changes.pop(name)) for name in Terms.__struct_fields__ if changes.get(name) is not None}
    conditions = {name: changes.pop(name) for name in Conditions.__struct_fields__ if name in changes}
    arguments, version = changes.pop("arguments", b'{"month":"2026-11"}'), changes.pop("cache_version", "1")
    limits = changes.pop("limits", "")
    assert not changes, f"no such field: {changes}"
    return Submission(
        id=run_id,
        conditions=Conditions(
            **{
                "job": json.dumps(job, ensure_ascii=False),
                "queue": "default",
                "terms": msgspec.json.encode(Terms(**terms)),
                "labels": " ".join([f"job:{job}", *(f"tag:{tag}" for tag in tags)]),
                "tags": " ".join(f"tag:{tag}" for tag in tags),
                **conditions,
            }
        ),
        key=key,
        limits=limits,
        work=work_of(job, version, arguments),
    )


@dataclass
class World:
    """The namespace, its raw client, and what was seen of each run so far."""

    raw: Any
    store: Store
    operations: Operations
    seen: dict[str, Snapshot] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    ahead: float = 0.0

    @property
    def prefix(self) -> str:
        return self.operations.prefix()

    def execute(self, operation: Operation[T]) -> T:
        value = self.store.execute(operation)
        self.check()
        return value

    # What callers do --------------------------------------------------------------------------------------------------

    def submit(self, key: str = "", **changes: Any) -> Admitted:
        return self.execute(self.operations.submit(submission(key, **changes)))

    def take(
        self, slot: str = "w/1", queues: tuple[str, ...] = ("default",), nonce: str = "", *, in_turn: bool = False
    ) -> Lease:
        taken = self.look(slot, queues, nonce, in_turn=in_turn)
        assert isinstance(taken, Lease), "there was nothing to take"
        return taken

    def look(
        self, slot: str = "w/1", queues: tuple[str, ...] = ("default",), nonce: str = "", *, in_turn: bool = False
    ) -> Lease | NoWork:
        return self.execute(self.operations.take(slot, nonce or str(next(self.numbers)), queues, in_turn=in_turn))

    def started(self, key: str = "", slot: str = "", **changes: Any) -> Lease:
        """A run of its own queue, submitted and taken."""
        queue = f"queue-{next(self.numbers)}"
        self.submit(key, queue=queue, **changes)
        return self.take(slot or f"w/{queue}", (queue,))

    def in_state(self, state: State) -> str:
        """The id of a new run in this state."""
        match state:
            case State.SCHEDULED:
                return self.submit(start="+60000").id
            case State.QUEUED:
                return self.submit().id
            case State.RUNNING:
                return self.started().run_id
            case _:
                lease = self.started()
                self.settle(lease, Outcome(state.value))
                return lease.run_id

    def succeeded(self, key: str = "", result: bytes = b"42", **changes: Any) -> Lease:
        lease = self.started(key, **changes)
        assert self.settle(lease, Outcome.SUCCEEDED, result=result) is Verdict.OK
        return lease

    def report(self, lease: Lease, sequence: int = 1, done: int = 1, checkpoint: bytes = b"") -> Reported:
        return self.execute(self.operations.report(lease, sequence, b'{"done":%d}' % done, checkpoint))

    def settle(self, lease: Lease, outcome: Outcome = Outcome.SUCCEEDED, **details: Any) -> Verdict:
        details.setdefault("failure", FAILED)
        return self.execute(self.operations.settle(lease, outcome, **details))

    def renew(self, *slots: str) -> tuple[Renewed, ...]:
        return self.execute(self.operations.renew("w", ["default"], slots)).slots

    def release(self, slot: str = "w/1", *, crashed: bool = True, **details: Any) -> tuple[Verdict, str]:
        return self.execute(self.operations.release(slot, crashed=crashed, failure=LOST, **details))

    def mark(self, lease: Lease, what: Mark, incident: bytes = b"") -> Verdict:
        return self.execute(self.operations.mark(lease.run_id, lease.token, what, incident))

    def incidents(self, run_id: str) -> tuple[Incident, ...]:
        return self.execute(self.operations.incidents(run_id))

    def cancel(self, run_id: str, interest: str = "", *, force: bool = False) -> Cancelling:
        return self.execute(self.operations.cancel(run_id, interest or f"ticket:{run_id}", force=force))

    def sweep(self, incident: bytes = b"") -> Swept:
        return self.execute(self.operations.sweep(SWEEP_EVERY, LOST, incident=incident))

    def load(self, run_id: str, *, watch: float = 0.0, result: bool = False) -> Loaded:
        return self.execute(self.operations.load(run_id, watch=watch, result=result))

    def state(self, run_id: str) -> State:
        return self.load(run_id).snapshot.state

    # What time does ---------------------------------------------------------------------------------------------------

    def now(self) -> int:
        seconds, microseconds = self.raw.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def lapse(self, *run_ids: str) -> Swept:
        """The leases run out while others sweep as usual."""
        for run_id in run_ids:
            self.raw.zadd(f"{self.prefix}leases", {run_id: self.now() - 1}, xx=True)
        self.swept_ago(SWEEP_EVERY)
        return self.sweep()

    def swept_ago(self, seconds: float) -> None:
        self.raw.hset(f"{self.prefix}partition", "swept", self.now() - int(seconds * 1000))

    def ripen(self, run_id: str) -> None:
        """A scheduled run's time comes."""
        self.raw.zadd(f"{self.prefix}due", {run_id: self.now() - 1}, xx=True)
        self.raw.hdel(f"{self.prefix}partition", "alarm")  # which knows nothing of that

    def outdate(self, run_id: str, *, stale_for: float = 0.0) -> None:
        """A memo is no longer fresh, and stale for so many seconds more."""
        now = self.now()
        fresh_until, stale_until = now - 1, now - 1 + int(stale_for * 1000)
        self.raw.hset(self.record_key(run_id), mapping={"fresh_until": fresh_until, "stale_until": stale_until})

    def skew(self, seconds: float) -> None:
        """The partition's clock is so many seconds ahead of the server's from now on."""
        self.raw.hset(f"{self.prefix}partition", "skew", int(seconds * 1000))
        self.ahead = seconds

    # What is stored ---------------------------------------------------------------------------------------------------

    def record_key(self, run_id: str) -> str:
        return f"{self.prefix}run:{run_id}"

    def record(self, run_id: str) -> dict[str, str]:
        return _texts(self.raw.hgetall(self.record_key(run_id)))

    def pointer(self, key: str) -> dict[str, str]:
        return _texts(self.raw.hgetall(f"{self.prefix}key:{key}"))

    def slot(self, slot: str) -> dict[str, str]:
        return _texts(self.raw.hgetall(f"{self.prefix}slot:{slot}"))

    def members(self, name: str) -> list[str]:
        return [member.decode() for member in self.raw.zrange(f"{self.prefix}{name}", 0, -1)]

    def check(self) -> None:
        stored = Stored(self.raw, self.prefix)
        stored.check()
        self._check_versions(stored)

    def _check_versions(self, stored: "Stored") -> None:
        """Snapshots are valid JSON, say what the record says, and never go back."""
        for run_id, record in stored.runs.items():
            body = self.store.execute(self.operations.load(run_id)).snapshot
            assert (body.id, body.state.value, body.version) == (run_id, record["state"], int(record["version"]))
            before = self.seen.get(run_id)
            if before is not None:
                assert body.order >= before.order, f"{run_id} went back from {before.order} to {body.order}"
                assert not before.state.terminal or body.state is before.state, f"{run_id} left {before.state}"
            self.seen[run_id] = body


class Stored:
    """Everything under one prefix, as the server keeps it."""

    def __init__(self, raw: Any, prefix: str) -> None:
        self._prefix = prefix
        names = sorted(name.decode().removeprefix(prefix) for name in raw.scan_iter(f"{prefix}*", count=1000))
        with raw.pipeline(transaction=True) as pipe:
            for name in names:
                pipe.type(prefix + name).pttl(prefix + name)
            kinds = pipe.execute()
        there = [
            each for each in zip(names, kinds[0::2], kinds[1::2], strict=True) if each[1] != b"none"
        ]  # not ended since
        self.ttls = {name: ttl for name, _, ttl in there}
        self.sets: dict[str, dict[str, float]] = {}
        self.hashes: dict[str, dict[str, str]] = {}
        self.members: dict[str, set[str]] = {}
        for name, kind, _ in there:
            if kind == b"zset":
                self.sets[name] = {
                    member.decode(): score for member, score in raw.zrange(prefix + name, 0, -1, withscores=True)
                }
            elif kind == b"hash":
                self.hashes[name] = _texts(raw.hgetall(prefix + name))
            elif kind == b"set":
                self.members[name] = {member.decode() for member in raw.smembers(prefix + name)}
        self.runs = self._family("run:")
        seconds, microseconds = raw.time()
        skew = int(self.hashes.get("partition", {}).get("skew", 0))
        self.now = int(seconds) * 1000 + int(microseconds) // 1000 + skew

    def _family(self, kind: str) -> dict[str, dict[str, str]]:
        return {name.removeprefix(kind): fields for name, fields in self.hashes.items() if name.startswith(kind)}

    def check(self) -> None:
        for run_id, record in self.runs.items():
            self._check_memberships(run_id, record)
            self._check_record(run_id, record)
        for key, names in self._family("key:").items():
            self._check_pointer(key, names)
        for slot, holds in self._family("slot:").items():
            self._check_slot(slot, holds)
        for name in self.ttls:
            self._check_end(name)
        self._check_limits()
        self._check_schedules()
        self._check_indexes()
        tokens = [record["token"] for record in self.runs.values() if "token" in record]
        assert len(tokens) == len(set(tokens)), "two runs share a token"

    def _check_memberships(self, run_id: str, record: dict[str, str]) -> None:
        """I6: a run stands in exactly the sets of its state."""
        state, parked = record["state"], record.get("parked", "")
        waiting = {
            name
            for name, members in self.sets.items()
            if run_id in members and name.partition(":")[0] in ("ready", "parked", "due", "leases")
        }
        match state:
            case "queued":
                wanted = {f"parked:{parked}:{record['queue']}" if parked else f"ready:{record['queue']}"}
            case "scheduled":
                wanted = {"due"}
            case "running":
                wanted = {"leases"}
            case _:
                wanted = set()
        assert waiting == wanted, f"{run_id} is {state}, but stands in {waiting}"
        assert not parked or state == "queued", f"{run_id} is {state}, but parked"
        listed = {name for name, members in self.sets.items() if run_id in members and name.startswith("state:")}
        assert listed == {f"state:{state}"}, f"{run_id} is {state}, but is listed in {listed}"
        assert run_id in self.sets["runs"]
        assert (run_id in self.sets.get("forget", {})) == State(state).terminal
        held = {name for name, members in self.members.items() if name.startswith("holders:") and run_id in members}
        limits = record.get("limits", "").split()[::2]
        kinds = ["m:"] if state == "running" else []
        kinds += ["s:"] if state == "queued" and not parked and int(record.get("start", 0)) == 0 else []
        holding = {f"holders:{limit}" for limit in limits if limit.startswith(tuple(kinds))} if kinds else set()
        assert held == holding, f"{run_id} is {state}, but holds {held}"
        owners = {name for name in self.sets if name.startswith("owner:") and run_id in self.sets[name]}
        assert owners == {name for name in record if name.startswith("owner:")}, f"{run_id} is listed for {owners}"
        abandoned = run_id in self.sets.get("abandon", {})
        waits = not State(state).terminal and record.get("cancelling") != "1"
        terms = json.loads(record["terms"])
        assert abandoned == ("abandon_after" in terms and waits)
        has_yet_to_begin = not State(state).terminal and int(record.get("start", 0)) == 0
        expiring = run_id in self.sets.get("expiring", {})
        assert expiring == ("expires" in terms and has_yet_to_begin), f"{run_id} is {state}; expiring: {expiring}"

    def _check_record(self, run_id: str, record: dict[str, str]) -> None:
        ends = self.ttls[f"run:{run_id}"] > 0
        assert ends == State(record["state"]).terminal, f"{run_id} is {record['state']}, its end is {ends}"
        stakes = sum(1 for name, value in record.items() if name.startswith("interest:") and value == "1")
        assert int(record["interests"]) == stakes, f"{run_id} counts {record['interests']} of {stakes} interests"
        assert int(record.get("crashes", 0)) >= 0
        noted, last = {name for name in record if name.startswith("incident:")}, int(record.get("incidents", 0))
        assert noted == {f"incident:{number}" for number in range(max(1, last - 9), last + 1)}, f"{run_id} kept {noted}"
        assert not (ends and "checkpoint" in record), f"{run_id} has ended, and keeps what nobody goes on from"
        if "token" in record:
            assert int(record["token"]) <= int(self.hashes["partition"]["clock"])
        if record["state"] == "running" and record["slot"]:
            holds = self.hashes[f"slot:{record['slot']}"]
            assert (holds["run"], holds["token"]) == (run_id, record["token"]), f"{run_id} is not in its slot"
            assert self.ttls[f"slot:{record['slot']}"] == -1, f"the slot of {run_id} would end under it"

    def _check_pointer(self, key: str, names: dict[str, str]) -> None:
        assert names, f"the pointer of {key} names nothing"
        if "live" in names:
            live = self.runs[names["live"]]
            assert live["key"] == key
            assert not State(live["state"]).terminal, f"live run {names['live']} has ended"
            assert live.get("cancelling") != "1", f"live run {names['live']} is being cancelled"
            assert self.ttls[f"key:{key}"] == -1
        else:
            assert self.ttls[f"key:{key}"] > 0, f"the pointer of {key} never ends"
        for name, end in (("memo", "stale_until"), ("failed", "refuse_until")):
            ended = self.runs.get(names.get(name, ""))
            if ended is not None and int(ended[end]) > self.now:
                assert ended["key"] == key
                assert ended["state"] == {"memo": "succeeded", "failed": "failed"}[name]
                assert int(names["until"]) >= int(ended[end]), f"the pointer of {key} forgets its {name}"
                assert self.sets["forget"][names[name]] >= int(ended[end]), f"the {name} of {key} outlives its record"

    def _check_limits(self) -> None:
        """What is parked is counted, and somebody brings it up again."""
        parked: dict[str, int] = {}
        lines = {name: members for name, members in self.sets.items() if name.startswith("parked:")}
        for line, members in lines.items():
            kind, name, queue = line.removeprefix("parked:").split(":", 2)
            limit = f"{kind}:{name}"
            parked[queue] = parked.get(queue, 0) + len(members)
            assert queue in self.members[f"parking:{limit}"], f"{queue} is not known to have runs parked under {limit}"
            self._check_moving(limit, queue, members)
        assert parked == {queue: int(count) for queue, count in self.hashes.get("parked", {}).items()}
        for name, queues in self.members.items():
            if name.startswith("parking:"):
                limit = name.removeprefix("parking:")
                assert all(f"parked:{limit}:{queue}" in lines for queue in queues), f"nothing is parked for {name}"

    def _check_moving(self, limit: str, queue: str, parked: dict[str, float]) -> None:
        """A limit that has room has offered it to somebody, or will."""
        if limit in self.sets.get("paced", {}):
            return
        offered = any(limit in self.runs[run_id].get("limits", "") for run_id in self.sets.get(f"ready:{queue}", {}))
        number = min(int(self.runs[run_id]["limits"].partition(f"{limit} ")[2].split()[0]) for run_id in parked)
        number = int(self.hashes.get("overrides", {}).get(limit, str(number)).split()[0])
        full = limit.startswith(("m:", "s:")) and len(self.members.get(f"holders:{limit}", ())) >= number
        assert offered or full, f"runs are parked under {limit} in {queue}, and nothing brings them up"

    def _check_slot(self, slot: str, holds: dict[str, str]) -> None:
        """A slot without an end holds a run that may still be written through it."""
        if self.ttls[f"slot:{slot}"] > 0:
            return
        run = self.runs[holds["run"]]
        assert (run["slot"], run["token"]) == (slot, holds["token"]), f"slot {slot} lost its run, but has no end"
        assert run["state"] in {"running", "queued"}
        assert "dead" not in holds

    def _check_end(self, name: str) -> None:
        """Every key has an owner, or an end."""
        match name.partition(":")[0]:
            case "partition" | "runs" | "due" | "leases" | "forget" | "ready" | "state" | "run" | "key" | "slot":
                pass  # the partition's own, or judged above
            case "schedule" | "schedules":
                pass  # until the sweep; judged below
            case "owner" | "abandon" | "expiring" | "parked" | "parking" | "holders" | "paced" | "stamps":
                pass  # as good as its members, judged above and below
            case "queues":
                pass  # those that have runs, judged below; the sweep drops the others
            case "overrides":
                assert self.hashes["partition"]["overridden"] == str(len(self.hashes[name]))
            case "bell" | "workers" | "tat" | "fleet" | "about":
                assert self.ttls[name] != -1, f"{name} never ends"
            case _:
                raise AssertionError(f"a key that nobody owns: {name}")

    def _check_schedules(self) -> None:
        kept = self._family("schedule:")
        assert kept.keys() == self.sets.get("schedules", {}).keys(), "schedules are listed, and nothing else is"
        for name, row in kept.items():
            if row["next"]:
                assert int(row["next"]) > int(row.get("last_tick", 0)), f"{name} would fire what it has fired"

    def _check_indexes(self) -> None:
        named = self.members.get("queues", set()) | set(self.hashes.get("partition", {}).get("paused", "").split(" "))
        lost = {name for name in self.sets if name.startswith("ready:") and name.removeprefix("ready:") not in named}
        assert not lost, f"nobody knows that there is {lost}"
        for name, members in self.sets.items():
            if not name.startswith(("workers:", "fleet", "forget", "paced", "stamps", "schedules")):
                unknown = set(members) - set(self.runs) - set(self.sets.get("forget", {}))
                assert not unknown, f"{name} lists runs that are not kept: {unknown}"


def open_world(url: str, namespace: str) -> World:
    operations = Operations(namespace)
    return World(redis.Redis.from_url(url, protocol=2), Store(locate(url), operations), operations)


def _texts(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode(errors="replace") for name, value in fields.items()}


__all__ = ["Admission", "World", "open_world", "submission"]
