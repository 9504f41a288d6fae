"""What a campaign is worth: a table by file, every survivor with its line, and all of it as JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from tests.mutation.campaign import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.mutation.campaign import Tried
    from tests.mutation.equivalent import Equivalent
    from tests.mutation.mutants import Mutant

BAR = 0.95
"""The part of the mutants that the tests must kill, of those that are Lua and not known to be equivalent."""

_FOR = {Verdict.KILLED, Verdict.HUNG}
_AGAINST = {Verdict.SURVIVED, Verdict.UNREACHED}


def score(tried: Iterable[Tried]) -> float:
    """From 0 to 1; 1 of nothing."""
    counts = Counter(each.verdict for each in tried)
    killed = sum(counts[verdict] for verdict in _FOR)
    counted = killed + sum(counts[verdict] for verdict in _AGAINST)
    return killed / counted if counted else 1.0


def table(tried: Sequence[Tried]) -> str:
    """A row a file, and one for all."""
    by_file: dict[str, list[Tried]] = {}
    for each in tried:
        by_file.setdefault(each.mutant.file, []).append(each)
    head = f"{'file':<24}{'mutants':>8}" + "".join(f"{verdict.value:>12}" for verdict in Verdict) + f"{'score':>9}"
    rows = [_row(file, some) for file, some in sorted(by_file.items())]
    return "\n".join([head, *rows, _row("all", tried)])


def survivors(tried: Sequence[Tried]) -> str:
    """Each with its line as it was and as it became."""
    return "\n".join(
        f"{each.mutant.name}{'  (no test runs this)' if each.verdict is Verdict.UNREACHED else ''}\n"
        f"    - {each.mutant.was}\n    + {each.mutant.became}"
        for each in tried
        if each.verdict in _AGAINST
    )


def survived(path: Path) -> set[str]:
    """The names of the survivors of a campaign whose verdicts were saved."""
    return {each["name"] for each in json.loads(path.read_text())["mutants"] if each["verdict"] in _AGAINST}


def stale(entries: Iterable[Equivalent], mutants: Sequence[Mutant], tried: Sequence[Tried]) -> list[Equivalent]:
    """Those that mean no mutant any more, or one that a test has killed."""
    wrong = [each.mutant for each in tried if each.verdict is not Verdict.EQUIVALENT]
    return [entry for entry in entries if any(map(entry.means, wrong)) or not any(map(entry.means, mutants))]


def save(path: Path, seed: int, tried: Sequence[Tried], tests: Mapping[str, float]) -> None:
    """All of it, for machines; `tests` are the seconds that each test takes."""
    rows = [
        {
            "name": each.mutant.name,
            "was": each.mutant.was,
            "became": each.mutant.became,
            "verdict": each.verdict.value,
            "test": each.test,
            "why": each.why,
            "tests": each.tests,
            "seconds": round(each.seconds, 3),
        }
        for each in tried
    ]
    path.write_text(
        json.dumps({"seed": seed, "score": score(tried), "bar": BAR, "tests": tests, "mutants": rows}, indent=1)
    )


def _row(name: str, tried: Sequence[Tried]) -> str:
    counts = Counter(each.verdict for each in tried)
    cells = "".join(f"{counts[verdict]:>12}" for verdict in Verdict)
    return f"{name:<24}{len(tried):>8}{cells}{score(tried):>9.1%}"
