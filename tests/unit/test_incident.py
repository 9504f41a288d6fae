"""What befell a start, as it is kept and as people read it."""

from __future__ import annotations

import pytest

from jobkit.incident import LONGEST_DETAIL, Account, Incident, IncidentKind, size
from jobkit.snapshot import ProgressView


def kept(account: Account) -> Incident:
    """As the store joins it."""
    return Incident.from_json(b'{"at":1795000000.5,"start":2,"attempt":1,"slot":"w/1",' + account.to_json()[1:])


def test_what_was_told_is_read_back() -> None:
    account = Account(kind=IncidentKind.KILLED, message="It was killed.", signal=9, memory=5000, lines=("a", "b"))
    incident = kept(account)
    assert (incident.kind, incident.message, incident.signal) == (IncidentKind.KILLED, "It was killed.", 9)
    assert (incident.memory, incident.lines, incident.start, incident.slot) == (5000, ("a", "b"), 2, "w/1")


def test_fields_of_a_newer_writer_are_ignored() -> None:
    told = b'{"at":1.0,"start":1,"kind":"failed","message":"m","mood":"bad"}'
    assert Incident.from_json(told).message == "m"


def test_an_account_keeps_within_its_bounds() -> None:
    huge = "\u2028é" * 100_000
    account = Account(
        kind=IncidentKind.CRASHED, message=huge, lines=(huge,) * 100, stacks=huge, traceback=f"begin{huge}end"
    )
    incident = kept(account)
    assert len(incident.message) <= 500
    assert len(incident.lines) == 20
    assert all(len(line) <= 300 for line in incident.lines)
    assert len(incident.stacks.encode()) <= LONGEST_DETAIL
    assert incident.traceback.startswith("begin")
    assert incident.traceback.endswith("end")
    assert len(account.to_json()) < 100_000


def test_as_text_it_tells_what_happened_when_and_how_far_it_was() -> None:
    incident = Incident(
        kind=IncidentKind.CRASHED,
        message="The process that performed this crashed with signal 11 (SIGSEGV).",
        at=1795000000.0,
        start=2,
        slot="w/7",
        memory=90 * 1024 * 1024,
        progress=ProgressView(done=1200, total=5000, unit="orders", message="Reading"),
        lines=("INFO reports: row 1200",),
        stacks="Fatal Python error\n  File x",
    )
    assert incident.to_text() == (
        "Start 2 (attempt 1) crashed, 2026-11-18 11:06:40 UTC, in w/7\n"
        "  The process that performed this crashed with signal 11 (SIGSEGV).\n"
        "  Progress: 1,200 of 5,000 orders · Reading\n"
        "  Memory: 90 MB at the most\n"
        "  It wrote last:\n"
        "    INFO reports: row 1200\n"
        "  Its threads were here:\n"
        "    Fatal Python error\n"
        "      File x"
    )


def test_as_text_it_tells_how_far_it_was_at_its_checkpoint() -> None:
    at = ProgressView(done=7, total=9)
    text = Incident(kind=IncidentKind.LOST, message="It fell silent.", at=0.0, start=1, checkpoint_at=at).to_text()
    assert text.endswith("\n  Progress: 0\n  Checkpoint: 7 of 9")


def test_what_is_not_known_is_not_said() -> None:
    text = Incident(kind=IncidentKind.LOST, message="It fell silent.", at=0.0, start=1).to_text()
    assert text == "Start 1 (attempt 1) lost worker, 1970-01-01 00:00:00 UTC\n  It fell silent.\n  Progress: 0"


def test_what_would_act_on_a_terminal_does_not() -> None:
    text = Incident(kind=IncidentKind.FAILED, message="a\x1b[2Jb\u202ec", at=0.0, start=1, lines=("\x9b1m",)).to_text()
    assert not any(char in text for char in "\x1b\x9b\u202e")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1024, "1 KB"),
        (1_500_000, "1.4 MB"),
        (512 * 1024**2, "512 MB"),
        (1000 * 1024**2, "1.0 GB"),
        (int(3.9 * 1024**3), "3.9 GB"),
    ],
)
def test_sizes_are_told_in_the_unit_that_fits(number: int, said: str) -> None:
    assert size(number) == said
