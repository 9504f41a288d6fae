"""A herd: whatever happens at once, each key has one run, each run one writer, each writer one outcome."""

import json
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from jobkit.lifecycle import Outcome
from jobkit.store.operations import Reuse
from jobkit.store.replies import Admission, Cancelling, Lease, NoWork, Verdict
from tests import servers
from tests.store.world import World, open_world

ROOT = Path(__file__).parents[2]
PROCESSES = 4
EACH = 125


def test_500_equal_submissions_from_4_processes_are_one_run_and_500_equal_results(
    valkey: servers.Server, namespace: str
) -> None:
    world = open_world(valkey.url, namespace)
    world.store.open()
    command = [sys.executable, "-m", "tests.store.stormer", valkey.url, namespace, str(EACH)]
    stormers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        pipes = [(_pipe(each.stdin), _pipe(each.stdout)) for each in stormers]
        assert [out.readline() for _, out in pipes] == ["ready\n"] * PROCESSES
        _go(pipes)
        got = [tuple(run) for _, out in pipes for run in json.loads(out.readline())]
        assert Counter(admission for _, admission in got) == {"new": 1, "joined": PROCESSES * EACH - 1}
        assert len({run_id for run_id, _ in got}) == 1
        _go(pipes)
        world.settle(world.take(), result=b'"done"')
        assert isinstance(world.look(), NoWork)
        assert [result for _, out in pipes for result in json.loads(out.readline())] == ["done"] * PROCESSES * EACH
        assert [each.wait(timeout=20) for each in stormers] == [0] * PROCESSES
    finally:
        for each in stormers:
            each.kill()
            each.communicate()
    assert world.record(got[0][0])["interests"] == str(PROCESSES * EACH)
    world.check()
    world.store.close()
    world.raw.close()


def _pipe(end: IO[str] | None) -> IO[str]:
    assert end is not None
    return end


def _go(pipes: list[tuple[IO[str], IO[str]]]) -> None:
    for into, _ in pipes:
        into.write("go\n")
        into.flush()


# Random operations against a model -----------------------------------------------------------------------------------


@dataclass
class Believed:
    """What must be true of one run."""

    key: str
    state: str = "queued"
    token: str = ""
    start: int = 0
    crashes: int = 0
    cancelling: bool = False
    stakes: set[str] = field(default_factory=set)

    @property
    def ended(self) -> bool:
        return self.state in {"succeeded", "failed", "cancelled"}


STEPS = 150
MAX_CRASHES = 2
KEYS = ("", "red", "blue")
OWNERS = ("ann", "bob", "cleo")
SLOTS = ("a/1", "b/1", "c/1")


class Walk:
    """Random steps of three submitters and three workers; each answer is compared with what the model expects."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.runs: dict[str, Believed] = {}
        self.live: dict[str, str] = {}
        self.memo: dict[str, str] = {}
        self.held: dict[str, Lease] = {}
        self.old: list[Lease] = []
        self.tokens: list[int] = []
        self.sequences = iter(range(1, 1_000_000))
        self.covered: Counter[str] = Counter()

    def step(self) -> None:
        steps = {
            self.submit: 6, self.take: 6, self.report: 3, self.settle: 4, self.zombie: 3, self.lapse: 2,
            self.release: 2, self.cancel: 3, self.outdate: 1,
        }  # fmt: skip
        self.random.choices(list(steps), list(steps.values()))[0]()

    def submit(self) -> None:
        key, owner = self.random.choice(KEYS), self.random.choice(OWNERS)
        reuse = self.random.choice([Reuse.ANY, Reuse.ANY, Reuse.ANY, Reuse.FRESH, Reuse.NONE])
        expected, run_id = self._admission(key, reuse)
        admitted = self.world.submit(
            key, reuse=reuse, interest=f"owner:{owner}", owner=owner, cache_ttl=60_000, max_crashes=MAX_CRASHES
        )
        assert admitted.admission is expected
        assert run_id in (None, admitted.id)
        if expected is Admission.NEW:
            self.runs[admitted.id] = Believed(key)
            if key and reuse is not Reuse.NONE:
                self.live[key] = admitted.id
        if expected is not Admission.CACHED:
            self.runs[admitted.id].stakes.add(f"owner:{owner}")
        self.covered[f"submit {expected}"] += 1

    def _admission(self, key: str, reuse: Reuse) -> tuple[Admission, str | None]:
        live, memo = self.live.get(key), self.memo.get(key)
        if not key or reuse is Reuse.NONE:
            return Admission.NEW, None
        if memo and reuse is Reuse.ANY:
            return Admission.CACHED, memo
        if live and (reuse is Reuse.ANY or self.runs[live].start == 0):
            return Admission.JOINED, live
        return Admission.NEW, None

    def take(self) -> None:
        free = [slot for slot in SLOTS if slot not in self.held]
        if not free:
            return
        taken = self.world.look(free[0])
        waiting = [run for run in self.runs.values() if run.state == "queued"]
        assert isinstance(taken, Lease) == bool(waiting)
        if isinstance(taken, Lease):
            run = self.runs[taken.run_id]
            assert run.state == "queued"
            run.state, run.token, run.start = "running", taken.token, run.start + 1
            assert taken.start == run.start
            self.tokens.append(int(taken.token))
            assert self.tokens == sorted(set(self.tokens)), "tokens do not rise strictly"
            self.held[free[0]] = taken
        self.covered[f"take {type(taken).__name__}"] += 1

    def report(self) -> None:
        for lease in self._some_holder():
            verdict = self.world.report(lease, next(self.sequences)).verdict
            self._expect("report", verdict, self._as_holder(lease, Verdict.OK))

    def settle(self) -> None:
        for lease in self._some_holder():
            outcome = self.random.choice(list(Outcome))
            expected = self._as_holder(lease, Verdict.OK)
            self._expect(
                "settle", self.world.settle(lease, outcome), Verdict.OK if expected is Verdict.CANCEL else expected
            )
            if expected in {Verdict.OK, Verdict.CANCEL}:
                self._end(lease.run_id, outcome)
            self._let_go(lease)

    def zombie(self) -> None:
        """A holder from before speaks again: nothing it says may count."""
        if not self.old:
            return
        lease = self.random.choice(self.old)
        run = self.runs[lease.run_id]
        if run.token == lease.token and not run.ended:
            return
        before = self.world.record(lease.run_id)
        verdicts = {
            self.world.report(lease, 10**6).verdict,
            self.world.settle(lease, Outcome.SUCCEEDED, result=b'"old"'),
        }
        assert verdicts <= {Verdict.LOST, Verdict.ENDED}
        assert self.world.record(lease.run_id) == before
        self.covered["zombie"] += 1

    def lapse(self) -> None:
        running = [run_id for run_id, run in self.runs.items() if run.state == "running"]
        if running:
            run_id = self.random.choice(running)
            assert self.world.lapse(run_id).expired == 1
            self._crash(self.runs[run_id], run_id)
            self.covered["lapse"] += 1

    def release(self) -> None:
        if not self.held:
            return
        slot = self.random.choice(list(self.held))
        lease, crashed = self.held[slot], self.random.random() < 0.5
        run = self.runs[lease.run_id]
        holds = self._as_holder(lease, Verdict.OK)
        verdict, _ = self.world.release(slot, crashed=crashed)
        self._expect("release", verdict, Verdict.OK if holds in {Verdict.OK, Verdict.CANCEL} else Verdict.LOST)
        if verdict is Verdict.OK:
            run.token = ""
            if crashed:
                self._crash(run, lease.run_id)
            else:
                self._end(lease.run_id, Outcome.RELEASED)
        self._let_go(lease)
        self.world.raw.delete(f"{self.world.prefix}slot:{slot}")  # a new child under the same name, to keep slots few

    def cancel(self) -> None:
        if not self.runs:
            return
        run_id, interest = self.random.choice(list(self.runs)), f"owner:{self.random.choice(OWNERS)}"
        run, force = self.runs[run_id], self.random.random() < 0.2
        expected = self._cancelling(run, interest, force)
        assert self.world.cancel(run_id, interest, force=force) is expected
        if expected is Cancelling.STOPPING and not run.ended:
            run.cancelling = True
            self._unpoint(run_id)
            if run.state != "running":
                run.state = "cancelled"
        self.covered[f"cancel {expected}"] += 1

    def _cancelling(self, run: Believed, interest: str, force: bool) -> Cancelling:
        known = interest in run.stakes or f"left {interest}" in run.stakes
        if run.ended:
            return Cancelling.STOPPING if run.state == "cancelled" else Cancelling.ENDED
        if not force and not known:
            return Cancelling.STRANGER
        if not force and interest in run.stakes:
            run.stakes = run.stakes - {interest} | {f"left {interest}"}
        others = {stake for stake in run.stakes if not stake.startswith("left ")}
        return Cancelling.LEFT if others and not force else Cancelling.STOPPING

    def outdate(self) -> None:
        if self.memo:
            key = self.random.choice(list(self.memo))
            self.world.outdate(self.memo.pop(key))

    def _some_holder(self) -> list[Lease]:
        return [self.random.choice(list(self.held.values()))] if self.held else []

    def _as_holder(self, lease: Lease, otherwise: Verdict) -> Verdict:
        """What the holder of this lease is answered; one that was only cut off has its run back by asking."""
        run = self.runs[lease.run_id]
        if run.token != lease.token:
            return Verdict.LOST
        if run.ended:
            return Verdict.ENDED
        if run.state == "queued":
            run.state, run.crashes = "running", run.crashes - 1
        return Verdict.CANCEL if run.cancelling else otherwise

    def _expect(self, what: str, verdict: Verdict, expected: Verdict) -> None:
        assert verdict is expected, f"{what}: {verdict} instead of {expected}"
        self.covered[f"{what} {verdict}"] += 1

    def _end(self, run_id: str, outcome: Outcome) -> None:
        run = self.runs[run_id]
        if outcome is Outcome.RELEASED and not run.cancelling:
            run.state, run.token = "queued", ""
            return
        run.state = "cancelled" if outcome is Outcome.RELEASED else outcome.value
        if self._unpoint(run_id) and run.state == "succeeded":
            self.memo[run.key] = run_id

    def _crash(self, run: Believed, run_id: str) -> None:
        run.crashes += 1
        if run.cancelling:
            run.state = "cancelled"
        elif run.crashes > MAX_CRASHES:
            run.state = "failed"
        else:
            run.state = "queued"
        if run.ended:
            self._unpoint(run_id)

    def _unpoint(self, run_id: str) -> bool:
        key = self.runs[run_id].key
        if self.live.get(key) != run_id:
            return False
        del self.live[key]
        return True

    def _let_go(self, lease: Lease) -> None:
        self.old.append(lease)
        self.held = {slot: held for slot, held in self.held.items() if held is not lease}


@pytest.mark.parametrize("seed", [1, 2, 3, 4, random.randrange(10**9)])  # the last is new each time; its name tells it
def test_random_operations_agree_with_a_small_model(valkey: servers.Server, namespace: str, seed: int) -> None:
    world = open_world(valkey.url, namespace)
    walk = Walk(world, seed)
    world.store.open()
    for _ in range(STEPS):
        walk.step()
    states = {run_id: run.state for run_id, run in walk.runs.items()}
    assert {run_id: world.record(run_id)["state"] for run_id in states} == states
    world.store.close()
    world.raw.close()
