"""Follows a run to its end on a terminal, as JSON lines, or in plain lines, and says how it ended.

A queued run's place in line changes without a new version, so while it waits it is also read once a second. The
snapshots come from a thread: the main thread stays free to draw, and to hear Ctrl-C at once.
"""

from __future__ import annotations

import sys
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.live import Live

from jobkit.cli.bar import Bar
from jobkit.cli.endings import Exit, exit_of
from jobkit.files import MARK
from jobkit.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobkit.run import Run
    from jobkit.snapshot import Snapshot

LOOK_AGAIN = 1.0
"""Seconds after which a waiting run's place in line is read again."""

LARGEST_INLINE_RESULT = 16 * 1024
"""Bytes of a result that the last JSON line carries, as over HTTP."""


def follow(run: Run[Any], *, as_json: bool, start_worker: str) -> Exit:
    """Show the run until it has ended, its result on standard output; the exit code tells how it ended.

    Raises:
        RunNotFound: no such run is kept.
        StoreUnavailable: the store could not be reached.
    """
    try:
        last = _show_json(run) if as_json else _show_bar(run, Bar(start_worker))
    except KeyboardInterrupt:
        click.echo(f"The run goes on. Watch it: jobkit watch {run.id}   Stop it: jobkit cancel {run.id}", err=True)
        return Exit.INTERRUPTED
    if last.state is State.SUCCEEDED and not as_json:
        _print_result(run)
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


def _show_json(run: Run[Any]) -> Snapshot:
    shown: Snapshot | None = None
    for snapshot in snapshots(run):
        whole = _with_result(run, snapshot)
        if whole != shown:
            click.echo(whole.to_json())
            sys.stdout.flush()
        shown = whole
    assert shown is not None
    return shown


def _with_result(run: Run[Any], snapshot: Snapshot) -> Snapshot:
    if snapshot.state is not State.SUCCEEDED:
        return snapshot
    result = run.result()
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
    """A line for each state and each change of what is wrong, and one in five seconds between them."""
    written, state = 0.0, None
    for snapshot in snapshots(run):
        bar.show(snapshot)
        if snapshot.state is not state or time.monotonic() - written >= 5:
            click.echo(bar.text(), err=True)
            written, state = time.monotonic(), snapshot.state
    return snapshot


def _print_result(run: Run[Any]) -> None:
    result = run.result()
    if result is not None:
        click.echo(msgspec.json.format(msgspec.json.encode(result, enc_hook=_described), indent=2))


def _described(value: Any) -> object:
    return {MARK: f"{value.path}", "name": value.filename, "size": value.size}
