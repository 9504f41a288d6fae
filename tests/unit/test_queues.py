"""Queues with limits of their own, as submissions bring them along; pure."""

from __future__ import annotations

import zlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from jobkit import ALL, BadArguments, JobKit, Progress, ProgressJob, Queue
from jobkit.limits import share_of
from jobkit.store.operations import Submission, Terms
from jobkit.submission import Batch, Wishes, places_of_key, submission_of

RULES = {"mail": Queue(max_running=2, rate="10/s"), "idle": Queue()}
PARTITIONS = 8


class Send(ProgressJob[None]):
    to: str
    queue = "mail"
    cache_key = ALL
    max_queued = 100

    def perform(self, _progress: Progress) -> None: ...


class Export(ProgressJob[None]):
    customer: str
    max_running = 1
    fair_share = True

    def perform(self, _progress: Progress) -> None: ...


def submitted(job: ProgressJob[Any], **wishes: Any) -> Submission:
    return submission_of(job, Wishes(**wishes), PARTITIONS, RULES)


def partition(submission: Submission) -> int:
    return int(submission.id.partition("-")[0])


HOME = zlib.crc32(b"mail") % PARTITIONS


def test_every_run_of_a_limited_queue_brings_its_limits_along_and_lies_in_its_partition() -> None:
    runs = [submitted(Send(to=f"{number}")) for number in range(50)]
    assert {run.limits for run in runs} == {RULES["mail"].words("mail")}
    assert {partition(run) for run in runs} == {HOME}
    assert len({partition(submitted(Send(to=f"{number}"), queue="other")) for number in range(200)}) == PARTITIONS


def test_the_limits_of_a_queue_are_those_of_nothing_else_and_the_same_everywhere() -> None:
    words = RULES["mail"].words("mail").split()
    assert words[1::2] == ["2", "100000"]
    assert [name[:2] for name in words[::2]] == ["m:", "r:"]
    assert RULES["mail"].words("post") != RULES["mail"].words("mail")
    assert words[0] != submission_of(Export(customer="mail")).limits.split()[0]
    assert words == ["m:b7b9c852ec48beb103aa", "2", "r:b7b9c852ec48beb103aa", "100000"]


def test_a_job_with_limits_of_its_own_keeps_them_in_a_limited_queue() -> None:
    run = submitted(Export(customer="x"), queue="mail", owner="ann")
    own = submission_of(Export(customer="x")).limits.split()[0]
    assert run.limits.split()[::2] == [
        own,
        *RULES["mail"].words("mail").split()[::2],
        share_of("mail", "ann").split()[0],
    ]
    assert partition(run) == HOME


def test_a_queue_whose_rule_limits_nothing_is_as_any_other() -> None:
    assert submitted(Send(to="x"), queue="idle").limits == ""


def test_a_bound_is_not_shared_out_where_all_runs_of_the_queue_lie_together() -> None:
    def bound(run: Submission) -> int | None:
        return msgspec.json.decode(run.conditions.terms, type=Terms).max_queued

    assert bound(submitted(Send(to="x"))) == 100
    assert bound(submitted(Send(to="x"), queue="other")) == 13


def test_a_batch_is_under_the_same_rules() -> None:
    batch = Batch([Send(to=f"{number}") for number in range(10)], Wishes(), PARTITIONS, RULES)
    assert {run.limits for run in batch.submissions} == {RULES["mail"].words("mail")}
    assert len(batch.chunks) == 1


def test_what_is_invalidated_may_lie_where_its_queue_put_it() -> None:
    job = Send(to="x")
    there, elsewhere = submitted(job), submitted(job, queue="other")
    spec = type(job).__jobspec__
    assert set(places_of_key(spec, there.key, PARTITIONS, RULES)) == {partition(there), partition(elsewhere)}


def test_a_kit_knows_its_limited_queues_by_name() -> None:
    assert JobKit("redis://127.0.0.1:1", queues=RULES).queues == ("default", "idle", "mail")


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"max_running": 0}, "The limit of a queue must be a whole number above 0"),
        ({"max_running": {"customer": 1}}, "A queue's limits are of all its runs"),
        ({"rate": "often"}, "must be a number of starts"),
        ({"rate": (0, timedelta(seconds=1))}, "must be a number of starts"),
    ],
)
def test_what_can_be_no_limit_is_refused(limits: dict[str, Any], text: str) -> None:
    with pytest.raises(BadArguments, match=text):
        Queue(**limits)


@pytest.mark.parametrize("queues", [{"mail": 3}, {"two words": Queue()}])
def test_a_kit_refuses_what_is_no_queue(queues: Any) -> None:
    with pytest.raises(BadArguments):
        JobKit("redis://127.0.0.1:1", queues=queues)
