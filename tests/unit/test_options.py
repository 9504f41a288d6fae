"""The options of a job class: checked by name, converted, documented."""
# mypy: disable-error-code="misc"

import math
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from jobkit.errors import BadJob
from jobkit.job import ProgressJob, spec_of
from jobkit.limits import Limit
from jobkit.options import ALL, OPTION_CHECKS, OWN_NAME, Options


def perform(_self: object, _progress: object) -> None: ...


def options_of(**options: object) -> Options:
    body = {"__module__": __name__, "perform": perform, **options}
    return spec_of(type(ProgressJob)("Made", (ProgressJob,), body)).options


def test_options_have_the_documented_defaults() -> None:
    assert options_of() == Options()
    assert OPTION_CHECKS.keys() == set(Options.__struct_fields__)
    assert (Options().keep_for, Options().cancel_grace, Options().undeliverable_after) == (86400.0, 10.0, 600.0)


def test_a_job_class_shows_the_same_defaults_to_its_readers_and_to_type_checkers() -> None:
    shown = {name: check(getattr(ProgressJob, name)) for name, check in OPTION_CHECKS.items()}
    assert shown == msgspec.structs.asdict(Options())


@pytest.mark.parametrize("option", ["keep_for", "cancel_grace", "undeliverable_after", "lease"])
@pytest.mark.parametrize("duration", [timedelta(seconds=30), 30, 30.0])
def test_durations_are_timedeltas_or_seconds_and_become_seconds(option: str, duration: object) -> None:
    seconds = getattr(options_of(**{option: duration}), option)
    assert (type(seconds), seconds) == (float, 30.0)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("keep_for", 0),
        ("keep_for", -1),
        ("keep_for", None),
        ("keep_for", math.nan),
        ("keep_for", math.inf),
        ("keep_for", True),
        ("keep_for", "1h"),
        ("cancel_grace", timedelta(0)),
        ("lease", 0.1),
        ("lease", timedelta(hours=2)),
        ("strict_lease", 1),
        ("time_limit", 0),
        ("stall_limit", "1h"),
        ("memory_limit", "512"),
        ("memory_limit", "lots"),
        ("memory_limit", 1000),
        ("memory_limit", True),
        ("memory_limit", 1.5e9),
        ("leak_warning", "-1 MB"),
        ("priority", 1.5),
        ("priority", 1001),
        ("expires", 0),
        ("expires", "soon"),
        ("max_attempts", 0),
        ("max_attempts", True),
        ("max_crashes", -1),
        ("queue", ""),
        ("queue", "a,b"),
        ("queue", 1),
        ("tags", "sales"),
        ("tags", ("a b",)),
        ("tags", {"a", 1}),
        ("stages", {}),
        ("stages", {"read": 0}),
        ("stages", {"": 1}),
        ("stages", ["read"]),
        ("submittable", 1),
        ("public_result", "yes"),
        ("cache_version", 1.5),
        ("stale_ttl", 0),
        ("abandon_after", 59),
        ("failure_ttl", "1h"),
        ("refresh", 1),
        ("max_queued", 0),
        ("max_running", 0),
        ("max_running", True),
        ("max_running", "3"),
        ("max_running", {}),
        ("max_running", {"month": 0}),
        ("max_running", {1: 1}),
        ("rate", "0/m"),
        ("rate", (0, 60)),
        ("rate", (True, 60)),
        ("rate", (10, timedelta(0))),
        ("rate", (10, 60, 1)),
        ("rate", "10/0m"),
        ("rate", "10/week"),
        ("rate", 10),
        ("rate", {"month": 10}),
        ("job_name", ""),
        ("job_name", "two words"),
        ("job_name", 3),
    ],
)
def test_options_of_a_wrong_kind_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(BadJob, match=f"{option} = .* must "):
        options_of(**{option: value})


def test_every_built_option_is_accepted() -> None:
    options = options_of(
        month="",
        __annotations__={"month": str},
        cache_key=ALL,
        cache_version="2026-01",
        tags=("sales", "eu"),
        cache_ttl=60,
        stale_ttl=60,
        failure_ttl=5,
        refresh=True,
        throttle=1,
        debounce=timedelta(seconds=1),
        l1_ttl=0.5,
        abandon_after=90,
        max_queued=100,
        max_running={(): 10, "month": 1},
        rate="30/m",
        fair_share=True,
        keep_for=timedelta(days=2),
        queue="reports",
        priority=5,
        expires=timedelta(minutes=10),
        max_attempts=3,
        backoff=(1, 10),
        retry_on=OSError,
        give_up_on=(FileNotFoundError,),
        max_crashes=0,
        undeliverable_after=60,
        cancel_grace=0.5,
        lease=0.2,
        strict_lease=True,
        time_limit=60,
        stall_limit=timedelta(seconds=30),
        memory_limit="2 GB",
        leak_warning=50_000_000,
        stages={"read": 3, "write": 1},
        submittable=True,
        public_result=True,
    )
    assert options.stages == {"read": 3.0, "write": 1.0}
    assert (options.lease, options.max_crashes, options.tags) == (0.2, 0, ("sales", "eu"))
    assert options.max_running == (Limit("m", (), 10), Limit("m", ("month",), 1))
    assert options.rate == (Limit("r", (), 2_000_000),)


@pytest.mark.parametrize("rate", ["30/m", "1800/h", "5/10s", (30, 60), (30, timedelta(minutes=1))])
def test_a_rate_may_be_written_in_many_ways(rate: object) -> None:
    assert options_of(rate=rate).rate == (Limit("r", (), 2_000_000),)
    assert options_of(__annotations__={"customer": str}, customer="", rate={"customer": rate}).rate == (
        Limit("r", ("customer",), 2_000_000),
    )


@pytest.mark.parametrize("amount", ["512 MB", "512MB", "512 MiB", "0.5 gb", "524288 KB", 512 * 1024**2])
def test_memory_may_be_written_in_many_ways(amount: object) -> None:
    assert options_of(memory_limit=amount).memory_limit == 512 * 1024**2


def test_tags_given_as_a_set_have_one_order() -> None:
    assert options_of(tags={"b", "a", "c"}).tags == ("a", "b", "c")


def test_the_table_in_the_docs_lists_every_option_and_the_reserved_names() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text()
    assert [name for name in {OWN_NAME, *OPTION_CHECKS} if f"| `{name}` |" not in guide] == []
