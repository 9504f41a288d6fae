"""Finds what a command line names: the kit of `MODULE:KIT`, the app of `MODULE:APP`, a job by its name."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobkit.cli.endings import Refusal
from jobkit.errors import StoreError, UnknownJob
from jobkit.performing import importing
from jobkit.worker.target import BadTarget, load_kit

if TYPE_CHECKING:
    from jobkit.job import ProgressJob
    from jobkit.kit import JobKit

_NOT_THE_USERS = ("<frozen importlib", importlib.__path__[0], str(Path(__file__).parents[1]))


def kit_at(target: str) -> JobKit:
    """The kit of `MODULE:KIT`, as seen from the working directory.

    Raises:
        Refusal: it names none, or the module cannot be imported.
    """
    _see_working_directory(target)
    try:
        return load_kit(target)
    except (BadTarget, StoreError):
        raise
    except Exception as error:
        raise Refusal(f"{target} cannot be imported: {_where_and_what(error)}") from error


def app_at(target: str) -> Any:
    """The ASGI app of `MODULE:APP`, as seen from the working directory.

    Raises:
        Refusal: it names none, or the module cannot be imported.
    """
    _see_working_directory(target)
    name, _, attribute = target.partition(":")
    attribute = attribute or "app"
    try:
        with importing(target):
            module = importlib.import_module(name)
    except Exception as error:
        raise Refusal(f"--app {target} cannot be imported: {_where_and_what(error)}") from error
    app = getattr(module, attribute, None)
    if app is None:
        close = difflib.get_close_matches(attribute, [known for known, it in vars(module).items() if callable(it)], n=1)
        raise Refusal(f"{name} has no app {attribute!r}.{f' Did you mean {name}:{close[0]}?' if close else ''}")
    if not callable(app):
        what = type(app).__name__
        raise Refusal(f"--app {target} is no ASGI app but {what}: name the one that mounts create_app(kit).")
    return app


def _see_working_directory(target: str) -> None:
    """Let modules of the working directory be imported, as `python -m` does."""
    if "/" in target or target.partition(":")[0].endswith(".py"):
        raise Refusal(f"{target!r} is a path: write it as in an import, {_as_module(target)}.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def job_called(name: str, kit: JobKit) -> type[ProgressJob[Any]]:
    """The job of this name; its class name is enough where only one has it.

    Raises:
        UnknownJob: there is none; the text lists those there are.
    """
    short = [full for full in kit.jobs if full.rpartition(".")[2] == name]
    if name in kit.jobs:
        return kit.jobs[name]
    if len(short) == 1:
        return kit.jobs[short[0]]
    if short:
        raise UnknownJob(f"Several jobs are called {name}: {', '.join(sorted(short))}. Write the whole name.")
    raise UnknownJob(f"There is no job {name!r}. {_advice(name, kit)}")


def _advice(name: str, kit: JobKit) -> str:
    if not kit.jobs:
        return "The kit has no jobs: name them in JobKit(jobs=[...])."
    by_lower_case = {known.lower(): full for full in kit.jobs for known in (full, full.rpartition(".")[2])}
    close = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    hint = f"Did you mean {by_lower_case[close[0]]}? " if close else ""
    return f"{hint}The kit has {', '.join(sorted(kit.jobs))}."


def _as_module(target: str) -> str:
    path, _, name = target.partition(":")
    return f"{path.removesuffix('.py').strip('./').replace('/', '.')}:{name or 'kit'}"


def _where_and_what(error: Exception) -> str:
    """The place in the user's code, not the way through Python's and ours."""
    what = "".join(traceback.format_exception_only(error)).strip()
    frames = traceback.extract_tb(error.__traceback__)
    place = next((frame for frame in reversed(frames) if not frame.filename.startswith(_NOT_THE_USERS)), None)
    return f"{what}\n  at {place.filename}, line {place.lineno}: {place.line}" if place else what
