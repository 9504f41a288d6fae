"""Access tokens: what a browser holds to read or cancel a run, signed so that it cannot be made up.

A token is `jk1.KEY.PAYLOAD.SIGNATURE`, all base64url: which key signed it, the claims, and an HMAC-SHA256 over the
rest. It names its run, the actions, its end, the kit it is for (the audience), and the submitter's interest, so that
the holder's Cancel withdraws that stake. Pure: the key and the time are arguments.

A token that may stand in a URL says so itself and lives for at most ten minutes, since URLs end up in logs and
histories. Every other token is refused there.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "jk1."
TTL = 24 * 3600.0
"""Seconds a token lives by default: as long as a run is kept by default."""
URL_TTL = 600.0
"""Seconds a token in a URL lives at most."""
LONGEST = 4096
"""Characters; nothing longer was signed here."""


class Action(StrEnum):
    """What somebody may want to do."""

    READ = "read"
    RESULT = "result"
    CANCEL = "cancel"
    CANCEL_ALL = "cancel-all"
    SUBMIT = "submit"


OF_A_RUN = (Action.READ, Action.RESULT, Action.CANCEL, Action.CANCEL_ALL)
"""The actions an access token can grant; the others are not about one run."""
USUAL = (Action.READ, Action.RESULT, Action.CANCEL)


class Claims(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a token says. `expires` is in epoch seconds, `ttl` in seconds; `interest` may be empty."""

    audience: str
    run: str
    actions: tuple[Action, ...]
    expires: float
    ttl: float
    interest: str = ""
    in_url: bool = False

    def allows(self, run_id: str, action: Action) -> bool:
        return self.run == run_id and action in self.actions


class BadToken(Exception):
    """The token is not one of ours, was changed, is for another kit, or is over."""


class Signer:
    """Signs and reads the tokens of one kit."""

    def __init__(self, secret: bytes, audience: str) -> None:
        self._key = hmac.digest(secret, b"jobkit access token", "sha256")
        self._key_id = _text(sha256(self._key).digest()[:6])
        self._audience = audience

    def sign(
        self,
        run_id: str,
        actions: Iterable[str],
        *,
        now: float,
        ttl: float,
        interest: str = "",
        in_url: bool = False,
    ) -> str:
        """A token for one run. The interest goes with `cancel` only.

        Raises:
            ValueError: an action that no token can grant, or a time that is not above 0.
        """
        granted = _checked(actions)
        lasting = min(ttl, URL_TTL) if in_url else ttl
        if not 0 < lasting < float("inf"):
            raise ValueError(f"ttl={ttl!r}: give a timedelta or seconds above 0.")
        claims = Claims(
            audience=self._audience,
            run=run_id,
            actions=granted,
            expires=round(now + lasting, 3),
            ttl=lasting,
            interest=interest if Action.CANCEL in granted else "",
            in_url=in_url,
        )
        signed = f"{PREFIX}{self._key_id}.{_text(msgspec.json.encode(claims))}"
        return f"{signed}.{self._signature(signed)}"

    def read(self, token: str, *, now: float, from_url: bool = False) -> Claims:
        """The claims of a token that is valid now.

        Raises:
            BadToken: it is not.
        """
        signed, _, signature = token.rpartition(".")
        if len(token) > LONGEST or not hmac.compare_digest(
            signature.encode(errors="replace"), self._signature(signed).encode()
        ):
            raise BadToken
        claims = msgspec.json.decode(_bytes(signed.rpartition(".")[2]), type=Claims)
        if claims.audience != self._audience or claims.expires <= now or (from_url and not claims.in_url):
            raise BadToken
        return claims

    def _signature(self, signed: str) -> str:
        return _text(hmac.digest(self._key, signed.encode(errors="replace"), "sha256"))


def _checked(actions: Iterable[str]) -> tuple[Action, ...]:
    wanted = [actions] if isinstance(actions, str) else list(actions)
    unknown = [action for action in wanted if action not in OF_A_RUN]
    if unknown or not wanted:
        raise ValueError(f"An access token grants some of {', '.join(OF_A_RUN)}; not {unknown or wanted}.")
    return tuple(action for action in OF_A_RUN if action in wanted)


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
