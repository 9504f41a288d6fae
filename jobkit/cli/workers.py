"""`jobkit workers`: who performs, where, and how they are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobkit.cli.bar import duration, printable
from jobkit.cli.stores import takes_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.fleet import WorkerInfo
    from jobkit.kit import JobKit

MIB = 1024**2


@click.command()
@click.option("--json", "as_json", is_flag=True, help='Print one JSON document, {"workers": [worker, …]}.')
@takes_store
def workers(kit: JobKit, *, as_json: bool) -> None:
    """List the workers, as each last told of itself.

    One that was lost is listed for ten minutes.
    """
    show(kit.workers(), as_json=as_json)


def show(found: Sequence[WorkerInfo], *, as_json: bool = False) -> None:
    """Workers: as JSON, as a table for people, or as lines of tab-separated cells."""
    if as_json:
        click.echo(msgspec.json.encode({"workers": found}))
        return
    console = Console()
    if not console.is_terminal:
        for worker in found:
            click.echo("\t".join(_cells(worker)))
    elif found:
        console.print(_table(found))
    else:
        console.print("No workers.")


def _table(found: Sequence[WorkerInfo]) -> Table:
    names = ("worker", "state", "busy", "queues", "performed", "failed", "crashed", "memory", "load", "up", "version")
    table = Table(*names, box=None, pad_edge=False, header_style="dim")
    for worker in found:
        style = "" if worker.alive else "red"
        table.add_row(*[Text(cell, style=style, overflow="fold") for cell in _cells(worker)])
    table.columns[0].no_wrap = True
    return table


def _cells(worker: WorkerInfo) -> tuple[str, ...]:
    return (
        printable(worker.name),
        _state(worker),
        f"{worker.busy}/{worker.concurrency}",
        queues_text(worker.queues),
        f"{worker.performed}",
        f"{worker.failed}",
        f"{worker.crashed}",
        "" if worker.memory is None else f"{worker.memory / MIB:.0f} MiB",
        "" if worker.load is None else f"{worker.load:.2f}",
        duration(worker.last_seen - worker.started_at),
        printable(worker.version),
    )


def _state(worker: WorkerInfo) -> str:
    if not worker.alive:
        return f"lost, last seen {duration(time.time() - worker.last_seen)} ago"
    return "stopping" if worker.stopping else "alive"


def queues_text(queues: dict[str, int]) -> str:
    """As `--queues` takes them."""
    return ",".join(f"{printable(name)}={weight}" if weight else printable(name) for name, weight in queues.items())
