"""Requests: what a request carries, read within limits: its body, and the runs it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobkit_web.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

LARGEST_BODY = 1024 * 1024 + 16 * 1024
"""Bytes of a request's body: the largest arguments, and a little."""
MOST_RUNS = 200
"""Runs that one request may name."""
USUAL_PAGE = 50
"""Rows of a page of a list."""


async def read_body(request: Request, limit: int = LARGEST_BODY) -> bytes:
    """The body, if it is not too large.

    Raises:
        Problem: 413.
    """
    body = bytearray()
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > limit:
        raise _too_large(limit)
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_json(request: Request) -> None:
    """Refuse a body that does not say it is JSON.

    Raises:
        Problem: 415.
    """
    if media_type(request) != "application/json":
        raise Problem(415, "Send JSON, with Content-Type: application/json.", {"Accept-Post": "application/json"})


def named_runs(request: Request) -> list[str]:
    """The ids that the URL names, each once.

    Raises:
        Problem: 422, none or too many.
    """
    ids = list(dict.fromkeys(request.query_params.getlist("id")))
    require_few(len(ids), "by ?id=… for each")
    return ids


def read_page(request: Request, most: int) -> tuple[int, str]:
    """The `?limit` and the `?cursor` of a list.

    Raises:
        Problem: 422, they are no such things.
    """
    limit, cursor = request.query_params.get("limit", str(USUAL_PAGE)), request.query_params.get("cursor", "")
    if not limit.isascii() or not limit.isdecimal() or not 0 < int(limit[:9]) <= most:
        raise Problem(422, f"limit must be a number from 1 to {most}.")
    return int(limit), cursor


def require_few(runs: int, how: str) -> None:
    """Refuse a request that names no runs, or too many.

    Raises:
        Problem: 422; `how` says how they are named.
    """
    if not 0 < runs <= MOST_RUNS:
        raise Problem(422, f"Name 1 to {MOST_RUNS} runs, {how}.")


def _too_large(limit: int) -> Problem:
    return Problem(413, f"The body is larger than {limit} bytes.", {"Connection": "close"})
