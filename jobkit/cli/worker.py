"""`jobkit worker`: performs the jobs of a kit until it is told to end."""

from __future__ import annotations

import os
import signal
from functools import partial

import click

from jobkit.cli.arguments import queues_of
from jobkit.cli.lifeline import ends_with_its_starter
from jobkit.cli.reloading import on_change
from jobkit.options import DEFAULT_QUEUE, MAX_LEASE_SECONDS, MIN_LEASE_SECONDS
from jobkit.records import STYLES, write_log
from jobkit.worker import POOLS, Worker


@click.command()
@click.argument("target", metavar="MODULE:KIT")
@click.option(
    "--pool",
    type=click.Choice(list(POOLS)),
    default="process",
    show_default=True,
    help="Where it performs them: each in a process or a thread of its own, or all on one event loop.",
)
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 1000),
    help="How many runs it performs at once  [default: one per CPU; 16 threads; 100 on an event loop]",
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
    "--max-runs-per-child",
    metavar="N",
    type=click.IntRange(1),
    help="Replace a child by a fresh one after so many runs.",
)
@click.option(
    "--max-memory-per-child",
    metavar="SIZE",
    help='Replace a child by a fresh one when a run has left it with more memory than that, as "500 MB".',
)
@click.option(
    "--memory-limit",
    metavar="SIZE",
    help='How much memory a child, and what it starts, may use, as "2 GB"; beyond it is killed. A job\'s own wins.',
)
@click.option("--reload", is_flag=True, help="Replace the children whenever Python code in this folder changes.")
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    show_default=True,
    help="What it writes to standard error.",
)
@click.option(
    "--log-format",
    type=click.Choice(list(STYLES)),
    default=Worker.log_format,
    show_default=True,
    help="How it writes that: for people, or as one JSON object a line.",
)
@click.option(
    "--metrics-port",
    metavar="PORT",
    type=click.IntRange(1, 65535),
    help="Serve /metrics for Prometheus, and /healthz, on this port.",
)
@click.option(
    "--metrics-host",
    metavar="ADDRESS",
    default=Worker.metrics_host,
    show_default=True,
    help="The address for that; 0.0.0.0 lets other hosts ask.",
)
@ends_with_its_starter
@click.pass_context
def worker(
    context: click.Context,
    *,
    target: str,
    pool: str,
    concurrency: int | None,
    queues: str,
    all_queues: bool,
    lease: float,
    grace: float,
    max_runs_per_child: int | None,
    max_memory_per_child: str | None,
    memory_limit: str | None,
    reload: bool,
    log_level: str,
    log_format: str,
    metrics_port: int | None,
    metrics_host: str,
) -> None:
    """Perform the jobs of a kit.

    SIGTERM (or Ctrl-C) finishes or hands back what is running; a second one ends at once. SIGUSR1 replaces the
    children, as they finish what they perform, by fresh ones that import the code anew.
    """
    try:
        worker = Worker(
            target,
            pool=pool,
            concurrency=concurrency,
            queues=None if all_queues else queues_of(queues),
            lease=lease,
            grace=grace,
            log_level=log_level,
            max_runs_per_child=max_runs_per_child,
            max_memory_per_child=max_memory_per_child,
            memory_limit=memory_limit,
            log_format=log_format,
            metrics_port=metrics_port,
            metrics_host=metrics_host,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    write_log(log_level, log_format)
    if reload:
        on_change(partial(os.kill, os.getpid(), signal.SIGUSR1))
    context.exit(worker.run())
