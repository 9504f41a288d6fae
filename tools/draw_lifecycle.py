"""Draws the transition table into docs/store-protocol.md.

python tools/draw_lifecycle.py
"""

import re
from pathlib import Path

from jobkit.lifecycle import as_mermaid

DOC = Path(__file__).parents[1] / "docs" / "store-protocol.md"

if __name__ == "__main__":
    drawn = f"```mermaid\n{as_mermaid()}\n```"
    DOC.write_text(re.sub(r"```mermaid\n.*?```", lambda _: drawn, DOC.read_text("utf-8"), flags=re.DOTALL), "utf-8")
