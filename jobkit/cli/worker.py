"""`jobkit worker`: performs the jobs of a kit until it is told to end."""

from __future__ import annotations

import os

import click

from jobkit.cli.lifeline import ends_with_its_starter
from jobkit.worker import Worker


@click.command()
@click.argument("target", metavar="MODULE:KIT")
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=lambda: os.cpu_count() or 1,
    help="How many runs it performs at once [the number of CPUs].",
)
@click.option("--queues", metavar="A,B", default="default", show_default=True, help="The queues it serves.")
@click.option(
    "--lease",
    metavar="SECONDS",
    type=click.FloatRange(0.2, 3600),
    default=15.0,
    show_default=True,
    help="How long a dead worker's runs wait for another one; a job's own `lease` wins.",
)
@ends_with_its_starter
@click.pass_context
def worker(context: click.Context, target: str, concurrency: int, queues: str, lease: float) -> None:
    """Perform the jobs of a kit.

    SIGTERM (or Ctrl-C) finishes or hands back what is running; a second one ends at once.
    """
    names = tuple(name.strip() for name in queues.split(",") if name.strip())
    context.exit(Worker(target, concurrency=concurrency, queues=names, lease=lease).run())
