"""Round trip: what a value would lose on its way through JSON, and how it is put so that it loses nothing.

JSON has neither sets nor offsets with seconds: where nothing declares a set its items arrive as a list, in an order
that differs between processes, and msgspec cuts an offset to minutes. `steady` mends both before they are encoded.
What cannot be mended is refused: a record of another class than the declared one loses its own fields, and a pydantic
model may hide a value (`SecretStr`), leave it out (`exclude=True`) or write something else.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

import msgspec

from jobkit.cache_key import fields_of, is_model

_MINUTE = timedelta(minutes=1)


def steady(value: Any, encode: Callable[[object], bytes]) -> Any:
    """The value with each set as a list in one order, and each moment that JSON cannot write in UTC.

    The very same object where there is nothing to mend.
    """
    match value:
        case datetime():
            return value.astimezone(UTC) if _has_seconds(value.utcoffset()) else value
        case set() | frozenset():
            return sorted([steady(item, encode) for item in value], key=encode)
        case dict():
            pairs = {steady(key, encode): steady(item, encode) for key, item in value.items()}
            return value if _same_items((*pairs, *pairs.values()), (*value, *value.values())) else pairs
        case list() | tuple():
            items = [steady(item, encode) for item in value]
            return value if _same_items(items, value) else items
        case _ if is_model(value):
            return value  # writes itself; what it loses is found afterwards
        case _:
            return _with_fields_steady(value, encode)


def first_loss(given: Any, made: Any, path: str = "$", *, written_by_model: bool = False) -> str | None:
    """What of `given` is not in `made`, which its JSON was decoded to: the path to it, and advice."""
    steps = _steps(given, made)
    if steps is None:
        changed = written_by_model or isinstance(given, time)
        return _what_changed(path) if changed and not _comes_back(given, made) else None
    if _is_record(given) and type(given) is not type(made):
        return _what_is_cut(path, type(given).__qualname__, type(made).__qualname__)
    within = written_by_model or is_model(given)
    losses = (first_loss(one, other, path + step, written_by_model=within) for step, one, other in steps)
    return next((loss for loss in losses if loss), None)


def _steps(given: Any, made: Any) -> Iterable[tuple[str, Any, Any]] | None:
    """The parts of both that belong together, each with its step in a path; None for what is compared as a whole."""
    match given, made:
        case (list() | tuple(), list() | tuple()) if len(given) == len(made):
            return [(f"[{index}]", *pair) for index, pair in enumerate(zip(given, made, strict=True))]
        case Mapping(), Mapping() if len(given) == len(made):
            pairs = zip(given.items(), made.values(), strict=True)
            return [(f"[{key!r:.60}]", one, other) for (key, one), other in pairs]
        case _ if _is_record(given) and _is_record(made):
            others = fields_of(made)
            return [(f".{name}", one, others.get(name)) for name, one in fields_of(given).items()]
        case _:
            return None


def _comes_back(given: Any, made: Any) -> bool:
    if isinstance(given, datetime) and isinstance(made, datetime) and given.tzinfo and made.tzinfo:
        return given.astimezone(UTC) == made.astimezone(UTC)  # in a zone's repeated hour `==` is False
    compares: object = type(given).__eq__
    return bool(given == made) if compares is not object.__eq__ else type(given) is type(made)


def _what_is_cut(path: str, given: str, declared: str) -> str:
    return (
        f"{path} is a {given}, of which only what {declared} declares would reach the worker."
        f" Declare the argument as {given}, or pass a {declared}."
    )


def _what_changed(path: str) -> str:
    return (
        f"{path} does not come back from JSON as it was given, so the worker would see another value. Declare it as a"
        " type that JSON holds whole (no SecretStr, no exclude=True, no serializer that drops something), or pass the"
        " name of a place where perform finds it."
    )


def _with_fields_steady(value: Any, encode: Callable[[object], bytes]) -> Any:
    changed = {
        name: mended for name, field in fields_of(value).items() if (mended := steady(field, encode)) is not field
    }
    if not changed:
        return value
    copied = copy.copy(value)
    put = msgspec.structs.force_setattr if isinstance(value, msgspec.Struct) else object.__setattr__
    for name, field in changed.items():
        put(copied, name, field)
    return copied


def _has_seconds(offset: timedelta | None) -> bool:
    return offset is not None and offset % _MINUTE != timedelta()


def _same_items(items: Iterable[object], others: Iterable[object]) -> bool:
    return all(one is other for one, other in zip(items, others, strict=True))


def _is_record(value: object) -> bool:
    return isinstance(value, msgspec.Struct) or dataclasses.is_dataclass(value) or is_model(value)
