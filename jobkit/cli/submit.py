"""`jobkit submit`: starts a job from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from jobkit.cli.arguments import job_from
from jobkit.cli.following import follow
from jobkit.cli.kits import job_called, kit_at
from jobkit.cli.stores import this_user
from jobkit.store.replies import Admission

if TYPE_CHECKING:
    from jobkit.run import Run

SAID = {
    Admission.NEW: "Started run {id}.",
    Admission.JOINED: "Joined run {id}, which was under way already.",
    Admission.CACHED: "Answered from memory by run {id}.",
    Admission.STALE: "Answered from memory by run {id}; the answer is being made anew.",
    Admission.REFUSED: "Run {id} of the same has just failed, and is not tried again yet.",
}


@click.command()
@click.argument("target", metavar="MODULE:KIT")
@click.argument("job", metavar="JOB")
@click.argument("arguments", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--wait/--no-wait", default=True, help="Watch the run to its end (default), or print its id and end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: with --wait one snapshot per line.")
@click.pass_context
def submit(
    context: click.Context, target: str, job: str, arguments: tuple[str, ...], *, wait: bool, as_json: bool
) -> None:
    """Start a job and watch its run.

    JOB is its full name, or its class name where only one has it. Values are read as the types the job declares:
    numbers, dates and text plainly, lists and mappings as JSON. Ctrl-C stops watching, not the run.
    """
    with kit_at(target) as kit:
        work = job_from(job_called(job, kit), arguments)
        run = kit.submit(work, owner=this_user())
        if not wait:
            say(run, as_json=as_json)
            return
        if not as_json:
            click.echo(SAID[run.admission or Admission.NEW].format(id=run.id), err=True)
        context.exit(follow(kit, run.id, as_json=as_json, start_worker=f"jobkit worker {target}"))


def say(run: Run[object], *, as_json: bool) -> None:
    """The run's id, and what was decided."""
    if as_json:
        click.echo(msgspec.json.encode({"id": run.id, "admission": run.admission}))
    else:
        click.echo(run.id)
