"""celery, and celery-singleton, which gives a duplicate the handle of the task that is queued already.

No worker runs, so nothing is ever unlocked.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery_singleton import Singleton
from celery_singleton.util import generate_lock

from benchmarks.peers import DPI, MONTH, PAGES, REGION, Act, Peer, Place, bulks, report, second_handle
from benchmarks.rounds import each

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE = 1
BESIDE = "GET, redis-py"


@contextmanager
def opened(place: Place) -> Iterator[Peer]:
    app = Celery("bench", broker=place.url(DATABASE), backend=place.url(DATABASE))
    plain = app.task(name="plain")(report)
    single = app.task(name="single", base=Singleton)(report)
    numbers = itertools.count(PAGES + 1)

    def key(*arguments: object) -> str:
        return generate_lock("single", list(arguments))  # type: ignore[no-any-return]

    def submit(task: Any = single) -> object:
        return task.apply_async((MONTH, REGION, DPI, PAGES))

    yield Peer(
        name="celery-singleton",
        version=f"{version('celery-singleton')} (celery {version('celery')})",
        acts=[
            Act(kind="join", name="celery-singleton", do=each(submit), beside=BESIDE),
            _submitting(single, "celery-singleton", numbers),
            _submitting(plain, "celery", numbers),
            _bulk(app, single, numbers),
            Act(kind="key", name="celery-singleton", do=each(lambda: key(MONTH, REGION, DPI, PAGES))),
        ],
        make_key=key,
        seconds={
            "celery-singleton": lambda: second_handle(submit),
            "celery": lambda: second_handle(partial(submit, plain)),
        },
    )
    app.close()


def _submitting(task: Any, name: str, numbers: Iterator[int]) -> Act:
    return Act(kind="new", name=name, do=each(lambda: task.apply_async(_fresh(numbers))), beside=BESIDE)


def _bulk(app: Any, task: Any, numbers: Iterator[int]) -> Act:
    """It has nothing for many at once; what it offers is one producer for all."""

    def bulk(times: int) -> None:
        for size in bulks(times):
            with app.producer_or_acquire() as producer:
                for _ in range(size):
                    task.apply_async(_fresh(numbers), producer=producer)

    return Act(kind="bulk", name="celery-singleton: one producer", do=bulk)


def _fresh(numbers: Iterator[int]) -> tuple[object, ...]:
    return MONTH, REGION, DPI, next(numbers)
