"""The job classes of a walk: few, so that their runs meet, and each with options that pull at one another."""

from __future__ import annotations

from tests.fuzz.calls import Kind

ONE = ("m:one", 1)
TWO = ("m:two", 2)
PACE = ("r:pace", 400_000)

MEMO = Kind(
    name="memo", lease=9_000, max_attempts=2, max_crashes=1, cache_ttl=4_000, stale_ttl=3_000, failure_ttl=2_000,
    refresh=True,
)  # fmt: skip
LONELY = Kind(
    name="lonely", queue="slow", max_attempts=3, max_crashes=0, cache_ttl=1_500, stale_ttl=2_000, limits=(ONE,)
)
THROTTLED = Kind(name="throttled", throttle=3_000, cache_ttl=1_000, failure_ttl=4_000, limits=(PACE,))
DEBOUNCED = Kind(
    name="debounced",
    debounce=700,
    longest_debounce=2_000,
    abandon_after=5_000,
    stale_ttl=1,
    cache_ttl=500,
    expires=3_000,
)
PLAIN = Kind(name="plain", max_queued=4, expires=2_500)
PAIRED = Kind(name="paired", limits=(TWO, PACE), abandon_after=4_000, max_attempts=3)
FAIR = Kind(name="fair", fair_share=True, expires=1_500)
FAIR_TWO = Kind(name="fairer", fair_share=True, limits=(TWO,), queue="slow")
BOTH = Kind(name="both", limits=(ONE, TWO), keep=1)

SHARED = {"red": MEMO, "blue": LONELY, "green": THROTTLED, "grey": DEBOUNCED}
"""By cache key."""
UNSHARED = (PLAIN, PLAIN, PAIRED, BOTH, FAIR, FAIR_TWO)
"""Of no cache key."""
TAGS = ("eu", "us")
