"""YAML of lock files, read strictly and fast: text in, nested data with the line of every entry out. Pure.

A lock of 500 packages has 15,000 scalars. PyYAML's C loader makes a node and calls a constructor for each of them;
walking the C parser's events takes a quarter of the time, and sees duplicate keys, anchors and tags, none of which
a lock may hold. Plain scalars mean what they mean to conda-lock, which reads with PyYAML: YAML 1.1. So the MD5
``12e45678901234567890123456789012`` is text, which YAML 1.2 would take for a number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import yaml

from ci_envs.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LockDocument", "load_lock_yaml"]

MAX_DEPTH = 20

#: Where a merge was left half done. The middle marker alone may underline a heading in a comment.
_CONFLICT = re.compile(r"^(?:<{7}|>{7}|\|{7})(?: .*)?\r?$", re.MULTILINE)
_TRUE = frozenset(("yes", "true", "on"))
_MAX_DIGITS = 18


class LockDocument:
    """What a lock file says, and where each entry of its lists begins."""

    def __init__(self, data: Any, lines: dict[int, int]) -> None:
        self.data = data
        self._lines = lines

    def line(self, entry: object) -> int:
        """The 1-based line at which a table of the data begins; 0 for what is none."""
        return self._lines.get(id(entry), 0)


def load_lock_yaml(text: str, *, path: str) -> LockDocument:
    """The one document of a lock file. Raises :class:`LockError`, with the line, for what is not read."""
    if conflict := _CONFLICT.search(text):
        raise LockError(
            "holds the marks of a merge that was not ended",
            file=path,
            line=text.count("\n", 0, conflict.start()) + 1,
            hint="take one side of the merge, then renew the lock",
        )
    try:
        return _Walk(text.removeprefix("\ufeff"), path).document()
    except yaml.reader.ReaderError as error:
        line = text.encode("utf-8", "surrogatepass")[: error.position].count(b"\n") + 1
        raise LockError("holds a character that YAML does not allow", file=path, line=line) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise LockError(f"is not valid YAML: {said}", file=path, line=mark.line + 1 if mark else 0) from error
    except UnicodeEncodeError as error:
        raise LockError("holds half of a surrogate pair", file=path) from error


class _Walk:
    """One pass over the parser's events."""

    def __init__(self, text: str, path: str) -> None:
        loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
        self._next = cast("Callable[[], Any]", loader(text).get_event)
        self._path = path
        self._lines: dict[int, int] = {}

    def document(self) -> LockDocument:
        self._next()  # the stream's start
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            return LockDocument(None, {})
        data = self._value(self._next(), 1)
        self._next()  # the document's end
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._error("a second document begins here; a lock file holds one", after)
        return LockDocument(data, self._lines)

    def _value(self, event: Any, depth: int) -> Any:
        kind = type(event)
        if kind is yaml.AliasEvent or event.anchor is not None or event.tag is not None:
            raise self._error(f"{_odd(event)} is not read", event)
        if kind is yaml.ScalarEvent:
            return event.value if event.style else _plain(event.value)
        if depth > MAX_DEPTH:
            raise self._error(f"is nested deeper than {MAX_DEPTH} levels", event)
        return self._mapping(event, depth) if kind is yaml.MappingStartEvent else self._sequence(depth)

    def _sequence(self, depth: int) -> list[Any]:
        values: list[Any] = []
        while type(event := self._next()) is not yaml.SequenceEndEvent:
            values.append(self._value(event, depth + 1))
        return values

    def _mapping(self, start: Any, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        self._lines[id(values)] = start.start_mark.line + 1
        while type(event := self._next()) is not yaml.MappingEndEvent:
            key = self._value(event, depth + 1)
            if type(key) is not str:
                raise self._error("a key must be text", event)
            if key in values:
                raise self._error(f"the key {key!r} stands here a second time", event)
            values[key] = self._value(self._next(), depth + 1)
        return values

    def _error(self, message: str, event: Any) -> LockError:
        return LockError(message, file=self._path, line=event.start_mark.line + 1 if event.start_mark else 0)


def _odd(event: Any) -> str:
    if isinstance(event, yaml.AliasEvent):
        return f"the alias *{event.anchor}"
    return f"the anchor &{event.anchor}" if event.anchor is not None else f"the tag {event.tag!r}"


def _plain(text: str) -> Any:
    """A scalar without quotes, as PyYAML resolves it.

    A number with a point and a date become a float: all that matters is that they are not text.
    """
    for tag, expression in yaml.SafeLoader.yaml_implicit_resolvers.get(text[:1], ()):
        if expression.match(text):
            match tag.rpartition(":")[2]:
                case "null":
                    return None
                case "bool":
                    return text.lower() in _TRUE
                case "int":
                    return int(text) if text.isdigit() and len(text) <= _MAX_DIGITS else 0.0
                case "float" | "timestamp":
                    return 0.0
                case _:
                    return text
    return text
