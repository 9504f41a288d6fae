"""The demo's web application: one page, one route that starts jobs, and jobkit's own app below `/jobs`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from jobkit_web import create_app, widget
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from jobkit import BadArguments, JobKit, RunNotFound, State
from jobkit_demo import pages, visits
from jobkit_demo.forms import FORMS
from jobkit_demo.jobs import JOBS
from jobkit_demo.pages import JOBS_PATH, Shown
from jobkit_demo.visits import Started, Visit

if TYPE_CHECKING:
    from starlette.requests import Request

STYLE_PATH = "/demo.css"
LARGEST_FORM = 4096
KEPT_SECONDS = 24 * 3600

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

kit = JobKit(jobs=JOBS)


async def home(request: Request) -> Response:
    return await _page(await _visit_of(request))


async def start(request: Request) -> Response:
    """Start what a form asks for, and lead back to the page, where it is watched."""
    form = FORMS.get(request.path_params["form"])
    if form is None or request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return PlainTextResponse("Not found", 404)
    visit = await _visit_of(request)
    try:
        job = form.read(await _sent(request))
        run = await kit.asubmit(job, owner=visit.visitor)
    except BadArguments as error:
        return await _page(visit, f"{error}", status=422)
    admission = run.admission.value if run.admission else "new"
    visit = visit.having(Started(run_id=run.id, job=form.key, title=form.title(job), admission=admission))
    return _remembering(RedirectResponse(f"/#run-{run.id}", 303), visit, request)


async def style(_request: Request) -> Response:
    return Response(_style(), headers={"Cache-Control": "no-cache"}, media_type="text/css")


def visitor_of(request: Request) -> str | None:
    """Who asks, for jobkit: owners read and cancel what they started."""
    visit = visits.opened(request.cookies.get(visits.COOKIE, ""), kit.secret())
    return visit.visitor if visit else None


async def _visit_of(request: Request) -> Visit:
    secret = await run_in_threadpool(kit.secret)  # the first time it asks the store
    return visits.opened(request.cookies.get(visits.COOKIE, ""), secret) or visits.new_visit()


async def _page(visit: Visit, problem: str = "", status: int = 200) -> Response:
    shown = [run for started in visit.started if (run := await _shown(started, visit)) is not None]
    return HTMLResponse(pages.page(shown, STYLE_PATH, problem), status, _HEADERS)


async def _shown(started: Started, visit: Visit) -> Shown | None:
    """A run as it stands; None when it is no longer kept."""
    run = kit.run(started.run_id, FORMS[started.job].job, owner=visit.visitor)
    try:
        snapshot = await run.asnapshot()
        result = await run.aresult() if snapshot.state is State.SUCCEEDED else None
    except RunNotFound:
        return None
    then = None if snapshot.state.terminal else "reload"
    shown = widget(run, JOBS_PATH, then=then, label=started.title)
    return Shown(started=started, snapshot=snapshot, widget=shown, result=result)


async def _sent(request: Request) -> dict[str, str]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_FORM:
            raise BadArguments("The form is too large.")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _remembering(response: Response, visit: Visit, request: Request) -> Response:
    response.set_cookie(
        visits.COOKIE,
        visits.sealed(visit, kit.secret()),
        max_age=KEPT_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@cache
def _style() -> bytes:
    return Path(__file__).with_name("demo.css").read_bytes()


app = Starlette(
    routes=[
        Route("/", home),
        Route("/start/{form}", start, methods=["POST"]),
        Route(STYLE_PATH, style),
        Mount(JOBS_PATH, create_app(kit, identify=visitor_of)),
    ]
)
