"""Makes a job of `key=value` texts, each read as the type of the field it names; and queues of theirs. Pure."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import msgspec

from jobkit.errors import BadArguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobkit.job import ProgressJob


def job_from(job: type[ProgressJob[Any]], pairs: Sequence[str]) -> ProgressJob[Any]:
    """The job with these arguments.

    Numbers, truths (`true`, `false`), dates and text are written plainly; lists and mappings as JSON.

    Raises:
        BadArguments: a pair names no field, or does not fit it; the text names the field.
    """
    fields = {field.name: field for field in msgspec.structs.fields(job)}
    given: dict[str, object] = {}
    for pair in pairs:
        name, text = _split(pair)
        if name not in fields:
            raise BadArguments(f"{job.__name__} has no argument {name!r}. {_advice(name, fields)}")
        if name in given:
            raise BadArguments(f"The argument {name!r} is given twice.")
        given[name] = _value(fields[name], text)
    _refuse_missing(job, fields, given)
    return job(**given)


def queues_of(text: str) -> tuple[str, ...] | dict[str, int]:
    """Names of queues with commas between; with their weights where one has one: `critical=6,low=1`, else 1.

    Raises:
        ValueError: a weight is no whole number.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not any("=" in name for name in names):
        return tuple(names)
    weights: dict[str, int] = {}
    for name in names:
        queue, _, weight = name.partition("=")
        if weight and not weight.strip().isdecimal():
            raise ValueError(
                f"The weight of the queue {queue!r} must be a whole number, as critical=6, not {weight!r}."
            )
        weights[queue.strip()] = int(weight) if weight else 1
    return weights


def signature(fields: dict[str, msgspec.structs.FieldInfo]) -> str:
    """The arguments as one would write them: `month: str, region: str = 'EU'`."""
    return ", ".join(_declared(field) for field in fields.values()) or "none"


def _split(pair: str) -> tuple[str, str]:
    name, equals, text = pair.partition("=")
    if not equals or not name.isidentifier():
        raise BadArguments(f"{pair!r} is no argument: write key=value.")
    return name, text


def _value(field: msgspec.structs.FieldInfo, text: str) -> object:
    try:
        return msgspec.convert(text, field.type, strict=False)
    except (msgspec.ValidationError, TypeError) as plain:
        try:
            value = msgspec.json.decode(text)
            if isinstance(value, dict | list):
                return value  # the job itself says whether it fits
        except msgspec.DecodeError:
            pass
        raise BadArguments(
            f"The argument {field.name}={text} does not fit: {_reason(plain)}."
            f" It is declared as {_declared(field)}{_how_to_write(field)}"
        ) from None


def _reason(error: Exception) -> str:
    return str(error).removesuffix(", got `str`") if isinstance(error, msgspec.ValidationError) else "it is no JSON"


def _how_to_write(field: msgspec.structs.FieldInfo) -> str:
    kind = msgspec.inspect.type_info(field.type)
    match kind:
        case msgspec.inspect.ListType() | msgspec.inspect.SetType() | msgspec.inspect.VarTupleType():
            return f""": write JSON, as {field.name}='["a", "b"]'."""
        case msgspec.inspect.BoolType():
            return ": write true or false."
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType() | msgspec.inspect.StrType():
            return "."
        case msgspec.inspect.DateType():
            return ": write it as 2026-01-31."
        case msgspec.inspect.LiteralType(values) | msgspec.inspect.EnumType(values):
            return f": write one of {', '.join(str(getattr(value, 'value', value)) for value in values)}."
        case _:
            return ": write it as JSON."


def _declared(field: msgspec.structs.FieldInfo) -> str:
    declared = f"{field.name}: {_type_name(field.type)}"
    return declared if field.required else f"{declared} = {_default(field)}"


def _type_name(kind: Any) -> str:
    if hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    return (
        kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind).replace("typing.", "")
    )


def _default(field: msgspec.structs.FieldInfo) -> str:
    return "…" if field.default is msgspec.NODEFAULT else repr(field.default)


def _advice(name: str, fields: dict[str, msgspec.structs.FieldInfo]) -> str:
    close = difflib.get_close_matches(name, fields, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Its arguments: {signature(fields)}."


def _refuse_missing(
    job: type[ProgressJob[Any]], fields: dict[str, msgspec.structs.FieldInfo], given: dict[str, object]
) -> None:
    missing = [name for name, field in fields.items() if field.required and name not in given]
    if missing:
        raise BadArguments(
            f"{job.__name__} also needs {', '.join(f'{name}=…' for name in missing)}."
            f" Its arguments: {signature(fields)}."
        )
