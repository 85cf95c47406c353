"""Where the values of a TOML text stand: ``tomllib`` gives data without positions. Pure.

The grammar is that of https://toml.io/en/v1.0.0. A text that is none is read up to where it ends to be one: whoever
needs the data has had it refused already.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from functools import lru_cache

__all__ = ["Place", "toml_places"]

#: The 1-based line of a value, and its text where it is a string (else empty).
Place = tuple[int, str]
#: Keys and list positions from the top of a document to a value.
Path = tuple[str | int, ...]

#: Values that hold values, one in another.
MAX_DEPTH = 50

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")
_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL)
_DOT = re.compile(r"[ \t]*\.[ \t]*")


@lru_cache(maxsize=32)
def toml_places(text: str) -> dict[Path, Place]:
    """The place of every key and every list's element; a key's line is where it stands, its value may begin below.

    Elements of an array of tables are counted, as those of a list are. The result is shared: not to be changed.
    """
    reader = _Reader(text)
    with contextlib.suppress(_EndError):
        reader.document()
    return reader.places


class _EndError(Exception):
    """The text is no TOML from here on."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.places: dict[Path, Place] = {}
        self._text = text
        self._at = 0
        self._counted = (0, 1)
        #: How many tables an array of tables has so far.
        self._tables: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        while self._skip():
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table, 0)

    def _header(self) -> Path:
        line, is_array = self._line(), self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        self._skip()
        path: Path = ()
        keys = self._key()
        for number, key in enumerate(keys, 1):
            path = (*path, key)
            if is_array and number == len(keys):
                self._tables[path] = self._tables.get(path, 0) + 1
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
        self._skip()
        self._expect("]]" if is_array else "]")
        self.places.setdefault(path, (line, ""))
        return path

    def _pair(self, table: Path, depth: int) -> None:
        line = self._line()
        path = (*table, *self._key())
        self._skip()
        self._expect("=")
        self._skip()
        self._value(path, depth)
        self.places[path] = (line, self.places[path][1])

    def _value(self, path: Path, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise _EndError
        self.places[path] = (self._line(), "")
        match self._text[self._at : self._at + 1]:
            case "[":
                self._array(path, depth)
            case "{":
                self._inline_table(path, depth)
            case '"' | "'":
                self.places[path] = (self.places[path][0], self._string())
            case _:
                self._take(_BARE_VALUE)

    def _array(self, path: Path, depth: int) -> None:
        self._at += 1
        number = 0
        while self._skip() and not self._text.startswith("]", self._at):
            self._value((*path, number), depth + 1)
            number += 1
            self._comma("]")
        self._expect("]")

    def _inline_table(self, path: Path, depth: int) -> None:
        self._at += 1
        while self._skip() and not self._text.startswith("}", self._at):
            self._pair(path, depth + 1)
            self._comma("}")
        self._expect("}")

    def _key(self) -> list[str]:
        keys = []
        while True:
            quoted = self._text[self._at : self._at + 1] in ('"', "'")
            keys.append(self._string() if quoted else self._take(_BARE_KEY))
            if not (dot := _DOT.match(self._text, self._at)):
                return keys
            self._at = dot.end()

    def _string(self) -> str:
        raw = self._take(_STRING)
        try:
            value = tomllib.loads(f"x = {raw}")["x"]
        except tomllib.TOMLDecodeError as error:
            raise _EndError from error
        return str(value)

    def _comma(self, end: str) -> None:
        self._skip()
        if not self._text.startswith(end, self._at):
            self._expect(",")

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise _EndError
        self._at = found.end()
        return found[0]

    def _expect(self, word: str) -> None:
        if not self._text.startswith(word, self._at):
            raise _EndError
        self._at += len(word)

    def _skip(self) -> bool:
        """Over blanks and comments; whether anything follows."""
        found = _BLANK.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at < len(self._text)

    def _line(self) -> int:
        at, line = self._counted
        self._counted = self._at, line + self._text.count("\n", at, self._at)
        return self._counted[1]
