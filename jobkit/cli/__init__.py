"""The command line: one module per group of commands, and exit codes that scripts may rely on (`endings`)."""

from jobkit.cli.commands import main

__all__ = ["main"]
