"""`jobkit schedule`: what the clock starts, as the store knows it; the code of the jobs is not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobkit.cli.bar import printable
from jobkit.cli.stores import takes_store

if TYPE_CHECKING:
    from datetime import datetime

    from jobkit.kit import JobKit
    from jobkit.timetable import ScheduleStatus

_COLUMNS = ("name", "schedule", "next", "last run", "started", "job")


@click.group()
def schedule() -> None:
    """List, pause, resume and run what the clock starts."""


@schedule.command("list")
@click.option("--json", "as_json", is_flag=True, help='Print one JSON document, {"schedules": [{"name": …}, …]}.')
@takes_store
def show(kit: JobKit, *, as_json: bool) -> None:
    """List schedules by name: those that a worker has declared within the last week."""
    found = kit.schedules()
    if as_json:
        click.echo(msgspec.json.encode({"schedules": found}))
        return
    console = Console()
    if not console.is_terminal:
        for status in found:
            click.echo("\t".join(_cells(status)))
    elif found:
        console.print(_table(found))
    else:
        console.print("No schedules: a schedule is there once a worker has declared it.")


@schedule.command()
@click.argument("name")
@takes_store
def pause(kit: JobKit, name: str) -> None:
    """Have a schedule start nothing until it is resumed."""
    kit.pause_schedule(name)


@schedule.command()
@click.argument("name")
@takes_store
def resume(kit: JobKit, name: str) -> None:
    """Have a paused schedule go on with its next tick."""
    kit.resume_schedule(name)


@schedule.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help='Print {"id": …, "admission": …}.')
@takes_store
def run(kit: JobKit, name: str, *, as_json: bool) -> None:
    """Start what a schedule starts now, and print the id of the run; its ticks stay as they are."""
    started = kit.run_schedule(name)
    if as_json:
        click.echo(msgspec.json.encode({"id": started.id, "admission": started.admission}))
    else:
        click.echo(started.id)


def _table(found: list[ScheduleStatus]) -> Table:
    table = Table(*_COLUMNS, box=None, pad_edge=False, header_style="dim")
    for status in found:
        table.add_row(*[Text(cell, overflow="fold") for cell in _cells(status)])
    table.columns[3].no_wrap = True
    return table


def _cells(status: ScheduleStatus) -> tuple[str, ...]:
    return (
        status.name,
        f"{status.schedule}, missed: {status.missed}",
        _next(status),
        status.last_run_id or "-",
        _shown(status.last_at),
        printable(status.job),
    )


def _next(status: ScheduleStatus) -> str:
    if status.paused:
        return "paused"
    upcoming = _shown(status.next_at)
    return upcoming if status.declared else f"{upcoming}, undeclared"


def _shown(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S %Z}"
