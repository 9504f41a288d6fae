"""The app: what `create_app` returns, to be mounted anywhere or served as it is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.routing import Route

from jobkit.errors import StoreUnavailable
from jobkit.kit import JobKit
from jobkit_web.acting import Acting
from jobkit_web.assets import assets
from jobkit_web.guard import TOKEN_IN_SCOPE, Guard
from jobkit_web.problems import HANDLED, answer, not_found
from jobkit_web.reading import Reading
from jobkit_web.site import Site
from jobkit_web.streaming import Streaming
from jobkit_web.watcher import STREAM_IN_SCOPE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

    from jobkit_web.guard import Authorize, Identify

STORE_ANSWERS_WITHIN = 2.0
"""Seconds; a slower store is not healthy."""

_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}


def create_app(
    kit: JobKit,
    identify: Identify | None = None,
    authorize: Authorize | None = None,
    *,
    stepped: bool = True,
) -> Starlette:
    """The jobs of a kit over HTTP, for `app.mount("/jobs", create_app(kit))`, or to be served alone.

    Nobody may do anything, unless by an access token (`widget`, `access_token`), or by
    `identify(request) -> str | None`, which names the user: owners of a run may read and cancel it, and any user may
    submit what is `submittable`; or by `authorize(request, run | None, action) -> bool`, which decides itself
    (`action` is one of `read result cancel cancel-all submit`). Both may be async; plain functions get a thread.

    `stepped=False` awaits each send in a task, for middleware that opens a cancel scope around `send`; streams then
    cost twice as much.
    """
    if not isinstance(kit, JobKit):
        what = f"the class {kit.__name__}" if isinstance(kit, type) else type(kit).__name__
        raise TypeError(f"create_app takes a kit, not {what}: create_app(kit), with kit = JobKit(jobs=[...]).")
    return JobsApp(Site(kit, Guard(kit, identify, authorize), stepped=stepped))


class JobsApp(Starlette):
    """Routes, and around them what concerns every answer."""

    def __init__(self, site: Site) -> None:
        self._site = site
        super().__init__(
            routes=_routes(site),
            exception_handlers=dict.fromkeys(HANDLED, answer),
            lifespan=self._lifespan,
        )
        self.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        _take_token_out_of_url(scope)
        await super().__call__(scope, receive, _secured(send))
        stream = scope.pop(STREAM_IN_SCOPE, None)
        if stream is not None:
            await stream(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Runs only where the app is served alone; a mounted one ends with its last watcher."""
        yield
        await self._site.close()
        await self._site.kit.aclose()


def _routes(site: Site) -> list[Route]:
    reading, streaming, acting = Reading(site), Streaming(site), Acting(site)

    async def health(_request: Request) -> Response:
        await _check(site.kit)
        return Response(msgspec.json.encode({"status": "ok"}), media_type="application/json")

    return [
        Route("/runs", reading.runs),
        Route("/runs/{id}", reading.run),
        Route("/runs/{id}/events", streaming.one),
        Route("/runs/{id}/result", reading.result),
        Route("/runs/{id}/cancel", acting.cancel, methods=["POST"]),
        Route("/events", streaming.many, methods=["GET", "POST"]),
        Route("/jobs/{name}", acting.submit, methods=["POST"]),
        Route("/health", health),
        Route("/static/{version}/{name}", static),
    ]


async def static(request: Request) -> Response:
    """A file of this very version: under its address it never changes."""
    files = assets()
    asset = files.files.get(request.path_params["name"])
    if asset is None or request.path_params["version"] != files.version:
        raise not_found()
    return Response(asset.content, headers=_FOR_EVER, media_type=asset.media_type)


async def _check(kit: JobKit) -> None:
    try:
        async with asyncio.timeout(STORE_ANSWERS_WITHIN):
            await kit.async_store().open()
    except TimeoutError:
        raise StoreUnavailable(f"The store did not answer within {STORE_ANSWERS_WITHIN:g} s.") from None


def _take_token_out_of_url(scope: Scope) -> None:
    """No log, of the server or of the host's, shows an access token."""
    query: bytes = scope["query_string"]
    if b"token" not in query:
        return
    fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    scope[TOKEN_IN_SCOPE] = next((value for name, value in fields if name == "token"), "")
    redacted = [(name, "redacted" if name == "token" else value) for name, value in fields]
    scope["query_string"] = urlencode(redacted).encode()


def _secured(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(message.get("headers", ())))
            for name, value in _SECURITY.items():
                headers.setdefault(name, value)
            message["headers"] = headers.raw
        await send(message)

    return with_headers
