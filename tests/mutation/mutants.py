"""The mutants of the store's scripts: which files there are, what becomes of one, and what the library becomes then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobkit.store.script import LIBRARY, Library, compose, read
from tests.mutation.lua import Chunk
from tests.mutation.mutators import Change, changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


NOTHING = "(nothing)"
"""What a line that was deleted became."""


@dataclass(frozen=True, slots=True)
class Place:
    """A statement of a file, by its number there: a test that does not reach it cannot see what is wrong in it."""

    file: str
    statement: int


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake in one file; `was` and `became` are the line it is in, `text` is the whole file with it.

    `place` is None where the mistake takes effect when the library is loaded.
    """

    file: str
    line: int
    column: int
    kind: str
    was: str
    became: str
    text: str
    place: Place | None

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line}:{self.column} {self.kind}"


@dataclass(frozen=True, slots=True)
class Source:
    """A file of `scripts/`."""

    file: str
    text: str


def sources() -> tuple[Source, ...]:
    """Every file that the store's library is made of, in its order."""
    texts: dict[str, str] = {}

    def noted(file: str) -> str:
        texts[file] = read(file)
        return texts[file]

    compose(noted)
    return tuple(Source(file, text) for file, text in texts.items())


def mutants(source: Source) -> list[Mutant]:
    """All mutants of a file, in the order of its text."""
    chunk = Chunk(source.text)
    return [_mutant(source, chunk, change) for change in changes(source.text)]


def composed(sources: Iterable[Source], texts: Mapping[str, str]) -> Library:
    """The library as it is, with other texts of some files, but under its own name: that is what is called."""
    library = compose({**{source.file: source.text for source in sources}, **texts}.__getitem__)
    return Library(LIBRARY.name, library.source.replace(library.name, LIBRARY.name))


def _mutant(source: Source, chunk: Chunk, change: Change) -> Mutant:
    text = source.text
    began, ends = text.rfind("\n", 0, change.start) + 1, text.find("\n", change.end)
    statement = chunk.innermost(change.start)
    return Mutant(
        file=source.file,
        line=text.count("\n", 0, change.start) + 1,
        column=change.start - began + 1,
        kind=change.kind,
        was=_squeezed(text[began:ends]),
        became=_squeezed(text[began : change.start] + change.replacement + text[change.end : ends]) or NOTHING,
        text=text[: change.start] + change.replacement + text[change.end :],
        place=Place(source.file, chunk.statements.index(statement)) if statement.inside else None,
    )


def _squeezed(lines: str) -> str:
    return " ".join(lines.split())
