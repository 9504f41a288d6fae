"""The JSON schema of a Struct: in one piece, whatever it holds."""

import msgspec
import pydantic

from jobkit.schema import json_schema


class Tree(msgspec.Struct):
    name: str
    branches: list["Tree"] = []


class Person(pydantic.BaseModel):
    name: str


class Visit(msgspec.Struct):
    person: Person
    tree: Tree


def test_what_is_named_elsewhere_stands_in_place() -> None:
    tree = json_schema(Visit)["properties"]["tree"]
    assert tree["properties"]["name"] == {"type": "string"}


def test_what_contains_itself_is_described_once() -> None:
    assert json_schema(Tree)["properties"]["branches"]["items"] == {}


def test_what_msgspec_does_not_know_is_an_object() -> None:
    assert json_schema(Visit)["properties"]["person"] == {"type": "object"}
