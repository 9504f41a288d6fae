"""What may be wrong in a line of Lua: each mutator makes one kind of small mistake, wherever it could be made.

Numbers above 100, and those with a fraction, are doubled and halved rather than moved by one: no promise of the store
hangs on a millisecond in a minute, but on the minute one does. For the same reason the very millisecond that is `now`
may fall to either side, and a 0 that stands for what is missing (`x or 0`) becomes a moment far away. Words in capitals
(commands, their options) and patterns are left alone: the server refuses them wrong, so any test that runs the line
would notice.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.mutation.lua import COMPARISONS, Chunk, Token

LARGE = 100
FAR_AWAY = 9007199254740991  # as a number of ms or µs, and the last that Lua counts exactly
NOW = frozenset({"now", "now_us"})

_BOUNDARIES = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_OPPOSITES = {"==": "~=", "~=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_LOGIC = {"and": "or", "or": "and"}
_ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*"}
_EXTREMES = {"max": "min", "min": "max"}
_TRUTHS = {"true": "false", "false": "true"}
_INFINITIES = {"'+inf'": "'-inf'", "'-inf'": "'+inf'"}
_NAME = re.compile(r"'([a-z][a-z_]*:?)?'")
_NUMBER = re.compile(r"'(\d+)'")
_DELETED = {"call", "assignment", "return", "break"}


@dataclass(frozen=True, slots=True)
class Change:
    """`kind` of mistake: what stands from `start` to `end` is replaced."""

    kind: str
    start: int
    end: int
    replacement: str


def changes(text: str) -> Iterator[Change]:
    """Every change of a file, in the order of the text; none makes what another makes too."""
    chunk = Chunk(text)
    found = [*_of_tokens(chunk), *_negated_conditions(text, chunk), *_deleted_statements(chunk)]
    unique = {(each.start, each.end, each.replacement): each for each in reversed(found)}
    return iter(sorted(unique.values(), key=lambda each: (each.start, each.end, each.kind)))


def _of_tokens(chunk: Chunk) -> Iterator[Change]:
    words = ["", *(token.text for token in chunk.tokens), ""]
    for before, token, after in zip(words, chunk.tokens, words[2:], strict=False):
        match token.kind:
            case "operator":
                yield from _operators(token, chunk, to_the_moment=before in NOW or after in NOW)
            case "keyword":
                yield from _keywords(token)
            case "number" | "string" if before == "or" and token.text.strip("'") == "0":
                yield Change("default", token.start, token.end, token.text.replace("0", str(FAR_AWAY)))
            case "number":
                yield from _numbers(token, index=before == "[")
            case "string":
                yield from _strings(token)
            case "name" if before == "." and token.text in _EXTREMES:
                yield _swap("extreme", token, _EXTREMES)


def _operators(token: Token, chunk: Chunk, *, to_the_moment: bool) -> Iterator[Change]:
    if token.text in _BOUNDARIES and not to_the_moment:
        yield _swap("boundary", token, _BOUNDARIES)
    if token.text in _OPPOSITES:
        yield _swap("opposite", token, _OPPOSITES)
    if token.start in chunk.signs:
        yield Change("sign", token.start, token.end, "")
    elif token.text in _ARITHMETIC:
        yield _swap("arithmetic", token, _ARITHMETIC)


def _keywords(token: Token) -> Iterator[Change]:
    if token.text in _LOGIC:
        yield _swap("logic", token, _LOGIC)
    if token.text in _TRUTHS:
        yield _swap("truth", token, _TRUTHS)
    if token.text == "not":
        yield Change("not removed", token.start, token.end, "")


def _numbers(token: Token, *, index: bool) -> Iterator[Change]:
    value = float(token.text) if "." in token.text else int(token.text)
    small = isinstance(value, int) and value <= LARGE
    others = {"+1": value + 1, "-1": value - 1} if small else {"*2": value * 2, "/2": value / 2}
    if not index:  # (nothing stands at 0)
        others["=0"] = 0
    for name, other in others.items():
        if other != value:
            yield Change(f"number{name}", token.start, token.end, f"{other:.15g}")


def _strings(token: Token) -> Iterator[Change]:
    if token.text in _INFINITIES:
        yield _swap("infinity", token, _INFINITIES)
    elif number := _NUMBER.fullmatch(token.text):
        other = "'1'" if number[1] == "0" else "'0'"
        yield Change("text", token.start, token.end, other)
    elif name := _NAME.fullmatch(token.text):
        yield Change("text", token.start, token.end, f"'{name[1] or ''}_'")


def _negated_conditions(text: str, chunk: Chunk) -> Iterator[Change]:
    """(Of `not x` and of a lone comparison the opposite is made already.)"""
    for condition in chunk.conditions:
        words = [token.text for token in condition.tokens]
        joined = "and" in words or "or" in words
        opposed = words[0] == "not" or sum(word in COMPARISONS for word in words) == 1
        if joined or not opposed:
            inside = text[condition.start : condition.end]
            yield Change("condition", condition.start, condition.end, f"not ({inside})")


def _deleted_statements(chunk: Chunk) -> Iterator[Change]:
    for statement in chunk.statements:
        if statement.kind in _DELETED:
            yield Change(f"{statement.kind} deleted", statement.start, statement.end, "")


def _swap(kind: str, token: Token, others: dict[str, str]) -> Change:
    return Change(kind, token.start, token.end, others[token.text])
