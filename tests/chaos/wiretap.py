"""Wiretap: every snapshot that is published, in the order in which the store publishes them.

A watcher may miss some in between; here none is missed (but in an outage of the store), so a write that should have
been refused cannot hide.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

import redis

from jobkit import Snapshot
from tests.chaos.load import Sight
from tests.waiting import wait_until

PATIENCE = 60.0
"""Seconds in which it hears what is published, however busy the machine."""
_END = "the end"


class Wiretap:
    """Listens from `start` to `stop`; `heard` has what was published of each run."""

    def __init__(self, url: str, namespace: str) -> None:
        self.heard: dict[str, list[Sight]] = defaultdict(list)
        self._url = url
        self._pattern = f"{{{namespace}:*}}:snapshots:*"
        self._last = f"{{{namespace}:*}}:snapshots:{_END}"
        self._listening = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen_for_ever, name="chaos wiretap", daemon=True)

    def start(self) -> None:
        self._thread.start()
        wait_until(self._listening.is_set, "the wiretap hears")

    def stop(self) -> None:
        """Return when all that was published before has been heard."""
        with redis.Redis.from_url(self._url, protocol=2) as client:
            wait_until(
                lambda: client.publish(self._last, b"") and self._ended.wait(0.1), "the wiretap hears the end", PATIENCE
            )
        self._thread.join()

    def _listen_for_ever(self) -> None:
        while not self._ended.is_set():
            client: Any = redis.Redis.from_url(self._url, protocol=2, retry=None, socket_timeout=None)
            try:
                self._listen(client)
            except (redis.RedisError, OSError):
                self._ended.wait(0.02)  # the server is away
            finally:
                client.close()

    def _listen(self, client: Any) -> None:
        with client.pubsub() as subscription:
            subscription.psubscribe(self._pattern)
            for message in subscription.listen():
                match message["type"]:
                    case "psubscribe":
                        self._listening.set()
                    case "pmessage" if message["channel"].decode() == self._last:
                        self._ended.set()
                        return
                    case "pmessage":
                        snapshot = Snapshot.from_json(message["data"])
                        self.heard[snapshot.id].append(Sight.of(snapshot))
