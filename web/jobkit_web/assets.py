"""Assets: the client's modules and the pages' style sheet, as files that never change under their address.

The address holds a digest of all files together, so that the modules' relative imports stay within one version, and
everything may be kept for ever. Every file has its integrity: the entry as an attribute of its script, the modules it
imports as `modulepreload` links, which a browser checks just so (and which spare it the walk through the imports).

A wheel carries the client's sources beside this file; a checkout has them in `js-client/src`.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from hashlib import sha256, sha384
from pathlib import Path

ENTRY = "define.js"
STYLE = "pages.css"
PAGE_SCRIPT = "pages.js"
MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

_HERE = Path(__file__).parent
_SHIPPED = _HERE / "static" / "client"
_CHECKOUT = _HERE.parents[1] / "js-client" / "src"
_IMPORT = re.compile(rb"""(?:^|\s)(?:import|export)\b[^;'"]*?['"]\./([\w.-]+\.js)['"]""")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. `integrity` is what a browser checks its content against."""

    name: str
    content: bytes
    media_type: str
    integrity: str


@dataclass(frozen=True, slots=True)
class Assets:
    """All files of one version."""

    version: str
    files: dict[str, Asset]

    def path(self, name: str) -> str:
        """Where a file is, from the app's mount point on."""
        return f"/static/{self.version}/{name}"

    def integrity(self, name: str) -> str:
        return self.files[name].integrity

    def imported(self) -> list[str]:
        """The modules that the entry needs, those it needs first coming first."""
        found: list[str] = []
        for name in (ENTRY, *found):
            self._follow(name, found)
        return found

    def _follow(self, name: str, found: list[str]) -> None:
        for match in _IMPORT.findall(self.files[name].content):
            module = match.decode()
            if module not in found and module in self.files:
                found.append(module)
                self._follow(module, found)


@cache
def assets() -> Assets:
    """The files this process serves; read once.

    Raises:
        FileNotFoundError: the client is neither shipped nor checked out.
    """
    client = _SHIPPED if _SHIPPED.is_dir() else _CHECKOUT
    own = [_HERE / "static" / name for name in (STYLE, PAGE_SCRIPT)]
    paths = sorted([*client.glob("*.js"), *own], key=lambda path: path.name)
    if not (client / ENTRY).is_file():
        raise FileNotFoundError(f"The browser client ({ENTRY}) is missing: reinstall jobkit-progress.")
    files = {path.name: _asset(path) for path in paths}
    digest = sha256("".join(f"{asset.name} {asset.integrity}\n" for asset in files.values()).encode())
    return Assets(digest.hexdigest()[:16], files)


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    integrity = f"sha384-{b64encode(sha384(content).digest()).decode()}"
    return Asset(path.name, content, MEDIA_TYPES[path.suffix], integrity)
