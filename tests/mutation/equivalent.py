"""Mutants that nobody can tell from the scripts as they are, and why. Keep it short: a missing test is no reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.mutation.mutants import Mutant


class Equivalent(NamedTuple):
    """A mutant by its file, its kind, and its line as it was and as it became, spaces squeezed."""

    file: str
    kind: str
    was: str
    became: str
    why: str

    def means(self, mutant: Mutant) -> bool:
        return self[:4] == (mutant.file, mutant.kind, mutant.was, mutant.became)


EQUIVALENT: tuple[Equivalent, ...] = ()
