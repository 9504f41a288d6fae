"""What a job and a caller's wishes become when they are handed to the store."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from jobkit import ALL, Progress, ProgressJob
from jobkit.errors import BadArguments, BadJob
from jobkit.store.operations import Operations, Reuse, Submission, Terms, checked_run_id
from jobkit.store.replies import Full
from jobkit.submission import Batch, Wishes, invalidated, submission_of


class Plain(ProgressJob[int]):
    """Never shared; all options as they are."""

    a: int = 1

    def perform(self, progress: Progress) -> int:
        progress.message = "adding"
        return self.a


class Bounded(Plain):
    max_queued = 100


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
    expires = 600
    max_attempts = 4
    max_crashes = 0
    undeliverable_after = 60
    lease = 4
    public_result = True
    tags = ("nightly",)
    stale_ttl = 30
    failure_ttl = 5
    refresh = True
    throttle = 2
    debounce = 0.5
    abandon_after = 90
    max_queued = 1_000
    max_running = {(): 10, "a": 1}  # noqa: RUF012
    rate = "30/m"

    def perform(self, progress: Progress) -> int:
        progress.message = "adding"
        return self.a


class Shared(ProgressJob[int]):
    """Two are identical when their arguments are."""

    a: int
    cache_key = ALL

    def perform(self, progress: Progress) -> int:
        progress.message = "adding"
        return self.a


class Fair(Plain):
    fair_share = True


def submitted(job: ProgressJob[Any] | None = None, **wishes: Any) -> Submission:
    return submission_of(job or Plain(), Wishes(**wishes))


def terms(made: Submission) -> Terms:
    return msgspec.json.decode(made.conditions.terms, type=Terms)


def test_the_options_of_the_class_travel_with_the_run() -> None:
    made = submitted(Choosy(a=1))
    assert (made.conditions.queue, made.conditions.priority) == ("slow", 2)
    assert made.conditions.labels == "job:sums.Übersicht tag:nightly"
    assert json.loads(made.conditions.job) == "sums.Übersicht"
    assert made.work == 'sums.Übersicht\n3\n{"a":1,"b":"é"}'.encode()
    assert terms(made) == Terms(
        max_attempts=4,
        max_crashes=0,
        keep=120_000,
        undeliverable=60_000,
        lease=4_000,
        cache_ttl=60_000,
        stale_ttl=30_000,
        failure_ttl=5_000,
        refresh=1,
        throttle=2_000,
        debounce=500,
        longest_debounce=5_000,
        abandon_after=90_000,
        expires=600_000,
        max_queued=1_000,
        public_result=1,
    )


def test_what_a_class_does_not_say_is_not_stored() -> None:
    assert set(json.loads(submitted().conditions.terms)) == {"max_attempts", "max_crashes", "keep", "undeliverable"}


def test_a_class_in_place_of_a_job_is_refused_with_advice() -> None:
    with pytest.raises(BadArguments, match=r"Plain is a class: submit a job made from it, Plain\(…\)\."):
        submission_of(Plain, Wishes())  # type: ignore[arg-type]


def test_a_plain_job_is_not_shared_and_has_no_limits() -> None:
    made = submitted()
    assert (made.key, made.limits, made.conditions.owner, made.conditions.reuse) == ("", "", "", Reuse.ANY)


def test_a_callers_wishes_win_over_the_class() -> None:
    made = submitted(Choosy(a=1), queue="fast", priority=-1, tags=["mine"], reuse="fresh", owner="ann")
    conditions = made.conditions
    assert (conditions.queue, conditions.priority, conditions.reuse) == ("fast", -1, Reuse.FRESH)
    assert (conditions.labels, conditions.owner) == ("job:sums.Übersicht tag:nightly tag:mine", "ann")
    assert made.interest == "owner:ann"


def test_queues_and_tags_have_words_for_names_and_owners_any_printable_text() -> None:
    made = submitted(queue="eu/Übersicht", tags=["a:b.c-d_e/f"], owner="Ann Lee, sales").conditions
    assert (made.queue, made.owner) == ("eu/Übersicht", "Ann Lee, sales")
    assert made.labels.endswith(".Plain tag:a:b.c-d_e/f")


def test_equal_jobs_have_one_key_and_ids_and_tickets_of_their_own() -> None:
    first, second = submitted(Choosy(a=1)), submitted(Choosy(a=1, b="é"))
    assert first.key == second.key != submitted(Choosy(a=2)).key
    assert first.id != second.id
    assert first.interest != second.interest
    assert checked_run_id(first.id) == first.id


def test_a_limit_is_shared_by_equal_values_of_its_fields_alone() -> None:
    one, same, other = (submitted(Choosy(a=a, b=b)).limits.split() for a, b in ((1, "x"), (1, "y"), (2, "x")))
    assert one == same
    assert one[1::2] == ["10", "1", "2000000"]  # the µs of 30 a minute
    assert [name == elsewhere for name, elsewhere in zip(one[::2], other[::2], strict=True)] == [True, False, True]
    assert len({name.partition(":")[2] for name in one[::2]}) == 2  # of the class, and of its customer


def test_a_fair_share_is_an_owners_in_a_queue() -> None:
    def share(**wishes: Any) -> str:
        return submission_of(Fair(a=1), Wishes(**wishes)).limits

    assert share(owner="ann") == share(owner="ann")
    assert len({share(owner="ann"), share(owner="bob"), share(), share(owner="ann", queue="other")}) == 4
    assert submission_of(Fair(a=1)).limits == share()


def test_a_batch_is_put_together_by_class_and_answered_in_order() -> None:
    jobs = [Choosy(a=a) if a % 2 else Plain(a=a) for a in range(700)]
    batch = Batch(jobs, Wishes())
    operations = batch.operations(Operations("test"))
    assert len(operations) == 4  # 350 of a class, at most 250 in one script
    replies = [tuple(Full(retry_after=place) for place in chunk) for chunk in batch.chunks]
    assert batch.in_order(replies) == [Full(retry_after=place) for place in range(700)]
    assert set(batch.classes) == {Choosy, Plain}


def test_in_several_partitions_equal_jobs_meet_and_limited_ones_stay_together() -> None:
    def partitions(*jobs: ProgressJob[Any]) -> set[str]:
        return {submission_of(job, partitions=8).id.partition("-")[0] for job in jobs}

    assert len(partitions(*(Shared(a=1) for _ in range(20)))) == 1
    assert len(partitions(*(Shared(a=a) for a in range(100)))) == 8
    assert len(partitions(*(Plain() for _ in range(200)))) == 8
    assert len(partitions(*(Choosy(a=a) for a in range(100)))) == 1


def test_a_bound_of_the_queue_is_shared_out_unless_all_runs_are_in_one_partition() -> None:
    assert terms(submission_of(Bounded(), partitions=8)).max_queued == 13
    assert terms(submission_of(Choosy(a=1), partitions=8)).max_queued == 1000


def test_what_is_invalidated_is_a_key_or_a_label() -> None:
    assert invalidated(Shared(a=1), None) == (submitted(Shared(a=1)).key, "")
    assert invalidated(Shared, None) == ("", f"job:{Shared.__module__}.Shared")
    assert invalidated(None, "eu") == ("", "tag:eu")


@pytest.mark.parametrize(
    ("what", "tag", "advice"),
    [
        (None, None, "one of them"),
        (Plain, "x", "one of them"),
        (Plain(), None, "no cache_key"),
        (None, "a b", "letters"),
    ],
)
def test_what_cannot_be_invalidated_is_refused_with_advice(what: Any, tag: str | None, advice: str) -> None:
    with pytest.raises(BadArguments, match=advice):
        invalidated(what, tag)


@pytest.mark.parametrize(
    ("at", "milliseconds"),
    [
        (1_795_000_000.5, 1_795_000_000_500),
        (datetime(2026, 11, 23, 8, tzinfo=UTC), 1_795_420_800_000),
        (datetime(2026, 11, 23, 9, tzinfo=timezone(timedelta(hours=1))), 1_795_420_800_000),
    ],
)
def test_a_start_is_a_moment_on_every_clock(at: datetime | float, milliseconds: int) -> None:
    assert submitted(at=at).conditions.start == str(milliseconds)


@pytest.mark.parametrize(("after", "milliseconds"), [(0, 0), (1.5, 1_500), (timedelta(days=2), 172_800_000)])
def test_a_delay_is_seconds_or_a_timedelta(after: timedelta | float, milliseconds: int) -> None:
    assert submitted(after=after).conditions.start == f"+{milliseconds}"


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
