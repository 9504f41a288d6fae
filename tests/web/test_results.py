"""Results: values and files, in parts, under their name, and never as something that runs in the browser."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from jobkit_web import access_token

from jobkit.files import File
from tests.web.conftest import bearer
from tests.web.performing import Performer, Public


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_value_is_json(client: httpx.Client, run: Performer) -> None:
    run.succeed({"a": [1, None]})
    response = client.get(f"/open/runs/{run.id}/result")
    assert response.json() == {"a": [1, None]}
    assert response.headers["content-type"] == "application/json"


def test_unfinished_run_has_no_result_yet(client: httpx.Client, run: Performer) -> None:
    response = client.get(f"/open/runs/{run.id}/result")
    assert response.status_code == 409
    assert response.headers["retry-after"] == "2"


def test_failed_run_has_none(client: httpx.Client, run: Performer) -> None:
    run.fail("no")
    response = client.get(f"/open/runs/{run.id}/result")
    assert response.status_code == 409
    assert "retry-after" not in response.headers


def test_file_is_sent_under_its_name(client: httpx.Client, run: Performer, tmp_path: Path) -> None:
    run.succeed_with_file(File(written(tmp_path, "orders.csv", b"a,b\n1,2\n"), "Bestellungen März.csv"))
    response = client.get(f"/open/runs/{run.id}/result")
    assert response.content == b"a,b\n1,2\n"
    assert response.headers["content-type"].startswith("text/csv")
    assert response.headers["content-disposition"].startswith("attachment; filename*=utf-8''Bestellungen%20M")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]


def test_part_of_a_file_is_sent(client: httpx.Client, run: Performer, tmp_path: Path) -> None:
    run.succeed_with_file(File(written(tmp_path, "data.bin", bytes(range(100)))))
    response = client.get(f"/open/runs/{run.id}/result", headers={"Range": "bytes=10-19"})
    assert (response.status_code, response.content) == (206, bytes(range(10, 20)))
    assert response.headers["content-range"] == "bytes 10-19/100"
    assert client.get(f"/open/runs/{run.id}/result", headers={"Range": "bytes=200-"}).status_code == 416


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("picture.png", "inline"),
        ("page.html", "attachment"),
        ("drawing.svg", "attachment"),
        ("page.xhtml", "attachment"),
        ("script.js", "attachment"),
        ("unknown", "attachment"),
    ],
)
def test_only_what_runs_nothing_is_shown_in_the_browser(
    client: httpx.Client, run: Performer, tmp_path: Path, name: str, how: str
) -> None:
    run.succeed_with_file(File(written(tmp_path, name, b"<script>alert(1)</script>")))
    response = client.get(f"/open/runs/{run.id}/result")
    assert response.headers["content-disposition"].startswith(how)


def test_files_within_a_value_are_links(client: httpx.Client, run: Performer, tmp_path: Path) -> None:
    run.succeed_with_file(File(written(tmp_path, "part.txt", b"part")), wrap={"rows": 3})
    headers = bearer(access_token(run.run))
    value = client.get(f"/jobs/runs/{run.id}/result", headers=headers).json()
    assert value["rows"] == 3
    assert set(value["file"]) == {"name", "media_type", "size", "url"}
    assert client.get(value["file"]["url"]).content == b"part"
    inline = client.get(f"/jobs/runs/{run.id}", headers=headers).json()["result"]
    assert client.get(inline["file"]["url"]).content == b"part"


@pytest.mark.parametrize("number", ["1", "-1", "x", "9" * 400, "²"])
def test_file_that_is_not_in_the_value_is_not_found(
    client: httpx.Client, run: Performer, tmp_path: Path, number: str
) -> None:
    run.succeed_with_file(File(written(tmp_path, "part.txt", b"part")), wrap={"rows": 3})
    assert client.get(f"/open/runs/{run.id}/result", params={"file": number}).status_code == 404


def test_file_that_is_gone_is_gone(client: httpx.Client, run: Performer, tmp_path: Path) -> None:
    run.succeed_with_file(File(written(tmp_path, "part.txt", b"part")))
    run.kit.files.forget(run.id)
    assert client.get(f"/open/runs/{run.id}/result").status_code == 410


def test_value_that_names_another_runs_file_gets_nothing(
    client: httpx.Client, perform: Callable[..., Performer], tmp_path: Path
) -> None:
    anns, other = perform(owner="ann"), perform()
    lease = anns.take()
    described = anns.kit.files.keep(anns.id, lease.token, File(written(tmp_path, "own.txt", b"own"))).described()
    other.succeed(described)
    assert client.get(f"/open/runs/{other.id}/result").status_code == 410


@pytest.mark.parametrize("key", ["../../../etc/passwd", "/etc/passwd", "a/b/../c", ""])
def test_forged_key_reads_no_other_file(client: httpx.Client, run: Performer, key: str) -> None:
    run.succeed({"$file": {"name": "x", "media_type": "text/plain", "size": 1, "key": key}})
    assert client.get(f"/open/runs/{run.id}/result").status_code == 410


def test_public_value_hides_its_files_from_those_who_may_not_fetch_them(
    client: httpx.Client, perform: Callable[..., Performer], tmp_path: Path
) -> None:
    run = perform(Public())
    run.succeed_with_file(File(written(tmp_path, "part.txt", b"part")), wrap={"rows": 3})
    only_read = bearer(access_token(run.run, ["read"]))
    snapshot = client.get(f"/jobs/runs/{run.id}", headers=only_read).json()
    assert (snapshot["result"], snapshot["result_inline"]) == (None, False)
    assert "$file" not in str(client.get(f"/open/runs/{run.id}").json())


def test_signed_url_works_alone_and_for_this_run_only(client: httpx.Client, perform: Callable[..., Performer]) -> None:
    mine, other = perform(), perform()
    mine.succeed(1)
    other.succeed(2)
    url = client.get(f"/jobs/runs/{mine.id}", headers=bearer(access_token(mine.run))).json()["result_url"]
    assert client.get(url).json() == 1
    assert client.get(url.replace(mine.id, other.id)).status_code == 404
    assert client.get(url.replace("/result?", "?")).status_code == 200, "the run's page shows the result"
    assert client.post(url.replace("/result?", "/cancel?")).status_code == 403
