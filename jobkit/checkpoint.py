"""Checkpoints: what a start leaves for the next one to go on from, and its JSON.

A checkpoint is the state that the job gave, its places in `resume` loops, and how far it said that it was. The store
keeps the bytes with the run, and hands them out with the next lease. A state comes back from JSON, so what JSON would
change (keys that are no text, sets, moments) is refused when it is given, with the path to it.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from jobkit.errors import BadCheckpoint
from jobkit.snapshot import Number

LARGEST_STATE: Final = 256 * 1024
"""Bytes of JSON."""
LARGEST_CURSOR: Final = 4096
"""Bytes of JSON."""

_UNENCODABLE: Final = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)
_ADVICE: Final[Mapping[str, str]] = {
    "float": "JSON has no such number: use None.",
    "datetime": "Use .isoformat(), and datetime.fromisoformat when it is restored.",
    "date": "Use .isoformat(), and date.fromisoformat when it is restored.",
    "Decimal": "Use str(...), and Decimal(...) when it is restored.",
    "UUID": "Use str(...), and UUID(...) when it is restored.",
    "set": "Use sorted(...), and set(...) when it is restored.",
    "frozenset": "Use sorted(...), and frozenset(...) when it is restored.",
    "bytes": "Use text, or write it to a file and keep the file's name.",
}


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a `resume` loop has come.

    `count` items are finished; `cursor` is that of the last of these, None where the count is the cursor; `done` is
    what the loop's bar said. A `stateful` loop is where its state was given; one that has `ended` has no items left.
    """

    count: int = 0
    cursor: Any = None
    done: Number = 0
    stateful: bool = False
    ended: bool = False


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the next start of a run goes on from.

    `state` is what the job gave; `loops` are its places in `resume` loops, by the names of the stages that they run in
    (`read`, `read/page`; '' outside of stages). The rest is what its bar said.
    """

    state: Any = None
    loops: dict[str, Place] = {}
    done: Number = 0
    total: Number | None = None
    counts: dict[str, int] = {}
    unit: str = ""
    message: str = ""

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> "Checkpoint":
        """The checkpoint of these bytes.

        Raises:
            BadCheckpoint: they are none.
        """
        try:
            return _decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadCheckpoint(f"What is kept is no checkpoint: {error}.") from error


_decode = msgspec.json.Decoder(Checkpoint).decode


def state_to_json(state: object) -> bytes:
    """The JSON of a state, from which it comes back as it is.

    Raises:
        BadCheckpoint: it would not, or it takes more than `LARGEST_STATE`.
    """
    data = _encoded("The state of a checkpoint", state)
    if len(data) > LARGEST_STATE:
        raise BadCheckpoint(
            f"The state of a checkpoint takes {len(data) / 1024:.0f} KiB, the limit is {LARGEST_STATE // 1024} KiB."
            " Keep the data in a file or a database, and its name in the checkpoint."
        )
    return data


def cursor_to_json(cursor: object) -> bytes:
    """The JSON of a cursor, from which it comes back as it is.

    Raises:
        BadCheckpoint: it would not, it takes more than `LARGEST_CURSOR`, or it is None.
    """
    data = _encoded("A cursor", cursor)
    if cursor is None:
        raise BadCheckpoint("A cursor is None, which stands for the beginning: name what tells one item from the next.")
    if len(data) > LARGEST_CURSOR:
        raise BadCheckpoint(
            f"A cursor takes {len(data)} bytes, the limit is {LARGEST_CURSOR}: name the least that tells one item from"
            " the next, such as its id."
        )
    return data


def _encoded(what: str, value: object) -> bytes:
    try:
        data = msgspec.json.encode(value)
        made = msgspec.json.decode(data)
        change = None if made == value else _first_change(value, made)
    except _UNENCODABLE as error:
        change = _first_unencodable(value, error)
    if change is not None:
        raise BadCheckpoint(f"{what} would not come back from JSON as it is: {change}")
    return data


def _first_change(given: Any, made: Any, path: str = "$") -> str | None:
    """What JSON makes something else of, with its path. A tuple that comes back as a list is no change."""
    match given, made:
        case dict(), dict():
            strange = next((key for key in given if not isinstance(key, str)), None)
            if strange is not None:
                return f"{path} has the key {strange!r:.60}, which would be text. Use str(...) as the key."
            steps = [(f"{path}[{key!r:.60}]", item, made[key]) for key, item in given.items()]
        case (list() | tuple(), list()):
            steps = [(f"{path}[{index}]", *pair) for index, pair in enumerate(zip(given, made, strict=True))]
        case _:
            return None if given == made and type(given) is not tuple else _changed(given, path)
    return next((change for step, one, other in steps if (change := _first_change(one, other, step))), None)


def _changed(value: object, path: str) -> str:
    name = type(value).__name__
    return f"{path} is a {name}, {value!r:.80}. {_ADVICE.get(name, 'Use numbers, text, lists and dicts.')}"


def _first_unencodable(value: Any, error: Exception, path: str = "$") -> str:
    if isinstance(error, RecursionError):
        return "it contains itself, or is nested too deeply."
    for step, part in _parts(value):
        try:
            msgspec.json.encode(part)
        except _UNENCODABLE as within:
            return _first_unencodable(part, within, f"{path}[{step!r:.60}]")
    return f"{path}: {str(error).rstrip('.')}. Use numbers, text, lists and dicts."


def _parts(value: Any) -> list[tuple[object, Any]]:
    match value:
        case dict():
            return list(value.items())
        case list() | tuple():
            return list(enumerate(value))
        case _:
            return []
