"""A walk: one seed's way through the store, event by event, each compared with the model and checked by the books.

The walk keeps its own time, in µs, and tells both sides. Mostly little passes; often it stops exactly where something
ends or begins; now and then nobody comes for long, or the server's clock is set. A failed walk says its seed, its step
and what led to it, and the same seed fails at the same step again.
"""

from __future__ import annotations

import pickle
import re
from collections import deque
from random import Random
from typing import TYPE_CHECKING

from tests.fuzz import books
from tests.fuzz.calls import Copy, Expire, Flush, Rollback, Sweep
from tests.fuzz.coverage import Coverage
from tests.fuzz.crowd import Crowd
from tests.fuzz.ledger import Ledger
from tests.fuzz.model import Model
from tests.fuzz.steps import INTERVAL, LEASE, MOMENTS, SILENT, Moment, Steps

if TYPE_CHECKING:
    from tests.fuzz.calls import Answer, Event
    from tests.fuzz.namespace import Namespace

EPOCH = 1_800_000_000_000_000
REMEMBERED = 30
MILLISECOND = 1_000
SECOND = 1_000_000


class WalkFailed(AssertionError):
    """Store and model parted, or a rule was broken. The text says where, and how to go there again."""


class Walk:
    """Goes on until somebody stops asking for the next step."""

    def __init__(self, namespace: Namespace, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.namespace = namespace
        self.model = Model()
        self.crowd = Crowd()
        self.steps = Steps(self.random, self.crowd)
        self.ledger = Ledger()
        self.coverage = Coverage()
        self.now_us = EPOCH
        self._copy = pickle.dumps(self.model)
        self._lately: deque[tuple[int, int, str, Event, Answer]] = deque(maxlen=REMEMBERED)
        self.perform("copy", Copy())

    def go(self, steps: int) -> None:
        """Until so many events have happened."""
        while self.ledger.counts["steps"] < steps:
            moment = self._let_time_pass()
            self.model.now_us = self.now_us
            name, events = self.steps.about(moment, self.model) if moment else self.steps.choose(self.model)
            self.coverage.hostile[name] += bool(events) or name in SILENT
            for event in events:
                self.perform(name, event)
                self.now_us += self.random.randrange(1, 300)

    def perform(self, name: str, event: Event) -> None:
        """Let it happen to both, and compare."""
        answer: Answer = None
        try:
            over = self._over(event)
            expected = self._apply(event)
            answer = self.namespace.perform(self.now_us, event, over)
            assert answer == expected, f"the store answered {answer}, the model {expected}"
            books.check(self.model, self.namespace.stored, event, self.namespace.published)
            self.ledger.enter(event, answer, self.namespace.stored)
        except (AssertionError, LookupError, ValueError) as error:
            self._remember(name, event, answer)
            raise WalkFailed(
                self._story(f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) else str(error))
            ) from error
        self._remember(name, event, answer)
        self.crowd.hear(event, expected)
        self.steps.newest = max(self.steps.newest, self.model.clock)
        self.coverage.count(event, answer)
        self.coverage.count_moves(self.namespace.stored)

    def _apply(self, event: Event) -> Answer:
        match event:
            case Copy():
                self._copy = pickle.dumps(self.model)
            case Rollback():
                incarnations = self.model.incarnations
                self.model = pickle.loads(self._copy)
                self.model.incarnations = incarnations
                self.steps.lose_sight()
            case Flush():
                self.model = Model(self.model.incarnations)
                self.steps.lose_sight()
        return self.model.apply(self.now_us, event)

    def _over(self, event: Event) -> list[str]:
        """The keys whose TTL is over when this event comes; key TTLs follow the server's time, not the walk's."""
        self.model.now_us = self.now_us
        return self.model.over() if isinstance(event, Expire) else []

    # Time -------------------------------------------------------------------------------------------------------------

    def _let_time_pass(self) -> Moment | None:
        """The moment that the walk has stopped at, if it was for one."""
        chance = self.random.random()
        if chance < 0.55:
            self.now_us += self.random.randrange(1, 2 * MILLISECOND)
        elif chance < 0.93:
            self.now_us += self.random.randrange(MILLISECOND, 150 * MILLISECOND)
        elif chance < 0.98:
            return self._stop_on_the_dot()
        elif chance < 0.995:
            self._go_on_until(self.now_us + self.random.randrange(SECOND // 3, 3 * SECOND))
        else:
            self._let_much_pass()
        return None

    def _go_on_until(self, moment: int) -> None:
        """Meanwhile workers sweep as they do: once a second, or a little later."""
        while moment - self.now_us > SECOND:
            self.now_us += self.random.randrange(SECOND, SECOND * 11 // 10)
            self.perform("others sweep", Sweep(INTERVAL))
        self.now_us = max(moment, self.now_us)

    def _stop_on_the_dot(self) -> Moment | None:
        """At the very ms in which something ends or begins, or the µs before."""
        moments = [moment for moment in self._moments() if 0 < moment.at * 1000 - self.now_us < 10 * SECOND]
        if not moments:
            return None
        moment = self.random.choice(sorted(moments)[:4])
        self._go_on_until(moment.at * 1000 - self.random.randrange(2))
        return moment

    def _moments(self) -> list[Moment]:
        runs = [
            Moment(at, name, run.id)
            for run in self.model.runs.values()
            for name in MOMENTS
            if (at := getattr(run, name)) is not None
        ]
        rates = [Moment(at, "paced", limit) for limit, at in self.model.places.paced.items()]
        return [*runs, *rates, Moment(self.model.swept + INTERVAL, "swept", "")]

    def _let_much_pass(self) -> None:
        match self.random.choice(("outage", "clock back", "clock forward")):
            case "outage":
                self.coverage.hostile["outage"] += 1
                self.now_us += self.random.randrange(LEASE, 3 * LEASE) * MILLISECOND
            case "clock back":
                self.coverage.hostile["clock back"] += 1
                self.now_us -= self.random.choice((1, MILLISECOND, self.random.randrange(20 * SECOND)))
            case _:
                self.coverage.hostile["clock forward"] += 1
                self.now_us += self.random.randrange(60 * SECOND)

    # The story of a failure -------------------------------------------------------------------------------------------

    def _remember(self, name: str, event: Event, answer: Answer) -> None:
        self._lately.append((self.ledger.counts["steps"], self.now_us, name, event, answer))

    def _story(self, trouble: str) -> str:
        step = self.ledger.counts["steps"] + 1
        rows = [
            f"{number:>8} {(now_us - EPOCH) / SECOND:>14.6f} s  {name}: {event} -> {answer}"
            for number, now_us, name, event, answer in self._lately
        ]
        text = "\n".join(
            [
                f"seed {self.seed}, step {step}: {trouble}",
                *rows,
                f"Again: .venv/bin/python -m tests.fuzz --seed {self.seed} --steps {step}",
            ]
        )
        return re.sub(r"0-\d{20}0*(\d+)", r"r\1", text)
