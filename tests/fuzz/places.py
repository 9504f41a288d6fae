"""Where queued runs stand in the model: ready to be taken, or parked under a limit that has no room for them.

A limit is `m:…` (so many runs at once: its holders are the running ones), `r:…` (so many µs between starts:
`free_at` is the moment before which none may start), or `s:…` (so many runs of one owner stand in the queue before
their first start: its holders are the ready ones). A run that becomes queued is parked under the first of its limits
that blocks it. Taking never skips over a blocked run: it parks it and looks on. Whenever a limit may have room again it
is *offered*: of each queue the best parked runs become ready, as many as there is room for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fuzz.runs import Run

HEAD_START = 60_000_000
"""µs one step of priority is worth."""
NOWHERE = ""
"""What a run is parked under while its place is looked for; None is the queue itself."""
AT_ONCE = 32
"""How many runs one take parks, and one offer moves; then the rest waits for the next who looks."""


class Places:
    """The queues of one partition. `runs` is the model's own dict, and is looked into, not written."""

    def __init__(self, runs: dict[str, Run]) -> None:
        self.runs = runs
        self.free_at: dict[str, int] = {}
        self.paced: dict[str, int] = {}
        self.rung: set[str] = set()
        self.overrides: dict[str, int] = {}

    # What there is ----------------------------------------------------------------------------------------------------

    def ready(self, queue: str) -> list[Run]:
        """Best first; equal scores by id."""
        return self._best_first(run for run in self._queued(queue) if run.parked is None)

    def parked(self, limit: str, queue: str) -> list[Run]:
        return self._best_first(run for run in self._queued(queue) if run.parked == limit)

    def position(self, run: Run) -> int | None:
        """The place in the line it stands in, 1 for the first."""
        if run.state != "queued":
            return None
        queue = run.kind.queue
        line = self.ready(queue) if run.parked is None else self.parked(run.parked, queue)
        return line.index(run) + 1

    def holders(self, limit: str) -> list[str]:
        return [run.id for run in self.runs.values() if limit in run.limits and _holds(run, limit)]

    def length(self, queue: str) -> int:
        """What `max_queued` bounds: parked runs count too."""
        return sum(1 for _ in self._queued(queue))

    def blocking(self, run: Run, now_us: int, *, has_its_turn: bool = False) -> str | None:
        """The first of the run's limits that lets it not go on now. A share is for its first way into the queue."""
        for name, number in self._limits(run).items():
            is_over = name.startswith("s:") and (has_its_turn or run.start > 0)
            if not is_over and self._room(name, number, now_us) < 1:
                return name
        return None

    # What happens -----------------------------------------------------------------------------------------------------

    def enter(self, run: Run, now_us: int) -> None:
        """The run has become queued."""
        run.parked = NOWHERE
        self._place(run, self.blocking(run, now_us), now_us)

    def made_room(self, run: Run, now_us: int) -> None:
        """The run was running, or ready, and is so no more: what it took up is free for others."""
        for name in run.limits:
            self.offer(name, now_us)

    def started(self, run: Run, now_us: int) -> None:
        """The run is taken: its rates allow the next start one interval later, and parked runs wait for that."""
        for name, number in self._limits(run).items():
            if name.startswith("r:"):
                self.free_at[name] = now_us + self._rest(name, number, now_us) + number
                self._pace(name, number, now_us)

    def bring_all_up(self, now: int) -> None:
        """The clock has gone back: the moments that were kept are too far off."""
        for name in self.paced:
            self._bring_up(name, now)

    def serve(self, now_us: int) -> None:
        """Offer what was to be offered by now."""
        for name, when in sorted(self.paced.items(), key=lambda item: (item[1], item[0])):
            if when <= now_us // 1000:
                del self.paced[name]
                self.offer(name, now_us)

    def offer(self, name: str, now_us: int) -> None:
        """The limit may have room again."""
        queues = sorted({run.kind.queue for run in self.runs.values() if run.parked == name})
        for queue in queues:
            moved = 0
            for run in self.parked(name, queue):
                if moved >= self._room(name, self._limits(run)[name], now_us):
                    break
                run.parked = NOWHERE
                if name.startswith("s:"):  # its turn comes now, behind those of others
                    run.score = now_us - run.priority * HEAD_START
                self._place(run, self.blocking(run, now_us), now_us)
                moved += run.parked is None
            if name.startswith("r:"):
                self._pace(name, self._limits(run)[name], now_us)

    def best(self, queues: Sequence[str], now_us: int, *, in_turn: bool) -> Run | None:
        """The best run that may start now, in turn of the first queue with any, or one that is gone.

        Blocked ones that stood before it are parked.
        """
        for _ in range(AT_ONCE):
            heads = [(run.score, place, run) for place, queue in enumerate(queues) for run in self.ready(queue)[:1]]
            if not heads:
                return None
            run = heads[0][2] if in_turn else min(heads, key=lambda head: head[:2])[2]
            is_gone = run.evicted or run.is_late(now_us // 1000)
            blocking = None if is_gone else self.blocking(run, now_us, has_its_turn=True)
            if blocking is None:
                return run
            self._place(run, blocking, now_us)
            self.made_room(run, now_us)
        raise AssertionError(f"more than {AT_ONCE} blocked runs: the walk is to keep its queues shorter")

    # Steps of these ---------------------------------------------------------------------------------------------------

    def _limits(self, run: Run) -> dict[str, int]:
        """Their numbers in force."""
        return {name: self.overrides.get(name, number) for name, number in run.limits.items()}

    def _queued(self, queue: str) -> Iterator[Run]:
        return (run for run in self.runs.values() if run.state == "queued" and run.kind.queue == queue)

    @staticmethod
    def _best_first(runs: Iterator[Run]) -> list[Run]:
        return sorted(runs, key=lambda run: (run.score, run.id))

    def _room(self, name: str, number: int, now_us: int) -> int:
        if name.startswith("r:"):
            return int(self._rest(name, number, now_us) == 0)
        return number - len(self.holders(name))

    def _place(self, run: Run, limit: str | None, now_us: int) -> None:
        run.parked = limit
        if limit is None:
            self.rung.add(run.kind.queue)
        elif limit.startswith("r:"):
            self._pace(limit, self._limits(run)[limit], now_us)

    def _rest(self, name: str, number: int, now_us: int) -> int:
        """µs until the rate lets one start. (More than lie between two: the clock has gone back, it says nothing.)"""
        left = self.free_at.get(name, 0) - now_us
        return left if 0 < left <= number else 0

    def _pace(self, name: str, number: int, now_us: int) -> None:
        """At the first ms in which the rate lets one start; an earlier moment stays, and finds out then."""
        rest = self._rest(name, number, now_us)
        if rest and any(run.parked == name for run in self.runs.values()):
            self._bring_up(name, -(-(now_us + rest) // 1000))

    def _bring_up(self, name: str, moment: int) -> None:
        self.paced[name] = min(moment, self.paced.get(name, moment))


def _holds(run: Run, limit: str) -> bool:
    match limit[:2]:
        case "m:":
            return run.state == "running"
        case "s:":
            return run.state == "queued" and run.parked is None and run.start == 0
    return False
