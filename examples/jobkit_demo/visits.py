"""Remembers in a signed cookie who a visitor is (nobody by name) and which runs they started. Pure.

A cookie is `PAYLOAD.SIGNATURE`. What is not ours, was changed or is of another version counts as no cookie at all.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

COOKIE = "jobkit_demo"
MOST_STARTS = 6


class Started(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A run that a visitor started: what it was called and what the store decided."""

    run_id: str
    job: str
    title: str
    admission: str


class Visit(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A visitor and their runs, the newest first."""

    visitor: str
    started: tuple[Started, ...] = ()

    def having(self, started: Started) -> Visit:
        """The same with one more; a run that was there before moves to the top."""
        others = tuple(other for other in self.started if other.run_id != started.run_id)
        return msgspec.structs.replace(self, started=(started, *others)[:MOST_STARTS])

    def without(self, run_ids: set[str]) -> Visit:
        return msgspec.structs.replace(self, started=tuple(s for s in self.started if s.run_id not in run_ids))


def new_visit() -> Visit:
    return Visit(visitor=secrets.token_urlsafe(12))


def sealed(visit: Visit, secret: bytes) -> str:
    """The visit as a cookie's value."""
    payload = _text(msgspec.json.encode(visit))
    return f"{payload}.{_signature(payload, secret)}"


def opened(cookie: str, secret: bytes) -> Visit | None:
    """The visit in a cookie's value; None if it is none of ours."""
    payload, _, signature = cookie.partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(payload, secret).encode()):
        return None
    try:
        return msgspec.json.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=Visit)
    except ValueError:
        return None


def _signature(payload: str, secret: bytes) -> str:
    return _text(hmac.digest(secret, f"{COOKIE} {payload}".encode(), "sha256"))


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
