"""Dockerfiles, read into instructions with their exact lines. Pure.

By https://docs.docker.com/reference/dockerfile/, and by what BuildKit does where that says nothing: parser directives,
comments, continuation lines, heredocs, ONBUILD. What the instructions mean is :mod:`ci_envs.containers.dockerfile`'s.
"""

from __future__ import annotations

import bisect
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from ci_envs.containers.dockerfile_words import BLANKS, SPACES, Word, WordError, expand, lex_words, split_flags
from ci_envs.errors import UsageError
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Dockerfile", "Heredoc", "Instruction", "Span", "Syntax", "read_dockerfile"]

#: No person writes a longer one.
MAX_CHARACTERS = 2 * 1024 * 1024

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)", re.DOTALL)
_DIRECTIVES = frozenset(("syntax", "escape", "check"))
_HEREDOC = re.compile(r"\d*<<(?P<dash>-?)\s*(?P<word>[^<]*)", re.DOTALL)
_HOLDS_HEREDOCS = frozenset(("ADD", "COPY", "RUN"))

#: From where to where of the file's text.
Span = tuple[int, int]


class Heredoc(NamedTuple):
    """What stands between ``<<EOF`` and ``EOF``."""

    name: str
    #: As it stands, with its line ends.
    content: str
    #: The 1-based line of its first line.
    line: int


class Syntax(NamedTuple):
    """The frontend that a ``# syntax=`` directive names."""

    image: str
    line: int
    span: Span


class _Line(NamedTuple):
    text: str
    #: Where it begins in the file.
    start: int


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the characters of a joined line stand in the file."""

    #: Where each piece begins: in the joined line, and in the file.
    joined: tuple[int, ...]
    file: tuple[int, ...]
    #: The 1-based line of each piece.
    lines: tuple[int, ...]

    def spans(self, start: int, end: int) -> tuple[Span, ...]:
        """The pieces of the file that make up a part of the joined line."""
        found = []
        for at in range(self._piece(start), len(self.joined)):
            begin = max(start, self.joined[at])
            stop = min(end, self.joined[at + 1] if at + 1 < len(self.joined) else end)
            if begin >= end:
                break
            if begin < stop:
                shift = self.file[at] - self.joined[at]
                found.append((begin + shift, stop + shift))
        return tuple(found)

    def line(self, at: int) -> int:
        return self.lines[self._piece(at)]

    def _piece(self, at: int) -> int:
        # The last of those that begin there: pieces may be empty.
        return max(0, bisect.bisect_right(self.joined, at) - 1)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its continuation lines joined."""

    #: In upper case: ``FROM``.
    name: str
    #: All of it on one line, comments and continuation characters gone.
    line: str
    #: The ``--flags``, quotes taken away.
    flags: tuple[Word, ...]
    #: What follows the flags, and where in ``line`` it begins.
    arguments: str
    start: int
    #: 1-based.
    first: int
    last: int
    heredocs: tuple[Heredoc, ...] = ()
    #: Whether it stands behind ONBUILD: it is carried out when another image is built on this one.
    on_build: bool = False
    _places: _Places = field(default_factory=lambda: _Places((0,), (0,), (1,)), repr=False, compare=False)

    def spans(self, start: int, end: int) -> tuple[Span, ...]:
        """Where a part of ``line`` stands in the file: several pieces where it goes on over lines."""
        return self._places.spans(start, end)

    def line_of(self, at: int) -> int:
        """The file's line on which a character of ``line`` stands."""
        return self._places.line(at)

    def words(self) -> list[Word]:
        """The arguments, split at blanks."""
        found, at = [], 0
        for blank in BLANKS.finditer(self.arguments):
            found.append((at, blank.start()))
            at = blank.end()
        found.append((at, len(self.arguments)))
        return [Word(self.arguments[b:e], self.start + b, self.start + e) for b, e in found if b < e]

    def array(self) -> list[str] | None:
        """The arguments of the exec form, ``["a", "b"]``; ``None`` where they are no such list."""
        return _array(self.arguments)


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A file of instructions."""

    #: As it was given, and how the user calls it.
    text: str
    file: str
    instructions: tuple[Instruction, ...]
    #: The character that joins lines and escapes.
    escape: str = "\\"
    syntax: Syntax | None = None


def read_dockerfile(text: str, *, file: str = "Dockerfile") -> Dockerfile:
    """Reads it. Raises :class:`UsageError`, with the line, for what no engine would read either."""
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"has {len(text)} characters; {MAX_CHARACTERS} are the most that is read", file=file)
    reader = _Reader(text, file)
    instructions = tuple(reader.instructions())
    if not instructions:
        raise UsageError("holds no instruction", file=file, hint="a Dockerfile begins with FROM and an image")
    return Dockerfile(text, file, instructions, reader.escape, _syntax(text))


class _Reader:
    """One pass over the lines."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._lines = _lines(text)
        #: How many lines are read: the 1-based number of the last one.
        self._number = 0
        self._directives: set[str] | None = set()
        self.escape = "\\"
        self._goes_on = _continuation(self.escape)

    def instructions(self) -> Iterator[Instruction]:
        """All of them; lines that say nothing are passed over."""
        while (begin := self._next()) is not None:
            first = self._number
            self._directive(begin.text.lstrip(SPACES))
            joined, places = self._joined(begin)
            if not joined.strip(SPACES):
                continue
            instruction = _instruction(joined, places, self.escape, first, self._number)
            yield self._with_heredocs(instruction)

    def _next(self) -> _Line | None:
        if self._number == len(self._lines):
            return None
        self._number += 1
        return self._lines[self._number - 1]

    def _directive(self, line: str) -> None:
        """Directives stand at the top: the first line that is none ends the search."""
        if self._directives is None:
            return
        found = _DIRECTIVE.fullmatch(line.rstrip())
        name = found[1].lower() if found else ""
        if found is None or name not in _DIRECTIVES:
            self._directives = None
            return
        if name in self._directives:
            raise self._error(f"the directive {name!r} stands here a second time", "keep one of the two")
        self._directives.add(name)
        if name == "escape":
            if found[2] not in ("\\", "`"):
                raise self._error(f"{one_line(found[2], 20)!r} cannot be the escape character", "it is \\ or `")
            self.escape = found[2]
            self._goes_on = _continuation(self.escape)

    def _joined(self, begin: _Line) -> tuple[str, _Places]:
        """A line and those that continue it. Comments and empty lines among these are passed over."""
        indent = len(begin.text) - len(begin.text.lstrip(SPACES))
        line: _Line | None = _Line(begin.text[indent:], begin.start + indent)
        pieces: list[tuple[str, int, int]] = []
        while line is not None:
            is_first = not pieces
            if _is_comment(line.text):
                if is_first:
                    return "", _Places((0,), (0,), (self._number,))
                line = self._next()
                continue
            if not is_first and not line.text.strip(SPACES):
                line = self._next()
                continue
            kept = self._goes_on.sub("", line.text)
            pieces.append((kept, line.start, self._number))
            line = self._next() if len(kept) < len(line.text) else None
        return _together(pieces)

    def _with_heredocs(self, instruction: Instruction) -> Instruction:
        if instruction.name not in _HOLDS_HEREDOCS or "<<" not in instruction.line or instruction.array() is not None:
            return instruction
        found = tuple(self._heredoc(name, tabs=tabs, line=instruction.first) for name, tabs in _opened(instruction))
        return replace(instruction, last=self._number, heredocs=found)

    def _heredoc(self, name: str, *, tabs: bool, line: int) -> Heredoc:
        begin = self._number + 1
        content: list[str] = []
        while (read := self._next()) is not None:
            if (read.text.lstrip("\t") if tabs else read.text) == name:
                return Heredoc(name, "".join(f"{text}\n" for text in content), begin)
            content.append(read.text)
        shown = one_line(name, 40)
        raise UsageError(
            f"the heredoc {shown!r} has no end",
            file=self._file,
            line=line,
            hint=f"a line that holds {shown} alone ends it" + ("" if tabs else "; only <<- allows tabs before it"),
        )

    def _error(self, message: str, hint: str) -> UsageError:
        return UsageError(message, file=self._file, line=self._number, hint=hint)


def _lines(text: str) -> list[_Line]:
    """The lines without their ends. Only a line feed ends one."""
    start = 1 if text.startswith("\ufeff") else 0
    found = []
    for line in text[start:].split("\n"):
        found.append(_Line(line.rstrip("\r"), start))
        start += len(line) + 1
    if found and not found[-1].text:
        found.pop()
    return found


def _continuation(escape: str) -> re.Pattern[str]:
    """The escape character at a line's end, blanks after it allowed. One before it makes it an ordinary character."""
    char = re.escape(escape)
    return re.compile(rf"(?<!{char}){char}[ \t]*\Z")


def _is_comment(line: str) -> bool:
    return line.lstrip(SPACES).startswith("#")


def _together(pieces: list[tuple[str, int, int]]) -> tuple[str, _Places]:
    starts, at = [], 0
    for text, _, _ in pieces:
        starts.append(at)
        at += len(text)
    places = _Places(tuple(starts), tuple(start for _, start, _ in pieces), tuple(number for _, _, number in pieces))
    return "".join(text for text, _, _ in pieces), places


def _instruction(line: str, places: _Places, escape: str, first: int, last: int) -> Instruction:
    start = len(line) - len(line.lstrip(SPACES))
    name, flags, begin = _split(line, start, escape)
    on_build = name == "ONBUILD" and begin < len(line)
    if on_build:
        name, flags, begin = _split(line, begin, escape)
    arguments = line[begin:].rstrip(SPACES)
    return Instruction(name, line, tuple(flags), arguments, begin, first, last, (), on_build, places)


def _split(line: str, start: int, escape: str) -> tuple[str, list[Word], int]:
    """The instruction's name, its flags, and where the arguments begin."""
    blank = BLANKS.search(line, start)
    if blank is None:
        return line[start:].rstrip(SPACES).upper(), [], len(line)
    flags, begin = split_flags(line, blank.end(), escape)
    while begin < len(line) and line[begin] in SPACES:
        begin += 1
    return line[start : blank.start()].upper(), flags, begin


def _array(arguments: str) -> list[str] | None:
    if not arguments.startswith("["):
        return None
    try:
        found = json.loads(arguments)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and all(isinstance(word, str) for word in found) else None


def _opened(instruction: Instruction) -> Iterator[tuple[str, bool]]:
    """The heredocs that a line opens: their names, and whether tabs before their lines do not count."""
    try:
        words = lex_words(instruction.line)
    except WordError:
        return  # BuildKit finds none either in what it cannot split
    for word in words:
        found = _HEREDOC.fullmatch(word)
        if found is None or not found["word"]:
            continue
        try:
            name = expand(found["word"], lambda name: f"${name}").value
        except WordError:
            continue
        if name and name == name.strip(SPACES):
            yield name, bool(found["dash"])


def _syntax(text: str) -> Syntax | None:
    """The frontend. Unlike other directives it may follow a ``#!`` line, and is not looked for behind blanks."""
    lines = _lines(text)
    skipped = 1 if lines and lines[0].text.startswith("#!") else 0
    for number, line in enumerate(lines[skipped:], skipped + 1):
        found = _DIRECTIVE.fullmatch(line.text.rstrip())
        if found is None or found[1].lower() not in _DIRECTIVES:
            return None
        if found[1].lower() == "syntax":
            image = found[2].partition(" ")[0]
            start = line.start + found.start(2)
            return Syntax(image, number, (start, start + len(image)))
    return None
