"""Hub: one per web process and event loop; passes each publication of a run to all who watch it.

The store's one subscription connection brings the newest snapshot of every watched run. A topic keeps it, frames it
once, and all watchers of the run are sent the same bytes. A snapshot replaces the one before, so nothing queues: what
comes less than 50 ms after the last send waits for the next tick (all a watcher's waiting runs then go in one send),
and a watcher whose connection is blocked gets the newest when it is free. Terminal snapshots go at once.

Order matters when a topic opens: first subscribed and acknowledged, then read; whatever is older than what is known,
by (start, version), is dropped. Whatever may have been missed all the same (a gap in the subscription, a publication
lost by the store) is found by the audit: every topic is read anew every 15 to 30 s, at once after a gap, and every
2 s while queued, since its place in the queue moves without a new version. The audit also tells the store that the
run is watched, so that its worker reports more often.

Nothing is kept per watcher but the object itself: two tasks, the ticker and the auditor, serve all. They begin with
the first topic and end with the last.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from jobkit.errors import JobKitError, RunNotFound, StoreUnavailable
from jobkit.lifecycle import State
from jobkit_web import frames
from jobkit_web.views import View, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobkit.kit import JobKit
    from jobkit.store.operations import Operation
    from jobkit.store.replies import Stored

TICK = 0.1
"""Seconds between two looks at what waits."""
LEADING_EDGE = 0.05
"""Seconds after a send in which a newer snapshot of the same run waits for the tick."""
HOUSEKEEPING = 1.0
"""Seconds between two looks at each watcher: heartbeat, end of its time, blocked for too long."""
AUDIT = (15.0, 30.0)
"""Seconds after which a topic is read anew; somewhere in between, so that not all are at once."""
QUEUE_PLACE = 2.0
"""Seconds between two reads of a queued run."""
WATCHED = 75.0
"""Seconds for which the store takes a run to be watched; more than two audits."""
DRAIN_WITHIN = 2.0
"""Seconds within which watchers may come back after the server has been told to end."""
BATCH = 100
"""Runs read in one round trip."""

_log = logging.getLogger("jobkit.web")


class Head(msgspec.Struct):
    """What the hub itself reads of a snapshot."""

    id: str
    state: State
    start: int
    version: int

    @property
    def order(self) -> tuple[int, int]:
        return (self.start, self.version)


_read_head = msgspec.json.Decoder(Head).decode


class Watcher(Protocol):
    """What the hub asks of whoever reads along; `jobkit_web.watcher` has the one that sends streams. None may block."""

    def tell(self, *topics: Topic) -> None: ...
    def lose(self, topic: Topic) -> None: ...
    def dismiss(self, reason: str, within: float) -> None: ...
    def keep_house(self, now: float) -> None: ...


class Topic:
    """One watched run: its newest snapshot, and who wants it."""

    def __init__(self, run_id: str, channel: str) -> None:
        self.run_id = run_id
        self.channel = channel
        self.body = b""
        self.head: Head | None = None
        self.listener: Callable[[bytes | None], None] | None = None
        self.opened = asyncio.Event()
        self.failure: JobKitError | None = None
        self.gone = False
        self.holds = 0
        self.audit_at = 0.0
        self.sent_at = 0.0
        self.watchers: dict[Watcher, View] = {}
        self.interests: dict[Watcher, str] = {}
        """The stakes of those watchers who have one: a run with `abandon_after` goes on while any of them watches."""
        self.waiting: set[asyncio.Future[None]] = set()
        self._frames: dict[tuple[View | None, bool], bytes] = {}

    @property
    def ended(self) -> bool:
        return self.head is not None and self.head.state.terminal

    @property
    def version(self) -> int:
        return self.head.version if self.head else -1

    @property
    def identifier(self) -> str:
        """What a reconnecting reader says it has seen; opaque to it."""
        assert self.head is not None
        return f"{self.head.start}-{self.head.version}{'.end' if self.ended else ''}"

    def accept(self, body: bytes) -> bool:
        """Whether this is news. The same version may come again with another place in the queue."""
        head = _read_head(body)
        if self.head is not None and (head.order < self.head.order or body == self.body):
            return False
        self.head, self.body = head, body
        self._frames = {}
        return True

    def frame(self, view: View, sign: Callable[[str], str], *, last: bool = True) -> bytes:
        """The newest snapshot as an event; made once for all watchers of one view.

        Only the last event of a stream bears an id that says so: whoever comes back with it has seen everything.
        """
        key = (view, last) if self.ended else (None, True)
        framed = self._frames.get(key)
        if framed is None:
            name = "end" if self.ended else "snapshot"
            identifier = self.identifier if last else self.identifier.removesuffix(".end")
            framed = self._frames[key] = frames.event(name, shown(self.body, view, sign), identifier)
        return framed


class Hub:
    """The topics of one event loop. `sign` makes a token for a run's result."""

    def __init__(self, kit: JobKit, sign: Callable[[str], str]) -> None:
        self._kit = kit
        self.sign = sign
        self._store = kit.async_store()
        self._topics: dict[str, Topic] = {}
        self._watchers: dict[Watcher, None] = {}
        self._dirty: dict[Topic, None] = {}
        self._bell = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._steady: list[asyncio.Task[None]] = []
        self._loop = asyncio.get_running_loop()

    @property
    def watcher_count(self) -> int:
        return len(self._watchers)

    @property
    def topic_count(self) -> int:
        return len(self._topics)

    def serves(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self._loop is loop

    # Topics -----------------------------------------------------------------------------------------------------------

    def hold(self, run_id: str) -> Topic:
        """A run's topic, which opens now if nobody held it; `release` it."""
        topic = self._topics.get(run_id)
        if topic is None:
            topic = self._topics[run_id] = Topic(run_id, self._kit.operations.snapshots_channel(run_id))
            self._start()
            self._do(self._open(topic))
        topic.holds += 1
        return topic

    async def ready(self, topic: Topic) -> None:
        """Return when the topic has its snapshot.

        Raises:
            RunNotFound: no such run is kept.
            StoreUnavailable: the store could not be asked.
        """
        await topic.opened.wait()
        if topic.failure is not None:
            raise copy(topic.failure)  # each who waits gets their own, for raising changes it

    def keep(self, topic: Topic) -> None:
        """Hold an open topic for longer; `release` it."""
        topic.holds += 1

    def release(self, topic: Topic) -> None:
        topic.holds -= 1
        if topic.holds == 0:
            self._close(topic)

    async def changed(self, topic: Topic, version: int, within: float) -> None:
        """Wait until the run is at another version, the time is over, or this server ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while topic.version == version and not topic.gone and not server_is_ending():
                    await self._news(topic)

    async def _news(self, topic: Topic) -> None:
        news = self._loop.create_future()
        topic.waiting.add(news)
        try:
            await news
        finally:
            topic.waiting.discard(news)

    async def _open(self, topic: Topic) -> None:
        try:
            await self._store.subscriptions.subscribe(topic.channel, self._listener(topic))
            stored = await self._store.execute(self._load(topic))
            if stored is None:
                raise RunNotFound(f"No run {topic.run_id} is kept.", run_id=topic.run_id)
            topic.accept(stored.snapshot)
            topic.audit_at = self._next_audit(topic)
        except JobKitError as error:
            topic.failure = error
            self._forget(topic)
        except BaseException:
            topic.failure = StoreUnavailable("The hub was closed.")
            self._forget(topic)
            raise
        finally:
            topic.opened.set()
            if topic.holds == 0:  # everybody left while it opened
                self._close(topic)

    def _listener(self, topic: Topic) -> Callable[[bytes | None], None]:
        def hear(payload: bytes | None) -> None:
            if payload is None:
                topic.audit_at = 0.0
                self._bell.set()
            elif topic.accept(payload):
                self._pass_on(topic)

        topic.listener = hear
        return hear

    def _close(self, topic: Topic) -> None:
        self._forget(topic)
        if not self._topics:
            self._stop()

    def _forget(self, topic: Topic) -> None:
        if self._topics.get(topic.run_id) is topic:
            del self._topics[topic.run_id]
        self._dirty.pop(topic, None)
        if topic.listener is not None:
            self._store.subscriptions.unsubscribe(topic.channel, topic.listener)

    # Passing on -------------------------------------------------------------------------------------------------------

    def _pass_on(self, topic: Topic) -> None:
        self._wake(topic)
        if topic.ended or self._loop.time() - topic.sent_at >= LEADING_EDGE:
            self._send(topic)
        else:
            self._dirty[topic] = None

    def _wake(self, topic: Topic) -> None:
        for news in topic.waiting:
            if not news.done():
                news.set_result(None)

    def _send(self, topic: Topic) -> None:
        topic.sent_at = self._loop.time()
        self._dirty.pop(topic, None)
        for watcher in tuple(topic.watchers):
            watcher.tell(topic)

    def _send_dirty(self) -> None:
        if len(self._dirty) == 1:
            self._send(next(iter(self._dirty)))
            return
        news: dict[Watcher, list[Topic]] = {}
        for topic in self._dirty:
            topic.sent_at = self._loop.time()
            for watcher in topic.watchers:
                news.setdefault(watcher, []).append(topic)
        self._dirty.clear()
        for watcher, topics in news.items():
            watcher.tell(*topics)

    # Watchers ---------------------------------------------------------------------------------------------------------

    def attach(self, watcher: Watcher, watched: Sequence[tuple[Topic, View, str]]) -> None:
        """From now on the watcher is told what happens to these open topics; it holds them until it leaves.

        The third of each is the watcher's interest in the run, '' for none.
        """
        self._watchers[watcher] = None
        for topic, view, interest in watched:
            self.keep(topic)
            topic.watchers[watcher] = view
            if interest:
                topic.interests[watcher] = interest

    def leave(self, watcher: Watcher, topic: Topic) -> None:
        """The watcher is done with this topic."""
        topic.interests.pop(watcher, None)
        if topic.watchers.pop(watcher, None) is not None:
            self.release(topic)

    def detach(self, watcher: Watcher) -> None:
        self._watchers.pop(watcher, None)

    def now(self) -> float:
        """Seconds of the loop's clock."""
        return self._loop.time()

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.call_later(seconds, then)

    # Steady work ------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if not self._steady:
            self._steady = [
                self._loop.create_task(self._tick_for_ever(), name="jobkit hub ticker"),
                self._loop.create_task(self._audit_for_ever(), name="jobkit hub auditor"),
            ]

    def _stop(self) -> None:
        steady, self._steady = self._steady, []
        for task in steady:
            task.cancel()

    async def close(self) -> None:
        """Say goodbye to all watchers and end."""
        self._dismiss("drain")
        tasks = [*self._steady, *self._tasks]
        self._stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tick_for_ever(self) -> None:
        keep_house_at = 0.0
        while True:
            await asyncio.sleep(TICK)
            if server_is_ending():
                self._dismiss("drain")
            if self._dirty:
                self._send_dirty()
            now = self._loop.time()
            if now >= keep_house_at:
                keep_house_at = now + HOUSEKEEPING
                for watcher in tuple(self._watchers):
                    watcher.keep_house(now)

    def _dismiss(self, reason: str) -> None:
        for topic in self._topics.values():
            self._wake(topic)
        for watcher in tuple(self._watchers):
            watcher.dismiss(reason, DRAIN_WITHIN)

    async def _audit_for_ever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(HOUSEKEEPING):
                    await self._bell.wait()
            self._bell.clear()
            now = self._loop.time()
            due = [topic for topic in self._topics.values() if topic.opened.is_set() and topic.audit_at <= now]
            for first in range(0, len(due), BATCH):
                await self._audit(due[first : first + BATCH])

    async def _audit(self, topics: Sequence[Topic]) -> None:
        try:
            found = await self._store.execute_all([self._load(topic) for topic in topics])
        except JobKitError as error:
            _log.info("The audit could not read the store (%s); the next one will.", error)
            return
        for topic, stored in zip(topics, found, strict=True):
            if stored is None:
                self._lose(topic)
            elif topic.accept(stored.snapshot):
                self._pass_on(topic)
            topic.audit_at = self._next_audit(topic)

    def _lose(self, topic: Topic) -> None:
        """The store keeps it no longer."""
        topic.gone = True
        self._wake(topic)
        for watcher in tuple(topic.watchers):
            watcher.lose(topic)

    def _next_audit(self, topic: Topic) -> float:
        queued = topic.head is not None and topic.head.state is State.QUEUED
        return self._loop.time() + (QUEUE_PLACE if queued else random.uniform(*AUDIT))

    def _load(self, topic: Topic) -> Operation[Stored | None]:
        interest = next(iter(topic.interests.values()), "")
        return self._kit.operations.load_stored(topic.run_id, watch=WATCHED, interest=interest)

    def _do(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def server_is_ending() -> bool:
    """Whether the ASGI server has been told to end: it keeps that beside its signal handler (uvicorn does)."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return bool(getattr(server, "should_exit", False))
