"""What a caller names beside a job is refused with advice, not misunderstood."""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from jobkit import asking
from jobkit.errors import BadArguments
from jobkit.lifecycle import State


@pytest.mark.parametrize(
    ("check", "given", "advice"),
    [
        (asking.owner, "", r"owner='': give 1 to 200 printable characters"),
        (asking.owner, "\ud800", "printable"),
        (asking.owner, "x" * 201, "200"),
        (asking.owner, 3, r"owner=3: give text"),
        (asking.owner, None, r"owner=None: give text"),
        (asking.state, "succeded", r"state='succeded': choose one of 'scheduled', .*, or None for all"),
        (asking.state, 5, "choose one of"),
        (asking.state, [], "choose one of"),
        (asking.limit, "abc", r"limit='abc': give a whole number"),
        (asking.limit, 1.5, "whole number"),
        (asking.limit, True, "whole number"),
        (asking.limit, None, "whole number"),
        (asking.limit, -1, "0 or more"),
        (asking.tags, "nightly", r"give a list of tags, e\.g\. tags=\['nightly'\]"),
        (asking.tags, 5, "give a list of tags"),
        (asking.tags, [None], "tag=None must be text"),
        (lambda value: asking.named("queue", value), 5, "queue=5 must be text: 1 to 100 letters"),
        (lambda value: asking.seconds("timeout", value), "1", r"timeout='1': give a timedelta or a number of seconds"),
        (lambda value: asking.seconds("timeout", value), math.nan, "timeout=nan"),
        (lambda value: asking.seconds("timeout", value), True, "timeout=True"),
    ],
)
def test_what_makes_no_sense_is_refused_with_advice(check: Callable[[Any], object], given: Any, advice: str) -> None:
    with pytest.raises(BadArguments, match=advice):
        check(given)


def test_what_makes_sense_is_answered_in_one_form() -> None:
    assert asking.owner("Ann Lee") == "Ann Lee"
    assert (asking.state(None), asking.state("failed"), asking.state(State.FAILED)) == (
        None,
        State.FAILED,
        State.FAILED,
    )
    assert asking.limit(0) == 0
    assert asking.tags(tag for tag in ("a", "b")) == ("a", "b")
    assert (asking.seconds("timeout", timedelta(minutes=1)), asking.seconds("timeout", 2)) == (60.0, 2.0)
