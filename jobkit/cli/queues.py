"""`jobkit queue`: how queues stand, and whether anything is taken from them."""

from __future__ import annotations

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

    from jobkit.kit import JobKit
    from jobkit.store.replies import Backlog


@click.group()
def queue() -> None:
    """List queues, pause and resume them."""


@queue.command("list")
@click.option("--json", "as_json", is_flag=True, help='Print one JSON document, {"queues": [queue, …]}.')
@takes_store
def list_(kit: JobKit, *, as_json: bool) -> None:
    """List the queues that have runs, or are paused."""
    found = kit.backlog()
    if as_json:
        click.echo(msgspec.json.encode({"queues": found}))
        return
    console = Console()
    if console.is_terminal:
        console.print(_table(found))
        return
    for backlog in found:
        click.echo("\t".join(_cells(backlog)))


@queue.command()
@click.argument("name", metavar="QUEUE")
@takes_store
def pause(kit: JobKit, name: str) -> None:
    """Let nothing be taken from a queue; what is running goes on."""
    changed = kit.pause_queue(name)
    click.echo(f"The queue {name} is paused." if changed else f"The queue {name} was paused already.")
    if not any(backlog.workers or backlog.waiting or backlog.running for backlog in _of(kit, name)):
        click.echo("No worker serves it, and no run waits in it: is that its name?", err=True)


@queue.command()
@click.argument("name", metavar="QUEUE")
@takes_store
def resume(kit: JobKit, name: str) -> None:
    """Let runs be taken from a queue again."""
    changed = kit.resume_queue(name)
    click.echo(f"The queue {name} is served again." if changed else f"The queue {name} was not paused.")


def _of(kit: JobKit, name: str) -> list[Backlog]:
    return [backlog for backlog in kit.backlog() if backlog.queue == name]


def _table(found: Sequence[Backlog]) -> Table:
    table = Table(
        "queue", "state", "waiting", "of these parked", "running", "workers", "next waits",
        box=None, pad_edge=False, header_style="dim",
    )  # fmt: skip
    for backlog in found:
        style = "yellow" if backlog.paused else "red" if backlog.waiting and not backlog.workers else ""
        table.add_row(*[Text(cell, style=style) for cell in _cells(backlog)])
    return table


def _cells(backlog: Backlog) -> tuple[str, ...]:
    return (
        printable(backlog.queue),
        "paused" if backlog.paused else "served" if backlog.workers else "nobody serves it",
        f"{backlog.waiting}",
        f"{backlog.parked}",
        f"{backlog.running}",
        f"{backlog.workers}",
        "" if backlog.wait is None else duration(backlog.wait),
    )
