"""The demo's jobs and the plain modules beneath them, on small input."""

import csv
import io
import struct
import zlib
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from jobkit_demo import mandelbrot, places, png, shop, words
from jobkit_demo.invoices import NoVatNumber, invoices, sign
from jobkit_demo.jobs import CloseMonth, DrawMandelbrot, ExportOrders, IndexWords, SignInvoices

from jobkit import Progress, PublicError

ALL_DAYS = (shop.FIRST_DAY, date(2025, 12, 31))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the demo's outside the test's folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_identifiers_are_split_into_words() -> None:
    found: Counter[str] = Counter()
    words.count("getHTTPResponse = read_all(x1)  # Read", 3, found)
    assert found == {"get": 1, "http": 1, "response": 1, "read": 2, "all": 1}


def test_unreadable_and_huge_files_are_no_text(tmp_path: Path) -> None:
    latin, huge = tmp_path / "latin.py", tmp_path / "huge.py"
    latin.write_bytes(b"\xe4\xf6")
    huge.write_bytes(b"#" * (words.LARGEST_FILE + 1))
    assert [words.read(path) for path in (latin, huge, tmp_path / "missing.py")] == [None, None, None]


def test_index_counts_files_words_and_what_was_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "standard_library", lambda: str(tmp_path))
    (tmp_path / "one.py").write_text("value = value + other")
    (tmp_path / "two.py").write_bytes(b"\xff")
    progress = Progress(stages={"find": 1, "read": 20})
    index = IndexWords(where="library", shortest=3).perform(progress)
    assert (index.files, index.skipped, index.words, index.distinct) == (1, 1, 3, 2)
    assert index.top == [("value", 2), ("other", 1)]
    assert progress.snapshot().progress.counts == {"read": 1, "skipped": 1}


def test_shop_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    building = shop.build(tmp_path / "shop.sqlite3", orders=12_000)
    next(building)
    building.close()
    assert list(tmp_path.iterdir()) == []
    assert sum(shop.build(tmp_path / "shop.sqlite3", orders=12_000)) == 12_000
    assert [path.name for path in tmp_path.iterdir()] == ["shop.sqlite3"]


def test_export_holds_exactly_the_orders_that_match(tmp_path: Path) -> None:
    database, target = tmp_path / "shop.sqlite3", tmp_path / "orders.csv"
    list(shop.build(database, orders=3000))
    first, last = date(2024, 3, 1), date(2024, 6, 30)
    expected = shop.matching(database, "Europe", first, last)
    assert sum(shop.export(database, target, "Europe", first, last)) == expected > 100
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert len(rows) == expected
    assert {row["region"] for row in rows} == {"Europe"}
    assert all("2024-03-01" <= row["day"] <= "2024-06-30" for row in rows)
    assert [row["day"] for row in rows] == sorted(row["day"] for row in rows)


def test_shop_is_made_by_the_first_export_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop, "ORDERS", 2000)
    first = ExportOrders(region="").perform(Progress(stages={"open the shop": 5, "export": 4}))
    made = next(places.cache().glob("shop-*.sqlite3")).stat().st_mtime_ns
    second = ExportOrders(region="Asia").perform(Progress(stages={"open the shop": 5, "export": 4}))
    assert first.orders == 2000 > second.orders > 0
    assert first.file.filename == "orders-all-2024-01-01-2025-12-31.csv"
    assert next(places.cache().glob("shop-*.sqlite3")).stat().st_mtime_ns == made


def test_export_of_days_in_the_wrong_order_is_refused_in_public() -> None:
    with pytest.raises(PublicError, match="swap them"):
        ExportOrders(first=ALL_DAYS[1], last=ALL_DAYS[0]).perform(Progress())


def test_points_of_the_set_never_escape_and_others_do() -> None:
    assert mandelbrot.escape_time(0j, 100) is None
    assert mandelbrot.escape_time(-1 + 0j, 100) is None
    assert mandelbrot.escape_time(0.5 + 0.5j, 100) == pytest.approx(5, abs=3)


def test_picture_is_a_png_of_the_right_size() -> None:
    progress = Progress()
    picture = DrawMandelbrot(view="whole", width=40).perform(progress)
    assert (picture.width, picture.height, progress.done) == (40, 30, 30)
    assert len(pixels(picture.file.path.read_bytes(), 40, 30)) == 30


def test_png_holds_the_rows_it_was_given() -> None:
    rows = [bytes([10, 20, 30] * 2), bytes([5, 250, 30, 0, 0, 1])]
    file = io.BytesIO()
    png.write(file, 2, 2, rows)
    assert pixels(file.getvalue(), 2, 2) == rows


def test_invoices_fail_as_asked() -> None:
    with pytest.raises(NoVatNumber):
        [sign(invoice, rounds=1) for invoice in invoices(broken=3)]
    with pytest.raises(ZeroDivisionError):
        [sign(invoice, rounds=1) for invoice in invoices(empty=3)]
    assert len({sign(invoice, rounds=1) for invoice in invoices()}) == 40


def test_foreseen_trouble_is_told_to_the_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobkit_demo.jobs.ROUNDS", 2)
    with pytest.raises(PublicError, match="Invoice 2026-027 has no VAT number"):
        SignInvoices().perform(Progress())


def pixels(data: bytes, width: int, height: int) -> list[bytes]:
    """The rows of a PNG, read by the letter of its standard."""
    assert data.startswith(png.SIGNATURE)
    chunks, offset = [], len(png.SIGNATURE)
    while offset < len(data):
        (length,) = struct.unpack_from(">I", data, offset)
        kind, body = data[offset + 4 : offset + 8], data[offset + 8 : offset + 8 + length]
        assert struct.unpack_from(">I", data, offset + 8 + length) == (zlib.crc32(kind + body),)
        chunks.append((kind, body))
        offset += 12 + length
    assert struct.unpack(">II5B", chunks[0][1])[:2] == (width, height)
    assert chunks[-1] == (b"IEND", b"")
    raw = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    rows, above, stride = [], bytes(3 * width), 3 * width + 1
    for row in range(height):
        line = raw[row * stride : (row + 1) * stride]
        assert line[0] == 2
        above = bytes((byte + over) & 255 for byte, over in zip(line[1:], above, strict=True))
        rows.append(above)
    return rows


def test_closing_goes_on_from_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobkit_demo.jobs.ROUNDS", 2)
    closing = CloseMonth(trouble="none").perform(Progress())
    assert (closing.invoices, closing.cents, closing.starts) == (40, sum(i.cents for i in invoices()), 1)
    first = Progress()
    for invoice in first.resume(invoices(), state=lambda: {"cents": 0, "starts": 1}):
        if invoice.number == "2026-011":
            break
    rest = CloseMonth().perform(Progress(restored=first.checkpointed()))
    assert (rest.cents, rest.starts) == (sum(i.cents for i in invoices()[10:]), 2)
