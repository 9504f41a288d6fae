"""`jobkit watch`, `runs`, `incidents`, `cancel`, `retry`: what is done about runs without the code of their jobs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobkit.cli.bar import duration, printable
from jobkit.cli.endings import Exit
from jobkit.cli.following import follow
from jobkit.cli.stores import takes_store, this_user
from jobkit.cli.submit import SAID, say
from jobkit.lifecycle import State
from jobkit.store.replies import Admission

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.kit import JobKit
    from jobkit.snapshot import Snapshot

_STYLES = {State.RUNNING: "cyan", State.SUCCEEDED: "green", State.FAILED: "red", State.CANCELLED: "yellow"}


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print one snapshot per line, as JSON.")
@takes_store
@click.pass_context
def watch(context: click.Context, kit: JobKit, run_id: str, *, as_json: bool) -> None:
    """Watch a run to its end.

    Its result goes to standard output. Ctrl-C stops watching, not the run.
    """
    context.exit(follow(kit, run_id, as_json=as_json, start_worker="jobkit worker MODULE:KIT"))


@click.command()
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only runs in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help='Print one JSON document, {"runs": [snapshot, …]}.')
@takes_store
def runs(kit: JobKit, *, state: str | None, limit: int, as_json: bool) -> None:
    """List runs, newest first."""
    found = kit.runs(State(state) if state else None, limit).snapshots
    if as_json:
        click.echo(msgspec.json.encode({"runs": found}))
    else:
        _print_runs(found)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help='Print one JSON document, {"incidents": [incident, …]}.')
@takes_store
def incidents(kit: JobKit, run_id: str, *, as_json: bool) -> None:
    """Tell what befell a run.

    Of each start that went wrong, oldest first: why, how far it was, what it wrote last, and where it was.
    """
    told = kit.run(run_id).incidents()
    if as_json:
        click.echo(msgspec.json.encode({"incidents": told}))
    else:
        click.echo("\n\n".join(incident.to_text() for incident in told) or "Nothing befell it.")


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--force", is_flag=True, help="Stop it for everybody who waits for it.")
@click.option("--json", "as_json", is_flag=True, help='Print {"id": …, "stopping": true | false}.')
@takes_store
@click.pass_context
def cancel(context: click.Context, kit: JobKit, run_id: str, *, force: bool, as_json: bool) -> None:
    """Stop a run.

    Without --force only what you submitted from a command line is withdrawn: the run goes on while others wait for it.
    """
    run = kit.run(run_id, owner=this_user())
    stopping = run.cancel(force=force)
    if as_json:
        click.echo(msgspec.json.encode({"id": run.id, "stopping": stopping}))
    else:
        click.echo("It stops." if stopping else _why_not(run.snapshot()), err=not stopping)
    context.exit(Exit.SUCCEEDED if stopping else Exit.FAILED)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--wait/--no-wait", default=True, help="Watch the new run to its end (default), or print its id and end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: with --wait one snapshot per line.")
@takes_store
@click.pass_context
def retry(context: click.Context, kit: JobKit, run_id: str, *, wait: bool, as_json: bool) -> None:
    """Do once more what an ended run did, and watch the new run.

    It is a run of the same job and arguments, in the same queue. Ctrl-C stops watching, not the run.
    """
    run = kit.retry(run_id, owner=this_user())
    if not wait:
        say(run, as_json=as_json)
        return
    if not as_json:
        click.echo(SAID[run.admission or Admission.NEW].format(id=run.id), err=True)
    context.exit(follow(kit, run.id, as_json=as_json, start_worker="jobkit worker MODULE:KIT"))


def _why_not(snapshot: Snapshot) -> str:
    if snapshot.state.terminal:
        return f"It had ended already: {snapshot.state.value}."
    return "It goes on, for others wait for it. To stop it for everybody: --force."


def _print_runs(found: Sequence[Snapshot]) -> None:
    console = Console()
    if not console.is_terminal:
        for snapshot in found:
            click.echo("\t".join(_cells(snapshot)))
    elif found:
        console.print(_table(found))
    else:
        console.print("No runs.")


def _table(found: Sequence[Snapshot]) -> Table:
    table = Table("run", "job", "state", "progress", "age", box=None, pad_edge=False, header_style="dim")
    for snapshot in found:
        run_id, job, state, *rest = _cells(snapshot)
        style = _STYLES.get(snapshot.state, "")
        table.add_row(run_id, Text(job, overflow="fold"), Text(state, style=style), *map(Text, rest))
    table.columns[0].no_wrap = True
    return table


def _cells(snapshot: Snapshot) -> tuple[str, str, str, str, str]:
    share = "" if snapshot.fraction is None else f"{int(snapshot.fraction * 100 + 1e-9)} %"
    age = duration(time.time() - snapshot.created_at)
    return snapshot.id, printable(snapshot.job), snapshot.state.value, share, age
