"""Jobs made of `key=value` texts; pure."""

from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Literal

import pytest

from jobkit import BadArguments, Progress, ProgressJob
from jobkit.cli.arguments import job_from, queues_of


class Colour(Enum):
    RED = "red"


class Everything(ProgressJob[None]):
    text: str
    number: int = 0
    share: float = 0.0
    flag: bool = False
    day: date | None = None
    span: timedelta = timedelta(0)
    price: Decimal = Decimal(0)
    colour: Colour = Colour.RED
    size: Literal["S", "M"] = "S"
    names: tuple[str, ...] = ()
    limits: dict[str, int] | None = None

    def perform(self, progress: Progress) -> None:
        progress.advance()


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("text=5", "5"),
        ("text=", ""),
        ("text=a=b", "a=b"),
        ("number=-3", -3),
        ("share=1", 1.0),
        ("flag=true", True),
        ("day=2026-02-03", date(2026, 2, 3)),
        ("day=null", None),
        ("span=PT3S", timedelta(seconds=3)),
        ("price=1.10", Decimal("1.10")),
        ("colour=red", Colour.RED),
        ("size=M", "M"),
        ('names=["a", "b"]', ("a", "b")),
        ('limits={"a": 1}', {"a": 1}),
    ],
)
def test_text_is_read_as_the_type_of_its_field(pair: str, value: object) -> None:
    name = pair.partition("=")[0]
    pairs = [pair] if name == "text" else ["text=x", pair]
    assert getattr(job_from(Everything, pairs), name) == value


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("number=1.5", "number=1.5 does not fit"),
        ("number=nan", "number=nan does not fit"),
        ("share=nan", "share"),
        ("flag=yes", "write true or false"),
        ("colour=blue", "write one of red"),
        ("size=XL", "write one of M, S"),
        ("names=[1]", "names"),
        ("limits=a", "write it as JSON"),
        ("nmaes=[]", "Did you mean 'names'"),
    ],
)
def test_text_that_does_not_fit_is_refused_with_the_name_of_its_field(pair: str, said: str) -> None:
    with pytest.raises(BadArguments, match=said):
        job_from(Everything, ["text=x", pair])


def test_missing_argument_is_named_before_anything_is_submitted() -> None:
    with pytest.raises(BadArguments, match=r"Everything also needs text=…\. Its arguments: text: str, number: int = 0"):
        job_from(Everything, [])


@pytest.mark.parametrize(
    ("text", "queues"),
    [
        ("mail", ("mail",)),
        (" mail , slow,", ("mail", "slow")),
        ("", ()),
        ("critical=6, default=3,low", {"critical": 6, "default": 3, "low": 1}),
    ],
)
def test_queues_are_names_or_have_weights(text: str, queues: object) -> None:
    assert queues_of(text) == queues
