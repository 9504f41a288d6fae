"""Lua as far as mutation needs to know it: the tokens of a file, and the statements they make.

The text is never rewritten as a whole: every token keeps its place, and the tokens' texts joined are the file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

KEYWORDS = frozenset({
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
    "repeat", "return", "then", "true", "until", "while",
})  # fmt: skip
COMPARISONS = frozenset({"==", "~=", "<", "<=", ">", ">="})
BINARY = COMPARISONS | {"+", "-", "*", "/", "%", "^", "..", "and", "or"}
UNARY = frozenset({"-", "#", "not"})

_TOKEN = re.compile(
    r"""
      (?P<comment> --\[(?P<fence>=*)\[ .*? \](?P=fence)\] | --[^\n]* )
    | (?P<string>  '(?:[^'\\\n]|\\.)*' | "(?:[^"\\\n]|\\.)*" | \[(?P<level>=*)\[ .*? \](?P=level)\] )
    | (?P<number>  0[xX][0-9a-fA-F]+ | (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? )
    | (?P<name>    [A-Za-z_]\w* )
    | (?P<operator> \.\.\. | \.\. | [=~<>]= | [-+*/%^\#<>=(){}\[\];:,.] )
    | (?P<space>   \s+ )
    """,
    re.VERBOSE | re.DOTALL,
)


class NotLua(Exception):
    """This text is not the Lua that the scripts are written in."""


@dataclass(frozen=True, slots=True)
class Token:
    """One word of the language: comment, string, number, name, keyword, operator or space."""

    kind: str
    text: str
    start: int
    line: int
    column: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement and what is inside of it, from its first to its last character.

    `kind` is call, assignment, local, function, return, break, if, while, for, repeat or do; `inside` says that a
    function is around it, so that it waits for a call.
    """

    kind: str
    start: int
    end: int
    inside: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """What an if, an elseif, a while or an until asks."""

    tokens: tuple[Token, ...]

    @property
    def start(self) -> int:
        return self.tokens[0].start

    @property
    def end(self) -> int:
        return self.tokens[-1].end


def tokens(text: str) -> Iterator[Token]:
    """All of them, comments and spaces too.

    Raises:
        NotLua: a character that begins no token.
    """
    place, line, began = 0, 1, 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise NotLua(f"line {line}: {text[place : place + 20]!r} begins no token")
        word = match[0]
        kind = next(name for name in _KINDS if match[name] is not None)
        if kind == "name" and word in KEYWORDS:
            kind = "keyword"
        yield Token(kind, word, place, line, place - began + 1)
        if "\n" in word:
            line += word.count("\n")
            began = place + word.rindex("\n") + 1
        place = match.end()


_KINDS = ("comment", "string", "number", "name", "operator", "space")


class Chunk:
    """A parsed file: its tokens without comments and spaces, its statements, and the conditions in them."""

    def __init__(self, text: str) -> None:
        self.tokens = [token for token in tokens(text) if token.kind not in {"comment", "space"}]
        self.statements: list[Statement] = []
        self.conditions: list[Condition] = []
        self.signs: set[int] = set()
        """Where a minus stands before its only operand."""
        self._at = 0
        self._functions = 0
        self._block()
        if self._word:
            self._fail("the end of the file")

    def innermost(self, place: int) -> Statement:
        """The smallest statement around a place of the text: it is executed whenever what stands there is."""
        around = [each for each in self.statements if each.start <= place < each.end]
        return max(around, key=lambda each: each.start)

    # Statements -------------------------------------------------------------------------------------------------------

    def _block(self) -> None:
        while self._word not in {"end", "else", "elseif", "until", ""}:
            start, first = self.tokens[self._at].start, self._word
            parse = getattr(self, f"_{first}", None) if first in _STATEMENTS else None
            kind = first if parse else "assignment"
            if parse:
                self._expect(first)
                parse()
            elif self._call_or_assignment() == "call":
                kind = "call"
            self.statements.append(Statement(kind, start, self.tokens[self._at - 1].end, self._functions > 0))
            self._skip(";")

    def _if(self) -> None:
        self._condition()
        self._expect("then")
        self._block()
        while self._skip("elseif"):
            self._condition()
            self._expect("then")
            self._block()
        if self._skip("else"):
            self._block()
        self._expect("end")

    def _while(self) -> None:
        self._condition()
        self._expect("do")
        self._do()

    def _for(self) -> None:
        self._names()
        if not self._skip("="):
            self._expect("in")
        self._expressions()
        self._expect("do")
        self._do()

    def _do(self) -> None:
        self._block()
        self._expect("end")

    def _repeat(self) -> None:
        self._block()
        self._expect("until")
        self._condition()

    def _function(self) -> None:
        self._names(".", ":")
        self._function_body()

    def _local(self) -> None:
        if self._skip("function"):
            self._function()
            return
        self._names()
        if self._skip("="):
            self._expressions()

    def _return(self) -> None:
        if self._word not in {"end", "else", "elseif", "until", ";", ""}:
            self._expressions()

    def _break(self) -> None:
        pass

    def _call_or_assignment(self) -> str:
        self._operand()
        if self.tokens[self._at - 1].text == ")" and self._word not in {"=", ","}:
            return "call"
        while self._skip(","):
            self._operand()
        self._expect("=")
        self._expressions()
        return "assignment"

    def _condition(self) -> None:
        first = self._at
        self._expression()
        self.conditions.append(Condition(tuple(self.tokens[first : self._at])))

    # Expressions ------------------------------------------------------------------------------------------------------

    def _expressions(self) -> None:
        self._expression()
        while self._skip(","):
            self._expression()

    def _expression(self) -> None:
        self._operand()
        while self._word in BINARY:
            self._at += 1
            self._operand()

    def _operand(self) -> None:
        while self._word in UNARY:
            if self._word == "-":
                self.signs.add(self.tokens[self._at].start)
            self._at += 1
        if self._skip("function"):
            self._function_body()
        elif self._word == "{":
            self._table()
        elif self._skip("("):
            self._expression()
            self._expect(")")
        elif self._kind in {"name", "number", "string"} or self._word in {"nil", "true", "false", "..."}:
            self._at += 1
        else:
            self._fail("an expression")
        while self._suffix():
            pass

    def _suffix(self) -> bool:
        if self._skip(".") or self._skip(":"):
            self._at += 1
        elif self._skip("["):
            self._expression()
            self._expect("]")
        elif self._skip("("):
            if self._word != ")":
                self._expressions()
            self._expect(")")
        else:
            return False
        return True

    def _table(self) -> None:
        self._expect("{")
        while self._word != "}":
            if self._skip("["):
                self._expression()
                self._expect("]")
                self._expect("=")
            elif self._kind == "name" and self.tokens[self._at + 1].text == "=":
                self._at += 2
            self._expression()
            if not (self._skip(",") or self._skip(";")):
                break
        self._expect("}")

    def _function_body(self) -> None:
        self._expect("(")
        if self._word != ")":
            self._names()
        self._expect(")")
        self._functions += 1
        self._block()
        self._functions -= 1
        self._expect("end")

    def _names(self, *separators: str) -> None:
        self._at += 1
        while any(self._skip(each) for each in separators or (",",)):
            self._at += 1

    # Tokens -----------------------------------------------------------------------------------------------------------

    @property
    def _word(self) -> str:
        """The next one; nothing at the end."""
        return self.tokens[self._at].text if self._at < len(self.tokens) else ""

    @property
    def _kind(self) -> str:
        return self.tokens[self._at].kind if self._at < len(self.tokens) else ""

    def _skip(self, word: str) -> bool:
        found = self._word == word
        self._at += found
        return found

    def _expect(self, word: str) -> None:
        if not self._skip(word):
            self._fail(repr(word))

    def _fail(self, wanted: str) -> NoReturn:
        found = f"line {self.tokens[self._at].line}: {self._word!r}" if self._word else "the end"
        raise NotLua(f"{found} where {wanted} was expected")


_STATEMENTS = frozenset({"if", "while", "for", "do", "repeat", "function", "local", "return", "break"})
