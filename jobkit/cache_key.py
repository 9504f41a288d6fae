"""What makes two submissions the same work: the canonical form of arguments, and its digest.

The canonical form is injective and stable: different values have different bytes, and one value has the
same bytes in every process, under every PYTHONHASHSEED, Python version and machine. Each value is written as

    tag, length of the payload in decimal, ":", payload

so no payload can be mistaken for its neighbour: ("1", "23") is not ("12", "3"), {1: x} is not {"1": x}.
Containers hold the canonical forms of what they contain; sets and mappings in the order of those bytes,
for their own order is an accident. Equal values of one type are one: a list is a tuple, -0.0 is 0.0, a
moment is the same in every time zone. What has no such form is refused by path; never `repr`, `hash` or
pickle, which differ between processes.

A record (Struct, dataclass, pydantic model; so also an Enum) is named by its `__qualname__`, without the
module: moving a class, or starting its module as `__main__`, must not forget every memo.

The digest depends on this form: whoever changes it empties every memo of every user.
"""

import dataclasses
import enum
import hashlib
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import msgspec

from jobkit.errors import BadArguments

DIGEST_BYTES = 16
_DOUBLE = struct.Struct(">d")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def cache_key(job_name: str, cache_version: int | str, arguments: Mapping[str, object]) -> str:
    """The name under which equal submissions meet: 32 hexadecimal characters.

    `arguments` are the ones the job declares as its key, already converted to their types.

    Raises:
        BadArguments: an argument has no canonical form; the message names its path.
    """
    return CacheKeys(job_name, cache_version, arguments).of(SimpleNamespace(**arguments))


class CacheKeys:
    """Makes the cache keys of one job: digests of the canonical forms of its name, its version, and a mapping of the
    arguments in `names`. What is the same in all of them is encoded, sorted and hashed once.
    """

    def __init__(self, job_name: str, cache_version: int | str, names: Iterable[str]) -> None:
        self._begun = hashlib.blake2b(canonical(job_name) + canonical(cache_version), digest_size=DIGEST_BYTES)
        self._names = sorted((_str(name), name) for name in names)

    def of(self, job: object) -> str:
        """The cache key of these attributes.

        Raises:
            BadArguments: one of them has no canonical form; the message names its path.
        """
        try:
            pairs = b"".join([form + _encode(getattr(job, name)) for form, name in self._names])
        except (_Refusal, RecursionError):
            canonical({name: getattr(job, name) for _, name in self._names})  # refuses too, and says where
            raise
        digest = self._begun.copy()
        digest.update(_framed(b"o", pairs))
        return digest.hexdigest()


def canonical(value: object) -> bytes:
    """The bytes that stand for `value` and for nothing else.

    Raises:
        BadArguments: something in `value` has no canonical form; the message names its path.
    """
    try:
        return _encode(value)
    except _Refusal as refusal:
        raise BadArguments(f"{_path_to_refused(value)} cannot be part of a cache key: {refusal}") from None
    except RecursionError:
        raise BadArguments(
            "$ cannot be part of a cache key: it contains itself or is nested too deeply. Flatten it."
        ) from None


class _Refusal(Exception):
    """A value without a canonical form; the text says why and what to do."""


def _encode(value: Any) -> bytes:
    encoder = _ENCODERS.get(type(value)) or _encoder_for(value)
    return encoder(value)


def _framed(tag: bytes, payload: bytes) -> bytes:
    return b"%b%d:%b" % (tag, len(payload), payload)


def _none(_value: None) -> bytes:
    return b"n0:"


def _bool(value: bool) -> bytes:
    return b"b1:1" if value else b"b1:0"


def _int(value: int) -> bytes:
    return _framed(b"i", b"%x" % value)  # decimal digits are limited to 4300 by the interpreter


def _float(value: float) -> bytes:
    if not math.isfinite(value):
        raise _Refusal(f"{value} equals nothing, or everything beyond it. Use None for an absent number.")
    return b"f8:" + _DOUBLE.pack(value + 0.0)  # -0.0 + 0.0 is 0.0


def _str(value: str) -> bytes:
    try:
        return _framed(b"s", value.encode())
    except UnicodeEncodeError:
        raise _Refusal("it holds half a surrogate pair, which is no text. Decode it properly.") from None


def _bytes(value: bytes) -> bytes:
    return _framed(b"y", value)


def _date(value: date) -> bytes:
    return _framed(b"d", b"%d" % value.toordinal())


def _datetime(value: datetime) -> bytes:
    if value.utcoffset() is None:
        raise _Refusal("a datetime without time zone names no moment. Give it one: tzinfo=datetime.UTC.")
    return _framed(b"t", b"%d" % ((value - EPOCH) // MICROSECOND))


def _timedelta(value: timedelta) -> bytes:
    return _framed(b"p", b"%d" % (value // MICROSECOND))


def _decimal(value: Decimal) -> bytes:
    if not value.is_finite():
        raise _Refusal(f"{value} equals nothing, or everything beyond it. Use None for an absent number.")
    return _framed(b"m", str(value if value else value.copy_abs()).encode())


def _uuid(value: UUID) -> bytes:
    return _framed(b"u", value.bytes)


def _enum(value: enum.Enum) -> bytes:
    return _framed(b"e", _str(type(value).__qualname__) + _encode(value.value))


def _sequence(value: list[Any] | tuple[Any, ...]) -> bytes:
    return _framed(b"l", b"".join([_encode(item) for item in value]))


def _set(value: set[Any] | frozenset[Any]) -> bytes:
    return _framed(b"c", b"".join(sorted([_encode(item) for item in value])))


def _mapping(value: Mapping[Any, Any]) -> bytes:
    # A canonical form is never the beginning of another, so whole pairs sort as their keys do.
    return _framed(b"o", b"".join(sorted([_encode(key) + _encode(item) for key, item in value.items()])))


def _record(tag: bytes, value: object) -> bytes:
    return _framed(tag, _str(type(value).__qualname__) + _mapping(fields_of(value)))


def _struct(value: msgspec.Struct) -> bytes:
    return _record(b"S", value)


def _dataclass(value: object) -> bytes:
    return _record(b"C", value)


def _pydantic_model(value: object) -> bytes:
    return _record(b"P", value)


_ENCODERS: Mapping[type, Callable[[Any], bytes]] = {
    type(None): _none,
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    bytes: _bytes,
    datetime: _datetime,
    date: _date,
    timedelta: _timedelta,
    Decimal: _decimal,
    UUID: _uuid,
    list: _sequence,
    tuple: _sequence,
    set: _set,
    frozenset: _set,
    dict: _mapping,
}


def _encoder_for(value: object) -> Callable[[Any], bytes]:
    match value:
        case enum.Enum():
            return _enum
        case msgspec.Struct():
            return _struct
        case _ if dataclasses.is_dataclass(value):
            return _dataclass
        case _ if is_model(value):
            return _pydantic_model
        case Mapping():
            return _mapping
    for base in type(value).__mro__:
        if base in _ENCODERS:
            return _ENCODERS[base]
    raise _Refusal(
        f"values of type {type(value).__qualname__} have no canonical form. Use numbers, text, dates, lists, dicts,"
        " enums or records of those, or leave the field out of cache_key."
    )


def _path_to_refused(value: object) -> str:
    """Only walked after a refusal, so that the usual case keeps no path."""
    path = "$"
    while found := next(((step, part) for step, part in parts(value) if _is_refused(part)), None):
        path, value = path + found[0], found[1]
    return path


def _is_refused(value: object) -> bool:
    try:
        _encode(value)
    except _Refusal:
        return True
    return False


def parts(value: Any) -> Iterator[tuple[str, object]]:
    """What a container or record directly holds, each with its step in a path (`.name`, `[0]`); else nothing."""
    match value:
        case Mapping():
            for key, item in value.items():
                yield f"[key {key!r:.60}]", key
                yield (f".{key}" if isinstance(key, str) else f"[{key!r:.60}]"), item
        case list() | tuple():
            yield from ((f"[{index}]", item) for index, item in enumerate(value))
        case set() | frozenset():
            yield from ((f"[{item!r:.60}]", item) for item in value)
        case enum.Enum():
            yield ".value", value.value
        case _:
            yield from ((f".{name}", field) for name, field in fields_of(value).items())


def fields_of(record: Any) -> Mapping[str, Any]:
    """What a Struct, dataclass or pydantic model holds, the extras that a model allows included; else nothing."""
    if isinstance(record, msgspec.Struct):
        return {name: getattr(record, name) for name in record.__struct_fields__}
    if dataclasses.is_dataclass(record):
        return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    if is_model(record):
        own = {name: getattr(record, name) for name in type(record).model_fields}
        return own | (record.__pydantic_extra__ or {})
    return {}


def is_model(value: object) -> bool:
    """Whether this is a pydantic model: by what it has, for jobkit never imports pydantic."""
    return hasattr(type(value), "model_fields")
