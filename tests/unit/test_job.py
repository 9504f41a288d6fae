"""What an author writes: accepted, refused with advice, and read off once."""
# ruff: noqa: ARG002, ARG004  a perform that needs no progress takes it all the same
# Wrong classes and calls stand here on purpose; what type checkers say to them is in tests/typing.
# mypy: disable-error-code="arg-type, assignment, call-arg, list-item, misc, no-redef, no-untyped-def, override"

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar, Generic, NoReturn, TypeVar

import anyio
import httpx
import msgspec
import pydantic
import pytest
from fastapi import Body, FastAPI

from jobkit.errors import BadArguments, BadJob
from jobkit.files import File
from jobkit.job import ALL, ProgressJob, spec_of
from jobkit.progress import Progress


class SalesReport(ProgressJob[dict[str, float]]):
    month: str
    region: str = "EU"
    cache_key = ("month", "region")
    cache_ttl = timedelta(hours=1)

    def perform(self, progress: Progress) -> dict[str, float]:
        return {self.month: 1.0}


class Point(msgspec.Struct, frozen=True):
    x: int


class Person(pydantic.BaseModel):
    name: str
    born: date | None = None


class Visit(ProgressJob[None]):
    day: date = date(2026, 1, 31)
    names: list[str] = msgspec.field(default_factory=list)
    person: Person | None = None

    def perform(self, progress: Progress) -> None: ...


# Making a job


def test_arguments_are_given_by_name_and_have_defaults() -> None:
    job = SalesReport(month="2026-01")
    assert (job.month, job.region) == ("2026-01", "EU")


def test_jobs_are_equal_by_class_and_arguments() -> None:
    assert SalesReport(month="2026-01") == SalesReport(month="2026-01", region="EU")
    assert SalesReport(month="2026-01") != SalesReport(month="2026-02")
    assert len({SalesReport(month="2026-01"), SalesReport(month="2026-01")}) == 1


def test_a_job_cannot_be_changed() -> None:
    job = SalesReport(month="2026-01")
    with pytest.raises(
        AttributeError, match=r"frozen\. Make another one, anew or by msgspec\.structs\.replace\(job, month="
    ):
        job.month = "2026-02"
    with pytest.raises(AttributeError, match="frozen"):
        del job.month
    assert job.month == "2026-01"


def test_a_job_does_not_share_its_values_with_the_caller() -> None:
    names = ["a"]
    job = Visit(names=names)
    names.append("b")
    assert job.names == ["a"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SalesReport(), r"Missing required argument 'month'. Expected SalesReport\(month: str, region: str"),
        (lambda: SalesReport(month=202601), r"Expected `str`, got `int` - at `\$\.month`\. Expected SalesReport"),
        (lambda: SalesReport(month="1", regoin="EU"), r"\$\.regoin is unknown\. Did you mean 'region'\?"),
        (lambda: SalesReport("2026-01"), r"given by name\. Expected SalesReport\(month: str"),
        (lambda: SalesReport(month=object()), r"\$\.month: values of type object have no form in JSON"),
        (lambda: SalesReport(month="\ud800"), r"\$\.month: .*surrogates"),
        (lambda: SalesReport(month=None), r"Expected `str`, got `null` - at `\$\.month`"),
    ],
)
def test_wrong_arguments_are_refused_with_path_and_remedy(make: Callable[[], object], message: str) -> None:
    with pytest.raises(BadArguments, match=f"(?s)^{__name__}.*{message}") as caught:
        make()
    assert isinstance(caught.value, ValueError)


def test_the_author_may_check_arguments_together_in_post_init() -> None:
    class Span(ProgressJob[int]):
        first: int
        last: int

        def __post_init__(self) -> None:
            if self.last < self.first:
                raise ValueError("last lies before first")

        def perform(self, progress: Progress) -> int:
            return self.last - self.first

    with pytest.raises(BadArguments, match="last lies before first"):
        Span(first=2, last=1)
    with pytest.raises(BadArguments, match="last lies before first"):
        spec_of(Span).decode_arguments(b'{"first": 2, "last": 1}')


# Ways around the constructor


def test_replace_and_copy_cannot_smuggle_wrong_values_into_the_store() -> None:
    wrong = msgspec.structs.replace(SalesReport(month="2026-01"), month=1)
    with pytest.raises(BadArguments, match=r"\$\.month"):
        spec_of(wrong).encode_arguments(wrong)
    with pytest.raises(BadArguments, match=r"\$\.month"):
        spec_of(wrong).cache_key(wrong)


def test_replace_makes_the_same_cache_key_as_the_constructor() -> None:
    class Render(ProgressJob[None]):
        dpi: float
        cache_key = ALL

        def perform(self, progress: Progress) -> None: ...

    spec = spec_of(Render)
    replaced = msgspec.structs.replace(Render(dpi=1), dpi=150)
    assert type(replaced.dpi) is int
    assert spec.cache_key(replaced) == spec.cache_key(Render(dpi=150.0))


def test_copies_are_equal_and_deep_copies_share_nothing() -> None:
    job = Visit(names=["a"])
    assert copy.copy(job) == copy.deepcopy(job) == job
    assert copy.deepcopy(job).names is not job.names


def test_pickle_is_refused_with_advice() -> None:
    with pytest.raises(TypeError, match="SalesReport is not pickled: jobs travel as JSON"):
        pickle.dumps(SalesReport(month="2026-01"))


def test_repr_shows_the_arguments_and_never_explodes() -> None:
    assert repr(SalesReport(month="2026-01")) == "SalesReport(month='2026-01', region='EU')"
    assert len(repr(SalesReport(month="x" * 900_000))) < 200
    assert len(repr(Visit(names=["x" * 1000] * 100, person=Person(name="y" * 1000)))) <= 600


# Classes that are refused


def annotated_option() -> None:
    class Wrong(ProgressJob[int]):
        cache_ttl: int = 3600


def field_named_like_an_option() -> None:
    class Wrong(ProgressJob[int]):
        queue: str


def field_named_like_a_hook() -> None:
    class Wrong(ProgressJob[int]):
        on_start: str


def field_named_perform() -> None:
    class Wrong(ProgressJob[int]):
        perform: str


def field_and_method() -> None:
    class Wrong(ProgressJob[int]):
        month: str

        def month(self) -> str:
            return ""


def field_hiding_a_method() -> None:
    class Base(ProgressJob[int]):
        def total(self) -> int:
            return 1

    class Wrong(Base):
        total: int


def method_hiding_a_field() -> None:
    class Wrong(SalesReport):
        def month(self) -> str:
            return ""


def unannotated_default_of_a_field() -> None:
    class Wrong(SalesReport):
        region = "US"


def misspelt_option() -> None:
    class Wrong(ProgressJob[int]):
        cache_tll = 3600


def forgotten_annotation() -> None:
    class Wrong(ProgressJob[int]):
        region = "EU"


def cache_key_text() -> None:
    class Wrong(ProgressJob[int]):
        month: str
        cache_key = "month"


def cache_key_unknown() -> None:
    class Wrong(ProgressJob[int]):
        month: str
        cache_key = ("mnth",)

        def perform(self, progress: Progress) -> int:
            return 1


def cache_key_twice() -> None:
    class Wrong(ProgressJob[int]):
        month: str
        cache_key = ("month", "month")


def cache_key_number() -> None:
    class Wrong(ProgressJob[int]):
        cache_key = 1


def cache_ttl_alone() -> None:
    class Wrong(ProgressJob[int]):
        cache_ttl = 3600

        def perform(self, progress: Progress) -> int:
            return 1


def unsupported_argument() -> None:
    class Wrong(ProgressJob[int]):
        source: list[Path]


def file_argument() -> None:
    class Wrong(ProgressJob[int]):
        source: File


def unsupported_union() -> None:
    class Wrong(ProgressJob[int]):
        source: str | bytes


def callable_argument() -> None:
    class Wrong(ProgressJob[int]):
        source: Callable[[], int]


def unsupported_result() -> None:
    class Wrong(ProgressJob[Any]):
        def perform(self, progress: Progress) -> complex:
            return 1j


def generator_result() -> None:
    class Wrong(ProgressJob[Any]):
        def perform(self, progress: Progress) -> Iterator[int]:
            yield 1


def two_jobs() -> None:
    class Other(ProgressJob[dict[str, float]]): ...

    class Wrong(SalesReport, Other): ...


def mixin_with_option() -> None:
    class Shared:
        cache_ttl = 3600

    class Wrong(Shared, ProgressJob[int]): ...


def mixin_with_argument() -> None:
    class Shared:
        month: str

    class Wrong(Shared, ProgressJob[int]): ...


def class_keyword() -> None:
    class Wrong(ProgressJob[int], frozen=False): ...


def perform_without_progress() -> None:
    class Wrong(ProgressJob[int]):
        def perform(self) -> int:
            return 1


def perform_with_arguments() -> None:
    class Wrong(ProgressJob[int]):
        def perform(self, progress: Progress, month: str) -> int:
            return 1


def static_perform() -> None:
    class Wrong(ProgressJob[int]):
        @staticmethod
        def perform(progress: Progress) -> int:
            return 1


def hook_without_the_run() -> None:
    class Wrong(ProgressJob[int]):
        def on_success(self) -> None: ...


def idle_retries() -> None:
    class Wrong(ProgressJob[int]):
        backoff = 5

        def perform(self, progress: Progress) -> int:
            return 1


def own_init() -> None:
    class Wrong(ProgressJob[int]):
        def __init__(self) -> None: ...


def mutable_default() -> None:
    class Wrong(ProgressJob[int]):
        names: list[str] = ["a"]  # noqa: RUF012


@pytest.mark.parametrize(
    ("define", "advice"),
    [
        (annotated_option, r"'cache_ttl' is an option, so it takes no annotation: write `cache_ttl = \.\.\.`"),
        (field_named_like_an_option, r"'queue' is an option.*If it is meant as an argument, give it another name"),
        (field_named_like_a_hook, r"'on_start' would hide what a base class calls so"),
        (field_named_perform, r"'perform' is an argument and a method at once"),
        (field_and_method, r"'month' is an argument and a method at once\. Rename"),
        (field_hiding_a_method, r"'total' would hide what a base class calls so"),
        (method_hiding_a_field, r"'month' is an argument of the base class"),
        (unannotated_default_of_a_field, r"'region' is an argument of the base class\. Write `region: <type> = "),
        (misspelt_option, r"no option 'cache_tll'\. Did you mean 'cache_ttl'\?"),
        (forgotten_annotation, r"no option 'region'\. As an argument write `region: str = 'EU'`, as a constant REGION"),
        (cache_key_text, r"""the comma makes the tuple\. Write cache_key = \("month",\)"""),
        (cache_key_unknown, r"cache_key names 'mnth', which is no argument\. Did you mean 'month'\?"),
        (cache_key_twice, r"names an argument twice"),
        (cache_key_number, r"must be a tuple of argument names, ALL or None"),
        (cache_ttl_alone, r"cache_ttl without cache_key .* Add cache_key = ALL"),
        (unsupported_argument, r"argument 'source' cannot be stored: Path has no form in JSON\. Use str"),
        (file_argument, r"argument 'source' cannot be stored: File.*Files are results"),
        (unsupported_union, r"argument 'source' cannot be stored: .*more than one str-like type"),
        (callable_argument, r"argument 'source' .*Pass its name and look it up"),
        (unsupported_result, r"the result of perform cannot be stored: complex .*tuple\[float, float\]"),
        (generator_result, r"perform must return its result, not yield"),
        (two_jobs, r"one job class as its base"),
        (mixin_with_option, r"Shared is no job class, so its 'cache_ttl' is not read"),
        (mixin_with_argument, r"Shared is no job class, so its 'month' is not read"),
        (own_init, r"has no __init__ of its own\. Make its arguments annotated attributes .* in __post_init__"),
        (mutable_default, r"`names: \.\.\. = msgspec\.field\(default_factory=lambda: \['a'\]\)`"),
        (class_keyword, r"class keywords \(frozen\) do nothing here"),
        (perform_without_progress, r"perform takes the progress and nothing else"),
        (perform_with_arguments, r"perform takes the progress and nothing else"),
        (static_perform, r"perform must be a method"),
        (idle_retries, r"backoff without max_attempts does nothing"),
        (
            hook_without_the_run,
            r"on_success is called with other arguments: `def on_success\(self, run, result\) -> None`",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_wrong_classes_are_refused_where_they_are_defined(define: Callable[[], None], advice: str) -> None:
    with pytest.raises(BadJob, match=f"(?s)^{__name__}.*{advice}"):
        define()


def test_methods_nested_classes_constants_and_private_names_are_no_options() -> None:
    class Fine(ProgressJob[int]):
        LIMIT = 10
        Limit = 11
        _cache = 12
        names: ClassVar[tuple[str, ...]] = ("a",)

        class Row(msgspec.Struct):
            x: int

        @property
        def double(self) -> int:
            return 2

        @classmethod
        def made(cls) -> "Fine":
            return cls()

        @staticmethod
        def helper() -> int:
            return 1

        def perform(self, progress: Progress) -> int:
            return self.LIMIT + self.Limit + self._cache + self.double + self.helper() + len(self.names)

    assert Fine.made().perform(Progress()) == 37


# Derived jobs


def test_a_derived_job_inherits_arguments_options_and_perform_and_may_override_them() -> None:
    class Weekly(SalesReport):
        week: int
        region: str = "US"
        cache_ttl = 60

    spec = spec_of(Weekly)
    assert set(spec.job_class.__struct_fields__) == {"month", "week", "region"}
    assert (spec.options.cache_ttl, spec.cache_key_fields) == (60.0, ("month", "region"))
    assert Weekly(month="2026-01", week=3).perform(Progress()) == {"2026-01": 1.0}
    assert spec_of(SalesReport).options.cache_ttl == 3600.0


def test_all_covers_the_arguments_a_derived_job_adds() -> None:
    class Base(ProgressJob[int]):
        month: str
        cache_key = ALL

    class Derived(Base):
        week: int

        def perform(self, progress: Progress) -> int:
            return 1

    assert set(spec_of(Derived).cache_key_fields or ()) == {"month", "week"}


def test_an_abstract_base_may_leave_its_cache_key_to_the_jobs_derived_from_it() -> None:
    class Base(ProgressJob[int]):
        cache_ttl = 60

    class Derived(Base):
        month: str
        cache_key = ("month",)

        def perform(self, progress: Progress) -> int:
            return 1

    assert spec_of(Derived).options.cache_ttl == 60.0


def test_a_job_without_perform_is_refused_when_made_or_asked_for() -> None:
    class Base(ProgressJob[int]):
        month: str

    uses: list[Callable[[], object]] = [lambda: Base(month="1"), lambda: spec_of(Base), lambda: ProgressJob()]
    for use in uses:
        with pytest.raises(BadJob, match="has no perform"):
            use()


@pytest.mark.parametrize("stranger", [int, "text", Point(x=1)])
def test_what_is_no_job_has_no_spec(stranger: Any) -> None:
    with pytest.raises(BadJob, match=r"is no job\. Derive it from ProgressJob"):
        spec_of(stranger)


def test_perform_may_come_from_a_plain_mixin() -> None:
    class Performing:
        def perform(self, progress: Progress) -> int:
            return 7

    class Mixed(Performing, ProgressJob[int]): ...

    assert Mixed().perform(Progress()) == 7
    assert spec_of(Mixed).encode_result(7) == b"7"


# Names


def test_a_job_is_named_by_module_and_class() -> None:
    assert spec_of(SalesReport).name == f"{__name__}.SalesReport"
    assert spec_of(SalesReport).importable


def test_a_job_defined_in_a_function_is_not_importable() -> None:
    class Local(ProgressJob[int]):
        def perform(self, progress: Progress) -> int:
            return 1

    assert not spec_of(Local).importable


def test_job_name_pins_the_name_of_one_class_and_is_not_inherited() -> None:
    class Pinned(ProgressJob[int]):
        job_name = "sales.report"

        def perform(self, progress: Progress) -> int:
            return 1

    class Derived(Pinned): ...

    assert spec_of(Pinned).name == "sales.report"
    assert spec_of(Derived).name.endswith("Derived")


PROGRAM = """
from jobkit.job import ProgressJob, spec_of
class Job(ProgressJob[int]):
    def perform(self, progress): return 1
print(spec_of(Job).name)
"""


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (["shop/reports.py"], "reports.Job"),
        (["-m", "shop.reports"], "shop.reports.Job"),
        (["-c", PROGRAM], "__main__.Job"),
    ],
)
def test_a_started_module_names_its_jobs_as_an_imported_one(tmp_path: Path, start: list[str], name: str) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "reports.py").write_text(PROGRAM)
    answer = subprocess.run([sys.executable, *start], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == name


def test_a_mistake_in_a_started_module_names_its_job_as_an_imported_one(tmp_path: Path) -> None:
    (tmp_path / "reports.py").write_text(PROGRAM.replace("    def perform", "    ttl = 3\n    def perform"))
    answer = subprocess.run([sys.executable, "reports.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "BadJob: reports.Job: there is no option 'ttl'" in answer.stderr


def test_an_argument_that_is_none_is_refused_in_json_as_in_python() -> None:
    refusals = []
    for make in (
        lambda: SalesReport(month="1", regoin="EU"),  # type: ignore[call-arg]
        lambda: spec_of(SalesReport).decode_arguments(b'{"month":"1","regoin":"EU"}'),
    ):
        with pytest.raises(BadArguments) as refused:
            make()
        refusals.append(str(refused.value))
    assert refusals[0] == refusals[1]


# Cache keys


def test_only_the_arguments_named_by_cache_key_make_a_difference() -> None:
    class Report(ProgressJob[int]):
        month: str
        user: str = ""
        cache_key = ("month",)

        def perform(self, progress: Progress) -> int:
            return 1

    key = spec_of(Report).cache_key
    assert key(Report(month="1", user="ann")) == key(Report(month="1", user="bob"))
    assert key(Report(month="1")) != key(Report(month="2"))


def test_without_cache_key_nothing_is_shared_and_with_an_empty_one_visit() -> None:
    class Never(ProgressJob[int]):
        x: int

        def perform(self, progress: Progress) -> int:
            return 1

    class Always(Never):
        cache_key = ()

    assert spec_of(Never).cache_key(Never(x=1)) is None
    assert spec_of(Always).cache_key(Always(x=1)) == spec_of(Always).cache_key(Always(x=2)) is not None


def test_all_makes_every_argument_count() -> None:
    class Report(ProgressJob[int]):
        month: str
        region: str = "EU"
        person: Person | None = None
        cache_key = ALL

        def perform(self, progress: Progress) -> int:
            return 1

    jobs = [Report(month="1"), Report(month="1", region="US"), Report(month="1", person=Person(name="Ada"))]
    assert len({spec_of(Report).cache_key(job) for job in jobs}) == 3


def test_an_argument_without_canonical_form_is_refused_by_path_and_job() -> None:
    class Report(ProgressJob[int]):
        since: datetime
        cache_key = ALL

        def perform(self, progress: Progress) -> int:
            return 1

    with pytest.raises(BadArguments, match=r"Report: \$\.since cannot be part of a cache key: .*tzinfo"):
        spec_of(Report).cache_key(Report(since=datetime(2026, 1, 1)))


# What perform returns


def test_async_and_awaitable_results_are_unwrapped() -> None:
    class Async(ProgressJob[Point]):
        async def perform(self, progress: Progress) -> Point:
            return Point(x=1)

    class Handing(ProgressJob[Point]):
        def perform(self, progress: Progress) -> Awaitable[Point]:
            return Async().perform(progress)

    for cls in (Async, Handing):
        assert spec_of(cls).is_async
        assert spec_of(cls).decode_result(b'{"x":1}') == Point(x=1)
    assert not spec_of(SalesReport).is_async


def test_a_missing_return_annotation_means_any() -> None:
    class Untyped(ProgressJob[Any]):
        def perform(self, progress):
            return 1

    assert spec_of(Untyped).decode_result(b'{"a":[1]}') == {"a": [1]}


def test_a_job_that_always_fails_may_say_so() -> None:
    class Failing(ProgressJob[Any]):
        def perform(self, progress: Progress) -> NoReturn:
            raise NotImplementedError

    assert spec_of(Failing).decode_result(b"null") is None


R = TypeVar("R")


def test_generic_job_bases_are_possible() -> None:
    class Twice(ProgressJob[list[R]], Generic[R]):
        value: R

        def perform(self, progress: Progress) -> list[R]:
            return [self.value, self.value]

    class TwiceInt(Twice[int]): ...

    assert TwiceInt(value=1).perform(Progress()) == [1, 1]
    with pytest.raises(BadArguments, match=r"\$\.value"):
        TwiceInt(value="1")


# Annotations that are known later, or never


LATE = """
from __future__ import annotations
import msgspec
from jobkit.job import ProgressJob

class Job(ProgressJob):
    row: Row
    def perform(self, progress: NeverImported) -> list[Row]: return [self.row]
"""
ROW = """
class Row(msgspec.Struct):
    x: int
"""


def imported(source: str, monkeypatch: pytest.MonkeyPatch, name: str = "late") -> Any:
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(source, vars(module))
    return module


def test_annotations_may_be_text_and_name_what_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    late = imported(LATE + ROW, monkeypatch)
    job = late.Job(row=late.Row(x=1))
    assert spec_of(job).decode_result(b'[{"x":1}]') == [late.Row(x=1)]


DECORATED = """
from __future__ import annotations
from jobkit.job import ProgressJob
from logged import logged

class Job(ProgressJob):
    @logged
    def perform(self, progress) -> Row: return Row(x=1)
"""
DECORATOR = """
import functools

def logged(perform):
    @functools.wraps(perform)
    def performed(self, progress): return perform(self, progress)
    return performed
"""


def test_a_decorated_perform_keeps_its_return_annotation(monkeypatch: pytest.MonkeyPatch) -> None:
    imported(DECORATOR, monkeypatch, "logged")
    late = imported(DECORATED + "import msgspec" + ROW, monkeypatch)
    assert spec_of(late.Job).decode_result(b'{"x":1}') == late.Row(x=1)


def test_an_annotation_that_is_never_known_is_refused_at_the_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    late = imported(LATE, monkeypatch)
    with pytest.raises(BadJob, match=r"'Row' in an annotation is not known .* outside `if TYPE_CHECKING`"):
        late.Job(row=None)


# FastAPI and pydantic


def answer_of(app: FastAPI, method: str, path: str, body: object = None) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            return await client.request(method, path, json=body)

    return anyio.run(ask)


def shop() -> FastAPI:
    app = FastAPI()

    @app.post("/sales")
    async def sales(job: Annotated[SalesReport, Body()]) -> SalesReport:
        assert isinstance(job, SalesReport)
        return job

    @app.post("/visit")
    async def visit(job: Annotated[Visit, Body()]) -> str:
        return job.day.isoformat()

    return app


def test_a_job_is_a_request_body_and_an_answer_of_fastapi() -> None:
    answer = answer_of(shop(), "POST", "/sales", {"month": "2026-01"})
    assert answer.json() == {"month": "2026-01", "region": "EU"}
    answer = answer_of(shop(), "POST", "/visit", {"day": "2026-02-03", "person": {"name": "Ada"}})
    assert answer.json() == "2026-02-03"


@pytest.mark.parametrize(("body", "message"), [({"month": 1}, "$.month"), ([1], "expected an object"), ({}, "month")])
def test_fastapi_answers_422_to_wrong_arguments(body: object, message: str) -> None:
    refused = answer_of(shop(), "POST", "/sales", body)
    assert refused.status_code == 422
    assert message in refused.text


def test_the_openapi_document_describes_a_job_in_place() -> None:
    document = answer_of(shop(), "GET", "/openapi.json").json()
    schema = document["paths"]["/sales"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["month"] == {"type": "string"}
    assert schema["required"] == ["month"]
    assert "$ref" not in json.dumps(document["paths"]["/visit"]["post"]["requestBody"])


def test_a_job_is_a_field_of_a_pydantic_model() -> None:
    class Order(pydantic.BaseModel):
        job: SalesReport

    order = Order.model_validate({"job": {"month": "2026-01"}})
    assert order.job == SalesReport(month="2026-01")
    assert order.model_dump() == {"job": {"month": "2026-01", "region": "EU"}}
    assert Order(job=SalesReport(month="1")).job.month == "1"
    with pytest.raises(pydantic.ValidationError, match=r"\$\.month"):
        Order.model_validate({"job": {"month": None}})


def test_jobkit_never_imports_pydantic() -> None:
    program = "import sys, jobkit.job; assert not any(name.startswith('pydantic') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
