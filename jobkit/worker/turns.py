"""Turns: in which order the queues of a worker are asked for work.

Without weights the best run of all queues is taken, and nobody has a turn. With weights, queues that have work get
starts in proportion to them: each start costs its queue 1/weight, and who has spent least is asked first. A queue that
had nothing when it was asked saves nothing up. Everybody begins at a moment of their own within one turn, so that those
who begin anew all the time do not all begin with the same queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random


class Turns:
    """The turns of one who takes. A queue without a weight (0) beside others with one has a weight of 1."""

    def __init__(self, queues: Mapping[str, int], random: Random) -> None:
        self.queues = tuple(queues)
        self.are_taken = any(queues.values())
        """Whether queues are asked in turn."""
        self._cost = {queue: 1 / (weight or 1) for queue, weight in queues.items()}
        self._spent = {queue: random.random() * cost for queue, cost in self._cost.items()}

    def order(self) -> tuple[str, ...]:
        """The queues, those to be asked first at the front."""
        if not self.are_taken:
            return self.queues
        return tuple(sorted(self.queues, key=self._spent.__getitem__))

    def had(self, order: tuple[str, ...], queue: str) -> None:
        """Asked in this order, this queue had work, and those before it had none."""
        if not self.are_taken or queue not in self._cost:
            return
        spent = self._spent[queue]
        for idle in order[: order.index(queue)]:
            self._spent[idle] = max(self._spent[idle], spent)
        self._spent[queue] = spent + self._cost[queue]
