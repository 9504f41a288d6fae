"""The canonical form: injective, stable, and clear about what it refuses."""

import enum
import math
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from jobkit.cache_key import cache_key, canonical
from jobkit.errors import BadArguments
from tests.fuzz.cache_keys import meaning, mistakes


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Mood(enum.StrEnum):
    RED = "red"


class Point(msgspec.Struct, frozen=True):
    x: int
    y: int = 0


@dataclass(frozen=True)
class Spot:
    x: int
    y: int = 0


class Place(pydantic.BaseModel):
    x: int
    y: int = 0


NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

ALL_DISTINCT: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**70,
    0.0,
    1.0,
    "",
    "1",
    "None",
    b"",
    b"1",
    date(2026, 1, 31),
    datetime(2026, 1, 31, tzinfo=UTC),
    NOON,
    NOON + timedelta(microseconds=1),
    timedelta(0),
    timedelta(seconds=1),
    Decimal(1),
    Decimal("1.0"),
    UUID(int=1),
    Colour.RED,
    Colour.BLUE,
    Mood.RED,
    "red",
    Point(1),
    Point(1, 1),
    Spot(1),
    Place(x=1),
    {"x": 1, "y": 0},
    [],
    [[]],
    [None],
    ["1", "23"],
    ["12", "3"],
    ["123"],
    ["s1:1"],
    set(),
    {1},
    {"1"},
    {},
    {1: "x"},
    {"1": "x"},
    {1.0: "x"},
    {"a": "b", "c": "d"},
    {"a": "d", "c": "b"},
    [["a", "b"], ["c", "d"]],
]


def test_different_values_have_different_canonical_forms() -> None:
    forms = [canonical(value) for value in ALL_DISTINCT]
    assert len(set(forms)) == len(forms)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], (1, 2)),
        (0.0, -0.0),
        (Decimal(0), Decimal("-0")),
        ({1, 2}, frozenset({2, 1})),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (NOON, NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))),
        (Point(x=1), Point(1, 0)),
    ],
)
def test_equal_values_have_one_canonical_form(one: object, other: object) -> None:
    assert canonical(one) == canonical(other)


def test_sets_and_mappings_are_ordered_by_their_encoded_bytes() -> None:
    mixed = [1, "1", None, b"1", 2.5, (1, 2), frozenset({3})]
    assert canonical(set(mixed)) == canonical({*mixed[::-1]})
    assert canonical(dict.fromkeys(mixed, 1)) == canonical(dict.fromkeys(mixed[::-1], 1))


class Word(str):
    """A subclass as libraries make them."""


def test_a_subclass_of_a_plain_type_counts_as_that_type() -> None:
    assert canonical(Word("a")) == canonical("a")


def test_numbers_with_thousands_of_digits_have_a_canonical_form() -> None:
    assert canonical(10**5000) != canonical(10**5000 + 1)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("-Infinity")])
def test_nan_and_infinity_are_refused_with_their_path(number: object) -> None:
    with pytest.raises(BadArguments, match=r"^\$\.limits\[1\] cannot be part of a cache key: .*Use None"):
        canonical({"limits": [1, number]})


def test_a_naive_datetime_is_refused_with_its_path() -> None:
    with pytest.raises(BadArguments, match=r"^\$\.since cannot .* names no moment.*tzinfo=datetime\.UTC"):
        canonical({"since": datetime(2026, 1, 1)})


@pytest.mark.parametrize("foreign", [object(), time(12), 1j, len, Path("x"), bytearray(b"x")], ids=repr)
def test_anything_else_is_refused_and_the_path_named(foreign: object) -> None:
    with pytest.raises(BadArguments, match=r"^\$\.filters\[2\]\.user cannot .*leave the field out of cache_key"):
        canonical({"filters": [1, 2, {"user": foreign}]})


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (Point(x=object()), r"\$\.x"),  # type: ignore[arg-type]
        (Spot(x=object()), r"\$\.x"),  # type: ignore[arg-type]
        ({time(1): 1}, r"\$\[key datetime"),
        ({7: object()}, r"\$\[7\]"),
        ({time(1)}, r"\$\[datetime"),
        ("\ud800", r"\$"),
    ],
)
def test_refused_parts_of_records_keys_and_sets_are_named(value: object, path: str) -> None:
    with pytest.raises(BadArguments, match=f"^{path}"):
        canonical(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(BadArguments, match="contains itself"):
        canonical(endless)


def test_a_cache_key_is_32_hexadecimal_characters() -> None:
    key = cache_key("reports.SalesReport", 1, {"month": "2026-01"})
    assert len(key) == 32
    assert int(key, 16) >= 0


def test_job_name_version_and_each_argument_belong_to_the_cache_key() -> None:
    keys = {
        cache_key("reports.Sales", 1, {"month": "2026-01"}),
        cache_key("reports.Stock", 1, {"month": "2026-01"}),
        cache_key("reports.Sales", 2, {"month": "2026-01"}),
        cache_key("reports.Sales", "1", {"month": "2026-01"}),
        cache_key("reports.Sales", 1, {"month": "2026-02"}),
        cache_key("reports.Sales", 1, {"year": "2026-01"}),
        cache_key("reports.Sales", 1, {"month": "2026-01", "region": None}),
        cache_key("reports.Sales", 1, {}),
    }
    assert len(keys) == 8


EVERYTHING = """
import enum, msgspec
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from jobkit.cache_key import cache_key

class Colour(enum.Enum):
    RED = "red"
class Point(msgspec.Struct):
    x: int
@dataclass
class Spot:
    x: int

print(cache_key("reports.SalesReport", 1, {
    "numbers": [1, -(2**70), 0.1, Decimal("1.50"), True, None], "text": "\\u00e9\\U0001f600", "bytes": b"\\x00",
    "moments": (date(2026, 1, 31), datetime(2026, 1, 31, 12, tzinfo=UTC), timedelta(days=-1, microseconds=1)),
    "sets": {"a", "b", "c", 1, 2, 3, None}, "mapping": {"b": 1, "a": 2, 3: 4}, "id": UUID(int=5),
    "records": [Colour.RED, Point(1), Spot(2)],
}))
"""
EVERYTHING_KEY = "8753e794cf0a6adc2e2ca4fb36e36473"
"""Written down for ever: a change here means every user loses every memo."""


@pytest.mark.parametrize("hash_seed", ["0", "1", "4294967295"])
def test_the_cache_key_is_the_same_in_every_process_and_release(hash_seed: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", EVERYTHING],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == EVERYTHING_KEY


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=6),
    st.binary(max_size=4),
    st.dates(),
    st.datetimes(timezones=st.just(UTC)),
    st.timedeltas(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.uuids(),
    st.sampled_from([*Colour, *Mood]),
    st.builds(Point, st.integers(0, 2), st.integers(0, 2)),
    st.builds(Spot, st.integers(0, 2), st.integers(0, 2)),
)
KEYS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=3)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(KEYS, max_size=4),
    ),
    max_leaves=12,
)


@given(VALUES, VALUES)
@settings(max_examples=300, deadline=None, print_blob=True)
def test_canonical_forms_are_equal_exactly_when_the_values_mean_the_same(one: object, other: object) -> None:
    note(f"{canonical(one)!r} and {canonical(other)!r}")
    assert (canonical(one) == canonical(other)) == (meaning(one) == meaning(other))


@given(st.lists(SCALARS, max_size=5), st.lists(SCALARS, max_size=5))
@settings(max_examples=200, deadline=None, print_blob=True)
def test_no_two_ways_to_split_a_sequence_collide(left: list[object], right: list[object]) -> None:
    whole = canonical([*left, *right])
    assert (canonical([left, right]) == whole) == (meaning([left, right]) == meaning([*left, *right]))
    assert (canonical([*left, right]) == whole) == (meaning([*left, right]) == meaning([*left, *right]))


@given(st.dictionaries(KEYS, VALUES, max_size=6), st.randoms())
@settings(max_examples=80, deadline=None, print_blob=True)
def test_the_order_of_insertion_never_shows(mapping: dict[object, object], random: Any) -> None:
    items = list(mapping.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(mapping)
    assert canonical({key for key, _ in items}) == canonical(set(mapping))


def test_neighbouring_short_arguments_never_collide() -> None:
    """Small alphabets and short texts are where framing mistakes would show."""
    texts = ["", "1", "s", "s1:1", ":", "l0:", "\x00"]
    numbers = [0, 1, -1, 0.0, 1.0, True, None]
    forms = {
        canonical(value)
        for first in [*texts, *numbers]
        for second in [*texts, *numbers]
        for third in [*texts, *numbers]
        for value in (
            [first, second, third],
            [[first, second], third],
            [first, [second, third]],
            [[first], [second, third]],
        )
    }
    assert len(forms) == 14**3 * 4


def test_every_form_is_read_back_as_its_value() -> None:
    """Ten million: python -m tests.fuzz.cache_keys."""
    seed = random.randrange(10**6)
    assert mistakes(seed, 3000) == [], f"seed {seed}"
