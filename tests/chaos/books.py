"""Books: what a campaign counted, what must be, and what did not balance."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Figure = int | float | str

MOST_TOLD = 10
"""Problems that are printed; the JSON has all."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that does not balance, and the history of what it happened to."""

    text: str
    history: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([self.text, *(f"    {line}" for line in self.history)])


@dataclass
class Books:
    name: str
    seed: int
    figures: dict[str, Figure] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """Bars that were not reached: too slow, but nothing is wrong."""

    @property
    def balanced(self) -> bool:
        return not self.problems

    def enter(self, **figures: Figure) -> None:
        """Figures by their names, `_` for a space; other names go into `figures` themselves."""
        self.figures |= {name.replace("_", " "): value for name, value in figures.items()}

    def add(self, other: Books) -> None:
        """The books of a part."""
        self.figures |= {f"{other.name}: {name}": value for name, value in other.figures.items()}
        self.problems += other.problems
        self.missed += [f"{other.name}: {text}" for text in other.missed]

    def distribution(self, name: str, seconds: Sequence[float], bar: float | None = None) -> None:
        """p50, p99 and the longest of these, and whether the p99 keeps to the bar."""
        if not seconds:
            return
        p99 = percentile(seconds, 99)
        self.figures |= {
            f"{name}: n": len(seconds),
            f"{name}: p50 s": round(percentile(seconds, 50), 3),
            f"{name}: p99 s": round(p99, 3),
            f"{name}: longest s": round(max(seconds), 3),
        }
        if bar is not None:
            self.figures[f"{name}: bar for p99 s"] = bar
            if p99 > bar:
                self.missed.append(f"{name}: p99 {p99:.3f} s, the bar is {bar:g} s")

    def unbalanced(self, text: str, history: Iterable[str] = ()) -> None:
        """Something does not balance."""
        self.problems.append(Problem(text, tuple(history)))

    def must(self, holds: object, text: str) -> None:
        if not holds:
            self.unbalanced(text)

    def must_be(self, name: str, counted: int, expected: int) -> None:
        """A figure that has one right value."""
        self.figures[name] = counted
        self.must(counted == expected, f"{name}: {counted}, and not {expected}")

    def write(self, path: Path) -> None:
        told = {"campaign": self.name, "seed": self.seed, "balanced": self.balanced, "missed": self.missed}
        problems = [str(problem) for problem in self.problems]
        path.write_text(json.dumps({**told, "figures": self.figures, "problems": problems}, indent=1) + "\n")

    def __str__(self) -> str:
        lines = [f"== {self.name}, seed {self.seed}"]
        lines += [f"{name:<52} {_shown(value):>12}" for name, value in self.figures.items()]
        lines += [f"MISSED: {text}" for text in self.missed]
        lines += [f"UNBALANCED: {problem}" for problem in self.problems[:MOST_TOLD]]
        lines.append(f"lost: {self.figures.get('lost', 0)}; {len(self.problems)} problems")
        return "\n".join(lines)


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def counted_by(names: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for name in sorted(names):
        counts[name] += 1
    return dict(counts)


def _shown(value: Figure) -> str:
    return value if isinstance(value, str) else f"{value:,.3f}" if isinstance(value, float) else f"{value:,}"
