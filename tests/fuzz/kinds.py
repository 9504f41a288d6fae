"""The job classes of a walk: few, so that their runs meet, and each with the options that pull at one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.calls import Kind

if TYPE_CHECKING:
    from tests.fuzz.features import Feature

PLAIN = Kind(name="plain")
MEMO = Kind(name="memo", cache_ttl=4_000, lease=9_000, max_crashes=1)
SLOW = Kind(name="slow", queue="slow", cache_ttl=2_000, keep=1_000, max_crashes=0)


def kinds(features: frozenset[Feature]) -> dict[str, Kind]:
    """By cache key; the empty one is for runs that are never shared."""
    assert not features, "classes with newer options come with the scripts that heed them"
    return {"red": MEMO, "blue": SLOW, "green": PLAIN, "": PLAIN}
