"""The site whose pages the suite opens: what a user of jobkit would write, under a strict Content-Security-Policy."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from jobkit_web import accepted, create_app, widget
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from tests.browser.jobs import kit

if TYPE_CHECKING:
    from starlette.requests import Request

    from jobkit import Run

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "form-action 'self'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
_RESULT = '<a slot="success" download>Download the result</a>'


async def watch(request: Request) -> Response:
    """Submit a job and show it. `?owner=` is whose it is, `?transport=` how it is watched first."""
    fields = dict(request.query_params)
    transport = fields.pop("transport", "sse")
    run = await _submit(request, fields)
    return _page(_shown(run).replace("<job-progress ", f'<job-progress transport="{transport}" '))


async def watch_many(request: Request) -> Response:
    """Show a run for each `?folder=`."""
    runs = [await _submit(request, {"folder": folder}) for folder in request.query_params.getlist("folder")]
    return _page("".join(map(_shown, runs)))


async def form(_request: Request) -> Response:
    return _page(
        '<form method="post" action="/form"><label>Folder <input name="folder"></label><button>Start</button></form>'
    )


async def sent(request: Request) -> Response:
    fields = dict(parse_qsl((await request.body()).decode()))
    return accepted(await _submit(request, fields))


async def own(_request: Request) -> Response:
    """What the page itself fetches, besides jobkit."""
    return PlainTextResponse("own")


async def _submit(request: Request, fields: dict[str, str]) -> Run[object]:
    owner = fields.pop("owner", None)
    (job,) = (job for name, job in kit.jobs.items() if name.endswith(f".{request.path_params.get('job', 'Counts')}"))
    return await kit.asubmit(job(**fields), owner=owner)


def _shown(run: Run[object]) -> str:
    return widget(run).replace("</job-progress>", f"{_RESULT}</job-progress>")


def _page(body: str) -> Response:
    html = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Host</title><link rel="icon" href="data:,">'
        f"<main>{body}</main></html>"
    )
    return HTMLResponse(html, headers=_HEADERS)


app = Starlette(
    routes=[
        Route("/watch/{job}", watch),
        Route("/many", watch_many),
        Route("/form", form),
        Route("/form", sent, methods=["POST"]),
        Route("/own", own),
        Mount("/jobs", create_app(kit)),
    ]
)
