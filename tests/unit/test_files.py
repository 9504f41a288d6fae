"""Files as results: described safely, kept atomically, found again, forgotten."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobkit.errors import BadResult, RunNotFound, StoreMisconfigured
from jobkit.files import MAX_FILENAME_BYTES, File, FileStorage, owner_of, safe_filename


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "kept")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv"
    path.write_text("sku,amount\n")
    return path


def everything_in(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())


# What a file says of itself


def test_name_and_media_type_come_from_the_path() -> None:
    file = File("/somewhere/sales.csv")
    assert (file.filename, file.media_type, file.path) == ("sales.csv", "text/csv", Path("/somewhere/sales.csv"))


def test_the_author_may_choose_name_and_media_type() -> None:
    file = File("/somewhere/tmp123", filename="Umsätze 2026.csv", media_type="text/csv; charset=utf-8")
    assert (file.filename, file.media_type) == ("Umsätze 2026.csv", "text/csv; charset=utf-8")


@pytest.mark.parametrize("name", ["data", "data.unheardof", "sales.csv.gz"])
def test_an_unknown_or_compressed_file_is_just_bytes(name: str) -> None:
    assert File(name).media_type == "application/octet-stream"


@pytest.mark.parametrize("media_type", ["", "text", "text/html\r\nSet-Cookie: a=b", "text/html; x", "ä/b"])
def test_what_is_no_media_type_is_refused(media_type: str) -> None:
    with pytest.raises(ValueError, match="is not a media type"):
        File("a", media_type=media_type)


@pytest.mark.parametrize(
    ("given_name", "kept_name"),
    [
        ("sales.csv", "sales.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\sales.csv", "sales.csv"),
        ("a\r\nSet-Cookie: b.csv", "a__Set-Cookie: b.csv"),
        ("a\x00b\x7f.txt", "a_b_.txt"),
        ("invoice\u202egpj.exe", "invoice_gpj.exe"),
        ('quo"te.txt', "quo_te.txt"),
        (".bashrc", "bashrc"),
        ("..", "file"),
        ("folder/", "file"),
        ("", "file"),
        ("  ", "file"),
        ("\ud800.txt", "_.txt"),
        ("Übersicht 日本.pdf", "Übersicht 日本.pdf"),
    ],
)
def test_a_filename_is_made_harmless(given_name: str, kept_name: str) -> None:
    assert File("x", filename=given_name).filename == kept_name


@pytest.mark.parametrize("long", ["a" * 1000 + ".csv", "日" * 1000 + ".csv", "a." + "b" * 1000])
def test_a_long_filename_is_cut_before_its_extension(long: str) -> None:
    name = safe_filename(long)
    assert 100 < len(name.encode()) <= MAX_FILENAME_BYTES
    assert name.endswith(".csv") == long.endswith(".csv")


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None, print_blob=True)
def test_a_safe_filename_is_one_visible_name_and_stays_itself(name: str) -> None:
    safe = safe_filename(name)
    assert safe == safe_filename(safe)
    assert not {"/", "\\", "\x00", "\n", '"'} & set(safe)
    assert safe
    assert not safe.startswith(".")
    assert len(safe.encode()) <= MAX_FILENAME_BYTES


def test_files_are_values(source: Path) -> None:
    assert File(source) == File(source)
    assert File(source) != File(source, filename="other.csv")
    assert len({File(source), File(source)}) == 1
    assert "sales.csv" in repr(File(source))


# Keeping


def test_a_kept_file_has_the_content_and_a_key_of_run_and_token(storage: FileStorage, source: Path) -> None:
    kept = storage.keep("0-01J", "7", File(source))
    assert kept.path.read_text() == "sku,amount\n"
    assert (kept.filename, kept.media_type, kept.size) == ("sales.csv", "text/csv", 11)
    assert kept.key is not None
    assert kept.key.startswith("0-01J/7/")
    assert owner_of(kept.key) == "0-01J"
    assert storage.path(kept.key) == kept.path


@pytest.mark.parametrize("filename", ["a" * 1000 + ".csv", "日本 & co.csv", "-", "a\nb"])
def test_any_filename_makes_a_key_that_leads_back(storage: FileStorage, source: Path, filename: str) -> None:
    kept = storage.keep("0-01J", "7", File(source, filename=filename))
    assert storage.path(kept.key or "").read_text() == "sku,amount\n"
    assert File.from_description(kept.described(), storage) == kept


def test_the_original_stays_and_may_change_afterwards(storage: FileStorage, source: Path) -> None:
    kept = storage.keep("0-01J", "7", File(source))
    source.write_text("changed")
    assert kept.path.read_text() == "sku,amount\n"


def test_a_new_directory_is_private_to_the_user(storage: FileStorage, source: Path) -> None:
    storage.keep("0-01J", "7", File(source))
    assert storage.directory.stat().st_mode & 0o077 == 0


def test_a_worker_that_lost_its_lease_cannot_replace_the_file_of_the_winner(storage: FileStorage, source: Path) -> None:
    """The new holder keeps its file, then the zombie wakes and keeps its own under the same name."""
    winner = storage.keep("0-01J", "8", File(source))
    source.write_text("from the dead")
    zombie = storage.keep("0-01J", "7", File(source))
    assert winner.path.read_text() == "sku,amount\n"
    assert zombie.key != winner.key


def test_files_of_one_name_do_not_collide(storage: FileStorage, source: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        kept = list(threads.map(lambda _: storage.keep("0-01J", "7", File(source)), range(40)))
    assert len({file.key for file in kept}) == 40
    assert all(file.path.read_text() == "sku,amount\n" for file in kept)


def test_a_missing_file_is_refused_with_advice(storage: FileStorage, tmp_path: Path) -> None:
    with pytest.raises(BadResult, match=r"gone\.csv'\), which does not exist.*TemporaryDirectory") as caught:
        storage.keep("0-01J", "7", File(tmp_path / "gone.csv"))
    assert caught.value.run_id == "0-01J"


def test_a_folder_or_a_device_is_no_file(storage: FileStorage, tmp_path: Path) -> None:
    for path in (tmp_path, Path(os.devnull)):
        with pytest.raises(BadResult, match="no file but a folder or a device"):
            storage.keep("0-01J", "7", File(path))


def test_a_copy_that_fails_leaves_nothing_behind(
    storage: FileStorage, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up, or the process is interrupted, between the copy and the rename."""

    def interrupted(*_paths: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        storage.keep("0-01J", "7", File(source))
    assert list(everything_in(storage.directory)) == []


@pytest.mark.parametrize(("run_id", "token"), [("../up", "7"), ("0-01J", ".."), ("", "7"), ("a/b", "7"), ("0-01J", "")])
def test_run_ids_and_tokens_that_are_paths_are_refused(
    storage: FileStorage, source: Path, run_id: str, token: str
) -> None:
    with pytest.raises(ValueError, match="cannot name a folder"):
        storage.keep(run_id, token, File(source))


# Finding again


def test_a_description_becomes_the_same_file_again(storage: FileStorage, source: Path) -> None:
    kept = storage.keep("0-01J", "7", File(source, filename="Sales.csv"))
    again = File.from_description(kept.described(), storage)
    assert again == kept
    assert again.path == kept.path


def test_a_file_of_an_unknown_storage_says_what_to_set(storage: FileStorage, source: Path) -> None:
    kept = storage.keep("0-01J", "7", File(source))
    elsewhere = File.from_description(kept.described())
    assert (elsewhere.filename, elsewhere.size) == ("sales.csv", 11)
    with pytest.raises(StoreMisconfigured, match="Set JOBKIT_FILES"):
        _ = elsewhere.path


BAD_KEYS = [
    "",
    "a/b",
    "/etc/passwd",
    "../../etc/passwd",
    "../b/00000000-c",
    "a/../00000000-c",
    "a/b/..",
    "a/b/c",
    "a/b/00000000-",
    "a/b/00000000-.hidden",
    "a/b/00000000-c\x00",
    "a/b/00000000-c/d",
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_never_leads_out_of_the_directory(storage: FileStorage, key: str) -> None:
    description = {"$file": {"name": "x", "media_type": "text/plain", "size": 1, "key": key}}
    for use in (storage.path, owner_of, lambda _: File.from_description(description, storage)):
        with pytest.raises(ValueError, match="is not the key of a kept file"):
            use(key)


@pytest.mark.parametrize("description", [None, {}, {"$file": {}}, {"$file": {"name": 1}}, "sales.csv", {"$file": None}])
def test_what_is_no_description_of_a_file_is_refused(description: object) -> None:
    with pytest.raises(ValueError, match="expected a kept file"):
        File.from_description(description)


# Forgetting


def test_forgetting_a_run_deletes_the_files_of_all_its_starts_and_no_others(storage: FileStorage, source: Path) -> None:
    gone = [storage.keep("0-01J", token, File(source)) for token in ("7", "8")]
    other = storage.keep("0-01K", "9", File(source))
    storage.forget("0-01J")
    assert not any(file.path.exists() for file in gone)
    assert other.path.exists()
    assert list(storage.runs()) == ["0-01K"]
    with pytest.raises(RunNotFound, match="no longer kept") as caught:
        storage.path(gone[0].key or "")
    assert caught.value.run_id == "0-01J"


def test_forgetting_what_was_never_kept_is_fine(storage: FileStorage) -> None:
    storage.forget("0-01J")
    assert list(storage.runs()) == []


def test_forgetting_something_that_is_a_path_is_refused(storage: FileStorage) -> None:
    with pytest.raises(ValueError, match="cannot name a folder"):
        storage.forget("..")
