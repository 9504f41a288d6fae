"""`jobkit control`: workers asked, and limits changed, while they run."""

from __future__ import annotations

import time
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
import msgspec

from jobkit.cli.arguments import queues_of
from jobkit.cli.bar import duration, printable
from jobkit.cli.endings import Exit
from jobkit.cli.kits import job_called, kit_at
from jobkit.cli.stores import takes_store
from jobkit.cli.workers import queues_text, show
from jobkit.control import LEVELS, USUAL_TIMEOUT
from jobkit.errors import BadArguments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobkit.commands import Answers
    from jobkit.control import ChangedLimit
    from jobkit.fleet import Performing, WorkerInfo
    from jobkit.kit import JobKit


@click.group()
def control() -> None:
    """Ask and change workers while they run.

    WORKER is a worker's name (see `jobkit workers`) or the beginning of it; none means all of them.
    """


_WITH_TIMEOUT = click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(0.05, 3600),
    default=USUAL_TIMEOUT,
    show_default=True,
    help="How long answers are waited for.",
)


def _asks(say: Callable[[Any], str]) -> Callable[[Callable[..., Answers[Any]]], Callable[..., None]]:
    """A command that asks workers, and shows each answer as `say` words its value."""

    def asking(ask: Callable[..., Answers[Any]]) -> Callable[..., None]:
        @click.argument("worker", metavar="[WORKER]...", nargs=-1)
        @_WITH_TIMEOUT
        @click.option("--json", "as_json", is_flag=True, help='Print {"replies": […], "silent": [worker, …]}.')
        @takes_store
        @wraps(ask)
        def command(kit: JobKit, /, *, as_json: bool, worker: tuple[str, ...], **options: Any) -> None:
            answers = ask(kit, worker=worker or None, **options)
            if as_json:
                click.echo(msgspec.json.encode(answers))
            else:
                _show(kit, answers, say)
            all_did = answers.replies and not answers.silent and all(reply.error is None for reply in answers)
            click.get_current_context().exit(Exit.SUCCEEDED if all_did else Exit.FAILED)

        return command

    return asking


def _show(kit: JobKit, answers: Answers[Any], say: Callable[[Any], str]) -> None:
    for reply in answers:
        text = say(reply.value) if reply.error is None else f"refused: {printable(reply.error)}"
        text = text or f"answered in {reply.seconds * 1000:.1f} ms"
        click.echo(f"{printable(reply.worker)}\t{text}", err=reply.error is not None)
    seen = {worker.name: worker.last_seen for worker in kit.workers()} if answers.silent else {}
    for name in answers.silent:
        ago = f", last seen {duration(time.time() - seen[name])} ago" if name in seen else ""
        click.echo(f"{printable(name)}\tno answer{ago}", err=True)
    if not answers.replies and not answers.silent:
        click.echo("No worker is alive.", err=True)


def _nothing_more(_value: object) -> str:
    return ""


def _at_a_time(concurrency: int) -> str:
    return f"performs {concurrency} at a time"


def _performing(runs: Sequence[Performing]) -> str:
    now = time.time()
    texts = [f"{run.run_id} {printable(run.job)} for {duration(now - run.started_at)}" for run in runs]
    return ", ".join(texts) or "nothing"


# Asking ---------------------------------------------------------------------------------------------------------------


@control.command()
@_asks(_nothing_more)
def ping(kit: JobKit, *, worker: Any, timeout: float) -> Answers[None]:
    """Ask whether they are there."""
    return kit.control.ping(worker, timeout=timeout)


@control.command()
@_asks(_performing)
def runs(kit: JobKit, *, worker: Any, timeout: float) -> Answers[tuple[Performing, ...]]:
    """List what they perform at this moment."""
    return kit.control.runs(worker, timeout=timeout)


@control.command()
@click.argument("worker", metavar="[WORKER]...", nargs=-1)
@_WITH_TIMEOUT
@click.option("--json", "as_json", is_flag=True, help='Print one JSON document, {"workers": [worker, …]}.')
@takes_store
@click.pass_context
def stats(context: click.Context, kit: JobKit, *, worker: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Tell how they are at this moment (`jobkit workers`: how they were)."""
    answers: Answers[WorkerInfo] = kit.control.stats(worker or None, timeout=timeout)
    show([reply.value for reply in answers if reply.value is not None], as_json=as_json)
    for name in answers.silent:
        click.echo(f"{printable(name)}\tno answer", err=True)
    context.exit(Exit.SUCCEEDED if answers.replies and not answers.silent else Exit.FAILED)


# Changing -------------------------------------------------------------------------------------------------------------


@control.command()
@click.option("--force", is_flag=True, help="At once: running jobs are stopped and go back into the queue.")
@_asks(lambda _value: "ends")
def stop(kit: JobKit, *, worker: Any, timeout: float, force: bool) -> Answers[None]:
    """End them; running jobs may finish."""
    return kit.control.stop(worker, force=force, timeout=timeout)


@control.command()
@click.argument("number", metavar="N", type=click.IntRange(1, 1000))
@_asks(_at_a_time)
def grow(kit: JobKit, *, worker: Any, timeout: float, number: int) -> Answers[int]:
    """Let each perform N runs more at a time."""
    return kit.control.grow(number, worker, timeout=timeout)


@control.command()
@click.argument("number", metavar="N", type=click.IntRange(1, 1000))
@_asks(_at_a_time)
def shrink(kit: JobKit, *, worker: Any, timeout: float, number: int) -> Answers[int]:
    """Let each perform N runs fewer at a time; what is running may finish."""
    return kit.control.shrink(number, worker, timeout=timeout)


@control.command()
@click.option("--add", metavar="A,B", default="", help="Serve these too; with weights as critical=6.")
@click.option("--remove", metavar="C,D", default="", help="Serve these no longer.")
@_asks(lambda queues: f"serves {queues_text(queues)}")
def queues(kit: JobKit, *, worker: Any, timeout: float, add: str, remove: str) -> Answers[dict[str, int]]:
    """Change which queues they serve; without an option, list them."""
    try:
        added, removed = queues_of(add), queues_of(remove)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return kit.control.queues(worker, add=added, remove=tuple(removed), timeout=timeout)


@control.command("log-level")
@click.argument("level", metavar="|".join(LEVELS), type=click.Choice(LEVELS, case_sensitive=False))
@_asks(lambda _value: "done")
def log_level(kit: JobKit, *, worker: Any, timeout: float, level: str) -> Answers[None]:
    """Let them log from this level on, until they end."""
    return kit.control.log_level(level, worker, timeout=timeout)


@control.command()
@_asks(lambda number: f"replaces {number} {'process' if number == 1 else 'processes'}")
def restart(kit: JobKit, *, worker: Any, timeout: float) -> Answers[int]:
    """Replace their processes, each when it has nothing to perform; new ones import the code anew."""
    return kit.control.restart(worker, timeout=timeout)


# Limits ---------------------------------------------------------------------------------------------------------------


@control.command()
@click.argument("target", metavar="MODULE:KIT")
@click.argument("job", metavar="[JOB]", required=False)
@click.option("--queue", metavar="QUEUE", help="Of a queue that the kit limits, instead of a job.")
@click.option("--max-running", metavar="N", type=click.IntRange(1), help="How many may be running.")
@click.option("--rate", metavar="RATE", help="How many may start, as 30/m or 5/10s.")
@click.option("--restore", is_flag=True, help="Go back to what is declared.")
def limit(
    target: str, job: str | None, *, queue: str | None, max_running: int | None, rate: str | None, restore: bool
) -> None:
    """Change a limit that a job or a queue declares, for all workers and at once."""
    with kit_at(target) as kit:
        job_class = None if job is None else job_called(job, kit)
        if restore and (max_running is not None or rate is not None):
            raise BadArguments("Give --restore, or other limits; not both.")
        if restore:
            kit.control.restore_limits(job_class, queue=queue)
        else:
            kit.control.limit(job_class, queue=queue, max_running=max_running, rate=rate)
        _list_limits(kit.control.limits())


@control.command()
@click.option("--json", "as_json", is_flag=True, help='Print one JSON document, {"limits": [limit, …]}.')
@takes_store
def limits(kit: JobKit, *, as_json: bool) -> None:
    """List the limits that are other ones than were declared."""
    changed = kit.control.limits()
    if as_json:
        click.echo(msgspec.json.encode({"limits": changed}))
    else:
        _list_limits(changed)


def _list_limits(changed: Sequence[ChangedLimit]) -> None:
    for each in changed:
        whose = f"queue {printable(each.queue)}" if each.queue is not None else printable(each.job or "")
        text = f"max_running\t{each.max_running}" if each.rate is None else f"rate\t{each.rate:g}/s"
        click.echo(f"{whose}\t{text}")
    if not changed:
        click.echo("All limits are as declared.", err=True)
