"""What a log record says of its run, and how it is written."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import logging
import pickle
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest

from jobkit.performing import Performed, performing
from jobkit.records import STYLES, name_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

START = Performed("0-01J9", "", "reports.Sales", attempt=2, start=3)
library = logging.getLogger("a.library")


class Heard(logging.Handler):
    """A handler that somebody's module has set up: it knows nothing of jobkit."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[list[Any]]:
    before, heard = logging.getLogRecordFactory(), Heard()
    name_runs()
    library.addHandler(heard)
    library.setLevel(logging.INFO)
    yield heard.records
    library.removeHandler(heard)
    logging.setLogRecordFactory(before)


def written(style: str, record: logging.LogRecord) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(STYLES[style]())
    handler.handle(record)
    return stream.getvalue()


def as_json(record: logging.LogRecord) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(written("json", record))
    return line


def test_a_record_made_inside_a_run_names_it(records: list[Any]) -> None:
    with performing(START):
        library.info("read %d", 5)
    (record,) = records
    assert (record.run_id, record.job, record.attempt, record.start) == ("0-01J9", "reports.Sales", 2, 3)


def test_a_format_of_somebodys_own_may_use_the_names_anywhere(records: list[Any]) -> None:
    style = logging.Formatter("%(run_id)s/%(attempt)d/%(job)s %(message)s")
    library.info("outside")
    with performing(START):
        library.info("inside")
    assert [style.format(record) for record in records] == ["/0/ outside", "0-01J9/2/reports.Sales inside"]


def test_what_somebody_gives_under_one_of_the_names_is_theirs(records: list[Any]) -> None:
    """`logging` refuses an extra that the record has already; code that works must not fail inside a run."""
    with performing(START):
        library.info("a chunk", extra={"start": 512, "job": "theirs", "run_id": "r"})
    (record,) = records
    assert (record.start, record.job, record.run_id, record.attempt) == (512, "theirs", "r", 2)


def test_tasks_and_threads_with_a_copied_context_are_a_part_of_the_run(records: list[Any]) -> None:
    async def work() -> None:
        await asyncio.gather(asyncio.to_thread(library.info, "thread"), asyncio.create_task(said("task")))

    async def said(text: str) -> None:
        library.info(text)

    with performing(START):
        asyncio.run(work())
        thread = threading.Thread(target=copy_context().run, args=(library.info, "own thread"))
        thread.start()
        thread.join()
    assert [record.run_id for record in records] == ["0-01J9"] * 3


def test_records_survive_being_copied_and_pickled(records: list[Any]) -> None:
    """As queue handlers do with them."""
    with performing(START):
        library.info("read", extra={"rows": 5})
    again = pickle.loads(pickle.dumps(copy.copy(records[0])))
    assert (again.run_id, again.rows) == ("0-01J9", 5)
    assert as_json(again) == as_json(records[0])


def test_a_factory_that_was_there_goes_on_making_the_records(
    records: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Theirs(logging.LogRecord):
        pass

    monkeypatch.setattr(logging, "_logRecordFactory", Theirs)
    name_runs()
    once = logging.getLogRecordFactory()
    name_runs()
    assert logging.getLogRecordFactory() is once
    with performing(START):
        library.info("read")
    assert type(records[0]) is Theirs
    assert records[0].run_id == "0-01J9"


def test_text_names_the_run_where_the_message_does_not(records: list[Any]) -> None:
    library.info("outside")
    with performing(START):
        library.info("inside")
        library.info("Run %s starts.", "0-01J9")
    said = [written("text", record).split(" ", 2)[2] for record in records]
    assert said == [
        "INFO a.library: outside\n",
        "INFO a.library: [run 0-01J9 attempt 2] inside\n",
        "INFO a.library: Run 0-01J9 starts.\n",
    ]


def test_json_is_one_object_a_line_with_the_run_the_extras_and_the_error(records: list[Any]) -> None:
    with performing(START):
        try:
            raise ValueError("two\nlines")
        except ValueError:
            library.exception("It did not work: %s", "x", extra={"rows": 5, "region": {"name": "EU"}})
    text = written("json", records[0])
    assert text.count("\n") == 1
    line = json.loads(text)
    assert line.pop("time").endswith("Z")
    assert "ValueError: two\nlines" in line.pop("exception")
    assert line == {
        "level": "ERROR", "logger": "a.library", "message": "It did not work: x", "run_id": "0-01J9",
        "job": "reports.Sales", "attempt": 2, "start": 3, "rows": 5, "region": {"name": "EU"},
    }  # fmt: skip


def test_json_outside_of_a_run_says_nothing_of_one(records: list[Any]) -> None:
    library.warning("read", stack_info=True)
    line = as_json(records[0])
    assert set(line) == {"time", "level", "logger", "message", "stack"}


class Unshowable:
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def endless() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


@pytest.mark.parametrize(
    ("extra", "shown"),
    [
        ({"rows": float("nan")}, None),
        ({"rows": {1, 2} - {2}}, [1]),
        ({"rows": object}, "<class 'object'>"),
        ({"rows": Unshowable()}, "<Unshowable that cannot be shown>"),
        ({"rows": "\ud800"}, "\\ud800"),
        ({"rows": {(1, 2): 3}}, {"(1, 2)": 3}),
        ({"rows": endless()}, "[[...]]"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_is_given_as_an_extra_the_line_is_json(
    extra: dict[str, Any], shown: object, records: list[Any]
) -> None:
    with performing(START):
        library.info("read", extra=extra)
    line = as_json(records[0])
    assert line["rows"] == shown
    assert line["run_id"] == "0-01J9"


def test_an_extra_does_not_hide_what_every_line_says(records: list[Any]) -> None:
    library.info("read", extra={"level": 3, "time": "yesterday"})
    line = as_json(records[0])
    assert line["level"] == "INFO"
    assert line["time"] != "yesterday"
