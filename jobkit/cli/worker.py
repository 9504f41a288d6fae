"""`jobkit worker`: performs the jobs of a kit until it is told to end."""

from __future__ import annotations

import logging

import click

from jobkit.cli.arguments import queues_of
from jobkit.cli.lifeline import ends_with_its_starter
from jobkit.options import DEFAULT_QUEUE, MAX_LEASE_SECONDS, MIN_LEASE_SECONDS
from jobkit.worker import Worker


@click.command()
@click.argument("target", metavar="MODULE:KIT")
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 1000),
    help="How many runs it performs at once  [default: one per CPU]",
)
@click.option(
    "--queues",
    metavar="A,B",
    default=DEFAULT_QUEUE,
    show_default=True,
    help="The queues it serves; with weights (critical=6,low=1) they get starts in proportion.",
)
@click.option("--all-queues", is_flag=True, help="Serve all the queues that the kit's jobs name.")
@click.option(
    "--lease",
    metavar="SECONDS",
    type=click.FloatRange(MIN_LEASE_SECONDS, MAX_LEASE_SECONDS),
    default=Worker.lease,
    show_default=True,
    help="How long a dead worker's runs wait for another one; a job's own `lease` wins.",
)
@click.option(
    "--grace",
    metavar="SECONDS",
    type=click.FloatRange(0),
    default=Worker.grace,
    show_default=True,
    help="How long running jobs may go on after SIGTERM before they are handed back.",
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    show_default=True,
    help="What it writes to standard error.",
)
@ends_with_its_starter
@click.pass_context
def worker(
    context: click.Context,
    *,
    target: str,
    concurrency: int | None,
    queues: str,
    all_queues: bool,
    lease: float,
    grace: float,
    log_level: str,
) -> None:
    """Perform the jobs of a kit.

    SIGTERM (or Ctrl-C) finishes or hands back what is running; a second one ends at once.
    """
    try:
        served = None if all_queues else queues_of(queues)
        worker = Worker(target, concurrency=concurrency, queues=served, lease=lease, grace=grace, log_level=log_level)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    logging.basicConfig(level=log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    context.exit(worker.run())
