"""What a job and a caller's wishes become when they are handed to the store."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from jobkit import ALL, Progress, ProgressJob
from jobkit.errors import BadArguments, BadJob
from jobkit.store.operations import Reuse, Submission, checked_run_id
from jobkit.submission import Wishes, interest_of, submission_of


class Plain(ProgressJob[int]):
    """Never shared; all options as they are."""

    a: int = 1

    def perform(self, progress: Progress) -> int:
        progress.message = "adding"
        return self.a


class Choosy(ProgressJob[int]):
    """Every option that the store is told."""

    a: int
    b: str = "é"
    job_name = "sums.Übersicht"
    cache_key = ALL
    cache_version = 3
    cache_ttl = timedelta(minutes=1)
    keep_for = 120
    queue = "slow"
    priority = 2
    max_attempts = 1
    max_crashes = 0
    undeliverable_after = 60
    lease = 4
    public_result = True
    tags = ("nightly",)

    def perform(self, progress: Progress) -> int:
        progress.message = "adding"
        return self.a


def submitted(job: ProgressJob[Any] | None = None, **wishes: Any) -> Submission:
    return submission_of(job or Plain(), Wishes(**wishes))


def test_the_options_of_the_class_travel_with_the_run() -> None:
    made = submitted(Choosy(a=1))
    assert (made.queue, made.priority, made.lease, made.max_crashes) == ("slow", 2, 4_000, 0)
    assert (made.keep, made.cache_ttl, made.undeliverable) == (120_000, 60_000, 60_000)
    assert (made.cache_version, made.public_result, json.loads(made.tags)) == ("3", True, ["nightly"])


def test_a_class_in_place_of_a_job_is_refused_with_advice() -> None:
    with pytest.raises(BadArguments, match=r"Plain is a class: submit a job made from it, Plain\(…\)\."):
        submission_of(Plain, Wishes())  # type: ignore[arg-type]


def test_a_plain_job_is_not_shared_and_names_no_lease_of_its_own() -> None:
    made = submitted()
    assert (made.key, made.lease, made.cache_ttl, made.owner, made.reuse) == ("", None, None, "", Reuse.ANY)


def test_a_callers_wishes_win_over_the_class() -> None:
    made = submitted(Choosy(a=1), queue="fast", priority=-1, tags=["mine"], reuse="fresh", owner="ann")
    assert (made.queue, made.priority, made.reuse) == ("fast", -1, Reuse.FRESH)
    assert (json.loads(made.tags), made.owner, made.interest) == (["nightly", "mine"], "ann", "owner:ann")


def test_queues_and_tags_have_words_for_names_and_owners_any_printable_text() -> None:
    made = submitted(queue="eu/Übersicht", tags=["a:b.c-d_e/f"], owner="Ann Lee, sales")
    assert (made.queue, json.loads(made.tags), made.owner) == ("eu/Übersicht", ["a:b.c-d_e/f"], "Ann Lee, sales")


def test_the_head_is_the_beginning_of_a_snapshot() -> None:
    made = submitted(Choosy(a=1))
    assert json.loads(made.head + b"}") == {"id": made.id, "job": "sums.Übersicht"}
    assert checked_run_id(made.id) == made.id


def test_equal_jobs_have_one_key_and_ids_and_tickets_of_their_own() -> None:
    first, second = submitted(Choosy(a=1)), submitted(Choosy(a=1, b="é"))
    assert first.key == second.key != submitted(Choosy(a=2)).key
    assert first.id != second.id
    assert first.interest != second.interest


def test_a_ticket_cannot_be_guessed() -> None:
    assert len({interest_of(None) for _ in range(100)}) == 100
    assert len(interest_of(None)) > 24


@pytest.mark.parametrize(
    ("at", "milliseconds"),
    [
        (1_795_000_000.5, 1_795_000_000_500),
        (datetime(2026, 11, 23, 8, tzinfo=UTC), 1_795_420_800_000),
        (datetime(2026, 11, 23, 9, tzinfo=timezone(timedelta(hours=1))), 1_795_420_800_000),
    ],
)
def test_a_start_is_a_moment_on_every_clock(at: datetime | float, milliseconds: int) -> None:
    assert submitted(at=at).at == milliseconds


@pytest.mark.parametrize(("after", "milliseconds"), [(0, 0), (1.5, 1_500), (timedelta(days=2), 172_800_000)])
def test_a_delay_is_seconds_or_a_timedelta(after: timedelta | float, milliseconds: int) -> None:
    assert submitted(after=after).delay == milliseconds


@pytest.mark.parametrize(
    ("wishes", "advice"),
    [
        ({"at": datetime(2026, 11, 23, 8)}, "aware datetime"),
        ({"at": float("nan")}, "epoch seconds"),
        ({"at": -1}, "epoch seconds"),
        ({"at": 1e300}, "epoch seconds"),
        ({"at": "tomorrow"}, "epoch seconds"),
        ({"at": 1.0, "after": 1.0}, "not both"),
        ({"after": -1}, "not negative"),
        ({"after": float("inf")}, "not negative"),
        ({"after": 1e300}, "ten years"),
        ({"after": "1h"}, "timedelta or seconds"),
        ({"priority": 1.5}, "whole number"),
        ({"priority": True}, "whole number"),
        ({"priority": 1001}, "1000"),
        ({"reuse": "all"}, '"any", "fresh" or "none"'),
        ({"queue": "a,b"}, "letters, digits"),
        ({"queue": "a b"}, "letters, digits"),
        ({"queue": "a\n"}, "letters, digits"),
        ({"queue": "x" * 101}, "1 to 100"),
        ({"queue": ""}, "1 to 100"),
        ({"queue": 7}, "letters, digits"),
        ({"owner": ""}, "printable"),
        ({"owner": 7}, "printable"),
        ({"owner": "x" * 201}, "200"),
        ({"tags": ["ok", "two words"]}, "letters, digits"),
        ({"tags": "nightly"}, "list of tags"),
        ({"tags": ["x"] * 33}, "at most 32"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_with_advice(wishes: dict[str, Any], advice: str) -> None:
    with pytest.raises(BadArguments, match=advice):
        submitted(**wishes)


def test_a_job_that_no_worker_can_import_is_refused() -> None:
    class Local(ProgressJob[int]):
        def perform(self, progress: Progress) -> int:
            progress.message = "adding"
            return 1

    with pytest.raises(BadJob, match="top of its module"):
        submitted(Local())


def test_arguments_beyond_a_mebibyte_are_refused() -> None:
    with pytest.raises(BadArguments, match=r"1\.0 MiB"):
        submitted(Choosy(a=1, b="x" * 2**20))
