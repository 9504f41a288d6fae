"""What JSON does not hold whole is mended or refused: a worker sees what the submitter gave."""
# mypy: disable-error-code="arg-type"

import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest

from jobkit.errors import BadArguments
from jobkit.job import ALL, ProgressJob, spec_of
from jobkit.progress import Progress

ODD = timezone(timedelta(hours=5, minutes=30, seconds=15))


class Filter(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int = 0


class Login(pydantic.BaseModel):
    user: str = ""
    password: pydantic.SecretStr = pydantic.SecretStr("")


class Hidden(pydantic.BaseModel):
    kept: int = 0
    left_out: str = pydantic.Field(default="default", exclude=True)
    inner: Login | None = None


class Cached(pydantic.BaseModel):
    a: int = 0
    _seen: object = pydantic.PrivateAttr(default_factory=object)


class Base(msgspec.Struct):
    a: int = 0


class Derived(Base):
    more: int = 0


class Cat(msgspec.Struct, tag=True):
    a: int = 0


class Dog(msgspec.Struct, tag=True):
    b: int = 0


@dataclass
class Spot:
    x: int = 0
    note: str = field(default="", compare=False)


@dataclass
class Place(Spot):
    y: int = 0


class Everything(ProgressJob[None]):
    cache_key = ALL
    anything: Any = None
    when: datetime | None = None
    daily: time | None = None
    moments: dict[str, list[datetime]] = msgspec.field(default_factory=dict)
    query: Filter | None = None
    login: Login | None = None
    hidden: Hidden | None = None
    cached: Cached | None = None
    base: Base | None = None
    pet: Cat | Dog | None = None
    spots: list[Spot] = msgspec.field(default_factory=list)

    def perform(self, progress: Progress) -> None: ...


def test_extras_of_a_model_are_part_of_the_cache_key() -> None:
    spec = spec_of(Everything)
    one, other = (Everything(query=Filter(a=1, x=x)) for x in (1, 2))
    assert spec.cache_key(one) != spec.cache_key(other)
    assert spec.cache_key(one) == spec.cache_key(Everything(query=Filter(a=1, x=1)))


def test_a_model_without_extras_keeps_the_cache_key_that_it_had() -> None:
    assert spec_of(Everything).key_of(Everything(hidden=Hidden(kept=1))) == "f59046d64515b868ef61e72ad3588c40"


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"login": Login(user="ann", password="hunter2")}, r"\$\.login\.password does not come back from JSON"),
        ({"hidden": Hidden(left_out="mine")}, r"\$\.hidden\.left_out does not come back"),
        ({"hidden": Hidden(inner=Login(password="x"))}, r"\$\.hidden\.inner\.password does not come back"),
        ({"base": Derived(a=1, more=2)}, r"\$\.base is a Derived, of which only what Base declares .* pass a Base"),
        ({"spots": [Spot(1), Place(1, y=2)]}, r"\$\.spots\[1\] is a Place, .*only what Spot declares"),
        ({"daily": time(1, 2, tzinfo=ODD)}, r"\$\.daily does not come back"),
        ({"when": datetime.min.replace(tzinfo=ODD)}, r"a datetime cannot be told in UTC"),
    ],
)
def test_what_would_be_lost_is_refused_with_path_and_advice(arguments: Any, advice: str) -> None:
    with pytest.raises(BadArguments, match=advice) as refused:
        Everything(**arguments)
    assert "hunter2" not in str(refused.value)


def test_what_replace_put_in_is_refused_too() -> None:
    wrong = msgspec.structs.replace(Everything(), login=Login(password="x"))
    for use in (spec_of(wrong).checked, spec_of(wrong).encoded, spec_of(wrong).cache_key):
        with pytest.raises(BadArguments, match="password does not come back"):
            use(wrong)


@pytest.mark.parametrize(
    "arguments",
    [
        {"login": Login(user="ann")},
        {"hidden": Hidden(kept=3)},
        {"base": Base(a=1)},
        {"base": {"a": 1}},
        {"pet": Dog(b=1)},
        {"spots": (Spot(1, note="kept"),)},
        {"anything": Derived(a=1)},
        {"when": "2026-01-01T00:00:00Z"},
        {"when": datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)},
    ],
)
def test_what_comes_back_whole_is_accepted(arguments: Any) -> None:
    job = Everything(**arguments)
    assert spec_of(job).checked(job)[1] == job


def test_private_attributes_of_a_model_are_no_arguments() -> None:
    job = Everything(cached=Cached(a=1))
    assert job.cached is not None
    assert job.cached.a == 1


def test_a_moment_whose_offset_has_seconds_is_the_same_moment() -> None:
    moment = datetime(2026, 1, 1, tzinfo=ODD)
    long_ago = datetime(1890, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    job = Everything(when=moment, moments={"a": [moment, long_ago]})
    assert job.when == moment
    assert job.moments == {"a": [moment, long_ago]}
    assert Everything(anything={"at": moment}).anything == {"at": "2025-12-31T18:29:45Z"}
    assert spec_of(job).cache_key(job) == spec_of(job).cache_key(
        Everything(when=moment.astimezone(UTC), moments={"a": [moment.astimezone(UTC), long_ago.astimezone(UTC)]})
    )


def test_a_moment_in_another_zone_is_written_as_it_is() -> None:
    job = Everything(when="2026-01-01T00:00:00+05:30")
    assert job.when is not None
    assert job.when.utcoffset() == timedelta(hours=5, minutes=30)


def test_a_set_that_nothing_declares_is_a_list_in_one_order_in_every_process() -> None:
    program = (
        "from tests.unit.test_round_trip import *\n"
        "job = Everything(anything={'deep': [{'a', 'b', 'c', None, (1, 2)}]})\n"
        "print(job.anything, spec_of(job).cache_key(job))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


def test_deep_nesting_is_refused_or_accepted_but_never_breaks() -> None:
    for depth in (50, 200, 400, 800):
        value: Any = {"set": {1}}
        for _ in range(depth):
            value = [value]
        try:
            Everything(anything=value)
        except BadArguments as refused:
            assert "nested too deeply" in str(refused)  # noqa: PT017
