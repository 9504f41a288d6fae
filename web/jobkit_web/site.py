"""Site: what the endpoints of one app share: kit, guard, the hub of the running loop, and the signing of addresses."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from jobkit_web.access import URL_TTL, Action
from jobkit_web.hub import Hub
from jobkit_web.problems import not_found
from jobkit_web.views import View

if TYPE_CHECKING:
    from starlette.requests import Request

    from jobkit.kit import JobKit
    from jobkit.store.replies import Stored
    from jobkit_web.guard import Caller, Grant, Guard

PAGE_TTL = 3600.0
"""Seconds that the access token in a run's own page lives."""
POLLED = 10.0
"""Seconds for which a run that is polled counts as watched."""


class Site:
    """One app. `stepped` tells how streams are sent."""

    def __init__(self, kit: JobKit, guard: Guard, *, stepped: bool) -> None:
        self.kit = kit
        self.guard = guard
        self.stepped = stepped
        self._hub: Hub | None = None

    async def hub(self) -> Hub:
        """The running loop's hub."""
        await self.guard.signer()
        if self._hub is None or not self._hub.serves(asyncio.get_running_loop()):
            self._hub = Hub(self.kit, self._sign_result)
        return self._hub

    async def close(self) -> None:
        hub, self._hub = self._hub, None
        if hub is not None and hub.serves(asyncio.get_running_loop()):
            await hub.close()

    def caller(self, request: Request) -> Caller:
        return self.guard.caller(request)

    async def load(self, grant: Grant, *, result: bool = False, watch: float = POLLED) -> Stored:
        """A run as it stands; from now on it counts as watched for `watch` seconds.

        Raises:
            Problem: 404, no such run is kept.
        """
        operation = self.kit.operations.load_stored(grant.run_id, watch=watch, result=result, interest=grant.interest)
        stored = await self.kit.async_store().execute(operation)
        if stored is None:
            raise not_found()
        return stored

    async def shown_url(self, request: Request, grant: Grant, *, path: str = "") -> str:
        """The address of a run, with a fresh token where the reader came by one."""
        url = f"{root_of(request)}/runs/{grant.run_id}{path}"
        return url if grant.claims is None else f"{url}?token={await self.url_token(grant)}"

    async def url_token(self, grant: Grant) -> str:
        """A short-lived token that grants the same."""
        signer = await self.guard.signer()
        return signer.sign(
            grant.run_id, grant.actions, now=time.time(), ttl=URL_TTL, interest=grant.interest, in_url=True
        )

    def _sign_result(self, run_id: str) -> str:
        """A short-lived token for a run's result, and for its page, which shows it."""
        signer = self.guard.known_signer()
        return signer.sign(run_id, [Action.READ, Action.RESULT], now=time.time(), ttl=URL_TTL, in_url=True)

    async def page_token(self, grant: Grant) -> str:
        """A token for a page that lives longer than the address it was opened by; its streams renew it."""
        signer = await self.guard.signer()
        return signer.sign(grant.run_id, grant.actions, now=time.time(), ttl=PAGE_TTL, interest=grant.interest)


def root_of(request: Request) -> str:
    """Where the app is mounted, without a slash at the end."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


def view_of(request: Request, grant: Grant) -> View:
    return View(root_of(request), Action.RESULT in grant.actions, grant.claims is not None)
