"""``environment.yml``, as CEP 24 describes it (https://conda.org/learn/ceps/cep-0024/), with its optional parts.

Beside them conda-lock's ``pip-repositories`` and ``allow-pypi-requests`` are read. Anchors, aliases and duplicate keys
are refused: of a duplicate key each tool takes what it likes, and conda takes none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ci_envs.conda.credentials import shown_address
from ci_envs.conda.gathering import Gathering
from ci_envs.conda.selectors import comment_selectors, platforms_of
from ci_envs.documents import load_yaml
from ci_envs.errors import UsageError
from ci_envs.model.conda import PLATFORMS
from ci_envs.nearest import nearest
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ci_envs.documents import Document, Path
    from ci_envs.project import Project

__all__ = ["read_environment_file"]

_KEYS = (
    *("name", "channels", "dependencies", "prefix", "variables", "platforms", "category"),
    *("pip-repositories", "allow-pypi-requests"),
)
_KINDS = {dict: "a table", list: "a list", bool: "true or false", int: "a number", float: "a number"}
_SELECTOR = re.compile(r"sel\((.*)\)", re.DOTALL)
_VARIABLE_NAME = re.compile(r"[A-Za-z_][\w.()-]*", re.ASCII)


def read_environment_file(project: Project, file: str) -> Gathering:
    """What the file says. :class:`UsageError` with its line for what is no ``environment.yml``, or no spec."""
    text = project.text(file)
    if text is None:
        raise UsageError("there is no such file in the project", file=file)
    document = load_yaml(text, file=file)
    if document.data is None:
        raise UsageError("is empty", file=file, hint="dependencies: [python, numpy] is the least that it can say")
    if not isinstance(document.data, dict):
        kind = _kind(document.data)
        raise document.error(f"holds {kind} where a table is meant", hint="begin with 'dependencies:'")
    reader = _Reader(document, comment_selectors(text))
    reader.read()
    return reader.gathered


class _Reader:
    def __init__(self, document: Document, selectors: dict[int, str]) -> None:
        self.gathered = Gathering(document.file)
        self._document = document
        self._selectors = selectors
        self._used: set[int] = set()

    def read(self) -> None:
        gathered, data = self.gathered, self._document.data
        self._look_at_keys()
        gathered.name = self._text_at("name")
        gathered.category = self._text_at("category") or "main"
        for text, line in self._texts("channels"):
            gathered.channel(text, line)
        for text, line in self._texts("platforms"):
            gathered.platform(text, line)
        gathered.variables = dict(self._variables())
        if "dependencies" not in data:
            raise self._error(f"lacks the key 'dependencies'{_misspelt(data)}")
        for index, value in enumerate(self._list("dependencies")):
            self._dependency(value, ("dependencies", index), PLATFORMS)
        self._repositories()
        self._look_at_selectors()

    def _look_at_keys(self) -> None:
        for key in self._document.data:
            line = self._document.line(key)
            if key == "prefix":
                message = "the key 'prefix' is ignored: where an environment lies is not for its intent to say"
                self.gathered.find("LOCK010", "info", "prefix ignored", message, line)
            elif key not in _KEYS:
                message = f"the key {one_line(key, 40)!r} means nothing here and is ignored{nearest(key, _KEYS)}"
                self.gathered.find("LOCK011", "warning", "key not known", message, line)

    def _look_at_selectors(self) -> None:
        for line in sorted(self._selectors.keys() - self._used):
            expression = self._selectors[line]
            if platforms_of(expression) is not None:
                message = f"the selector [{expression}] stands behind nothing that it could select, and is ignored"
                self.gathered.find("LOCK012", "warning", "selector ignored", message, line)

    def _dependency(self, value: Any, path: Path, outer: Sequence[str]) -> None:
        line = self._document.line(*path)
        match value:
            case str():
                self.gathered.spec(value, line, self._platforms(line, outer))
            case list():
                for index, inner in enumerate(value):
                    self._dependency(inner, (*path, index), outer)
            case dict():
                for key, inner in value.items():
                    self._section(key, inner, (*path, key), self._platforms(self._document.line(*path, key), outer))
            case _:
                raise self._wrong(value, path, "a match spec")

    def _section(self, key: str, value: Any, path: Path, outer: Sequence[str]) -> None:
        """``pip: [...]`` or ``sel(linux): spec``, where a list of match specs is meant."""
        selector = _SELECTOR.fullmatch(key)
        if selector:
            platforms = self.gathered.selected(selector[1], self._document.line(*path), outer)
            self._dependency(value, path, platforms)
        elif key == "pip":
            self._pip(value, path, outer)
        else:
            key = shown_address(key)
            spec = f"{key}={self._document.written(*path)}"
            hint = f"write - {spec}" if isinstance(value, (str, int, float)) else "known are 'pip:' and 'sel(linux):'"
            message = f"the table {one_line(key, 40)!r} stands where a match spec is meant{nearest(key, ('pip',))}"
            raise self._error(message, *path, hint=one_line(hint, 80))

    def _pip(self, value: Any, path: Path, outer: Sequence[str]) -> None:
        if value is None:  # conda-lock accepts it, since selectors may leave nothing
            return
        if not isinstance(value, list):
            raise self._wrong(value, path, "a list of requirements")
        for index, inner in enumerate(value):
            self._requirement(inner, (*path, index), outer)

    def _requirement(self, value: Any, path: Path, outer: Sequence[str]) -> None:
        line = self._document.line(*path)
        platforms = self._platforms(line, outer)
        if isinstance(value, str):
            self.gathered.requirement(value, line, platforms)
            return
        if not isinstance(value, dict):
            raise self._wrong(value, path, "a requirement")
        for key, inner in value.items():
            selector = _SELECTOR.fullmatch(key)
            if not selector or not isinstance(inner, str):
                raise self._wrong(value, path, "a requirement")
            chosen = self.gathered.selected(selector[1], line, platforms)
            self.gathered.requirement(inner, line, chosen)

    def _platforms(self, line: int, outer: Sequence[str]) -> tuple[str, ...]:
        """Those of the outer platforms that the comment of a line leaves."""
        expression = self._selectors.get(line)
        if expression is None:
            return tuple(outer)
        self._used.add(line)
        return self.gathered.selected(expression, line, outer)

    def _repositories(self) -> None:
        allowed = self._document.value("allow-pypi-requests")
        if not isinstance(allowed, (bool, type(None))):
            raise self._wrong(allowed, ("allow-pypi-requests",), "true or false")
        line = self._document.line("allow-pypi-requests")
        self.gathered.repositories(self._texts("pip-repositories"), with_pypi=allowed is not False, line=line)

    def _variables(self) -> Iterator[tuple[str, str]]:
        variables = self._document.value("variables")
        if not isinstance(variables, (dict, type(None))):
            raise self._wrong(variables, ("variables",), "a table of names and values")
        for name, value in (variables or {}).items():
            path = ("variables", name)
            if not _VARIABLE_NAME.fullmatch(name):
                raise self._error(f"{one_line(name, 40)!r} is not the name of an environment variable", *path)
            if isinstance(value, (dict, list, type(None))):
                raise self._wrong(value, path, "text")
            text = value if isinstance(value, str) else self._document.written(*path)
            if "\0" in text or not _encodable(text):
                raise self._error(f"the value of {name} holds what no environment variable can", *path)
            yield name, text

    def _texts(self, key: str) -> list[tuple[str, int]]:
        """The texts of a list, with their lines."""
        found = []
        for index, value in enumerate(self._list(key)):
            if not isinstance(value, str):
                raise self._wrong(value, (key, index), "text")
            line = self._document.line(key, index)
            found.append((self.gathered.sayable(value, line), line))
        return found

    def _list(self, key: str) -> list[Any]:
        value = self._document.value(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(value, (key,), "a list")
        return value

    def _text_at(self, key: str) -> str:
        value = self._document.value(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(value, (key,), "text")
        return self.gathered.sayable(value, self._document.line(key)) if value.strip() else ""

    def _wrong(self, value: Any, path: Path, meant: str) -> UsageError:
        written = one_line(self._document.written(*path), 40)
        number = isinstance(value, (bool, int, float)) and "text" in meant
        hint = f'write "{written}", with quotes' if number else ""
        shown = f" ({written})" if isinstance(value, (bool, int, float)) else ""
        where = f"{path[0]}: " if len(path) == 1 else ""
        return self._error(f"{where}{_kind(value)}{shown} stands where {meant} is meant", *path, hint=hint)

    def _error(self, message: str, *path: str | int, hint: str = "") -> UsageError:
        return self._document.error(message, *path, hint=hint)


def _kind(value: Any) -> str:
    return "nothing" if value is None else _KINDS.get(type(value), "text")


def _misspelt(keys: dict[str, Any]) -> str:
    import difflib

    near = difflib.get_close_matches("dependencies", list(keys), n=1, cutoff=0.6)
    return f"; is {one_line(near[0], 40)!r} meant to be it?" if near else ""


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
