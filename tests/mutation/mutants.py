"""The mutants of the store's scripts: which files there are, what becomes of one, and what the scripts become then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobkit.store.operations import SCRIPTS, Script, compose, read_file
from tests.mutation.lua import Chunk
from tests.mutation.mutators import changes

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Place:
    """A statement of a file, by its number there: a test that does not reach it cannot see what is wrong in it."""

    file: str
    statement: int


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake in one file; `was` and `became` are the line it is in, `text` is the whole file with it."""

    file: str
    line: int
    column: int
    kind: str
    was: str
    became: str
    text: str
    place: Place

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line}:{self.column} {self.kind}"


@dataclass(frozen=True, slots=True)
class Source:
    """A file of `scripts/`, and the scripts that it is a part of."""

    file: str
    text: str
    scripts: tuple[str, ...]


def sources() -> tuple[Source, ...]:
    """Every file that a script is made of."""
    texts: dict[str, str] = {}
    users: dict[str, list[str]] = {}
    for name in SCRIPTS:

        def read(file: str, name: str = name) -> str:
            users.setdefault(file, []).append(name)
            texts[file] = read_file(file)
            return texts[file]

        compose(name, read)
    return tuple(Source(file, texts[file], tuple(users[file])) for file in sorted(texts))


def mutants(source: Source) -> list[Mutant]:
    """All mutants of a file, in the order of its text."""
    chunk = Chunk(source.text)
    made = []
    for change in changes(source.text):
        mutated = source.text[: change.start] + change.replacement + source.text[change.end :]
        began = source.text.rfind("\n", 0, change.start) + 1
        ends = source.text.find("\n", change.end)
        statement = chunk.statements.index(chunk.innermost(change.start))
        made.append(
            Mutant(
                file=source.file,
                line=source.text.count("\n", 0, change.start) + 1,
                column=change.start - began + 1,
                kind=change.kind,
                was=_squeezed(source.text[began:ends]),
                became=_squeezed(mutated[began : ends + len(mutated) - len(source.text)]),
                text=mutated,
                place=Place(source.file, statement),
            )
        )
    return made


def composed(texts: Mapping[str, str], scripts: tuple[str, ...]) -> dict[str, Script]:
    """These scripts as they are with other texts of some files."""
    return {name: compose(name, lambda file: texts.get(file) or read_file(file)) for name in scripts}


def _squeezed(lines: str) -> str:
    return " ".join(lines.split())
