"""Guard: decides whether a request may do something to a run. Nobody may, unless something says so.

Three things can: an access token for this very run, an identity (`identify`) that owns the run, or the application
itself (`authorize`). A request without any gets 401. One that is known but may not gets the same 404 as for a run that
does not exist; only the holder of a token for the run learns, by 403, that the token lacks the action.

A browser sends cookies along with requests that other sites make it send. So whatever changes something on the word
of an identity or of `authorize` must come from a page of this site (Sec-Fetch-Site, else Origin). An access token is
never sent by itself, and needs no such check.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from jobkit.errors import RunNotFound
from jobkit_web.access import OF_A_RUN, PREFIX, USUAL, Action, BadToken, Claims, Signer
from jobkit_web.problems import Problem, not_found

if TYPE_CHECKING:
    from jobkit.kit import JobKit
    from jobkit.run import Run

Identify = Callable[[Request], "str | Awaitable[str | None] | None"]
Authorize = Callable[[Request, Any, str], "bool | Awaitable[bool]"]

TOKEN_IN_SCOPE = "jobkit.token"
"""Where the app keeps the token it took out of the URL, so that no log shows it."""

_UNKNOWN_CALLER = {"WWW-Authenticate": "Bearer"}
_BAD_TOKEN = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


async def allow_all(_request: Request, _run: Run[Any] | None, _action: str) -> bool:
    """An `authorize` for demos and closed networks: everybody may do everything."""
    return True


@dataclass(frozen=True, slots=True)
class Grant:
    """What a request may do to a run, by which stake, and by which token, if any."""

    run_id: str
    actions: frozenset[Action]
    interest: str = ""
    claims: Claims | None = None


class Guard:
    """The rules of one app."""

    def __init__(self, kit: JobKit, identify: Identify | None, authorize: Authorize | None) -> None:
        self.kit = kit
        self.identify = identify
        self.authorize = authorize
        self._secret = b""
        self._signer: Signer | None = None

    @property
    def knows_sessions(self) -> bool:
        return self.identify is not None or self.authorize is not None

    async def signer(self) -> Signer:
        if self._signer is None:
            await self.kit.async_store().secret()  # so that it is known
        return self.known_signer()

    def known_signer(self) -> Signer:
        """As `signer`, once that was asked; no I/O."""
        secret = self.kit.secret()
        if self._signer is None or self._secret != secret:  # an emptied store makes a new one
            self._secret, self._signer = secret, Signer(secret, self.kit.operations.namespace)
        return self._signer

    def caller(self, request: Request) -> Caller:
        return Caller(self, request)


class Caller:
    """One request: who sends it, asked at most once."""

    def __init__(self, guard: Guard, request: Request) -> None:
        self._guard = guard
        self._request = request
        self._asked = False
        self._identity: str | None = None

    async def admit(self, run_id: str, action: Action, token: str | None = None) -> Grant:
        """What this request may do to a run, if that includes `action`.

        `token` was sent in the body; else the Authorization header counts, else the URL.

        Raises:
            Problem: 401, 403 or 404, as this module's head says.
        """
        claims = await self._claims(token)
        if claims is not None:
            return _of_token(claims, run_id, action)
        grant = await self._of_session(run_id, action)
        if grant is None:
            raise not_found()
        if action not in (Action.READ, Action.RESULT):
            refuse_foreign_site(self._request)
        return grant

    async def may_submit(self) -> str | None:
        """The owner of what is submitted now; None for an anonymous caller who may submit all the same.

        Raises:
            Problem: 401 or 403.
        """
        identity = await self.identity()
        if identity is None and not await self._authorized(None, Action.SUBMIT):
            if self._guard.authorize is None:
                raise _unknown_caller()
            raise Problem(403, "You may not start jobs here.")
        refuse_foreign_site(self._request)
        return identity

    async def owner(self) -> str:
        """Whose runs this caller may list: their own.

        Raises:
            Problem: 401, nobody says who this is.
        """
        identity = await self.identity()
        if identity is None:
            raise _unknown_caller()
        return identity

    async def identity(self) -> str | None:
        if not self._asked and self._guard.identify is not None:
            named = await _called(self._guard.identify, self._request)
            self._identity = str(named) if named not in (None, "") else None
        self._asked = True
        return self._identity

    async def may_also(self, grant: Grant, action: Action) -> bool:
        """Whether a further action is granted beyond what was asked first."""
        if grant.claims is not None or action in grant.actions:
            return action in grant.actions
        return await self._authorized(grant.run_id, action)

    async def _claims(self, token: str | None) -> Claims | None:
        sent, from_url = _sent_token(self._request) if token is None else (token, False)
        if not sent:
            return None
        try:
            return (await self._guard.signer()).read(sent, now=time.time(), from_url=from_url)
        except BadToken:
            raise Problem(401, "The access token is not valid, or not any more.", _BAD_TOKEN) from None

    async def _of_session(self, run_id: str, action: Action) -> Grant | None:
        if not self._guard.knows_sessions:
            raise _unknown_caller()
        identity = await self.identity()
        if identity is not None and action in USUAL and await self._owns(run_id, identity):
            return Grant(run_id, frozenset(USUAL), f"owner:{identity}")
        if await self._authorized(run_id, action):
            also = {other for other in OF_A_RUN if other is Action.RESULT and await self._authorized(run_id, other)}
            return Grant(run_id, frozenset({action, *also}), f"owner:{identity}" if identity else "")
        if identity is None and self._guard.authorize is None:
            raise _unknown_caller()
        return None

    async def _owns(self, run_id: str, identity: str) -> bool:
        try:
            return await self._guard.kit.run(run_id).aowned_by(identity)
        except RunNotFound:
            return False

    async def _authorized(self, run_id: str | None, action: Action) -> bool:
        if self._guard.authorize is None:
            return False
        run = None if run_id is None else self._guard.kit.run(run_id)
        return bool(await _called(self._guard.authorize, self._request, run, action.value))


def refuse_foreign_site(request: Request) -> None:
    """Refuse what another site made a browser send.

    A request with neither header comes from no browser, and so carries no cookie against its owner's will.

    Raises:
        Problem: 403.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    elif origin is not None:
        foreign = urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    else:
        foreign = False
    if foreign:
        raise Problem(403, "This must be sent from a page of this very site.")


def _sent_token(request: Request) -> tuple[str, bool]:
    """The token of the header or of the URL, and whether it stood in the URL. Bearers of other kinds are not ours."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and bearer.strip().startswith(PREFIX):
        return bearer.strip(), False
    return request.scope.get(TOKEN_IN_SCOPE, ""), True


def _of_token(claims: Claims, run_id: str, action: Action) -> Grant:
    if claims.run != run_id:
        raise not_found()
    if action not in claims.actions:
        raise Problem(403, f"This access token does not allow to {action.value}.")
    return Grant(run_id, frozenset(claims.actions), claims.interest, claims)


def _unknown_caller() -> Problem:
    return Problem(
        401,
        "Nothing says that you may do this: send an access token (widget() and access_token() make one), "
        "or let the application name its users (identify=) or decide (authorize=).",
        _UNKNOWN_CALLER,
    )


async def _called(function: Callable[..., Any], *arguments: object) -> Any:
    """A plain function may block, so it gets a thread."""
    if inspect.iscoroutinefunction(function):
        return await function(*arguments)
    value = await run_in_threadpool(function, *arguments)
    return await value if inspect.isawaitable(value) else value
