"""A matrix file in normal form: every value checked, every variable text. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from ci_envs.model.matrix import AXES, SETTINGS, Entry, Matrix, MatrixFile, Value, variable_key
from ci_envs.nearest import nearest
from ci_envs.settings import check_values
from ci_envs.shapes import dotted, read_as

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from ci_envs.documents import Document, Path

__all__ = ["project_values", "read_matrix"]

_PYTHON = re.compile(r"(?:pypy)?3\.[0-9]{1,2}|3\.[0-9]{1,2}t")
_PATCH = re.compile(r"((?:pypy)?3\.[0-9]{1,2})\.[0-9]+")
_ACCELERATOR = re.compile(r"[a-z][a-z0-9._]*")
_VARIABLE = re.compile(r"[a-z][a-z0-9_]*")
# Names of groups and extras: https://packaging.python.org/en/latest/specifications/name-normalization/
_GROUP = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_MAX_VARIABLE_NAME = 40
_MAX_VALUE = 200

# What other tools call the same thing; the nearest word would be another thing.
_SYNONYMS = {
    **dict.fromkeys(("darwin", "osx", "macOS", "mac", "macos-latest"), "macos"),
    **dict.fromkeys(("ubuntu", "ubuntu-latest", "debian", "Linux"), "linux"),
    **dict.fromkeys(("win", "win32", "windows-latest", "Windows"), "windows"),
    **dict.fromkeys(("amd64", "x64", "x86-64", "X64"), "x86_64"),
    **dict.fromkeys(("arm64", "arm", "ARM64"), "aarch64"),
}


def read_matrix(document: Document, patterns: Collection[str]) -> Matrix:
    """The matrix of a file; :class:`UsageError` with file and line for whatever it cannot mean.

    ``patterns`` are all the names that a pattern may have.
    """
    if document.data is None:
        raise document.error("is empty: there is no leg to plan", hint="an example is in matrices/README.md")
    file = read_as(document, MatrixFile, advice=_advice)
    matrix = Matrix(
        file=document.file,
        name=file.name,
        description=file.description,
        strategy=file.strategy,
        axes=dict(_axes(document, file)),
        include=_entries(document, "include"),
        exclude=_entries(document, "exclude"),
        defaults=_entry(document, ("defaults",)),
    )
    _refuse_unknown_patterns(document, matrix, patterns)
    _refuse_needless_exclusions(document, matrix)
    return matrix


def project_values(document: Document) -> Iterator[tuple[str, Path]]:
    """Every project folder that a checked matrix file names, and where."""
    data = document.data
    for index, value in enumerate(data.get("axes", {}).get("project", ())):
        yield _project(value), ("axes", "project", index)
    for index, entry in enumerate(data.get("include", ())):
        if entry.get("project") is not None:
            yield _project(entry["project"]), ("include", index, "project")
    if (value := data.get("defaults", {}).get("project")) is not None:
        yield _project(value), ("defaults", "project")


def _refuse_unknown_patterns(document: Document, matrix: Matrix, patterns: Collection[str]) -> None:
    named: list[tuple[Path, Value]] = [
        (("axes", "pattern", index), value) for index, value in enumerate(matrix.axes.get("pattern", ()))
    ]
    for key, entries in (("include", matrix.include), ("exclude", matrix.exclude)):
        named += [((key, i, "pattern"), entry.values.get("pattern", "")) for i, entry in enumerate(entries)]
    named.append((("defaults", "pattern"), matrix.defaults.values.get("pattern", "")))
    for path, value in named:
        if value and value not in patterns:
            hint = f"the patterns are {', '.join(patterns)}"
            near = nearest(str(value), patterns)
            raise document.error(f"{dotted(path)}: there is no pattern {value!r}{near}", *path, hint=hint)


def _refuse_needless_exclusions(document: Document, matrix: Matrix) -> None:
    """As GitHub does: "Matrix exclude key 'os' does not match any key within the matrix"."""
    for index, entry in enumerate(matrix.exclude):
        if not entry.values:
            raise document.error(f"exclude[{index}] names no axis, so it would leave everything out", "exclude", index)
        for key in entry.values:
            if key not in matrix.axes:
                path: Path = ("exclude", index, *key.split("."))
                near = nearest(key, matrix.axes)
                raise document.error(
                    f"{dotted(path)}: {key!r} is no axis of this matrix, so nothing can be left out by it{near}",
                    *path,
                    hint=f"its axes are {', '.join(matrix.axes) or 'none'}",
                )


def _axes(document: Document, file: MatrixFile) -> Iterator[tuple[str, tuple[Value, ...]]]:
    # The file's own order, which a struct does not keep, decides the order of the legs.
    for axis in document.value("axes") or {}:
        yield axis, _distinct(document, ("axes", axis), _axis_value)
    for name in file.variables:
        yield _variable(document, name, ("variables", name)), _distinct(document, ("variables", name), _variable_value)


def _distinct(document: Document, path: Path, read: Callable[[Document, Path], Value]) -> tuple[Value, ...]:
    values: dict[Value, None] = {}
    for index in range(len(document.value(*path))):
        value = read(document, (*path, index))
        if value in values:
            shown = document.value(*path, index)
            raise document.error(f"{dotted(path)} lists {shown!r} a second time", *path, index)
        values[value] = None
    return tuple(values)


def _entries(document: Document, key: str) -> tuple[Entry, ...]:
    return tuple(_entry(document, (key, index)) for index in range(len(document.value(key) or ())))


def _entry(document: Document, path: Path) -> Entry:
    written: dict[str, Any] = document.value(*path) or {}
    values: dict[str, Value] = {}
    for axis in AXES:
        if written.get(axis) is not None:
            values[axis] = _axis_value(document, (*path, axis))
    for name in written.get("variables", ()):
        at = (*path, "variables", name)
        values[_variable(document, name, at)] = _variable_value(document, at)
    return Entry(
        values=values,
        settings=_settings(document, path, written),
        runs_on=_runs_on(document, path, written),
        timeout_minutes=written.get("timeout-minutes") or 0,
        reason=written.get("reason") or "",
        line=document.line(*path),
    )


def _settings(document: Document, path: Path, written: dict[str, Any]) -> dict[str, Any]:
    settings = {key: written[key] for key in SETTINGS if written.get(key) is not None}
    check_values(document, settings, path)
    return settings


def _runs_on(document: Document, path: Path, written: dict[str, Any]) -> str | tuple[str, ...]:
    labels = written.get("runs-on") or ""
    for label in [labels] if isinstance(labels, str) else labels:
        _check(document, (*path, "runs-on"), _plain_text, label)
    return labels if isinstance(labels, str) else tuple(labels)


def _axis_value(document: Document, path: Path) -> Value:
    value = document.value(*path)
    axis = next(str(key) for key in reversed(path) if not isinstance(key, int))
    if axis == "groups":
        words = [value] if isinstance(value, str) else value
        return tuple(sorted({_check(document, path, _group, word) for word in words}))
    return _check(document, path, _CHECKS.get(axis, _plain_text), value)


def _variable(document: Document, name: str, path: Path) -> str:
    if name in AXES:
        raise document.error(f"{dotted(path)}: {name!r} is an axis; write it under `axes`", *path)
    if not _VARIABLE.fullmatch(name) or len(name) > _MAX_VARIABLE_NAME:
        raise document.error(
            f"{dotted(path)}: a variable's name is a letter, then letters, digits and _ ({_MAX_VARIABLE_NAME} at most),"
            " all lower case",
            *path,
            hint="checks and tests see it as CI_ENVS_VAR_<NAME>",
        )
    return variable_key(name)


def _variable_value(document: Document, path: Path) -> str:
    value = document.value(*path)
    # A number or a truth value counts as its author wrote it: nothing is computed with it here.
    text = value if isinstance(value, str) else document.written(*path)
    return _check(document, path, _plain_text, text)


def _check(document: Document, path: Path, check: Callable[[str], str], value: str) -> str:
    try:
        return check(value)
    except ValueError as error:
        raise document.error(f"{dotted(path)}: {error}", *path) from None


def _plain_text(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError(f"{value!r} holds a control character")
    if len(value) > _MAX_VALUE:
        raise ValueError(f"has {len(value)} characters; {_MAX_VALUE} are the most")
    return value


def _python(value: str) -> str:
    if patch := _PATCH.fullmatch(value):
        raise ValueError(f'{value!r} names a patch release; write the series, "{patch[1]}"')
    if not _PYTHON.fullmatch(value):
        raise ValueError(f'{value!r} is no Python; write it like "3.12", "3.13t" or "pypy3.10"')
    return value


def _accelerator(value: str) -> str:
    if not _ACCELERATOR.fullmatch(value):
        raise ValueError(f'{value!r} is no accelerator; write it like "cpu", "cuda12" or "rocm6.2"')
    return value


def _group(value: str) -> str:
    if not _GROUP.fullmatch(value):
        raise ValueError(f"{value!r} cannot be a group's name")
    return value


def _project(value: str) -> str:
    """A folder relative to the root; what links make of it is looked at where files are read."""
    _plain_text(value)
    if not value:
        raise ValueError('the root itself is written "."')
    if "\\" in value:
        raise ValueError(f"{value!r}: write it with forward slashes")
    posix = PurePosixPath(value)
    if posix.is_absolute() or PureWindowsPath(value).drive or ".." in posix.parts:
        raise ValueError(f"{value!r} is outside the repository; a project is a folder inside it")
    return str(posix)


_CHECKS: dict[str, Callable[[str], str]] = {
    "python": _python,
    "accelerator": _accelerator,
    "project": _project,
}


def _advice(path: Path, value: Any) -> str:
    """What to write instead, where the nearest word would not help. ``path`` is that of the key or the value."""
    if isinstance(value, str) and value in _SYNONYMS and ("os" in path or "arch" in path):
        return f'it is written "{_SYNONYMS[value]}" here'
    match path:
        case (str(key),) if key in AXES:
            return f"an axis stands under `axes`:\n  axes:\n    {key}: [...]"
        case ("axes", str(key)) if key not in AXES:
            return f"the axes are {', '.join(AXES)}; one of your own stands under `variables`"
        case ("include" | "exclude" as list_key, int(), str()) if _is_scalar(value):
            return f"a variable of your own stands under `variables` in {list_key}, too"
    return ""


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float))
