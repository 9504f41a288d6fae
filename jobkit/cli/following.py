"""Follows a run to its end on a terminal, as JSON lines, or in plain lines, and says how it ended.

A queued run's place in line changes without a new version, so while it waits it is also read once a second. The
snapshots come from a thread: the main thread stays free to draw, and to hear Ctrl-C at once.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.live import Live

from jobkit.cli.bar import Bar, printable
from jobkit.cli.endings import Exit, exit_of
from jobkit.errors import RunFailed
from jobkit.files import MARK, with_files_replaced
from jobkit.incident import IncidentKind
from jobkit.lifecycle import State
from jobkit.snapshot import LARGEST_INLINE_RESULT, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobkit.kit import JobKit
    from jobkit.run import Run

LOOK_AGAIN = 1.0
"""Seconds after which a waiting run's place in line is read again."""

LINE_EVERY = 5.0
"""Seconds between lines where nothing can be redrawn."""

_ACTING = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON need not escape though it acts: control characters, and what turns the direction of writing."""


def follow(kit: JobKit, run_id: str, *, as_json: bool, start_worker: str) -> Exit:
    """Show a run until it has ended, its result on standard output; the exit code tells how it ended.

    Raises:
        RunNotFound: no such run is kept.
        StoreUnavailable: the store could not be reached.
    """
    run = kit.run(run_id)
    try:
        last = _show_json(kit, run) if as_json else _show_bar(run, Bar(start_worker))
    except KeyboardInterrupt:
        click.echo(f"The run goes on. Watch it: jobkit watch {run.id}   Stop it: jobkit cancel {run.id}", err=True)
        return Exit.INTERRUPTED
    if not as_json:
        _print_outcome(kit, run, last)
    return exit_of(last.state)


def snapshots(run: Run[Any]) -> Iterator[Snapshot]:
    """Every newer snapshot, and while the run waits the same again, with its place in line as it is now."""
    heard: SimpleQueue[Snapshot | Exception] = SimpleQueue()
    threading.Thread(target=_hear, args=(run, heard.put), name="jobkit-watch", daemon=True).start()
    last: Snapshot | None = None
    while last is None or not last.state.terminal:
        try:
            news = heard.get(timeout=LOOK_AGAIN)
        except Empty:
            if last is None or last.state is not State.QUEUED:
                continue
            news = run.snapshot()
        if isinstance(news, Exception):
            raise news
        if last is None or news.order >= last.order:
            last = news
            yield last


def _hear(run: Run[Any], tell: Callable[[Snapshot | Exception], None]) -> None:
    try:
        for snapshot in run.watch():
            tell(snapshot)
    except Exception as error:  # noqa: BLE001  raised again where it is read
        tell(error)


def _show_json(kit: JobKit, run: Run[Any]) -> Snapshot:
    shown: Snapshot | None = None
    for snapshot in snapshots(run):
        whole = _with_result(kit, run, snapshot)
        if whole != shown:
            click.echo(whole.to_json())
            sys.stdout.flush()
        shown = whole
    assert shown is not None
    return shown


def _with_result(kit: JobKit, run: Run[Any], snapshot: Snapshot) -> Snapshot:
    if snapshot.state is not State.SUCCEEDED:
        return snapshot
    result = _with_paths(run.result(), kit)
    small = len(msgspec.json.encode(result)) <= LARGEST_INLINE_RESULT
    return msgspec.structs.replace(snapshot, result=result if small else None, result_inline=small)


def _show_bar(run: Run[Any], bar: Bar) -> Snapshot:
    console = Console(stderr=True)
    return _draw(run, bar, console) if console.is_terminal else _write_lines(run, bar)


def _draw(run: Run[Any], bar: Bar, console: Console) -> Snapshot:
    with Live(bar, console=console, refresh_per_second=10, redirect_stdout=False, redirect_stderr=False):
        for snapshot in snapshots(run):
            bar.show(snapshot)
    return snapshot


def _write_lines(run: Run[Any], bar: Bar) -> Snapshot:
    """A line when its state changes or a worker turns out to be missing, and else one in five seconds."""
    written, said = 0.0, None
    for snapshot in snapshots(run):
        bar.show(snapshot)
        news = (snapshot.state, bar.unserved)
        if news != said or time.monotonic() - written >= LINE_EVERY:
            click.echo(bar.text(), err=True)
            written, said = time.monotonic(), news
    return snapshot


def _print_outcome(kit: JobKit, run: Run[Any], last: Snapshot) -> None:
    """The result to standard output; of a failure that nobody foresaw, what its author needs."""
    match last:
        case Snapshot(state=State.SUCCEEDED):
            result = _with_paths(run.result(), kit)
            if result is not None:
                click.echo(_as_json(result))
        case Snapshot(state=State.FAILED):
            try:
                run.result()
            except RunFailed as error:
                if not (error.error and error.error.public and _said_it_all(run)):
                    notes = "\n".join(getattr(error, "__notes__", ()))
                    click.echo("\n".join(printable(line) for line in notes.splitlines()), err=True)


def _said_it_all(run: Run[Any]) -> bool:
    """Whether the job itself failed with the words that it chose."""
    told = run.incidents()
    return not told or told[-1].kind is IncidentKind.FAILED


def _as_json(value: Any) -> str:
    """For people; what would act on a terminal is escaped, which leaves the value as it is."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return _ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _with_paths(value: Any, kit: JobKit) -> Any:
    """A result whose kept files say where they lie, since here they can be opened."""

    def with_path(description: dict[str, Any]) -> object:
        facts = dict(description[MARK])
        path = kit.files.directory / facts.pop("key")
        return {MARK: {**facts, "path": f"{path}"}}

    return with_files_replaced(value, with_path)
