"""Between Python values and JSON: what is accepted comes back the same, what is not is refused with path and remedy."""
# ruff: noqa: ARG002  a perform that needs no progress takes it all the same
# mypy: disable-error-code="arg-type, list-item"

import enum
import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest

from jobkit.codec import ResultCodec
from jobkit.errors import BadArguments, BadResult
from jobkit.files import File, FileStorage
from jobkit.job import ProgressJob, spec_of
from jobkit.progress import Progress


class Colour(enum.Enum):
    RED = "red"


class Point(msgspec.Struct, frozen=True):
    x: int
    label: str | None = None


class Row(TypedDict):
    x: float


class Pair(NamedTuple):
    x: int
    y: str


@dataclass
class Spot:
    x: int


class Person(pydantic.BaseModel):
    name: str
    born: date | None = None
    weight: float | None = None


class StrictPerson(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    born: date = pydantic.Field(alias="birthday")


class Everything(ProgressJob[None]):
    number: int = 1
    ratio: float = 150
    flag: bool = False
    data: bytes = b""
    day: date = date(2026, 1, 31)
    moment: datetime = datetime(2026, 1, 31, tzinfo=UTC)
    span: timedelta = timedelta(seconds=90)
    price: Decimal = Decimal("1.50")
    ident: UUID = UUID(int=1)
    colour: Colour = Colour.RED
    pair: tuple[int, str] = (1, "a")
    names: list[str] = msgspec.field(default_factory=list)
    unique: frozenset[int] = frozenset({1})
    scores: dict[str, float] = msgspec.field(default_factory=dict)
    point: Point = Point(x=1)
    spot: Spot | None = None
    person: Person | None = None
    whatever: Any = None

    def perform(self, progress: Progress) -> None: ...


def results_of(hint: Any) -> ResultCodec:
    return ResultCodec("shop.Job", hint)


# Arguments


def test_all_supported_types_survive_the_round_trip() -> None:
    job = Everything(
        names=["a"], spot=Spot(1), person=Person(name="Ada", born=date(1815, 12, 10)), scores={"a": 1}, whatever=[1, {}]
    )
    spec = spec_of(job)
    assert spec.decode_arguments(spec.encode_arguments(job)) == job
    assert isinstance(job.person, Person)
    assert isinstance(job.spot, Spot)


def test_what_is_given_and_what_is_default_becomes_exactly_the_declared_type() -> None:
    """`ratio: float = 150` must not be an int here and a float there: that would be two cache keys."""
    job = Everything(scores={"a": 1}, pair=[1, "a"])
    assert (type(job.ratio), type(job.scores["a"]), job.pair) == (float, float, (1, "a"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Everything(number=True), r"Expected `int`, got `bool` - at `\$\.number`"),
        (lambda: Everything(number=None), r"Expected `int`, got `null` - at `\$\.number`"),
        (lambda: Everything(names=["a", 1]), r"Expected `str`, got `int` - at `\$\.names\[1\]`"),
        (lambda: Everything(names=[object()]), r"\$\.names\[0\]: values of type object have no form in JSON"),
        (lambda: Everything(names=["\ud800"]), r"\$\.names\[0\]: .*surrogates"),
        (lambda: Everything(whatever=[1, {"user": Path()}]), r"\$\.whatever\[1\]\.user: .*Use str and make the Path"),
        (lambda: Everything(whatever={(1, 2): 3}), r"\$\.whatever: .*As a key use text"),
        (lambda: Everything(whatever=File("a")), r"\$\.whatever: .*is a result, not an argument"),
        (lambda: Everything(person={"nam": "Ada"}), r"name.*\$\.person"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_path_and_remedy(make: Callable[[], object], message: str) -> None:
    with pytest.raises(BadArguments, match=f"(?s)^{__name__}.Everything: .*{message}.* Expected Everything"):
        make()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (lambda number: {"ratio": number}, r"\$\.ratio"),
        (lambda number: {"scores": {"a": 1.0, "b": number}}, r"\$\.scores\.b"),
        (lambda number: {"whatever": [[number]]}, r"\$\.whatever\[0\]\[0\]"),
        (lambda number: {"whatever": {number: 1}}, r"\$\.whatever\[key -?(nan|inf)\]"),
        (lambda number: {"point": Point(x=1, label=number)}, r"\$\.point\.label"),
        (lambda number: {"person": Person(name="x", weight=number)}, r"\$\.person\.weight"),
        (lambda number: {"price": Decimal(number)}, r"\$\.price"),
    ],
)
def test_nan_and_infinity_never_become_null(number: float, arguments: Any, path: str) -> None:
    """msgspec writes null for them, which an optional field would swallow."""
    with pytest.raises(BadArguments, match=f"{path} is -?(nan|NaN|inf|Infinity), .*Use None"):
        Everything(**arguments(number))


@pytest.mark.parametrize("hint", [dict[float, int], Decimal, Any])
def test_nan_written_as_text_is_found_where_nothing_else_is_null(hint: Any) -> None:
    class Lone(ProgressJob[int]):
        value: hint

        def perform(self, progress: Progress) -> int:
            return 1

    for number in (math.nan, math.inf, -math.inf):
        value = Decimal(number) if hint is Decimal else {number: 1}
        with pytest.raises(BadArguments, match=r"\$\.value.* is -?(nan|NaN|inf|Infinity), "):
            Lone(value=value)
        with pytest.raises(BadResult, match=r"is -?(nan|NaN|inf|Infinity), "):
            results_of(hint).encode(value)


def test_texts_that_look_like_the_traces_of_nan_are_fine() -> None:
    words = ["null", "nan", "inf", "NaN", "Infinity"]
    assert Everything(names=words, whatever={"nan": None}).names == words


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(BadArguments, match="contains itself"):
        Everything(whatever=endless)


@pytest.mark.parametrize("core", [b"null", b"1"])
def test_deeply_nested_arguments_are_accepted_or_refused_but_never_break(core: bytes) -> None:
    for depth in (300, 900, 5_000, 200_000):
        data = b'{"whatever": ' + b"[" * depth + core + b"]" * depth + b"}"
        with suppress(BadArguments):
            job = spec_of(Everything).decode_arguments(data)
            spec_of(Everything).encode_arguments(job)
    with pytest.raises(BadArguments, match=r"recursion|nested"):
        spec_of(Everything).decode_arguments(data)


def test_arguments_beyond_one_mebibyte_are_refused_with_their_size() -> None:
    with pytest.raises(
        BadArguments, match=r"take 9\.5 MiB, the limit is 1\.0 MiB\. Put the data into a file"
    ) as caught:
        Everything(names=["x" * 10_000_000])
    assert len(str(caught.value)) < 500


def test_an_error_message_does_not_repeat_the_values() -> None:
    with pytest.raises(BadArguments) as caught:
        Everything(names=["secret", 1])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"point": {}}', r"missing required field `x` - at `\$\.point`"),
        (b'{"number": "1"}', r"got `str` - at `\$\.number`"),
        (b'{"number": 1, "admin": true}', r"\$\.admin is unknown"),
        (b'{"ratio": NaN}', "malformed"),
        (b'{"number": 1', "truncated"),
        (b'{"names": ["\xff"]}', "invalid"),
        (b"[]", "got `array`"),
        (b"null", "got `null`"),
        (b"", "truncated"),
        (b'{"ratio": 1e400}', "out of range"),
    ],
)
def test_foreign_json_is_refused_with_what_is_expected(data: bytes, message: str) -> None:
    with pytest.raises(BadArguments, match=f"(?i){message}.*Expected Everything"):
        spec_of(Everything).decode_arguments(data)


# Results


@dataclass
class Summary:
    rows: int
    people: list[Person]


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (None, None),
        (int, 3),
        (dict[str, float], {"a": 1.0}),
        (dict[int, str], {1: "a"}),
        (tuple[int, date], (1, date(2026, 1, 31))),
        (datetime, datetime(2026, 1, 31, tzinfo=UTC)),
        (Point, Point(x=1)),
        (list[Spot], [Spot(1)]),
        (list[Row], [{"x": 1.5}]),
        (Pair, Pair(1, "a")),
        (Summary, Summary(rows=1, people=[Person(name="Ada")])),
        (Person, Person(name="Ada", born=date(1815, 12, 10))),
        (StrictPerson, StrictPerson(birthday=date(1815, 12, 10))),
        (set[UUID], {UUID(int=1)}),
        (Colour, Colour.RED),
        (bytes, b"\x00\xff"),
        (Annotated[int, msgspec.Meta(ge=0)], 3),
        (Any, {"a": [1, None]}),
        (object, [1]),
    ],
    ids=str,
)
def test_results_come_back_in_the_declared_type(hint: Any, value: object) -> None:
    results = results_of(hint)
    answer = results.decode(results.encode(value))
    assert answer == value
    assert type(answer) is type(value)


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (Any, {"a": [1, object()]}, r"\$\.a\[1\]: values of type object have no form"),
        (Any, iter([1]), r"\$: values of type list_iterator .*Use a list"),
        (Any, Path("x"), r"\$: values of type PosixPath .*return a jobkit\.File"),
        (Any, {"a": math.nan}, r"\$\.a is nan.*Use None"),
        (float, math.inf, r"\$ is inf"),
        (Person, Person(name="x", weight=math.nan), r"\$\.weight is nan"),
        (int, "1", r"Expected `int`, got `str`.*Correct perform or its return annotation"),
        (dict[str, float], None, r"Expected `object`, got `null`"),
        (Any, {"$file": {"key": "0-other/1/x"}}, r"'\$file' is reserved"),
        (Any, "x" * 9_000_000, r"takes 8\.6 MiB, the limit is 8\.0 MiB\. .*File\(path\)"),
        (Any, File("x"), r"no file storage is set\. Set JOBKIT_FILES"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_results_that_cannot_be_kept_are_refused_with_path_and_remedy(hint: Any, value: object, message: str) -> None:
    with pytest.raises(BadResult, match=message):
        results_of(hint).encode(value)


def test_a_stored_result_of_another_version_is_refused_with_advice() -> None:
    with pytest.raises(BadResult, match=r"does not fit.*Raise cache_version"):
        results_of(int).decode(b'"1"')


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "files")


@pytest.mark.parametrize("hint", [dict[str, list[File]], Any])
def test_files_within_a_result_are_kept_once_and_come_back_with_a_path(
    hint: Any, storage: FileStorage, tmp_path: Path
) -> None:
    csv = tmp_path / "sales.csv"
    csv.write_text("a,b")
    results = results_of(hint)
    data = results.encode({"all": [File(csv), File(csv)]}, keep=lambda file: storage.keep("0-01J", "7", file))
    files = results.decode(data, storage=storage)["all"]
    assert files[0] == files[1]
    assert files[0].path.read_text() == "a,b"
    description = json.loads(data)["all"][0]["$file"]
    assert (description["name"], description["media_type"], description["size"]) == ("sales.csv", "text/csv", 3)
    assert len(list((storage.directory / "0-01J" / "7").iterdir())) == 1


def test_a_file_may_be_the_whole_result_or_absent(storage: FileStorage, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    results = results_of(File | None)
    data = results.encode(File(tmp_path / "a.txt"), keep=lambda file: storage.keep("0-01J", "7", file))
    assert results.decode(data, storage=storage).filename == "a.txt"
    assert results.decode(results.encode(None)) is None


def test_a_text_that_mentions_the_file_mark_is_fine() -> None:
    results = results_of(Any)
    for text in ("$file", '{"$file": 1}', ["$file"]):
        assert results.decode(results.encode(text)) == text
