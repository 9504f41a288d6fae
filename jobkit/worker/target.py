"""Target: finds the kit that `MODULE:KIT` names."""

from __future__ import annotations

import importlib
import operator
from typing import Any

from jobkit.errors import JobKitError
from jobkit.kit import JobKit
from jobkit.performing import importing


class BadTarget(JobKitError):
    """The target names no kit; the message says what to write instead."""


def load_kit(target: str) -> JobKit:
    """The kit of `module:name`; the name may have dots, and is `kit` when left out.

    The module may not submit anything meanwhile, nor wait for a run.

    Raises:
        BadTarget: there is no such module, no such name, or it is no kit.
    """
    module_name, _, path = target.partition(":")
    with importing(target):
        module = _module(module_name, target)
    path = path or "kit"
    try:
        kit = operator.attrgetter(path)(module)
    except AttributeError:
        raise BadTarget(f"{module_name} has no {path!r}: {_advice(module)}") from None
    if not isinstance(kit, JobKit):
        raise BadTarget(f"{target} is no JobKit but {type(kit).__name__}: {_advice(module)}")
    return kit


def _module(name: str, target: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing and (name == missing or name.startswith(f"{missing}.")):
            raise BadTarget(
                f"No module {missing!r} can be imported for {target!r}: write MODULE:KIT as in an import, "
                "and start from the folder that holds the module, or put that folder on PYTHONPATH."
            ) from None
        raise
    except (ValueError, TypeError):
        raise BadTarget(f"{target!r} names no module: write MODULE:KIT, for example reports:kit.") from None


def _advice(module: Any) -> str:
    kits = sorted(name for name, value in vars(module).items() if isinstance(value, JobKit))
    if kits:
        return "it has " + ", ".join(f"{module.__name__}:{name}" for name in kits) + "."
    return "make one there with kit = JobKit(jobs=[...])."
