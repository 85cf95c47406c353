"""Words of Dockerfiles: where they are split, and what their variables are replaced by. Pure.

The rules are those of https://docs.docker.com/reference/dockerfile/#environment-replacement, and where that says
nothing, what BuildKit does. All blanks, names and digits are Unicode's, as they are there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BLANKS", "SPACES", "Expanded", "Word", "WordError", "expand", "lex_words", "split_flags", "split_words"]

#: What separates an instruction from its arguments, and the arguments of FROM and COPY.
BLANKS = re.compile(r"[\t\v\f\r ]+")
#: White space in the sense of Go's ``unicode.IsSpace``; Python's ``str.isspace`` knows four more.
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))

#: A value may be made of others, and these of others: without an end to it, 60 lines could fill the memory.
MAX_LENGTH = 20_000
MAX_DEPTH = 40
#: Patterns are tried at every place of a value; images' names are short.
MAX_MATCHED = 256
MAX_STARS = 2

_ANY = ".*"
_PARAMETERS = frozenset("@*#?-$!0")


class WordError(ValueError):
    """A word that cannot be read; says why."""


class Word(NamedTuple):
    """A word with its quotes taken away, and where it stands, quotes included, in the text that it was split from."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Expanded:
    """A word with its variables replaced."""

    value: str
    #: The variables that have no value and were replaced by nothing, each once.
    unset: tuple[str, ...] = ()


def expand(text: str, get: Callable[[str], str | None], *, escape: str = "\\") -> Expanded:
    """Replaces variables and takes quotes away. Raises :class:`WordError`."""
    lexer = _Lexer(text, escape, get)
    value, _ = lexer.read("")
    return Expanded(value, tuple(lexer.unset))


def lex_words(text: str) -> list[str]:
    """The words of a command line as BuildKit sees them when it looks for heredocs: quotes stay, variables too.

    Raises :class:`WordError`.
    """
    return _Lexer(text, "\\", None, raw=True).read("")[1]


def split_words(text: str, start: int, escape: str) -> list[Word]:
    """The words of ENV, ARG and LABEL from ``start`` on: split at blanks outside of quotes, quotes kept."""
    at = start
    words: list[Word] = []
    while True:
        while at < len(text) and text[at] in SPACES:
            at += 1
        if at == len(text):
            return words
        end = _end_of_word(text, at, escape)
        words.append(Word(text[at:end], at, end))
        at = end


def split_flags(text: str, start: int, escape: str) -> tuple[list[Word], int]:
    """The ``--flags`` at ``start`` with their quotes taken away, and where what follows them begins."""
    at = start
    flags: list[Word] = []
    while True:
        while at < len(text) and text[at] in SPACES:
            at += 1
        if not text.startswith("--", at):
            return flags, at
        end = _end_of_word(text, at, escape, in_single=True)
        word = _unquoted(text[at:end], escape)
        if word == "--":
            return flags, end
        flags.append(Word(word, at, end))
        at = end


def _end_of_word(text: str, at: int, escape: str, *, in_single: bool = False) -> int:
    """Where the word ends; ``in_single``: whether the escape character also escapes between single quotes."""
    quote = ""
    while at < len(text):
        char = text[at]
        if char == escape and (in_single or quote != "'"):
            at += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in SPACES:
            return at
        at += 1
    return len(text)


def _unquoted(text: str, escape: str) -> str:
    out, quote, at = [], "", 0
    while at < len(text):
        char = text[at]
        if char == escape and at + 1 < len(text):
            at += 1
            out.append(text[at])
        elif quote and char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif char != escape:
            out.append(char)
        at += 1
    return "".join(out)


@dataclass(slots=True)
class _Pieces:
    """A value while it is read, and the same value split at the blanks that no quote holds together."""

    value: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    word: list[str] = field(default_factory=list)
    length: int = 0
    limit: int = MAX_LENGTH

    def add(self, text: str, *, splits: bool) -> None:
        self.length += len(text)
        if self.length > self.limit:
            raise WordError(f"it becomes longer than {self.limit} characters")
        self.value.append(text)
        if not splits:
            self.word.append(text)
            return
        for char in text:
            if char in SPACES:
                self.end()
            else:
                self.word.append(char)

    def end(self) -> None:
        if word := "".join(self.word):
            self.words.append(word)
        self.word.clear()


class _Lexer:
    """One pass over a word. With ``raw``, nothing is replaced or taken away, and only the words matter."""

    def __init__(self, text: str, escape: str, get: Callable[[str], str | None] | None, *, raw: bool = False) -> None:
        self._text = text
        self._at = 0
        self._escape = escape
        self._get = get
        self._raw = raw
        self._depth = 0
        self.unset: dict[str, None] = {}

    def read(self, stop: str, *, raw_escapes: bool = False) -> tuple[str, list[str]]:
        """Up to the character ``stop``, which is passed over, or to the end where it is empty."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise WordError(f"variables are nested deeper than {MAX_DEPTH} levels")
        pieces = self._pieces()
        while char := self._peek():
            if char == stop:
                break
            if char == "$":
                pieces.add(self._variable(), splits=True)
            elif char in "'\"":
                pieces.add(self._single() if char == "'" else self._double(raw_escapes), splits=False)
            elif char == self._escape:
                pieces.add(self._escaped(raw_escapes), splits=False)
            else:
                pieces.add(self._take(), splits=True)
        if stop and not self._peek():
            raise WordError(f"a {stop!r} is missing")
        self._take()
        self._depth -= 1
        pieces.end()
        return "".join(pieces.value), pieces.words

    def _pieces(self) -> _Pieces:
        # Where nothing is replaced, nothing grows.
        return _Pieces(limit=len(self._text) if self._raw else MAX_LENGTH)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _escaped(self, raw_escapes: bool) -> str:
        char = self._take()
        return (char if self._raw or raw_escapes else "") + self._take()

    def _single(self) -> str:
        begin = self._at
        end = self._text.find("'", begin + 1)
        if end < 0:
            raise WordError("a single quote is never closed")
        self._at = end + 1
        return self._text[begin : end + 1] if self._raw else self._text[begin + 1 : end]

    def _double(self, raw_escapes: bool) -> str:
        pieces = self._pieces()
        quote = self._take()
        while char := self._peek():
            if char == '"':
                self._take()
                value = "".join(pieces.value)
                return f"{quote}{value}{quote}" if self._raw else value
            pieces.add(self._variable() if char == "$" else self._in_double(raw_escapes), splits=False)
        raise WordError("a double quote is never closed")

    def _in_double(self, raw_escapes: bool) -> str:
        char = self._take()
        if char != self._escape:
            return char
        kept = char if self._raw or raw_escapes else ""
        if not self._peek():
            return kept
        return kept + (self._take() if self._peek() in ('"', "$", self._escape) else char)

    def _variable(self) -> str:
        begin = self._at
        self._take()
        if self._peek() != "{":
            name = self._name()
            value = self._value(name) if name else "$"
        else:
            self._take()
            value = self._braced()
        return self._text[begin : self._at] if self._raw else value

    def _name(self) -> str:
        begin = self._at
        if self._peek().isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        elif self._peek() in _PARAMETERS:
            self._at += 1
        else:
            while (char := self._peek()) and (char.isalpha() or char.isdecimal() or char == "_"):
                self._at += 1
        return self._text[begin : self._at]

    def _value(self, name: str) -> str:
        value = self._get(name) if self._get else ""
        if value is None:
            self.unset[name] = None
        return value or ""

    def _braced(self) -> str:
        if not self._peek():
            raise WordError("a '}' is missing")
        if self._peek() in "{}:":
            raise WordError("a '${' has no name after it")
        name = self._name()
        operator = self._take()
        if operator == "}":
            return self._value(name)
        if operator == "/":
            return self._replaced(name)
        null_is_unset = operator == ":"
        if null_is_unset:
            operator = self._take()
        if not operator:
            raise WordError("a '}' is missing")
        if operator not in ("-", "+", "?", "#", "%"):
            raise WordError(f"${{{name}{operator}...}} is no substitution that Dockerfiles know")
        before = dict(self.unset)
        other, _ = self.read("}", raw_escapes=operator in "#%")
        if operator in "#%":
            return "" if self._raw else _trimmed(self._value(name), other, operator)
        chosen = self._chosen(name, operator, other, null_is_unset=null_is_unset)
        if chosen != other:
            self.unset = before  # what was not taken lacks nothing
        return chosen

    def _chosen(self, name: str, operator: str, other: str, *, null_is_unset: bool) -> str:
        value = self._get(name) if self._get else ""
        is_unset = value is None or (null_is_unset and not value)
        if operator == "-":
            return other if is_unset else value or ""
        if operator == "+":
            return "" if is_unset else other
        if is_unset and not self._raw:
            raise WordError(f"{name} has no value: {other or 'it must have one'}")
        return value or ""

    def _replaced(self, name: str) -> str:
        every = self._peek() == "/"
        if every:
            self._take()
        pattern, _ = self.read("/", raw_escapes=True)
        other, _ = self.read("}", raw_escapes=True)
        if self._raw:
            return ""
        expression, value = _pattern(pattern), _matched(self._value(name))
        return expression.sub(lambda _match: other, value, count=0 if every else 1)


def _trimmed(value: str, pattern: str, operator: str) -> str:
    """``${name#pattern}`` and ``${name%pattern}``; twice the operator takes as much as it can."""
    value, expression = _matched(value), _pattern(pattern.removeprefix(operator))
    lengths = list(range(len(value) + 1))
    if pattern.startswith(operator):
        lengths.reverse()
    if operator == "#":
        return next((value[n:] for n in lengths if expression.fullmatch(value[:n])), value)
    kept = [len(value) - n for n in lengths]
    return next((value[:n] for n in kept if expression.fullmatch(value[n:])), value)


def _matched(value: str) -> str:
    if len(value) > MAX_MATCHED:
        raise WordError(f"a value of more than {MAX_MATCHED} characters is held against a pattern")
    return value


def _pattern(pattern: str) -> re.Pattern[str]:
    """A pattern in which ``*`` and ``?`` mean what they mean to a shell, and a backslash takes that meaning away."""
    out, at = [], 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\" and at + 1 < len(pattern):
            at += 1
            out.append(re.escape(pattern[at]))
        elif char != "*":
            out.append("." if char == "?" else re.escape(char))
        elif out[-1:] != [_ANY]:
            out.append(_ANY)
        at += 1
    if out.count(_ANY) > MAX_STARS:
        raise WordError(f"a pattern with more than {MAX_STARS} '*' is more than this reader takes on")
    return re.compile("".join(out), re.DOTALL)
