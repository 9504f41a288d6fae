"""`python -m tests.fuzz.cache_keys`: canonical forms of random arguments, read back.

    .venv/bin/python -m tests.fuzz.cache_keys --values 10000000 --jobs 2      # `make fuzz` does that too

A form from which its value can be read belongs to no other value: so nothing has to be compared with everything else.
Every value is also written a second time, in the words of an equal one (another order, a tuple for a list, another time
zone), and must look the same. Values are small, and full of what frames are made of, for that is where they could be
mistaken for one another.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import json
import random
import struct
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pydantic

from jobkit.cache_key import EPOCH, MICROSECOND, canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

BATCH = 100_000
DEEPEST = 3
TEXTS = ("", "a", "1", "s", ":", "s1:1", "l0:", "i1:1", "n0:", "b1:1", "\x00", "é", "e\u0301", "0", "-1", "1.0")


class Colour(enum.Enum):
    RED = "s3:red"
    BLUE = 1


class Mood(enum.StrEnum):
    RED = "s3:red"


class Point(msgspec.Struct, frozen=True):
    x: Any
    y: Any = 0


@dataclass(frozen=True)
class Spot:
    x: Any
    y: Any = 0


class Place(pydantic.BaseModel, frozen=True):
    x: Any
    y: Any = 0


# What a value means ---------------------------------------------------------------------------------------------------


def meaning(value: Any) -> object:
    """An independent model of which values are the same: compared by `==`, never by bytes."""
    match value:
        case enum.Enum():
            return ("e", type(value).__qualname__, meaning(value.value))
        case list() | tuple():
            return ("l", tuple(map(meaning, value)))
        case set() | frozenset():
            return ("c", frozenset(map(meaning, value)))
        case dict():
            return ("o", frozenset((meaning(key), meaning(item)) for key, item in value.items()))
        case Decimal():
            exact = value.as_tuple()
            return (Decimal, exact if value else exact._replace(sign=0))
        case msgspec.Struct():
            return ("S", type(value).__qualname__, meaning(msgspec.structs.asdict(value)))
        case pydantic.BaseModel():
            return ("P", type(value).__qualname__, meaning(dict(value)))
        case _ if dataclasses.is_dataclass(value):
            return ("C", type(value).__qualname__, meaning(vars(value)))
        case _:
            return (type(value), value)


def read(form: bytes) -> object:
    """The meaning of the value whose canonical form this is, from nothing but the bytes."""
    (found,) = _frames(form)
    return found


def _frames(forms: bytes) -> Iterator[object]:
    at = 0
    while at < len(forms):
        colon = forms.index(b":", at)
        end = colon + 1 + int(forms[at + 1 : colon])
        yield _READERS[forms[at : at + 1]](forms[colon + 1 : end])
        at = end
    assert at == len(forms), forms


def _pairs(forms: bytes) -> object:
    found = list(_frames(forms))
    return ("o", frozenset(zip(found[::2], found[1::2], strict=True)))


def _record(tag: str) -> Callable[[bytes], object]:
    def named(payload: bytes) -> object:
        name, content = _frames(payload)
        assert isinstance(name, tuple)
        return (tag, name[1], content)

    return named


_READERS: dict[bytes, Callable[[bytes], object]] = {
    b"n": lambda _: (type(None), None),
    b"b": lambda data: (bool, data == b"1"),
    b"i": lambda data: (int, int(data, 16)),
    b"f": lambda data: (float, struct.unpack(">d", data)[0]),
    b"s": lambda data: (str, data.decode()),
    b"y": lambda data: (bytes, data),
    b"d": lambda data: (date, date.fromordinal(int(data))),
    b"t": lambda data: (datetime, EPOCH + int(data) * MICROSECOND),
    b"p": lambda data: (timedelta, int(data) * MICROSECOND),
    b"m": lambda data: (Decimal, Decimal(data.decode()).as_tuple()),
    b"u": lambda data: (UUID, UUID(bytes=data)),
    b"l": lambda data: ("l", tuple(_frames(data))),
    b"c": lambda data: ("c", frozenset(_frames(data))),
    b"o": _pairs,
    **{tag.encode(): _record(tag) for tag in "eSCP"},
}


# Values ---------------------------------------------------------------------------------------------------------------


def value_of(chance: Random, depth: int = DEEPEST) -> Any:
    """A random value; whatever stands in it can be a key."""
    made = chance.choice(_LEAVES if depth == 0 else _ALL)
    return made(chance, depth)


def equal_to(value: Any, chance: Random) -> Any:
    """The same value, said otherwise."""
    match value:
        case tuple():
            return chance.choice((list, tuple))(equal_to(item, chance) for item in value)
        case frozenset():
            return frozenset(chance.sample(list(value), len(value)))
        case dict():
            pairs = chance.sample(list(value.items()), len(value))
            return {key: equal_to(item, chance) for key, item in pairs}
        case float():
            return -value if value == 0 else value
        case datetime():
            return value.astimezone(timezone(timedelta(hours=chance.randint(-12, 12))))
        case _:
            return value


def _text(chance: Random, _depth: int) -> str:
    if chance.random() < 0.2:
        return canonical(value_of(chance, 0)).decode(errors="ignore")
    return "".join(chance.choices(TEXTS, k=chance.randint(0, 2)))


def _float(chance: Random, _depth: int) -> float:
    value: float = struct.unpack(">d", chance.randbytes(8))[0]
    return (
        value if value - value == 0 and chance.random() < 0.5 else chance.choice((0.0, 1.0, -1.0, 0.1, 1e308, 5e-324))
    )


def _decimal(chance: Random, _depth: int) -> Decimal:
    return Decimal(
        (chance.randint(0, 1), tuple(chance.choices(range(10), k=chance.randint(1, 3))), chance.randint(-3, 3))
    )


def _sequence(chance: Random, depth: int) -> tuple[Any, ...]:
    return tuple(value_of(chance, depth - 1) for _ in range(chance.randint(0, 3)))


def _dict(chance: Random, depth: int) -> dict[Any, Any]:
    return {_key(chance, depth - 1): value_of(chance, depth - 1) for _ in range(chance.randint(0, 3))}


def _record_of(chance: Random, depth: int) -> Any:
    made = chance.choice((Point, Spot, Place))
    return made(x=_key(chance, depth - 1), y=_key(chance, depth - 1))


def _key(chance: Random, depth: int) -> Any:
    return chance.choice(_HASHABLE if depth > 0 else _LEAVES)(chance, depth)


def _key_sequence(chance: Random, depth: int) -> tuple[Any, ...]:
    return tuple(_key(chance, depth - 1) for _ in range(chance.randint(0, 3)))


_LEAVES: tuple[Callable[[Random, int], Any], ...] = (
    lambda chance, _: chance.choice((None, True, False)),
    lambda chance, _: chance.choice((chance.randint(-20, 20), chance.getrandbits(70), -chance.getrandbits(9))),
    _float,
    _text,
    _text,
    lambda chance, depth: _text(chance, depth).encode(),
    lambda chance, _: date.fromordinal(chance.randint(1, 3_000_000)),
    lambda chance, _: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randint(-(10**13), 10**13)),
    lambda chance, _: timedelta(microseconds=chance.randint(-(10**13), 10**13)),
    _decimal,
    lambda chance, _: UUID(bytes=chance.randbytes(16)),
    lambda chance, _: chance.choice((*Colour, *Mood)),
)
_HASHABLE = (*_LEAVES, _key_sequence, _record_of)
_ALL = (
    *_LEAVES,
    *(_sequence, _sequence, _dict, _dict, _record_of),
    lambda chance, depth: frozenset(_key_sequence(chance, depth)),
)


# The campaign ---------------------------------------------------------------------------------------------------------


def mistakes(seed: int, values: int) -> list[str]:
    """What was read back as another value, or written in two ways."""
    chance = random.Random(seed)
    found = []
    for _ in range(values):
        value = value_of(chance)
        form = canonical(value)
        if read(form) != meaning(value):
            found.append(f"{value!r} is written {form!r}, which is read as {read(form)!r}")
        other = equal_to(value, chance)
        if canonical(other) != form:
            found.append(f"{value!r} is written {form!r}, but {other!r} is {canonical(other)!r}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.cache_keys", description=__doc__.partition("\n")[0])
    parser.add_argument("--values", type=int, default=10_000_000)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    asked = parser.parse_args()
    sys.stderr.write(f"seed {asked.seed}\n")
    began = time.monotonic()
    seeds = range(asked.seed, asked.seed - (-asked.values // BATCH))
    with ProcessPoolExecutor(asked.jobs) as pool:
        found = [text for texts in pool.map(mistakes, seeds, [BATCH] * len(seeds)) for text in texts]
    sys.stdout.writelines(f"{text}\n" for text in found[:20])
    books = {"seed": asked.seed, "seconds": round(time.monotonic() - began, 1), "values": len(seeds) * BATCH,
             "mistakes": len(found)}  # fmt: skip
    sys.stdout.write(f"{json.dumps(books)}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
