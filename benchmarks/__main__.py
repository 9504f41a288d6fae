"""Runs every benchmark: python -m benchmarks [NAME…]. Tables go to the terminal, JSON to benchmarks/results/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ALL = ("progress_cost", "store", "memo", "throughput", "herd", "watchers", "growth")


def main(names: list[str]) -> int:
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    failed = [name for name in names or ALL if not _ran(name, results / f"{name}.json")]
    if failed:
        sys.stdout.write(f"\nMissed a bar, or failed: {', '.join(failed)}\n")
    return len(failed)


def _ran(name: str, result: Path) -> bool:
    sys.stdout.write(f"\n== {name}\n")
    sys.stdout.flush()
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(result)]
    return subprocess.run(command, cwd=HERE.parent, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
