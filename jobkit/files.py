"""Files as results: what a job returns instead of bytes, and the directory that keeps them.

A job returns `File(path)`, alone or inside its result. Whoever settles the run has a `FileStorage` keep it: the
content is copied under a key that begins with the run id and the lease's token, so what a worker writes
after it lost its lease can never replace the winner's file. The result in the store says only
`{"$file": {"name", "media_type", "size", "key"}}`.

A key is a relative path of exactly three parts, `RUN/TOKEN/UNIQUE-NAME`, made here and checked here again whenever
one comes back, because it travelled through the store.
"""

import mimetypes
import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from jobkit.errors import BadResult, RunNotFound, StoreMisconfigured

MARK: Final = "$file"
MAX_FILENAME_BYTES: Final = 150
UNKNOWN_MEDIA_TYPE: Final = "application/octet-stream"

_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w-]+=[\w.+-]+)*", re.ASCII)
_KEY = re.compile(r"[\w-]+/[\w-]+/[0-9a-f]{8}-(?P<filename>[^/]+)", re.ASCII)
_IDENTIFIER = re.compile(r"[\w-]+", re.ASCII)


class File:
    """A file a person may download, as a result or within one.

    `filename` is what the download is called (default: the path's name), without any folder; `media_type`
    defaults to a guess from it. A kept file also has a `key` and its `size` in bytes.
    """

    __slots__ = ("_path", "filename", "key", "media_type", "size")

    filename: str
    media_type: str
    key: str | None
    size: int | None

    def __init__(
        self, path: str | os.PathLike[str], filename: str | None = None, media_type: str | None = None
    ) -> None:
        self._path: Path | None = Path(path)
        self.filename = safe_filename(self._path.name if filename is None else filename)
        self.media_type = _checked_media_type(media_type) or _guessed_media_type(self.filename)
        self.key = None
        self.size = None

    @property
    def path(self) -> Path:
        """Where the content lies on this machine.

        Raises:
            StoreMisconfigured: the file is kept, but this process knows no file storage.
        """
        if self._path is None:
            raise StoreMisconfigured(
                f"{self.filename!r} is kept in a file storage that this process does not know."
                " Set JOBKIT_FILES to the directory the workers use."
            )
        return self._path

    def described(self) -> dict[str, dict[str, object]]:
        """A kept file as it stands in the JSON of a result."""
        return {MARK: {"name": self.filename, "media_type": self.media_type, "size": self.size, "key": self.key}}

    @classmethod
    def from_description(cls, description: Any, storage: "FileStorage | None" = None) -> "File":
        """The kept file again; with a `storage` its path is known.

        Raises:
            ValueError: this is no description of a kept file.
        """
        match description:
            case {"$file": {"name": str(name), "media_type": str(media), "size": int(size), "key": str(key)}}:
                _checked_key(key)
                return cls._kept(None if storage is None else storage.directory / key, name, media, size, key)
        raise ValueError('expected a kept file, {"$file": {"name", "media_type", "size", "key"}}')

    @classmethod
    def _kept(cls, path: Path | None, filename: str, media_type: str, size: int, key: str) -> "File":
        file = cls(key, filename, media_type)
        file._path, file.size, file.key = path, size, key
        return file

    def __eq__(self, other: object) -> bool:
        return isinstance(other, File) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._facts())

    def __repr__(self) -> str:
        where = f"key={self.key!r}" if self.key else f"{str(self._path)!r}"
        return f"File({where}, filename={self.filename!r}, media_type={self.media_type!r})"

    def _facts(self) -> tuple[object, ...]:
        return (self.key or self._path, self.filename, self.media_type, self.size)


class FileStorage:
    """A directory that keeps the files of runs; several processes may use it at once.

    One that does not exist is made for this user alone; an existing one keeps its mode, so that an operator may let
    workers write what another user's web process reads.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory).absolute()

    def keep(self, run_id: str, token: str, file: File) -> File:
        """A lasting copy of `file`, complete or not there at all; the original stays.

        Raises:
            BadResult: there is no such file.
        """
        source = _existing(file, run_id)
        key = f"{_identifier(run_id)}/{_identifier(token)}/{secrets.token_hex(4)}-{file.filename}"
        target = self.directory / key
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy_atomically(source, target)
        return File._kept(target, file.filename, file.media_type, target.stat().st_size, key)

    def path(self, key: str) -> Path:
        """Where the content of a kept file lies.

        Raises:
            RunNotFound: it is no longer kept.
            ValueError: this was never a key.
        """
        path = self.directory / _checked_key(key)
        if not path.is_file():
            raise RunNotFound(f"The file {key} is no longer kept. Run the job again.", run_id=owner_of(key))
        return path

    def forget(self, run_id: str) -> None:
        """Delete every file of a run, those of its lost starts too; nothing there is fine."""
        shutil.rmtree(self.directory / _identifier(run_id), ignore_errors=True)

    def runs(self) -> Iterator[str]:
        """The ids of all runs with files here, for a sweep that knows which still exist."""
        if self.directory.is_dir():
            yield from (entry.name for entry in self.directory.iterdir() if entry.is_dir())


def with_files_replaced(value: Any, replacement: Callable[[dict[str, Any]], object]) -> Any:
    """A result's JSON value, each description of a kept file replaced, in the order they stand."""
    match value:
        case {"$file": _}:
            return replacement(value)
        case dict():
            return {name: with_files_replaced(part, replacement) for name, part in value.items()}
        case list():
            return [with_files_replaced(part, replacement) for part in value]
        case _:
            return value


def owner_of(key: str) -> str:
    """The run id a key begins with: a file may be read by whoever may read that run.

    Raises:
        ValueError: this was never a key.
    """
    return _checked_key(key).split("/", 1)[0]


def safe_filename(name: str) -> str:
    """`name` as one harmless file name: no folders, no control or invisible characters, not hidden, not long."""
    last = re.split(r"[/\\]", name)[-1]
    printable = "".join("_" if unicodedata.category(char)[0] == "C" else char for char in last)
    visible = printable.strip(" ").lstrip(".").replace('"', "_")
    return _shortened(visible) or "file"


def _shortened(name: str) -> str:
    """Cut in the middle, for the extension says what it is."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122  a Path would drop "." and ".." silently
    if len(suffix.encode()) > 20:
        stem, suffix = name, ""
    room = MAX_FILENAME_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode(errors="ignore") + suffix


def _guessed_media_type(filename: str) -> str:
    media_type, encoding = mimetypes.guess_type(filename)
    return UNKNOWN_MEDIA_TYPE if media_type is None or encoding else media_type


def _checked_media_type(media_type: str | None) -> str | None:
    if media_type is not None and not _MEDIA_TYPE.fullmatch(media_type):
        raise ValueError(f"{media_type!r:.80} is not a media type. Write one like 'text/csv; charset=utf-8'.")
    return media_type


def _existing(file: File, run_id: str) -> Path:
    if file.path.is_file():
        return file.path
    fact = "is no file but a folder or a device" if file.path.exists() else "does not exist"
    raise BadResult(
        f"The result holds File({str(file.path)!r}), which {fact}. Return the path of a finished file;"
        " one in a `with TemporaryDirectory()` is gone when perform returns.",
        run_id=run_id,
    )


def _copy_atomically(source: Path, target: Path) -> None:
    unfinished = target.with_name(f".{target.name[:8]}.unfinished")
    try:
        shutil.copyfile(source, unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _identifier(text: str) -> str:
    if not _IDENTIFIER.fullmatch(text):
        raise ValueError(f"{text!r:.80} cannot name a folder: letters, digits, '-' and '_' only.")
    return text


def _checked_key(key: str) -> str:
    parsed = _KEY.fullmatch(key)
    if parsed is None or parsed["filename"] != safe_filename(parsed["filename"]):
        raise ValueError(f"{key!r:.80} is not the key of a kept file.")
    return key
