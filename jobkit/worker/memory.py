"""Memory: how much a process and what it started use, how much there is, and whether the kernel killed for it.

All of it is read from outside of the process in question: it may hold its interpreter, or be dead.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

_CGROUPS: Final = Path("/sys/fs/cgroup")
_UNLIMITED: Final = 2**60
_OOM_KILL: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def used_by(pid: int) -> int:
    """Bytes of resident memory of this process and its descendants, now; 0 for one that is gone or cannot be seen.

    What processes share is counted for each.
    """
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except (psutil.Error, OSError):
        return 0
    return sum(_resident(member) for member in family)


def resident(pid: int | None = None) -> int:
    """Bytes of resident memory of this process alone (None: of the one that asks); 0 for one that is gone."""
    try:
        return _resident(psutil.Process(pid))
    except psutil.Error:
        return 0


def room() -> int | None:
    """How many bytes there are for this process: of the machine, or of its cgroup if that has a limit.

    None where there are no descriptors left to look.
    """
    limits = (_number(_cgroup_file(name)) for name in ("memory.max", "memory.limit_in_bytes"))
    try:
        total: int = psutil.virtual_memory().total
    except OSError:
        return None
    return min([total, *(limit for limit in limits if limit is not None and limit < _UNLIMITED)])


class KernelCounts:
    """How often the kernel killed for memory, since it was last asked."""

    def __init__(self) -> None:
        self._before = _counts()

    def risen(self) -> str:
        """Whose count has risen since the last call: "cgroup", "machine", or "" for none."""
        before, self._before = self._before, _counts()
        return next((whose for whose, count in self._before.items() if count > before.get(whose, count)), "")


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error, OSError):
        return int(process.memory_info().rss)
    return 0


def _counts() -> dict[str, int]:
    """The narrowest first."""
    texts = {
        "cgroup": _text(_cgroup_file("memory.events")) or _text(_cgroup_file("memory.oom_control")),
        "machine": _text(Path("/proc/vmstat")),
    }
    found = {whose: _OOM_KILL.search(text) for whose, text in texts.items()}
    return {whose: int(match[1]) for whose, match in found.items() if match}


def _cgroup_file(name: str) -> Path:
    """Of the cgroup that this process is in, version 2 or 1; in a container that may be the root of what it sees."""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        number, controllers, path = line.split(":", 2)
        version_1 = "memory" in controllers.split(",")
        if version_1 or number == "0":
            root = _CGROUPS / "memory" if version_1 else _CGROUPS
            for folder in (root / path.lstrip("/"), root):
                if (folder / name).exists():
                    return folder / name
    return _CGROUPS / name


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None
