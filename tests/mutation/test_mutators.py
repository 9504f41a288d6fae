"""The mutators: each makes the mistakes that it is named for, and no mistake is made twice."""

import pytest

from tests.mutation.mutants import mutants, sources
from tests.mutation.mutators import changes


def mutated(text: str, kind: str) -> list[str]:
    return [
        text[: change.start] + change.replacement + text[change.end :]
        for change in changes(text)
        if change.kind.startswith(kind)
    ]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("boundary", "return a < b, c >= d", ["return a <= b, c >= d", "return a < b, c > d"]),
        ("boundary", "return a < now, now_us >= b", []),
        ("opposite", "return a < now", ["return a >= now"]),
        ("opposite", "return a == b", ["return a ~= b"]),
        ("opposite", "return a <= b", ["return a > b"]),
        ("logic", "return a and b or c", ["return a or b or c", "return a and b and c"]),
        ("arithmetic", "return a + b * c", ["return a - b * c", "return a + b / c"]),
        ("arithmetic", "return -a", []),
        ("sign", "return -a - b", ["return a - b"]),
        ("truth", "return true", ["return false"]),
        ("not removed", "return not a", ["return  a"]),
        ("number", "return 7", ["return 8", "return 6", "return 0"]),
        ("number", "return 60000", ["return 120000", "return 30000", "return 0"]),
        ("number", "return 1.2", ["return 2.4", "return 0.6", "return 0"]),
        ("number", "return a[1]", ["return a[2]", "return a[0]"]),
        ("default", "return a or 0", ["return a or 9007199254740991"]),
        ("default", "return a or '0'", ["return a or '9007199254740991'"]),
        ("number", "return a or 0", []),
        ("text", "return 'live', 'run:'", ["return 'live_', 'run:'", "return 'live', 'run:_'"]),
        ("text", "return '' .. a", ["return '_' .. a"]),
        ("text", "return '0' .. '12'", ["return '1' .. '12'", "return '0' .. '0'"]),
        ("text", "redis.call('HGET', '%S+', 'WITHSCORES')", []),
        ("infinity", "return '+inf', '-inf'", ["return '-inf', '-inf'", "return '+inf', '+inf'"]),
        ("extreme", "return math.max(1, 2)", ["return math.min(1, 2)"]),
        ("condition", "if a then f() end", ["if not (a) then f() end"]),
        ("condition", "if a == b and c then f() end", ["if not (a == b and c) then f() end"]),
        ("condition", "if a == b then f() elseif not c then g() end", []),
        ("call deleted", "f() g(h(1))", [" g(h(1))", "f() "]),
        ("assignment deleted", "local a = 1 a = 2", ["local a = 1 "]),
        ("return deleted", "if a then return 1 end", ["if a then  end"]),
        ("break deleted", "while a do break end", ["while a do  end"]),
    ],
)  # fmt: skip
def test_a_mutator_makes_its_mistakes(kind: str, text: str, expected: list[str]) -> None:
    assert mutated(text, kind) == expected


def test_comments_and_strings_are_not_mutated_as_code() -> None:
    assert not list(changes("-- a == b and 1\nlocal a = 'It is not 1 < 2'"))


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.file)
def test_every_mutant_of_a_script_differs_from_it_and_from_all_others(source: object) -> None:
    made = mutants(source)  # type: ignore[arg-type]
    texts = {mutant.text for mutant in made}
    assert len(texts) == len(made)
    assert source.text not in texts  # type: ignore[attr-defined]
    assert len({mutant.name for mutant in made}) == len(made)
