"""One web server for the session, with an app for each way to let people in, over a namespace of its own."""

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from jobkit_web import accepted, allow_all, create_app, widget
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route

from jobkit.job import ProgressJob
from jobkit.kit import JobKit
from tests.web.performing import JOBS, Performer, Report
from tests.web.serving import Thread, served


def identify(request: Request) -> str | None:
    """A session, as far as a test needs one: plain, so it is called in a thread."""
    return request.cookies.get("user")


async def authorize(request: Request, _run: Any, action: str) -> bool:
    """The rule stands in a header."""
    return action in request.headers.get("x-may", "").split()


class Passing(BaseHTTPMiddleware):
    """Host middleware of the kind that puts a queue between the app and the server."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


@pytest.fixture(scope="session")
def kit(store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobKit]:
    files = tmp_path_factory.mktemp("files")
    before = os.environ.get("JOBKIT_FILES")
    os.environ["JOBKIT_FILES"] = str(files)
    kit = JobKit(store_url, jobs=JOBS, namespace=f"test-{uuid.uuid4().hex[:12]}")
    try:
        yield kit
    finally:
        kit.close()
        if before is None:
            del os.environ["JOBKIT_FILES"]
        else:
            os.environ["JOBKIT_FILES"] = before


@pytest.fixture(scope="session")
def jobs_app(kit: JobKit) -> Any:
    """The app at /jobs, to look at its hub."""
    return create_app(kit)


@pytest.fixture(scope="session")
def web(kit: JobKit, jobs_app: Any) -> Iterator[Thread]:
    async def form(_request: Request) -> Response:
        return accepted(await kit.asubmit(Report(), queue="forms"), endpoint="/jobs")

    async def page(_request: Request) -> Response:
        return HTMLResponse(widget(await kit.asubmit(Report(), queue="pages")))

    host = Starlette(
        routes=[
            Mount("/jobs", jobs_app),
            Mount("/users", create_app(kit, identify=identify)),
            Mount("/ruled", create_app(kit, authorize=authorize)),
            Mount("/open", create_app(kit, authorize=allow_all)),
            Mount("/both", create_app(kit, identify=identify, authorize=authorize)),
            Mount("/awaited", create_app(kit, authorize=allow_all, stepped=False)),
            Mount("/wrapped", create_app(kit, authorize=allow_all), middleware=[Middleware(Passing)]),
            Mount("/a/deep", routes=[Mount("/place", create_app(kit, authorize=allow_all))]),
            Route("/form", form, methods=["POST"]),
            Route("/page", page),
        ]
    )
    with served(host, kit) as thread:
        yield thread


@pytest.fixture
def client(web: Thread) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=web.url, timeout=10) as client:
        yield client


@pytest.fixture
def perform(kit: JobKit) -> Callable[..., Performer]:
    """A new run, ready to be performed."""

    def submit(job: ProgressJob[Any] | None = None, owner: str | None = None) -> Performer:
        return Performer(kit, job, owner)

    return submit


@pytest.fixture
def run(kit: JobKit) -> Performer:
    """A new run, in the queue."""
    return Performer(kit)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
