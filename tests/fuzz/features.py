"""What the store's scripts can do by now. A feature that is not named here is neither asked for nor counted on."""

from __future__ import annotations

from enum import StrEnum, auto


class Feature(StrEnum):
    """A part of the store's meaning that the walk can be taken through."""

    SECOND_FORMAT = auto()
    STALE = auto()
    REFUSED = auto()
    REFRESH = auto()
    PRIORITY = auto()
    THROTTLE = auto()
    DEBOUNCE = auto()
    MAX_RUNNING = auto()
    RATE = auto()
    MAX_QUEUED = auto()
    ABANDON = auto()
    INVALIDATION = auto()
    CHECKPOINT = auto()
    DATA_LOSS = auto()


BUILT: frozenset[Feature] = frozenset()
