"""The parser: nothing of a file is lost, and every statement and condition has its place."""

import pytest

from tests.mutation.lua import Chunk, NotLua, tokens
from tests.mutation.mutants import Source, sources


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.file)
def test_the_tokens_of_a_script_are_its_text(source: Source) -> None:
    found = list(tokens(source.text))
    assert "".join(token.text for token in found) == source.text
    assert all(source.text[token.start : token.end] == token.text for token in found)
    lines = source.text.splitlines()
    assert all(lines[token.line - 1][token.column - 1] == token.text[0] for token in found if token.kind != "space")


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.file)
def test_every_script_is_parsed_to_its_end(source: Source) -> None:
    assert Chunk(source.text).statements


def test_what_stands_in_strings_and_comments_is_no_code() -> None:
    text = "-- if a == b\nlocal a = 'if \\' and' --[[ or\nor ]] local b = \"--\" .. [[ and ]]"
    kinds = {token.text: token.kind for token in tokens(text)}
    assert kinds["'if \\' and'"] == kinds['"--"'] == kinds["[[ and ]]"] == "string"
    assert kinds["-- if a == b"] == kinds["--[[ or\nor ]]"] == "comment"
    assert [kind for kind in kinds.values() if kind == "keyword"] == ["keyword"]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("local a, b = f(1)", ["local"]),
        ("a.b[1] = 2", ["assignment"]),
        ("a, b = b, a", ["assignment"]),
        ("f(1) g.h(2)(3) s:m()", ["call", "call", "call"]),
        ("if a then f() elseif b then g() else h() end", ["call", "call", "call", "if"]),
        ("while a do break end", ["break", "while"]),
        ("for i = 1, #t do f() end for k, v in pairs(t) do end", ["call", "for", "for"]),
        ("repeat f() until a == b", ["call", "repeat"]),
        ("do local a end", ["local", "do"]),
        ("local function f(a, ...) return end", ["return", "local"]),
        ("function a.b() return 1, 2 end", ["return", "function"]),
        ("local t = {1, a = function() f() end, ['x'] = -1; 2}", ["call", "local"]),
        ("return not a and #b > -c ^ 2 or (d .. e)", ["return"]),
    ],
)
def test_statements_are_told_apart(text: str, kinds: list[str]) -> None:
    assert [statement.kind for statement in Chunk(text).statements] == kinds


def test_the_condition_of_an_elseif_belongs_to_the_whole_if() -> None:
    """It is asked when the branch before it was not taken, so not the last statement before it tells who reaches it."""
    text = "if a then f() elseif b then g() end"
    chunk = Chunk(text)
    assert chunk.innermost(text.index("b")).kind == "if"
    assert chunk.innermost(text.index("g")).kind == "call"
    assert [text[each.start : each.end] for each in chunk.conditions] == ["a", "b"]


def test_a_sign_is_no_subtraction() -> None:
    text = "return -a - -1"
    assert Chunk(text).signs == {7, 12}


@pytest.mark.parametrize("text", ["a = ", "f(", "if a f() end", "a = 1 end", "a ? b", "local = 1 +"])
def test_what_is_not_lua_is_refused(text: str) -> None:
    with pytest.raises(NotLua):
        Chunk(text)
