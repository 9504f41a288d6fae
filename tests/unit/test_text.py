"""What jobs say to people, made fit for every reader."""

import pytest

from jobkit.text import LONGEST_MESSAGE, one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("two\r\n  lines\t", "two lines"),
        ("\x1b[31mred\x00", "[31mred"),
        ("a \u2028 b", "a b"),
        ("\u202egnp.exe", "gnp.exe"),
        ("broken \ud800 text", "broken \ufffd text"),
        ("x" * 501, "x" * 499 + "…"),
        ("\x00\n", ""),
    ],
)
def test_a_text_becomes_one_short_line_that_every_reader_can_show(text: str, line: str) -> None:
    assert one_line(text) == line


@pytest.mark.parametrize("text", ["", "Ärger über 東京 🚲", "<b>& 👩\u200d🔬</b>", "1  of  10", "x" * LONGEST_MESSAGE])
def test_a_text_that_can_be_shown_is_left_as_it_is(text: str) -> None:
    assert one_line(text) == text


def test_what_is_cut_has_the_length_that_was_asked_for() -> None:
    assert one_line("a stage with a long name", 10) == "a stage w…"
