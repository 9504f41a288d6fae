"""The auditor finds what never happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobkit import State
from tests.chaos.audit import Evidence, early_starts
from tests.chaos.fleet import Fleet
from tests.chaos.jobs import Flaky
from tests.chaos.journal import Event, Journal, write
from tests.chaos.load import Account, Order, Sight

if TYPE_CHECKING:
    from pathlib import Path

FAILED_AT, DUE_AT = 100.0, 100.3
WAITING = Sight(start=1, version=5, state=State.SCHEDULED, done=1, token="", updated_at=FAILED_AT, due_at=DUE_AT)


class Told(Account):
    """Its run needs no store."""

    run_id = "0-RUN"  # type: ignore[assignment]


@pytest.mark.parametrize(("began_at", "found"), [(99.9, 0), (100.2, 1), (100.3, 0), (105.0, 0)])
def test_a_start_before_its_backoff_is_over_is_a_fault(tmp_path: Path, began_at: float, found: int) -> None:
    journal = Journal(tmp_path / "journal")
    job = Flaky(number=1, steps=1, pause=0.0, journal=str(journal.path))
    write(job.journal, Event.BEGAN, 1, str(round(began_at * 1e6)))
    evidence = Evidence(
        accounts=(),
        journal=journal,
        ticks=journal,
        published={"0-RUN": [WAITING]},
        stored=(),
        fleet=Fleet({}, tmp_path),
    )
    assert len(list(early_starts(evidence, Told(Order(number=1, job=job))))) == found
    assert evidence.waits == 1
