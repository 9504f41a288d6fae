"""Records: what a log record made inside a run says of it, and how a worker writes its log.

`name_runs` gives every record of this process four attributes, whoever makes it and whichever handler gets it: a
library's logger too, and a handler that the jobs' module has set up itself. So it is the record factory that does it;
a filter sees only what passes its own handler or logger. It is set in processes that perform, never by an import.

Their names are short and may be anybody's: `log.info("read", extra={"start": 5})` is right, and `logging` refuses an
`extra` that is an attribute already. So these four do not count as being there until somebody else writes them.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from jobkit.performing import part_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OUTSIDE: Final[Mapping[str, str | int]] = {"run_id": "", "job": "", "attempt": 0, "start": 0}
"""The attributes of a record that was made outside of a run."""

_STANDARD: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})
_MILLISECONDS: Final = 1000


# --- What a record says of its run -----------------------------------------------------------------------------------


def name_runs() -> None:
    """From now on records say in which run they were made: `run_id`, `job`, `attempt` and `start`.

    Whatever makes the records now goes on to make them. Done twice, it is done once.
    """
    making = logging.getLogRecordFactory()
    if not isinstance(making, _Naming):
        logging.setLogRecordFactory(_Naming(making))


class _Naming:
    """A record factory around another one."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *arguments: Any, **keywords: Any) -> logging.LogRecord:
        record, within = self._make(*arguments, **keywords), part_of()
        record.__dict__ = _Attributes(record.__dict__)
        record.__dict__.update(
            OUTSIDE if within is None else {name: getattr(within, name) for name in OUTSIDE},
        )
        return record


class _Attributes(dict[str, Any]):
    """Those of a record. Ours are there for all but the question whether they are."""

    def __contains__(self, name: object) -> bool:
        return name not in OUTSIDE and super().__contains__(name)


# --- Locks -----------------------------------------------------------------------------------------------------------


def let_go_of_logs() -> None:
    """Release what this thread has locked of handlers; nobody else could write to them any more.

    Before Python 3.13 one that is stopped while it waits for such a lock gets it all the same, and never releases it.
    """
    loggers = [logging.root, *tuple(logging.root.manager.loggerDict.values())]
    for handler in {handler for each in loggers if isinstance(each, logging.Logger) for handler in each.handlers}:
        with suppress(RuntimeError):  # it is not locked, or by another thread
            while handler.lock is not None:
                handler.release()


# --- How they are written --------------------------------------------------------------------------------------------


def write_log(level: str, style: str) -> None:
    """Write records to standard error, as `text` or as `json`, unless this program has said where its records go."""
    handler = logging.StreamHandler()
    handler.setFormatter(STYLES[style]())
    logging.basicConfig(level=level, handlers=[handler])


class TextLines(logging.Formatter):
    """For people. A record inside a run names it, unless its message does so already."""

    def usesTime(self) -> bool:  # noqa: N802  (what `logging` calls it)
        return True

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (what `logging` calls it)
        run_id, attempt = getattr(record, "run_id", ""), getattr(record, "attempt", 0)
        within = f"[run {run_id} attempt {attempt}] " if run_id and f"{run_id}" not in record.message else ""
        return f"{record.asctime} {record.levelname} {record.name}: {within}{record.message}"


class JsonLines(logging.Formatter):
    """For machines: one JSON object a line, with what was given as `extra` in it."""

    def format(self, record: logging.LogRecord) -> str:
        line = self._told(record)
        given = {name: value for name, value in vars(record).items() if name not in _STANDARD and name not in OUTSIDE}
        whole = given | line
        try:
            return _encoded({name: whole[name] for name in (*line, *given)})
        except Exception:  # noqa: BLE001  what was given may be anything
            return _encoded({_text(name): _text(value) for name, value in whole.items()})

    def _told(self, record: logging.LogRecord) -> dict[str, Any]:
        line: dict[str, Any] = {
            "time": _moment(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in OUTSIDE if _says_something(value := getattr(record, name, None))}
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        return line


STYLES: Final[Mapping[str, Callable[[], logging.Formatter]]] = {"text": TextLines, "json": JsonLines}


def _says_something(value: object) -> bool:
    return value is not None and not (isinstance(value, str | int) and not value)


def _moment(seconds: float) -> str:
    """ISO 8601, in UTC."""
    ms = int(seconds * _MILLISECONDS)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ms // _MILLISECONDS))}.{ms % _MILLISECONDS:03d}Z"


def _encoded(line: dict[str, Any]) -> str:
    return msgspec.json.encode(line, enc_hook=_text).decode()


def _text(value: object) -> str:
    try:
        text = str(value)
    except Exception:  # noqa: BLE001  somebody's class, so anything
        text = f"<{type(value).__qualname__} that cannot be shown>"
    return text.encode(errors="backslashreplace").decode()
