"""A document against the type that it should have: strict, and every complaint says where and what to write. Pure."""

from __future__ import annotations

import re
import typing
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from ci_envs.decoding import convert
from ci_envs.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ci_envs.documents import Document, Path
    from ci_envs.errors import UsageError

__all__ = ["dotted", "read_as"]

T = TypeVar("T")

# msgspec names a place as `$.axes.python[0]`, and as `[...]` the value of a mapping whose key it does not tell.
_PLACE = re.compile(r"(?P<what>.*?)(?: - at `(?P<place>\$.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>[0-9]+)\]|(?P<any>\[\.\.\.\])")
_GOT = re.compile(r"Expected `(?P<expected>[^`]+)`, got `(?P<got>[^`]+)`")
_LIMIT = re.compile(r"Expected `(?P<kind>[^`]+)`(?P<rest>.*)", re.DOTALL)

_KINDS: dict[str, type] = {
    "array": list, "bool": bool, "float": float, "int": int, "null": type(None), "object": dict, "str": str,
}  # fmt: skip
_NAMES = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "nothing",
    "object": "a table of keys",
    "str": "text",
}
#: What stands for a key that msgspec does not tell.
_ANY = "..."


def read_as(document: Document, shape: type[T], *, advice: Callable[[Path, Any], str] | None = None) -> T:
    """The document's data as a value of a msgspec type.

    Raises :class:`UsageError` with file and line for an unknown key (naming the nearest known one), a missing one, or
    a value of the wrong kind; a number where text is wanted is told to be quoted, as its author wrote it. ``advice``
    gives the hint for a path and what stands there, or nothing.
    """
    hint = advice or (lambda _path, _value: "")
    _refuse_unknown(document, document.data, shape, (), hint)
    try:
        return convert(document.data, shape)
    except msgspec.ValidationError as error:
        raise _mismatch(document, shape, str(error), hint) from None


def dotted(path: Path) -> str:
    """``axes.python[0]``, as messages name a place."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def _refuse_unknown(
    document: Document, value: Any, annotation: Any, path: Path, advice: Callable[[Path, Any], str]
) -> None:
    struct = _struct_in(annotation)
    if struct is None:
        return
    if isinstance(value, list) != (typing.get_origin(annotation) is tuple):
        return  # not the kind it should be, which msgspec says better
    if isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_unknown(document, item, typing.get_args(annotation)[0], (*path, index), advice)
    elif isinstance(value, dict):
        known = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
        for key, inner in value.items():
            if key not in known:
                where = f" in {dotted(path)}" if path else ""
                hint = advice((*path, key), inner) or f"known here: {', '.join(known)}"
                raise document.error(f"unknown key {key!r}{where}{nearest(key, known)}", *path, key, hint=hint)
            _refuse_unknown(document, inner, known[key], (*path, key), advice)


def _struct_in(annotation: Any) -> type[msgspec.Struct] | None:
    """The first struct that an annotation such as ``tuple[X, ...]`` or ``X | None`` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    found = (_struct_in(part) for part in typing.get_args(annotation))
    return next((struct for struct in found if struct is not None), None)


def _mismatch(document: Document, shape: Any, said: str, advice: Callable[[Path, Any], str]) -> UsageError:
    match = _PLACE.fullmatch(said)
    what, place = (match["what"], match["place"] or "$") if match else (said, "$")
    got = _GOT.fullmatch(what)
    path = next(_resolve(document.data, _steps(place), _fits(got["got"] if got else "", what)), ())
    value = document.value(*path)
    name = dotted(path) or "the file"
    hint = advice(path, value)
    choices = _choices(_annotation_at(shape, path))
    if choices and (got or what.startswith("Invalid enum value")):
        shown = document.written(*path) or str(value)
        message = f"{name}: {shown!r} is none of {', '.join(choices)}{nearest(shown, choices)}"
        return document.error(message, *path, hint=hint)
    if got:
        return document.error(_wrong_kind(document, name, path, got), *path, hint=hint)
    if what.endswith("of length >= 1"):
        return document.error(f"{name} is empty", *path, hint=hint or "name a value, or leave the key out")
    limit = _LIMIT.fullmatch(what)
    wanted = f" must be {_NAMES.get(limit['kind'], limit['kind'])}{limit['rest']}" if limit else f": {what}"
    return document.error(f"{name}{wanted}", *path, hint=hint)


def _wrong_kind(document: Document, name: str, path: Path, got: re.Match[str]) -> str:
    expected = [_NAMES.get(kind.strip(), kind) for kind in got["expected"].split("|")]
    value = document.value(*path)
    if "text" in expected and isinstance(value, (bool, int, float)):
        written = document.written(*path) or str(value)
        read = str(value).lower() if isinstance(value, bool) else repr(value)
        same = " (a version is text: 3.10 read as a number is 3.1)" if isinstance(value, float) else ""
        as_what = f"the number {read}" if written != read else "a number" if not isinstance(value, bool) else "no text"
        return f'{name}: {written} is {as_what} here; write "{written}"{same if written == read else ""}'
    return f"{name} must be {' or '.join(dict.fromkeys(expected))}, not {_NAMES.get(got['got'], got['got'])}"


def _steps(place: str) -> list[str | int]:
    return [
        _ANY if step["any"] else int(step["index"]) if step["index"] is not None else step["key"]
        for step in _STEP.finditer(place)
    ]


def _fits(got: str, what: str) -> Callable[[Any], bool]:
    """Whether a value may be the one that msgspec complains of."""
    if got:
        return lambda value: type(value) is _KINDS.get(got, object)
    if what.endswith("of length >= 1"):
        return lambda value: value == []
    return lambda _value: True


def _resolve(value: Any, steps: list[str | int], fits: Callable[[Any], bool]) -> Iterator[Path]:
    """The paths in the data that the steps may mean."""
    if not steps:
        if fits(value):
            yield ()
        return
    first, rest = steps[0], steps[1:]
    if first == _ANY:
        keys: list[str | int] = list(value) if isinstance(value, dict) else []
    else:
        keys = [first]
    for key in keys:
        try:
            inner = value[key]
        except (KeyError, IndexError, TypeError):
            continue
        yield from ((key, *path) for path in _resolve(inner, rest, fits))


def _annotation_at(annotation: Any, path: Path) -> Any:
    for key in path:
        struct = _struct_in(annotation)
        if struct is not None and isinstance(key, str):
            annotation = next(
                (field.type for field in msgspec.structs.fields(struct) if field.encode_name == key), annotation
            )
    return annotation


def _choices(annotation: Any) -> list[str]:
    """The words that a ``Literal`` in an annotation allows, and what may stand for them."""
    if typing.get_origin(annotation) is Literal:
        return [str(choice) for choice in typing.get_args(annotation) if choice]
    parts = typing.get_args(annotation)
    words = [word for part in parts for word in _choices(part)]
    return ["true", "false", *words] if words and bool in parts else words
