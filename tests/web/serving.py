"""Real uvicorn servers in threads of the test process."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from jobkit_web.serving import listening_socket, url_of

from jobkit.kit import JobKit
from tests.waiting import wait_until


class Thread:
    """A server, its loop, and its address."""

    def __init__(self, app: Any, kit: JobKit) -> None:
        self._kit = kit
        self._listener = listening_socket("127.0.0.1", 0)
        self.url = url_of(self._listener, "127.0.0.1")
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=2))
        self.loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> None:
        self._thread.start()
        wait_until(lambda: self.server.started, "the web server listens")

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()

    def call(self, function: Callable[[], Awaitable[Any]]) -> Any:
        """Run something on the server's own loop."""
        assert self.loop is not None

        async def run() -> Any:
            return await function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(timeout=10)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        try:
            await self.server.serve(sockets=[self._listener])
        finally:
            self._listener.close()
            await self._kit.aclose()


@contextmanager
def served(app: Any, kit: JobKit) -> Iterator[Thread]:
    thread = Thread(app, kit)
    thread.start()
    try:
        yield thread
    finally:
        thread.stop()
