"""Streaming: the endpoints that answer with a stream of snapshots, of one run or of many."""

from __future__ import annotations

import random
import re
import time
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from jobkit.errors import RunNotFound
from jobkit_web import frames
from jobkit_web.access import Action
from jobkit_web.problems import Problem
from jobkit_web.requests import named_runs, read_body, require_few, require_json
from jobkit_web.site import view_of
from jobkit_web.watcher import HEADERS, HandedOver, WatchResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from jobkit_web.access import Claims, Signer
    from jobkit_web.guard import Grant
    from jobkit_web.hub import Hub, Topic
    from jobkit_web.site import Site

ROTATION = 600.0
"""Seconds a stream lasts at most, so that clients spread over new servers."""

_AS_BODY = 'as {"runs": [{"id": "…", "token": "…"}]}'
_ENDED = re.compile(r"\d{1,20}-\d{1,20}\.end", re.ASCII)


class Wanted(msgspec.Struct, frozen=True):
    """A run that somebody wants to watch, and their access token for it."""

    id: str
    token: str | None = None


class Selection(msgspec.Struct, frozen=True):
    """The body of a POST for many runs."""

    runs: list[Wanted]


class Streaming:
    """The streams of one site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def one(self, request: Request) -> Response:
        """A run's stream. The first frame is the snapshot as it is now; the last one is the end."""
        grant = await self._site.caller(request).admit(request.path_params["id"], Action.READ)
        if request.method == "HEAD":
            await self._site.load(grant, watch=0.0)
            return Response(headers=HEADERS, media_type="text/event-stream")
        hub = await self._site.hub()
        topic = hub.hold(grant.run_id)
        try:
            await hub.ready(topic)
            return await self._stream(request, hub, [(topic, grant)], b"")
        finally:
            hub.release(topic)

    async def many(self, request: Request) -> Response:
        """One stream of many runs. A run that cannot be watched is told as `gone`; the others go on."""
        wanted = await _wanted(request)
        if request.method == "HEAD":
            return Response(headers=HEADERS, media_type="text/event-stream")
        hub = await self._site.hub()
        admitted, preface = await self._admitted(request, wanted)
        held = [(hub.hold(grant.run_id), grant) for grant in admitted]  # they open side by side
        try:
            watched = []
            for topic, grant in held:
                try:
                    await hub.ready(topic)
                    watched.append((topic, grant))
                except RunNotFound:
                    preface += frames.gone(topic.run_id, 404)
            return await self._stream(request, hub, watched, preface)
        finally:
            for topic, _ in held:
                hub.release(topic)

    async def _admitted(self, request: Request, wanted: list[Wanted]) -> tuple[list[Grant], bytes]:
        """What this request may watch, and the events that tell what it may not."""
        caller = self._site.caller(request)
        grants, refusals = [], b""
        for run in wanted:
            try:
                grants.append(await caller.admit(run.id, Action.READ, run.token))
            except (Problem, RunNotFound) as refusal:
                refusals += frames.gone(run.id, getattr(refusal, "status", 404))
        return grants, refusals

    async def _stream(self, request: Request, hub: Hub, watched: list[tuple[Topic, Grant]], preface: bytes) -> Response:
        if _has_seen_the_end(request, [topic for topic, _ in watched]):
            return Response(status_code=204, headers=HEADERS)
        now = time.time()
        held = [grant.claims for _, grant in watched if grant.claims is not None]
        lasting = min([ROTATION * random.uniform(0.8, 1.0), *(claims.expires - now for claims in held)])
        renewer = Renewer(await self._site.guard.signer(), [claims for claims in held if not claims.in_url])
        going = [topic.run_id for topic, _ in watched if not topic.ended]
        event = request.query_params.get("heartbeat") == "event"
        return HandedOver(
            WatchResponse(
                hub,
                [(topic, view_of(request, grant), grant.interest) for topic, grant in watched],
                lasting=lasting,
                preface=preface + renewer.renewed(going, now),
                farewell=renewer.farewell if renewer.is_needed_at(now + lasting) else None,
                heartbeat=frames.HEARTBEAT if event else frames.COMMENT,
                stepped=self._site.stepped,
            )
        )


class Renewer:
    """Gives a stream fresh access tokens for runs that go on, so that access lasts as long as they live.

    A token is renewed in the second half of its time: when the stream begins, and just before it ends.
    """

    def __init__(self, signer: Signer, held: list[Claims]) -> None:
        self._signer = signer
        self._held = held

    def is_needed_at(self, moment: float) -> bool:
        return any(_is_old(claims, moment) for claims in self._held)

    def renewed(self, run_ids: Sequence[str], now: float) -> bytes:
        """The events for those of these runs whose tokens are old."""
        old = [claims for claims in self._held if claims.run in run_ids and _is_old(claims, now)]
        return b"".join(frames.token(claims.run, self._fresh(claims, now)) for claims in old)

    def farewell(self, run_ids: Sequence[str]) -> bytes:
        return self.renewed(run_ids, time.time())

    def _fresh(self, claims: Claims, now: float) -> str:
        return self._signer.sign(claims.run, claims.actions, now=now, ttl=claims.ttl, interest=claims.interest)


def _is_old(claims: Claims, moment: float) -> bool:
    return claims.expires - moment < claims.ttl / 2


async def _wanted(request: Request) -> list[Wanted]:
    if request.method != "POST":
        return [Wanted(run_id) for run_id in named_runs(request)]
    require_json(request)
    try:
        runs = msgspec.json.decode(await read_body(request), type=Selection).runs
    except msgspec.MsgspecError:
        raise Problem(422, f"Name the runs {_AS_BODY}.") from None
    require_few(len(runs), _AS_BODY)
    return list({run.id: run for run in runs}.values())


def _has_seen_the_end(request: Request, topics: list[Topic]) -> bool:
    """Whether this is an EventSource that comes back though it has seen all it can see."""
    seen = request.headers.get("last-event-id", "")
    if not _ENDED.fullmatch(seen) or not topics:
        return False
    return all(topic.ended for topic in topics) and any(topic.identifier == seen for topic in topics)
