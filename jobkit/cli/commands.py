"""The `jobkit` command: the table of its commands, each in a module that is imported when it is called.

`jobkit watch` needs no web server and `jobkit --help` needs nothing at all, so nobody waits for what they do not use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

from jobkit.cli.endings import refusal_of
from jobkit.errors import JobKitError

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("jobkit.cli.dev", "Show real jobs in a browser."),
    "dev": ("jobkit.cli.dev", "Run store, worker and web together while you develop."),
    "worker": ("jobkit.cli.worker", "Perform the jobs of a kit."),
    "web": ("jobkit.cli.web", "Serve the runs of a kit to browsers."),
    "submit": ("jobkit.cli.submit", "Start a job and watch its run."),
    "watch": ("jobkit.cli.runs", "Watch a run to its end."),
    "runs": ("jobkit.cli.runs", "List runs, newest first."),
    "incidents": ("jobkit.cli.runs", "Tell what befell a run."),
    "cancel": ("jobkit.cli.runs", "Stop a run."),
    "retry": ("jobkit.cli.runs", "Do once more what an ended run did."),
    "queue": ("jobkit.cli.queues", "List queues, pause and resume them."),
    "workers": ("jobkit.cli.workers", "List the workers."),
    "control": ("jobkit.cli.control", "Ask and change workers while they run."),
    "schedule": ("jobkit.cli.schedule", "List, pause, resume and run what the clock starts."),
}
"""Name: the module that has the function of that name, and what the command does."""


class Commands(click.Group):
    """Imports a command when it is called, and turns the errors of jobkit into messages and exit codes."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _ = COMMANDS[name]
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except JobKitError as error:
            raise refusal_of(error) from error


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="The store is JOBKIT_URL, else an embedded server under .jobkit/. Exit codes: 0 succeeded, 1 failed, "
    "2 usage, 3 cancelled, 4 store unreachable, 5 no such run.",
)
@click.version_option(None, "-V", "--version", package_name="jobkit-progress", prog_name="jobkit")
def jobkit() -> None:
    """Long-running jobs whose users wait in a browser."""


def main() -> None:
    """The entry point of the `jobkit` script."""
    jobkit()
