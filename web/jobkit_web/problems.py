"""Problems: every refusal as an RFC 9457 problem, or as a small page where a person is looking at it."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from jobkit.errors import BadArguments, JobKitError, QueueFull, RunNotFound, StoreError, UnknownJob
from jobkit_web.pages import PAGE_HEADERS, page_wanted, problem_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

MEDIA_TYPE = "application/problem+json"

_log = logging.getLogger("jobkit.web")


class Problem(Exception):
    """A refusal. `detail` is shown to whoever asked, so it holds nothing they may not know."""

    def __init__(self, status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def not_found() -> Problem:
    """The one answer for what does not exist and for what the caller may not see."""
    return Problem(404, "There is nothing here, or you may not see it.")


def problem_of(error: Exception) -> Problem:
    """What to answer to an error; what the caller may not know is left out."""
    match error:
        case Problem():
            return error
        case HTTPException(status_code=404):
            return not_found()
        case HTTPException():
            return Problem(error.status_code, _detail(error), error.headers)
        case RunNotFound() | UnknownJob():
            return not_found()
        case BadArguments():
            return Problem(422, str(error))
        case QueueFull():
            return Problem(503, "Too much is waiting already.", {"Retry-After": str(math.ceil(error.retry_after) or 1)})
        case StoreError():
            _log.error("The store failed a request: %s", error)
            return Problem(503, "The service is not available for the moment.", {"Retry-After": "2"})
        case _:
            return Problem(500, "Something went wrong here.")


async def answer(request: Request, error: Exception) -> Response:
    """An exception handler for Starlette."""
    problem = problem_of(error)
    headers = {"Cache-Control": "no-store", **problem.headers}
    title = HTTPStatus(problem.status).phrase
    if page_wanted(request):
        page = problem_page(request, title, problem.detail)
        return Response(page, problem.status, {**headers, **PAGE_HEADERS}, "text/html")
    body = {"type": "about:blank", "title": title, "status": problem.status, "detail": problem.detail}
    return Response(msgspec.json.encode(body), problem.status, headers, MEDIA_TYPE)


HANDLED: tuple[type[Exception], ...] = (Problem, HTTPException, JobKitError, Exception)


def _detail(error: HTTPException) -> str:
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        return f"This address does not take that method; it takes {allowed}."
    return error.detail
