"""What one expression fetches, looks up and imports, read from what ``nix-instantiate --parse`` prints of it. Pure.

nix has parsed it by then: comments, operators' precedence and indented strings are gone, each call stands in
parentheses, ``<nixpkgs>`` is ``(__findFile __nixPath "nixpkgs")`` and paths are absolute. What is left to do is to
look at the words. Values that are more than texts put together are not worked out: that is evaluation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Fetch", "Parsed"]

_TOKEN = re.compile(
    r'"(?:\\.|[^"\\])*"'  # a text
    r"|//|/[^\s;()\[\]{}]*"  # an operator, a path
    r"|[A-Za-z_][\w'-]*"  # a name
    r"|\S",
    re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z_][\w'-]*")
#: Brackets around a text that is put together; a person writes one pair.
_DEEPEST = 20
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

# Those of nix itself, which go by no hash unless one is given
# (https://nix.dev/manual/nix/latest/language/builtins), and those of nixpkgs, which do nothing without.
_BUILTIN = frozenset(("fetchTarball", "fetchGit", "fetchTree", "fetchMercurial", "getFlake"))
#: Of nix's own, if they are not called by their short name: then they may be nixpkgs' own of that name.
_QUALIFIED = frozenset(("fetchurl",))
_NIXPKGS = frozenset(
    ("fetchFromGitHub", "fetchFromGitLab", "fetchFromSourcehut", "fetchFromGitea", "fetchgit", "fetchzip")
)
_IMPORTS = frozenset(("import", "callPackage", "scopedImport"))


@dataclass(frozen=True, slots=True)
class Fetch:
    """A call of something that brings files from elsewhere."""

    #: ``fetchTarball``, ``fetchGit``, ``getFlake``, ``fetchFromGitHub``, ...
    function: str
    #: What it is called with: texts by their names, a bare text as ``url``; ``None`` where it is more than a text.
    values: dict[str, str | None] = field(default_factory=dict)
    #: The first text in the argument that tells it apart from others: a piece of an address.
    piece: str = ""
    #: Whether the argument is there to be read: a variable may hold a hash.
    is_told: bool = True

    def text(self, *names: str) -> str:
        """The first of these that is known; empty where none is."""
        return next((value for name in names if (value := self.values.get(name))), "")

    def has(self, *names: str) -> bool:
        """Whether one of these is given, whatever it is."""
        return any(name in self.values for name in names)


class Parsed:
    """One expression's words."""

    def __init__(self, text: str) -> None:
        self._words = _TOKEN.findall(text)
        self._ends = dict(_pairs(self._words))
        self._starts = {end: start for start, end in self._ends.items()}

    @cached_property
    def searched(self) -> list[str]:
        """What is looked up in the search path, in order, as often as it is: ``nixpkgs``, ``nixpkgs/lib``."""
        words = self._words
        found = (
            _unquoted(words[at + 2])
            for at in range(len(words) - 2)
            if words[at] == "__findFile" and words[at + 1] == "__nixPath" and words[at + 2].startswith('"')
        )
        return [name for name in found if name]

    @cached_property
    def paths(self) -> list[str]:
        """Every absolute path that stands in it."""
        return [word for word in self._words if word.startswith("/") and word != "//"]

    @cached_property
    def imported(self) -> list[str]:
        """The paths that ``import`` or ``callPackage`` are called with."""
        words = self._words
        return [
            words[at + 1]
            for at in range(len(words) - 1)
            if words[at] in _IMPORTS and words[at + 1].startswith("/") and words[at + 1] != "//"
        ]

    def calls(self, builtin: str) -> list[str]:
        """The first arguments that ``builtins.NAME`` is called with; empty ones where they are no texts."""
        found = []
        for at, word in enumerate(self._words[:-1]):
            if word == builtin and self._called_on(at) == "builtins":
                found.append(self._value(at + 1)[0] or "")
        return found

    def uses(self, builtin: str) -> bool:
        """Whether ``builtins.NAME`` stands in it, called or not."""
        return any(
            word == builtin and self._words[at - 2 : at] == [")", "."] and self._words[at - 3] == "builtins"
            for at, word in enumerate(self._words)
            if at >= 3
        )

    @cached_property
    def fetches(self) -> list[Fetch]:
        """All calls that bring files, in order."""
        return list(self._fetches())

    def _fetches(self) -> Iterator[Fetch]:
        for at, word in enumerate(self._words[:-1]):
            if word not in _BUILTIN | _QUALIFIED | _NIXPKGS:
                continue
            on = self._called_on(at)
            if on is None or (word in _QUALIFIED and on != "builtins"):
                continue
            yield self._fetch(word, at + 1)

    def _called_on(self, at: int) -> str | None:
        """What the function at a word is an attribute of, where the word is called; empty where of nothing.

        ``((builtins).fetchGit ...)`` -> ``builtins``, ``(fetchGit ...)`` -> empty, ``(map fetchGit ...)`` -> ``None``.
        """
        words = self._words
        if at and words[at - 1] == "(":
            return "" if words[at + 1] != ")" else None
        start = at - 1
        while start > 1 and words[start] == "." and _NAME.fullmatch(words[start - 1]):
            start -= 2
        if start < 1 or words[start] != "." or words[start - 1] != ")":
            return None
        opened = self._starts.get(start - 1, 0)
        return words[start - 2] if opened and words[opened - 1] == "(" and words[at + 1] != ")" else None

    def _fetch(self, function: str, at: int) -> Fetch:
        words = self._words
        if words[at] == "rec":
            at += 1
        if words[at] == "{":
            values = dict(self._attributes(at))
            return Fetch(function, values, self._piece(at))
        value, piece = self._value(at)[0], self._piece(at)
        told = value is not None or bool(piece)
        return Fetch(function, {"url": value} if told else {}, piece, is_told=told)

    def _piece(self, at: int) -> str:
        end = self._ends.get(at, at)
        texts = [_unquoted(word) for word in self._words[at : end + 1] if word.startswith('"')]
        return next((text for text in texts if "/" in text), texts[0] if texts else "")

    def _attributes(self, at: int) -> Iterator[tuple[str, str | None]]:
        """Names and values between the braces that begin at a word."""
        end, at = self._ends.get(at, at), at + 1
        while at < end:
            stop = self._semicolon(at, end)
            if self._words[at] == "inherit":
                names = at + 1 if self._words[at + 1] != "(" else self._ends.get(at + 1, at) + 1
                yield from ((name, self.bound.get(name)) for name in self._words[names:stop] if _NAME.fullmatch(name))
            elif self._words[at + 1] == "=":
                yield self._words[at].strip('"'), self._value(at + 2)[0]
            at = stop + 1

    def _semicolon(self, at: int, end: int) -> int:
        while at < end and self._words[at] != ";":
            at = self._ends.get(at, at) + 1
        return at

    def _value(self, at: int, depth: int = 0) -> tuple[str | None, int]:
        """The text that the words from here on are, and the word behind it; ``None`` where they are more."""
        word = self._words[at]
        if word.startswith('"'):
            return _unquoted(word), at + 1
        if word == "(":
            end = self._ends.get(at, at)
            return self._joined(at + 1, end, depth + 1) if depth < _DEEPEST else (None, end + 1)
        if _NAME.fullmatch(word) and at + 1 < len(self._words) and self._words[at + 1] != ".":
            return self.bound.get(word), at + 1
        return None, at + 1

    def _joined(self, at: int, end: int, depth: int) -> tuple[str | None, int]:
        """``("https://" + rev + ".tar.gz")``: texts put together."""
        pieces: list[str] = []
        while at < end:
            value, at = self._value(at, depth)
            if value is None or (at < end and self._words[at] != "+"):
                return None, end + 1
            pieces.append(value)
            at += 1
        return "".join(pieces), end + 1

    @cached_property
    def bound(self) -> dict[str, str]:
        """The names that stand for one text, wherever they are bound, as ``rev = "..."`` in a ``let``."""
        found: dict[str, set[str]] = {}
        words = self._words
        for at in range(len(words) - 3):
            if words[at + 1] not in ("=", "?") or not _NAME.fullmatch(words[at]):
                continue
            is_text = words[at + 2].startswith('"') and words[at + 3] in (";", ",", "}")
            found.setdefault(words[at], set()).add(words[at + 2] if is_text else "")
        return {name: _unquoted(*texts) for name, texts in found.items() if len(texts) == 1 and "" not in texts}


def _pairs(words: list[str]) -> Iterator[tuple[int, int]]:
    """Where brackets begin and end."""
    waiting: list[int] = []
    for at, word in enumerate(words):
        if word in "([{":
            waiting.append(at)
        elif word in ")]}" and waiting:
            yield waiting.pop(), at


def _unquoted(word: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), word[1:-1])
