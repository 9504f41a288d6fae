"""How a Struct fits pydantic models and FastAPI signatures, without pydantic being imported.

A pydantic core schema is a plain dictionary, so none of pydantic is needed to describe one.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec


def core_schema(read: Callable[[object], object], write: Callable[[Any], object]) -> dict[str, Any]:
    """`read` makes the value or raises `ValueError`; `write` makes what JSON can hold of it."""
    return {
        "type": "function-plain",
        "function": {"type": "no-info", "function": read},
        "serialization": {"type": "function-plain", "function": write},
    }


def json_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON schema in one piece: a host's OpenAPI document has no place for our definitions."""
    (schema,), components = msgspec.json.schema_components([kind], schema_hook=_of_foreign, ref_template="{name}")
    inlined: dict[str, Any] = _inlined(schema, components, ())
    return inlined


def _of_foreign(_kind: type) -> dict[str, Any]:
    return {"type": "object"}


def _inlined(schema: Any, components: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    """Every `$ref` replaced by what it names; within itself, by anything."""
    match schema:
        case {"$ref": str(name), **rest}:
            return {} if name in within else _inlined({**components[name], **rest}, components, (*within, name))
        case dict():
            return {key: _inlined(value, components, within) for key, value in schema.items()}
        case list():
            return [_inlined(item, components, within) for item in schema]
        case _:
            return schema
