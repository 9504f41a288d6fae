"""The one line that a kept traceback comes to, whatever stands around it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jobkit.tracebacks import LONGEST_TRACEBACK, summary_of, traceback_of


class Odd(Exception):
    """In a module, so its name is a path."""


def plain() -> None:
    raise ValueError("disk is full")


def with_a_note() -> None:
    error = ValueError("disk is full")
    error.add_note("see the manual")
    raise error


def with_several_lines() -> None:
    raise ValueError("disk is full\nTraceback (most recent call last):\nOSError: no")


def while_handling_another() -> None:
    try:
        plain()
    except ValueError:
        raise Odd("gave up")  # noqa: B904  no cause is named


def because_of_another() -> None:
    try:
        with_a_note()
    except ValueError as error:
        raise Odd("gave up") from error


def in_a_group() -> None:
    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(with_a_note))

    asyncio.run(grouped())


def after_a_group() -> None:
    try:
        in_a_group()
    except BaseExceptionGroup as error:
        raise Odd("gave up") from error


def in_a_text() -> None:
    compile("1 +", "text", "exec")


@pytest.mark.parametrize(
    ("fail", "line"),
    [
        (plain, "ValueError: disk is full"),
        (with_a_note, "ValueError: disk is full"),
        (with_several_lines, "ValueError: disk is full"),
        (while_handling_another, "tests.unit.test_tracebacks.Odd: gave up"),
        (because_of_another, "tests.unit.test_tracebacks.Odd: gave up"),
        (in_a_group, "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)"),
        (after_a_group, "tests.unit.test_tracebacks.Odd: gave up"),
        (in_a_text, "SyntaxError: invalid syntax"),
    ],
)
def test_an_error_comes_to_its_type_and_message(fail: Callable[[], Any], line: str) -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011  any of them
        fail()
    assert summary_of(traceback_of(caught.value)) == line


def test_a_traceback_without_its_middle_still_says_what_happened() -> None:
    lines = "".join(f'  File "x.py", line {n}, in x\n    do({n})  # {"é" * 50}\n' for n in range(1000))
    half = (LONGEST_TRACEBACK // 2) - 16
    data = f"Traceback (most recent call last):\n{lines}ValueError: disk is full\nsee the manual\n".encode()
    for cut in range(half, half + 200):
        text = (data[:half] + b"\n  [...]\n" + data[-cut:]).decode(errors="ignore")
        assert summary_of(text) == "ValueError: disk is full", cut


def test_a_text_that_is_no_traceback_comes_to_its_last_line() -> None:
    assert summary_of("Odd, whose traceback cannot be formatted.") == "Odd, whose traceback cannot be formatted."
    assert summary_of("") == ""
