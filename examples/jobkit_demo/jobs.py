"""The demo's jobs: thin, for the work itself is in plain modules that know nothing of jobs."""

from __future__ import annotations

import fcntl
import os
import signal
from collections import Counter
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from jobkit import ALL, File, Progress, ProgressJob, PublicError
from jobkit_demo import mandelbrot, places, png, shop, words
from jobkit_demo.invoices import ROUNDS, NoVatNumber, invoices, sign

if TYPE_CHECKING:
    from collections.abc import Iterator


class WordIndex(msgspec.Struct, frozen=True, kw_only=True):
    """The most frequent words, and out of how many."""

    files: int
    skipped: int
    words: int
    distinct: int
    top: list[tuple[str, int]]


class IndexWords(ProgressJob[WordIndex]):
    """Counts the words of every Python file on this machine."""

    where: Literal["both", "library", "packages"] = "both"
    shortest: Annotated[int, msgspec.Meta(ge=1, le=20)] = 5
    cache_key = ALL
    cache_ttl = timedelta(minutes=10)
    stages = {"find": 1, "read": 20}  # noqa: RUF012

    def perform(self, progress: Progress) -> WordIndex:
        progress.unit = "files"
        with progress.stage("find", message="Looking for Python files"):
            files = sorted(self._files(progress))
        found: Counter[str] = Counter()
        with progress.stage("read", message=f"Reading {len(files):,} files"):
            for path in progress.track(files):
                text = words.read(path)
                if text is None:
                    progress.count("skipped")
                else:
                    words.count(text, self.shortest, found)
                    progress.count("read")
        return self._index(found, progress.snapshot().progress.counts)

    def _files(self, progress: Progress) -> set[Path]:
        library, packages = words.standard_library(), words.installed_packages()
        roots = {"library": (library,), "packages": (packages,), "both": (library, packages)}
        files = set()
        for root in roots[self.where]:
            for path in Path(root).rglob("*.py"):
                progress.check()
                if self.where != "library" or not words.is_in_packages(path):
                    files.add(path)
        return files

    def _index(self, found: Counter[str], counts: dict[str, int]) -> WordIndex:
        return WordIndex(
            files=counts.get("read", 0),
            skipped=counts.get("skipped", 0),
            words=found.total(),
            distinct=len(found),
            top=found.most_common(12),
        )


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """A file with the orders that were asked for."""

    file: File
    orders: int


class ExportOrders(ProgressJob[Export]):
    """Exports orders of the shop as CSV; the first export makes the shop."""

    region: Literal["", "Africa", "Americas", "Asia", "Europe", "Oceania"] = "Europe"
    first: date = shop.FIRST_DAY
    last: date = shop.FIRST_DAY + timedelta(days=shop.DAYS - 1)
    cache_key = ALL
    cache_ttl = timedelta(minutes=10)
    stages = {"open the shop": 5, "export": 4}  # noqa: RUF012

    def perform(self, progress: Progress) -> Export:
        if self.first > self.last:
            raise PublicError("The first day is after the last one: swap them and start again.")
        progress.unit = "rows"
        database = places.cache() / f"shop-{shop.ORDERS}.sqlite3"
        with progress.stage("open the shop", total=shop.ORDERS, message="Waiting for the shop"), _only_one():
            if not database.exists():
                progress.message = "Making a shop of a million orders"
                for written in shop.build(database, shop.ORDERS):
                    progress.advance(written)
        return self._export(database, progress)

    def _export(self, database: Path, progress: Progress) -> Export:
        target = places.new_file("orders.csv", progress.token)
        with progress.stage("export", message="Counting orders") as exporting:
            exporting.total = orders = shop.matching(database, self.region, self.first, self.last)
            exporting.message = f"Writing {orders:,} orders"
            for written in shop.export(database, target, self.region, self.first, self.last):
                exporting.advance(written)
        name = f"orders-{self.region.lower() or 'all'}-{self.first}-{self.last}.csv"
        return Export(file=File(target, name), orders=orders)


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A drawn picture."""

    file: File
    width: int
    height: int


class DrawMandelbrot(ProgressJob[Picture]):
    """Draws a part of the Mandelbrot set, in plain Python on one CPU."""

    view: Literal["whole", "seahorses", "elephants", "spirals"] = "seahorses"
    width: Annotated[int, msgspec.Meta(ge=16, le=2400)] = 960
    cache_key = ALL
    cache_ttl = timedelta(minutes=10)

    def perform(self, progress: Progress) -> Picture:
        height = self.width * 3 // 4
        target = places.new_file("mandelbrot.png", progress.token)
        rows = mandelbrot.rows(mandelbrot.VIEWS[self.view], self.width, height)
        progress.unit = "rows"
        with target.open("wb") as file:
            png.write(file, self.width, height, progress.track(rows, total=height, message="Drawing"))
        return Picture(file=File(target, f"mandelbrot-{self.view}.png"), width=self.width, height=height)


class SignInvoices(ProgressJob[int]):
    """Signs a month's invoices, and fails: as a job that knows what is wrong, or as one that does not."""

    trouble: Literal["foreseen", "unforeseen"] = "foreseen"
    cache_key = ALL

    def perform(self, progress: Progress) -> int:
        month = invoices(broken=27) if self.trouble == "foreseen" else invoices(empty=27)
        progress.unit = "invoices"
        for invoice in progress.track(month, message="Signing"):
            try:
                sign(invoice, ROUNDS)
            except NoVatNumber:
                raise PublicError(
                    f"Invoice {invoice.number} has no VAT number: add it, then start again. Nothing was sent."
                ) from None
        return len(month)


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """A month's invoices, added up, and in how many starts."""

    invoices: int
    cents: int
    starts: int


class CloseMonth(ProgressJob[Closing]):
    """Signs and adds up a month's invoices; half-way its process may be killed, and another goes on."""

    trouble: Literal["killed", "none"] = "killed"
    cache_key = ALL

    def perform(self, progress: Progress) -> Closing:
        progress.unit = "invoices"
        month = invoices()
        sums: dict[str, int] = progress.restored or {"cents": 0, "starts": 0}
        sums["starts"] += 1
        fatal = month[len(month) // 2].number if self.trouble == "killed" and sums["starts"] == 1 else None
        for invoice in progress.resume(month, state=lambda: sums, message="Adding up"):
            if invoice.number == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            sign(invoice, ROUNDS // 2)
            sums["cents"] += invoice.cents
        return Closing(invoices=len(month), **sums)


JOBS = (IndexWords, ExportOrders, DrawMandelbrot, CloseMonth, SignInvoices)


@contextmanager
def _only_one() -> Iterator[None]:
    """One process at a time, on this machine: two that need the shop make it once."""
    with (places.cache() / "shop.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
