"""The command itself: help, version, unknown commands."""

import importlib

import pytest

from jobkit.cli.commands import COMMANDS
from tests.cli.conftest import Cli


def test_help_lists_every_command(cli: Cli) -> None:
    shown = cli("--help")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_short_help_begins_as_the_commands_own(name: str) -> None:
    module, text = COMMANDS[name]
    command = getattr(importlib.import_module(module), name)
    assert (command.help or "").startswith(text.removesuffix(".").split(" and watch")[0])


def test_help_of_one_command_needs_no_store(cli: Cli) -> None:
    assert "MODULE:KIT" in cli("submit", "--help", JOBKIT_URL="redis://127.0.0.1:1").stdout


def test_unknown_command_is_a_usage_error_with_advice(cli: Cli) -> None:
    refused = cli("wroker")
    assert refused.returncode == 2
    assert "No such command 'wroker'" in refused.stderr


def test_version_is_told(cli: Cli) -> None:
    assert cli("--version").stdout.startswith("jobkit, version ")
