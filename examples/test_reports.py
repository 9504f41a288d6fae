"""How reports.py is tested: `pytest examples`. The plugin's private store is named in conftest.py."""

from typing import Any

from reports import SalesReport, kit

from jobkit import Progress, State


def test_the_report_adds_up_by_article() -> None:
    progress = Progress()
    totals = SalesReport(month="2026-10").perform(progress)
    assert totals
    assert progress.snapshot().progress.total is not None


def test_equal_reports_share_one_run_and_its_memory(jobkit_store: Any, jobkit_inline: Any, jobkit_clock: Any) -> None:
    jobkit_store(kit)
    jobkit_inline(kit)  # from here on, submit performs the job
    first = kit.submit(SalesReport(month="2026-10"))
    assert kit.submit(SalesReport(month="2026-10")).id == first.id
    jobkit_clock(kit).advance(hours=2)
    assert kit.submit(SalesReport(month="2026-10")).id != first.id


def test_the_report_is_watched_until_it_is_ready(jobkit_store: Any, jobkit_worker: Any) -> None:
    jobkit_store(kit)
    run = kit.submit(SalesReport(month="2026-10"))
    jobkit_worker(kit)  # from here on, a worker in the background performs
    assert [snapshot.state for snapshot in run.watch()][-1] is State.SUCCEEDED
