"""Watcher: one open stream. The hub pushes frames through it; its own task only waits for the reader to leave.

The response is a subclass of sse-starlette's `EventSourceResponse`, so routes, headers and users' code keep the
well-known class; only the streaming is replaced. `send` is not awaited by a task of the stream's own: the hub advances
its coroutine by one step, which is all it needs unless the reader is slow. Then a task finishes it, and until it has,
the watcher only remembers which of its runs have news.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sse_starlette.sse import EventSourceResponse
from starlette.responses import Response

from jobkit_web import frames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Generator

    from starlette.types import Receive, Scope, Send

    from jobkit_web.hub import Hub, Topic
    from jobkit_web.views import View

HEARTBEAT = 15.0
"""Seconds without a frame after which an idle stream gets a heartbeat."""
PATIENCE = 20.0
"""Seconds after which a reader that takes nothing is given up."""
ROTATE_WITHIN = 0.5
"""Seconds within which a reader may come back after its stream's time is over."""
UNHEARD_END = 1.0
"""Seconds after its end in which a server should tell a stream so; then the stream ends by itself."""

HEADERS = {
    "Cache-Control": "no-store, no-transform",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

Farewell = Callable[[Sequence[str]], bytes]

STREAM_IN_SCOPE = "jobkit.stream"

_log = logging.getLogger("jobkit.web")


class Watcher:
    """What the hub knows of one stream. `farewell` is what it says to a reader whose time is over."""

    __slots__ = (
        "_blocked", "_blocked_at", "_hub", "_news", "_send", "_sent_at", "_steps", "_task", "closes_at", "farewell",
        "finished", "heartbeat", "topics",
    )  # fmt: skip

    def __init__(
        self, hub: Hub, send: Send, topics: Sequence[Topic], closes_at: float, heartbeat: bytes, *, stepped: bool
    ) -> None:
        self.topics = list(topics)
        self.closes_at = closes_at
        self.heartbeat = heartbeat
        self.farewell: Farewell | None = None
        self.finished = False
        self._hub = hub
        self._send = send
        self._steps = stepped
        self._task = asyncio.current_task()
        self._blocked: asyncio.Task[None] | None = None
        self._blocked_at = 0.0
        self._sent_at = 0.0
        self._news: dict[Topic, None] | None = None

    def begin(self, preface: bytes) -> None:
        """The first body: whatever comes before the snapshots, and all of them."""
        if self._blocked is None:
            self._push(preface + self._frames(tuple(self.topics)))

    def tell(self, *topics: Topic) -> None:
        """These have news."""
        if self.finished:
            return
        if self._blocked is None:
            self._push(self._frames(topics))
        else:
            self._news = self._news or {}
            self._news.update(dict.fromkeys(topics))

    def lose(self, topic: Topic) -> None:
        """This run is kept no longer."""
        if self._blocked is None and not self.finished:
            self._leave(topic)
            self._push(frames.gone(topic.run_id, 404))

    def dismiss(self, reason: str, within: float) -> None:
        """End the stream though its runs go on; the reader comes back."""
        if self._blocked is None and not self.finished:
            words = self.farewell([topic.run_id for topic in self.topics]) if self.farewell else b""
            self._let_go()
            self._push(words + frames.bye(reason, within))

    def keep_house(self, now: float) -> None:
        if self.finished:
            return
        if self._blocked is not None:
            if now - self._blocked_at > PATIENCE:
                self._give_up()
        elif now >= self.closes_at:
            self.dismiss("rotate", ROTATE_WITHIN)
        elif now - self._sent_at > HEARTBEAT:
            self._push(self.heartbeat)

    def detach(self) -> None:
        """The stream's own task returns."""
        self.finished = True
        self._task = None
        if self._blocked is not None:
            self._blocked.cancel()
        self._hub.detach(self)
        self._let_go()

    def _frames(self, topics: Sequence[Topic]) -> bytes:
        """Their newest frames; those that have ended are watched no longer."""
        parts = []
        for topic in topics:
            view = topic.watchers.get(self)
            if view is not None:
                if topic.ended:
                    self._leave(topic)
                parts.append(topic.frame(view, self._hub.sign, last=not self.topics))
        return b"".join(parts)

    def _leave(self, topic: Topic) -> None:
        self.topics.remove(topic)
        self._hub.leave(self, topic)

    def _let_go(self) -> None:
        for topic in tuple(self.topics):
            self._leave(topic)

    def _push(self, body: bytes) -> None:
        """Send, as far as it goes at once. After the last run's last frame the body is over."""
        self.finished = not self.topics
        message = {"type": "http.response.body", "body": body, "more_body": not self.finished}
        self._sent_at = self._hub.now()
        sending = self._send(message)
        if not self._steps:
            self._wait_for(sending)
        else:
            self._step(sending)
        if self.finished:
            self._hub.after(UNHEARD_END, self._end)

    def _step(self, sending: Awaitable[None]) -> None:
        steps = sending.__await__()
        try:
            awaited = next(steps)
        except StopIteration:
            return
        except Exception:  # noqa: BLE001  (the server's or the host's; one stream must not hurt the others)
            _log.debug("A stream broke while it was sent to.", exc_info=True)
            self._end()
        else:
            self._wait_for(_Rest(steps, awaited))

    def _wait_for(self, sending: Awaitable[None]) -> None:
        self._blocked_at = self._sent_at
        self._blocked = asyncio.ensure_future(self._unblock(sending))

    async def _unblock(self, sending: Awaitable[None]) -> None:
        try:
            await sending
        except Exception:  # noqa: BLE001  (the server's or the host's; one stream must not hurt the others)
            _log.debug("A stream broke while it was sent to.", exc_info=True)
            self._end()
            return
        self._blocked = None
        news, self._news = self._news, None
        if news and not self.finished:
            self._push(self._frames(tuple(news)))

    def _give_up(self) -> None:
        _log.info("A reader took nothing for %g s; its stream is closed.", PATIENCE)
        self.finished = True
        self._end()

    def _end(self) -> None:
        """Make the stream's own task return, where the server does not."""
        self.finished = True
        if self._task is not None:
            self._task.cancel()


class _Rest:
    """The rest of an awaitable that was advanced by one step."""

    def __init__(self, steps: Generator[Any, Any, None], awaited: Any) -> None:
        self._steps = steps
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._awaited
        except BaseException as error:
            self._steps.throw(error)
            raise
        yield from self._steps


class WatchResponse(EventSourceResponse):
    """A stream of runs, sent by the hub. It ends after the last run's end, or when the reader leaves.

    `preface` is sent before the first snapshots. The arguments of `EventSourceResponse` that would do nothing here are
    not taken.
    """

    def __init__(
        self,
        hub: Hub,
        watched: Sequence[tuple[Topic, View, str]],
        *,
        lasting: float,
        preface: bytes = b"",
        farewell: Farewell | None = None,
        heartbeat: bytes = frames.COMMENT,
        stepped: bool = True,
    ) -> None:
        super().__init__(_NOTHING, headers=HEADERS, ping=0, sep="\n")
        self._hub = hub
        self._watched = watched
        self._lasting = lasting
        self._preface = preface
        self._farewell = farewell
        self._heartbeat = heartbeat
        self._stepped = stepped
        for topic, *_ in watched:
            hub.keep(topic)  # until the watcher holds it: the endpoint has let go of it by then

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "HEAD":
            self._let_go()
            await super().__call__(scope, receive, send)
            return
        watcher = None
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            watcher = self._begin(send)
            while (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            if watcher is None or not watcher.finished:
                raise
            _uncancel()
        finally:
            self._let_go()
            if watcher is not None:
                watcher.detach()

    def _begin(self, send: Send) -> Watcher:
        closes_at = self._hub.now() + self._lasting
        watcher = Watcher(
            self._hub,
            send,
            [topic for topic, *_ in self._watched],
            closes_at,
            self._heartbeat,
            stepped=self._stepped,
        )
        watcher.farewell = self._farewell
        self._hub.attach(watcher, self._watched)
        self._let_go()
        watcher.begin(self._preface)
        return watcher

    def _let_go(self) -> None:
        watched, self._watched = self._watched, ()
        for topic, *_ in watched:
            self._hub.release(topic)


class HandedOver(Response):
    """Hands a response to the app's outermost call, so that nothing of routing stays in memory while it streams."""

    def __init__(self, response: WatchResponse) -> None:
        super().__init__()
        self._response = response

    async def __call__(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        scope[STREAM_IN_SCOPE] = self._response


class _Nothing:
    """The content that the hub replaces."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield b""


_NOTHING = _Nothing()


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
