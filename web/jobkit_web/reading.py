"""Reading: the endpoints that answer with a snapshot or a result."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import FileResponse, Response

from jobkit.errors import RunNotFound
from jobkit.files import File, owner_of
from jobkit.lifecycle import State
from jobkit.snapshot import Snapshot
from jobkit_web.access import Action
from jobkit_web.pages import PAGE_HEADERS, PageAccess, page_wanted, run_page
from jobkit_web.problems import Problem
from jobkit_web.requests import MOST_RUNS, named_runs, read_page
from jobkit_web.site import root_of, view_of
from jobkit_web.views import View, files_in, has_files, shown, with_file_urls

if TYPE_CHECKING:
    from starlette.requests import Request

    from jobkit.store.replies import Stored
    from jobkit_web.guard import Caller, Grant
    from jobkit_web.site import Site

LONGEST_WAIT = 25.0
"""Seconds a long poll lasts at most."""
NEXT_POLL = "2"
"""Seconds after which polling again makes sense."""

INLINE_TYPES = frozenset(
    f"{kind}/{name}"
    for kind, names in {
        "image": ("png", "jpeg", "gif", "webp", "avif"),
        "audio": ("mpeg", "ogg", "wav", "webm", "mp4"),
        "video": ("mp4", "webm", "ogg"),
        "text": ("plain",),
    }.items()
    for name in names
)
"""Media types that a browser may show under this site's name: they run nothing."""

_FILE_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
}


class Reading:
    """Snapshots and results of one site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def run(self, request: Request) -> Response:
        """One run: JSON, or a page for a person."""
        caller = self._site.caller(request)
        grant = await caller.admit(request.path_params["id"], Action.READ)
        waited = await self._wait_for_news(request, grant)
        stored = await self._site.load(grant, result=Action.RESULT in grant.actions)
        snapshot = Snapshot.from_json(stored.snapshot)
        page = page_wanted(request)
        headers = {"ETag": _etag(snapshot, grant, page=page), "Cache-Control": "no-store", "Vary": "Accept"}
        if not snapshot.state.terminal and not waited:
            headers["Retry-After"] = NEXT_POLL
        if headers["ETag"] in _known(request):
            return Response(status_code=304, headers=headers)
        if page:
            cancels = await caller.may_also(grant, Action.CANCEL)
            return await self._page(request, grant, stored, headers, cancels=cancels)
        return Response(await self._shown(request, grant, stored), 200, headers, "application/json")

    async def runs(self, request: Request) -> Response:
        """Several runs at once; those that cannot be read are told apart by id and status.

        With `?mine` the caller's own, a page of them.
        """
        caller = self._site.caller(request)
        if "mine" in request.query_params:
            return await self._mine(request, caller)
        ids = named_runs(request)
        found, gone = [], []
        for run_id in ids:
            try:
                found.append(msgspec.Raw(await self._one(request, caller, run_id)))
            except (Problem, RunNotFound) as refusal:
                gone.append({"id": run_id, "status": getattr(refusal, "status", 404)})
        body = msgspec.json.encode({"runs": found, "gone": gone})
        return Response(body, 200, {"Cache-Control": "no-store", "Retry-After": NEXT_POLL}, "application/json")

    async def result(self, request: Request) -> Response:
        """What a succeeded run returned: its value as JSON, or its file. `?file=N` is the N-th file of a value."""
        grant = await self._site.caller(request).admit(request.path_params["id"], Action.RESULT)
        stored = await self._site.load(grant, result=True, watch=0.0)
        result = _ready(Snapshot.from_json(stored.snapshot), stored.result)
        value = msgspec.json.decode(result) if has_files(result) else None
        files = files_in(value)
        if files and (value is files[0] or "file" in request.query_params):
            return self._file(grant.run_id, _chosen(files, request.query_params.get("file", "0")))
        if files:
            url = await self._site.shown_url(request, grant, path="/result")
            result = msgspec.json.encode(with_file_urls(value, url))
        return Response(result, 200, {"Cache-Control": "no-store"}, "application/json")

    async def _mine(self, request: Request, caller: Caller) -> Response:
        """A page of what this user submitted, newest first."""
        owner = await caller.owner()
        limit, cursor = read_page(request, MOST_RUNS)
        try:
            page = await self._site.kit.aruns(owner=owner, limit=limit, cursor=cursor)
        except ValueError as error:
            raise Problem(422, str(error)) from None
        hub = await self._site.hub()
        view = View(root_of(request), result=True, signed=False)
        runs = [msgspec.Raw(shown(snapshot.to_json(), view, hub.sign)) for snapshot in page.snapshots]
        body = msgspec.json.encode({"runs": runs, "cursor": page.cursor})
        return Response(body, 200, {"Cache-Control": "no-store", "Retry-After": NEXT_POLL}, "application/json")

    async def _one(self, request: Request, caller: Caller, run_id: str) -> bytes:
        grant = await caller.admit(run_id, Action.READ)
        stored = await self._site.load(grant, result=Action.RESULT in grant.actions)
        return await self._shown(request, grant, stored)

    async def _wait_for_news(self, request: Request, grant: Grant) -> bool:
        """Whether this was a long poll."""
        wait, version = request.query_params.get("wait"), request.query_params.get("version")
        if wait is None or version is None:
            return False
        seconds, known = min(_number("wait", wait), LONGEST_WAIT), int(_number("version", version))
        hub = await self._site.hub()
        topic = hub.hold(grant.run_id)
        try:
            await hub.ready(topic)
            if not topic.ended:
                await hub.changed(topic, known, seconds)
        finally:
            hub.release(topic)
        return True

    async def _shown(self, request: Request, grant: Grant, stored: Stored) -> bytes:
        hub = await self._site.hub()
        return shown(stored.snapshot, view_of(request, grant), hub.sign, stored.result)

    async def _page(
        self, request: Request, grant: Grant, stored: Stored, headers: dict[str, str], *, cancels: bool
    ) -> Response:
        snapshot: dict[str, Any] = msgspec.json.decode(await self._shown(request, grant, stored))
        access = PageAccess(
            token=await self._site.page_token(grant) if grant.claims else None,
            url_token=await self._site.url_token(grant) if grant.claims else None,
            cancels=cancels,
        )
        page = run_page(root_of(request), snapshot, access)
        headers = {**headers, **PAGE_HEADERS}
        headers.pop("Retry-After", None)
        return Response(page, 200, headers, "text/html")

    def _file(self, run_id: str, description: dict[str, Any]) -> Response:
        try:
            file = File.from_description(description)
            if owner_of(file.key or "") != run_id:
                raise _expired()
            path = self._site.kit.files.path(file.key or "")
        except (ValueError, RunNotFound):
            raise _expired() from None
        kind = file.media_type.partition(";")[0]
        how = "inline" if kind in INLINE_TYPES else "attachment"
        return FileResponse(
            path,
            headers=_FILE_HEADERS,
            media_type=file.media_type,
            filename=file.filename,
            content_disposition_type=how,
        )


def _etag(snapshot: Snapshot, grant: Grant, *, page: bool) -> str:
    place = f"{snapshot.queue.position}-{snapshot.queue.workers}{'-paused' * snapshot.queue.paused}".replace("None", "")
    reader = f"{'p' if page else 'j'}{'r' if Action.RESULT in grant.actions else ''}{'t' if grant.claims else ''}"
    return f'W/"{snapshot.start}-{snapshot.version}-{place}-{reader}"'


def _known(request: Request) -> list[str]:
    return re.findall(r'W/"[^"]*"', request.headers.get("if-none-match", ""))


def _number(name: str, text: str) -> float:
    if not re.fullmatch(r"\d{1,17}(\.\d{1,6})?", text, re.ASCII):
        raise Problem(422, f"{name} must be a number, not negative.")
    return float(text)


def _ready(snapshot: Snapshot, result: bytes | None) -> bytes:
    if not snapshot.state.terminal:
        raise Problem(409, "There is no result yet.", {"Retry-After": NEXT_POLL})
    if snapshot.state is not State.SUCCEEDED:
        raise Problem(409, f"There is no result: the run has {snapshot.state.value}.")
    if result is None:
        raise _expired()
    return result


def _chosen(files: list[dict[str, Any]], number: str) -> dict[str, Any]:
    if not number.isdecimal() or len(number) > 6 or int(number) >= len(files):
        raise Problem(404, "The result has no such file.")
    return files[int(number)]


def _expired() -> Problem:
    return Problem(410, "The result is no longer kept. Run the job again.")
