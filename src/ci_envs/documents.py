"""Strict reading of YAML that a stranger may have written.

PyYAML parses (its C library where that is built in); what its events mean is decided here. Plain scalars are those
of the YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema): ``no`` and ``on`` are text, ``0o10`` is 8.
Anchors, aliases, merge keys, tags and duplicate keys are refused; depth and size have limits. Pure: text in, data out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Document", "Path", "load_yaml"]

#: Keys and list positions from the top of a document to a value.
Path = tuple[str | int, ...]

MAX_BYTES = 5 * 1024 * 1024
MAX_DEPTH = 50
MAX_NODES = 200_000

# Python refuses to read longer decimal numbers (sys.get_int_max_str_digits), and no setting needs one.
_MAX_DIGITS = 1000

_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBERS: tuple[tuple[re.Pattern[str], Callable[[str], int | float]], ...] = (
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"), lambda text: float(text.replace(".", ""))),
)


class Document:
    """What a file says, and where it says it. Lines are looked up by reading again: only an error pays for them."""

    def __init__(self, data: Any, *, file: str, text: str = "") -> None:
        self.data = data
        self.file = file
        #: The YAML; empty where the data came from elsewhere and has no lines to show.
        self._text = text
        self._places: dict[Path, tuple[int, str]] | None = None

    def value(self, *path: str | int) -> Any:
        """The value at a path; ``None`` where there is nothing."""
        value = self.data
        for key in path:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def line(self, *path: str | int) -> int:
        """The 1-based line of the value at a path, or of what it would be in; 0 where no line is known."""
        places = self._located()
        while path and path not in places:
            path = path[:-1]
        return places[path][0] if path in places else 0

    def written(self, *path: str | int) -> str:
        """A scalar as its author wrote it; empty where that is not known."""
        return self._located().get(path, (0, ""))[1]

    def error(self, message: str, *path: str | int, hint: str = "") -> UsageError:
        """An error about the value at a path, to be raised."""
        return UsageError(message, file=self.file, line=self.line(*path), hint=hint)

    def _located(self) -> dict[Path, tuple[int, str]]:
        if self._places is None:
            self._places = {}
            if self._text:
                _Reader(self._text, self.file, self._places).read()
        return self._places


def load_yaml(text: str, *, file: str) -> Document:
    """The one document of a YAML text; :class:`UsageError` with its line for anything that is not read.

    ``file`` is the name that errors show. An empty text holds ``None``.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise UsageError(f"has {size} bytes; {MAX_BYTES} are the most that is read", file=file)
    return Document(_Reader(text, file).read(), file=file, text=text)


class _Reader:
    """One pass over the parser's events; notes the place of every value where it is given somewhere to."""

    def __init__(self, text: str, file: str, places: dict[Path, tuple[int, str]] | None = None) -> None:
        self._text = text
        self._file = file
        self._places = places
        self._nodes = 0

    def read(self) -> Any:
        loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
        try:
            return self._stream(yaml.parse(self._text, Loader=loader))
        except yaml.reader.ReaderError as error:
            line = self._text.encode()[: error.position].count(b"\n") + 1
            raise UsageError("holds a character that YAML does not allow", file=self._file, line=line) from error
        except yaml.MarkedYAMLError as error:
            raise self._syntax(error) from error
        except UnicodeEncodeError as error:
            raise UsageError("holds half of a surrogate pair", file=self._file) from error

    def _stream(self, events: Iterator[yaml.Event]) -> Any:
        next(events)  # the stream's start
        if isinstance(next(events), yaml.StreamEndEvent):
            return None
        value = self._value(next(events), events, (), 1)
        next(events)  # the document's end
        after = next(events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._error("a second document begins here; one file holds one", after)
        return value

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], path: Path, depth: int) -> Any:
        self._admit(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            self._note(path, event, event.value)
            return event.value if event.style else self._plain(event)
        self._note(path, event, "")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, path, depth)
        return self._mapping(events, path, depth)

    def _admit(self, event: yaml.Event, depth: int) -> None:
        self._nodes += 1
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            kind = "alias *" if isinstance(event, yaml.AliasEvent) else "anchor &"
            raise self._error(f"the {kind}{event.anchor} is not read", event, hint=_NO_ALIASES)
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag is not None:
            raise self._error(f"the tag {event.tag!r} is not read", event, hint="write the value without a tag")
        if depth > MAX_DEPTH:
            raise self._error(f"is nested deeper than {MAX_DEPTH} levels", event)
        if self._nodes > MAX_NODES:
            raise self._error(f"holds more than {MAX_NODES} values", event, hint="write axes, not every combination")

    def _sequence(self, events: Iterator[yaml.Event], path: Path, depth: int) -> list[Any]:
        values: list[Any] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            values.append(self._value(event, events, (*path, len(values)), depth + 1))
        return values

    def _mapping(self, events: Iterator[yaml.Event], path: Path, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event, depth)
            if key in values:
                raise self._error(f"the key {_short(key)} stands here a second time", event)
            values[key] = self._value(next(events), events, (*path, key), depth + 1)
            if self._places is not None:  # a key's line is where a person looks, its value may begin below
                self._places[*path, key] = (_line(event), self._places[*path, key][1])
        return values

    def _key(self, event: yaml.Event, depth: int) -> str:
        self._admit(event, depth + 1)
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error("a key must be text, not a list or a table", event)
        if not event.style and event.value == "<<":
            raise self._error("the merge key << is not read", event, hint=_NO_ALIASES)
        key = event.value if event.style else self._plain(event)
        if not isinstance(key, str):
            raise self._error(f'the key {_short(event.value)} is not text here; write "{event.value}"', event)
        return key

    def _plain(self, event: yaml.ScalarEvent) -> Any:
        text: str = event.value
        if text in _WORDS:
            return _WORDS[text]
        if not (text[0].isdigit() or text[0] in "+-."):  # most are words, and need no expression
            return text
        for shape, number in _NUMBERS:
            if shape.fullmatch(text):
                if len(text) > _MAX_DIGITS:
                    raise self._error(f"a number of {len(text)} digits is not read", event)
                return number(text)
        return text

    def _note(self, path: Path, event: yaml.Event, written: str) -> None:
        if self._places is not None:
            self._places[path] = (_line(event), written)

    def _error(self, message: str, event: yaml.Event, hint: str = "") -> UsageError:
        return UsageError(message, file=self._file, line=_line(event), hint=hint)

    def _syntax(self, error: yaml.MarkedYAMLError) -> UsageError:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        lines = self._text.split("\n")
        written = lines[line] if line < len(lines) else ""
        if "\t" in written[: len(written) - len(written.lstrip())]:
            return UsageError(
                "a tab stands where YAML wants spaces", file=self._file, line=line + 1, hint="indent with two spaces"
            )
        said = ", ".join(part for part in (error.context, error.problem) if part)
        return UsageError(f"is not valid YAML: {said}", file=self._file, line=line + 1)


_NO_ALIASES = "a few of them can stand for billions of values: write the value out where it is needed"


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
