"""`jobkit dev` and `jobkit demo`: a worker and a web server in one command, over a store that starts by itself.

Each is a process of its own, started as one would start it in production. The terminal's Ctrl-C reaches only this
process, which ends the others in order; if it dies itself, they notice (`lifeline`). The worker is started when the web
server has said that it listens: what keeps one of them from starting usually keeps the other one too, and is said once.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from enum import Enum
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

import click
from jobkit_web.serving import CannotServe, listening_socket

from jobkit.cli.endings import Exit, Refusal
from jobkit.cli.lifeline import OPTION as LIFELINE
from jobkit.cli.reloading import on_change
from jobkit.cli.web import READINESS
from jobkit.records import STYLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DEMO = "jobkit_demo"
DEMO_PORTS = range(8000, 8020)

_HOST = click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")


@click.command()
@click.argument("target", metavar="MODULE:KIT")
@click.option("--app", metavar="MODULE:APP", help="Serve this ASGI app, which mounts create_app(kit) itself.")
@_HOST
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any free one.")
@click.option("--concurrency", metavar="N", type=click.IntRange(1, 1000), default=2, show_default=True)
@click.option("--queues", metavar="A,B", help="The queues it serves  [default: those that the kit's jobs name]")
@click.option(
    "--log-format", type=click.Choice(list(STYLES)), default="text", show_default=True, help="How the worker logs."
)
@click.option("--reload/--no-reload", default=True, show_default=True, help="Start anew when Python code changes.")
@click.option("--public", is_flag=True, help="Without --app: let everybody who can reach it read, start and cancel.")
@click.pass_context
def dev(
    context: click.Context,
    target: str,
    *,
    app: str | None,
    host: str,
    port: int,
    concurrency: int,
    queues: str | None,
    log_format: str,
    reload: bool,
    public: bool,
) -> None:
    """Run store, worker and web together while you develop. Ctrl-C ends them all.

    When Python code in this folder changes, the web server starts anew, and so do the worker's processes as soon as
    they have finished what they perform.
    """
    served = ["--app", app] if app else ["--public"] * public
    worker = ["--concurrency", str(concurrency), "--log-format", log_format, *_serving(queues), *["--reload"] * reload]
    web = ["--host", host, "--port", str(port), *served]
    context.exit(run_together(target, web=web, worker=worker, reload=reload))


@click.command()
@_HOST
@click.option("--port", type=click.IntRange(0, 65535), help="[the first free one from 8000 on]")
@click.pass_context
def demo(context: click.Context, *, host: str, port: int | None) -> None:
    """Show real jobs in a browser. Ctrl-C ends it."""
    if importlib.util.find_spec(DEMO) is None:
        raise Refusal(
            f"The demo ({DEMO}) is not installed: pip install --force-reinstall 'jobkit-progress[embedded,web]'"
        )
    if port is None:
        port = next((port for port in DEMO_PORTS if _is_free(host, port)), DEMO_PORTS[0])
    web = ["--host", host, "--port", str(port), "--app", f"{DEMO}:app"]
    context.exit(
        run_together(f"{DEMO}:kit", web=web, worker=["--concurrency", "2", "--all-queues", "--log-level", "WARNING"])
    )


def _serving(queues: str | None) -> list[str]:
    return ["--all-queues"] if queues is None else ["--queues", queues]


def _is_free(host: str, port: int) -> bool:
    try:
        listening_socket(host, port).close()
    except CannotServe:
        return False
    return True


def run_together(target: str, *, web: Sequence[str], worker: Sequence[str], reload: bool = False) -> int:
    """Run a worker and a web process, with these options, until a signal comes or one of them ends.

    With `reload`, the web process is started anew when code changes, and waits for another change when it fails then.
    The exit code is 0 after a signal, else that of the one that ended.
    """
    together = _Together(["web", target, *web], {"worker": ["worker", target, *worker]}, lasting=reload)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: together.heard.put(number))
    if reload:
        on_change(partial(together.heard.put, _News.CHANGED))
    return together.run()


class _News(Enum):
    """What is heard beside signals and ends."""

    READY = "the first process does what it is for"
    CHANGED = "the code has changed"


class _Together:
    """Processes that end together: a first one, and the others when it is ready.

    What happens comes through one queue: a signal's number, news, or who ended. `lasting`: once all were started, the
    first one may end with an error, and is started again with the next change.
    """

    def __init__(self, first: Sequence[str], others: Mapping[str, Sequence[str]], *, lasting: bool) -> None:
        self.heard: SimpleQueue[int | _News | str] = SimpleQueue()
        self._first = first
        self._others = others
        self._lasting = lasting
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._all_started = False
        self._changing = False
        self._code: int | None = None

    @property
    def _name_of_first(self) -> str:
        return self._first[0]

    def _start_first(self) -> None:
        reading, writing = os.pipe()
        self._start(self._name_of_first, [*self._first, READINESS, str(writing)], writing)
        os.close(writing)
        threading.Thread(target=self._tell_ready, args=(reading,), name="jobkit-readiness", daemon=True).start()

    def run(self) -> int:
        self._start_first()
        while self._processes:
            match self.heard.get():
                case int():
                    self._stop(Exit.SUCCEEDED)
                case _News.READY:
                    self._start_others()
                case _News.CHANGED:
                    self._start_first_anew()
                case name:
                    self._bury(name)
        return self._code or Exit.SUCCEEDED

    def _start(self, name: str, arguments: Iterable[str], *descriptors: int) -> None:
        command = [sys.executable, "-m", "jobkit.cli", *arguments, LIFELINE]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0, pass_fds=descriptors)
        self._processes[name] = process
        threading.Thread(target=self._tell_end, args=(name, process), name=f"jobkit-{name}", daemon=True).start()

    def _start_others(self) -> None:
        if self._code is None and not self._all_started:
            self._all_started = True
            for name, arguments in self._others.items():
                self._start(name, arguments)

    def _start_first_anew(self) -> None:
        if self._code is not None or not self._all_started:
            return
        first = self._processes.get(self._name_of_first)
        if first is None:
            self._start_first()
        else:
            self._changing = True
            first.terminate()

    def _tell_ready(self, reading: int) -> None:
        with open(reading, "rb") as pipe:
            if pipe.read(1):
                self.heard.put(_News.READY)

    def _tell_end(self, name: str, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self.heard.put(name)

    def _bury(self, name: str) -> None:
        code = self._processes.pop(name).returncode
        if self._code is not None:
            return
        if name == self._name_of_first and self._changing:
            self._changing = False
            self._start_first()
        elif name == self._name_of_first and self._lasting and self._all_started:
            click.echo(
                f"jobkit dev: the {name} process ended with exit code {code}; a change starts it again.", err=True
            )
        else:
            if self._all_started or code < 0:  # else its own words are the last, and all there is to say
                click.echo(f"jobkit dev: the {name} process ended with exit code {code}; stopping the rest.", err=True)
            self._stop(code if code > 0 else Exit.FAILED)

    def _stop(self, code: int) -> None:
        """A second time tells the worker to end at once."""
        if self._code is None:
            self._code = code
        for process in self._processes.values():
            process.terminate()
