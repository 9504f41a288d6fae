"""The demo and the README's first screen, as processes: started by the command line, asked over HTTP."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import processes
from tests.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_readme_shows_the_example_to_the_letter() -> None:
    readme = (EXAMPLES.parent / "README.md").read_text("utf-8")
    shown = readme.partition("```python\n")[2].partition("```")[0]
    example = (EXAMPLES / "reports.py").read_text("utf-8")
    assert example.partition('"""\n\n')[2] == shown


@pytest.fixture
def env(store_url: str, namespace: str, tmp_path: Path) -> dict[str, str]:
    return processes.environment(
        JOBKIT_URL=store_url,
        JOBKIT_NAMESPACE=namespace,
        JOBKIT_FILES=str(tmp_path / "files"),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )


@pytest.fixture
def demo(env: dict[str, str], tmp_path: Path) -> Iterator[processes.Process]:
    arguments = ("demo", "--port", "0")
    with processes.running(*arguments, folder=tmp_path, env=env, log=tmp_path / "demo.log") as process:
        yield process


@pytest.fixture
def visitor(demo: processes.Process) -> Iterator[httpx.Client]:
    """A browser's worth of a client: it keeps cookies and follows redirects."""
    url = demo.wait_for(r"Serving on (\S+)")[1]
    with httpx.Client(base_url=url, follow_redirects=True, timeout=10) as client:
        wait_until(lambda: answers(client), "the demo answers")
        yield client


def test_started_picture_is_watched_and_its_file_downloads(visitor: httpx.Client, demo: processes.Process) -> None:
    page = visitor.post("/start/picture", data={"view": "whole", "width": "64"}).text
    assert "New run" in page
    run_id = run_in(page)
    wait_until(lambda: visitor.get(f"/jobs/runs/{run_id}").json()["state"] == "succeeded", "the picture is drawn", 20)
    page = visitor.get("/").text
    source = re.search(r'<img src="([^"]+)"', page)
    assert source
    picture = visitor.get(source[1])
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")
    again = visitor.post("/start/picture", data={"view": "whole", "width": "64"}).text
    assert "Answered from memory" in again
    assert run_in(again) == run_id
    demo.send(signal.SIGINT)
    assert demo.wait() == 0


def test_closing_survives_the_death_of_its_process(visitor: httpx.Client) -> None:
    run_id = run_in(visitor.post("/start/closing", data={"trouble": "killed"}).text)
    run = f"/jobs/runs/{run_id}"
    wait_until(lambda: visitor.get(run).json()["state"] == "succeeded", "the month is closed", 60)
    snapshot = visitor.get(run).json()
    assert (snapshot["start"], snapshot["attempt"]) == (2, 1)
    assert "40 invoices, €16,318.00, by 2 processes, each going on from the last." in visitor.get("/").text


def test_another_visitor_joins_but_may_not_stop_the_run(visitor: httpx.Client) -> None:
    run_id = run_in(visitor.post("/start/picture", data={"view": "seahorses", "width": "1600"}).text)
    with httpx.Client(base_url=visitor.base_url, follow_redirects=True) as other:
        assert other.get(f"/jobs/runs/{run_id}").status_code in (401, 404)
        joined = other.post("/start/picture", data={"view": "seahorses", "width": "1600"}).text
        assert "Joined a run that was under way" in joined
        assert other.post(f"/jobs/runs/{run_id}/cancel").json() == {"stopping": False}
    assert visitor.post(f"/jobs/runs/{run_id}/cancel").json() == {"stopping": True}


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/start/picture", {"width": "9999999"}, 422),
        ("/start/picture", {"width": "x" * 5000}, 422),
        ("/start/nothing", {}, 404),
    ],
)
def test_bad_form_is_refused_on_the_page(visitor: httpx.Client, path: str, sent: dict[str, str], status: int) -> None:
    refused = visitor.post(path, data=sent)
    assert refused.status_code == status
    assert "Your runs" in refused.text or status == 404


def test_form_of_another_site_is_refused(visitor: httpx.Client) -> None:
    assert visitor.post("/start/words", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 404


def test_first_screen_of_the_readme_runs(env: dict[str, str], tmp_path: Path) -> None:
    arguments = ("dev", "reports:kit", "--app", "reports:app", "--port", "0")
    with (
        processes.running(*arguments, folder=EXAMPLES, env=env, log=tmp_path / "log") as dev,
        httpx.Client(base_url=dev.wait_for(r"Serving on (\S+)")[1], timeout=10) as client,
    ):
        wait_until(lambda: answers(client, "/docs"), "the app answers")
        page = client.get("/sales/2026-03").text
        token = re.search(r' token="([^"]+)"', page)
        assert token
        client.headers["Authorization"] = f"Bearer {token[1]}"
        run = f"/jobs/runs/{run_in(page)}"
        wait_until(lambda: client.get(run).json()["state"] == "succeeded", "the report is made")
        totals = client.get(f"{run}/result").json()
        assert set(totals) == {"BOTTLE", "CHAIR", "CLOCK", "DESK", "LAMP", "RUG"}
        assert all(amount > 0 for amount in totals.values())


def run_in(page: str) -> str:
    """The id of the first run that a page shows."""
    match = re.search(r'<job-progress run="([^"]+)"', page)
    assert match, page
    return match[1]


def answers(client: httpx.Client, path: str = "/") -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False
