"""``[tool.conda-lock]`` of a ``pyproject.toml``, and the dependencies of the project itself in conda's words.

The rules are conda-lock's (https://conda.github.io/conda-lock/src_pyproject): what the project depends on becomes a
match spec, unless it has an address, is forced to PyPI, or ``default-non-conda-source`` is ``pip``; an extra is a
category, ``dev`` and ``test`` are ``dev``; of ``[project]`` the dependencies count, else Poetry's tables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ci_envs.conda.gathering import Gathering
from ci_envs.conda.python_names import conda_name, conda_versions, marked_platforms, poetry_versions
from ci_envs.errors import UsageError
from ci_envs.nearest import nearest
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.markers import Marker

    from ci_envs.project import Project

__all__ = ["has_conda_table", "read_pyproject"]

_TABLE = "tool.conda-lock"
_KEYS = (
    *("channels", "platforms", "dependencies", "pip-repositories", "allow-pypi-requests"),
    *("skip-non-conda-lock", "default-non-conda-source"),
)
_DEV = frozenset(("dev", "test"))


def has_conda_table(project: Project) -> bool:
    """Whether ``pyproject.toml`` has a table ``[tool.conda-lock]``."""
    return isinstance(project.table("tool").get("conda-lock"), dict)


def read_pyproject(project: Project, file: str) -> Gathering:
    """What the file asks for. :class:`UsageError` for a missing table, a value of another type, what is no spec."""
    if not project.exists(file):
        raise UsageError("there is no such file in the project", file=file)
    data = project.toml(file)
    table = _at(data, "tool", "conda-lock")
    if not isinstance(table, dict):
        raise UsageError(f"has no table [{_TABLE}]", file=file)
    reader = _Reader(data, table, project.text(file) or "", Gathering(file))
    reader.read()
    return reader.gathered


@dataclass
class _Dependency:
    """One dependency of the project, whoever's notation it stands in."""

    name: str
    #: Versions as conda writes them, empty for all.
    versions: str
    #: For pip, where it goes there.
    requirement: str
    category: str
    line: int
    for_pip: bool = False
    extras: tuple[str, ...] = ()
    marker: Marker | None = None


@dataclass
class _Reader:
    data: dict[str, Any]
    table: dict[str, Any]
    source: str
    gathered: Gathering
    #: Names that ``{source = "pypi"}`` forces to pip.
    forced: set[str] = field(default_factory=set)
    #: Names that have conda's own versions here, which then count in place of the project's.
    replaced: set[str] = field(default_factory=set)

    def read(self) -> None:
        gathered = self.gathered
        for key in self.table.keys() - set(_KEYS):
            message = f"[{_TABLE}] {one_line(key, 40)!r} means nothing here and is ignored{nearest(key, _KEYS)}"
            gathered.find("LOCK011", "warning", "key not known", message, self._line_of_key(key))
        for text in self._texts(self.table, "channels"):
            gathered.channel(text, self._line(text))
        for text in self._texts(self.table, "platforms"):
            gathered.platform(text, self._line(text))
        self._own()
        if not self._flag("skip-non-conda-lock", default=False):
            for dependency in self._of_the_project():
                self._keep(dependency)
        addresses = [(text, self._line(text)) for text in self._texts(self.table, "pip-repositories")]
        line = self._line_of_key("allow-pypi-requests")
        gathered.repositories(addresses, with_pypi=self._flag("allow-pypi-requests", default=True), line=line)

    def _own(self) -> None:
        """``[tool.conda-lock.dependencies]``: conda's names with conda's versions, or what is forced to PyPI."""
        for name, value in self._table_at(self.table, "dependencies").items():
            line = self._line_of_key(name)
            if isinstance(value, str):
                self.replaced.add(name.lower())
                self.gathered.spec(f"{name} {value}", line)
            elif isinstance(value, dict) and value == {"source": "pypi"}:
                self.forced.add(name.lower())
            else:
                hint = f'{name} = ">=1.2", or {name} = {{source = "pypi"}}'
                raise self.gathered.error(f"{one_line(name, 40)!r} has neither versions nor a source", line, hint)

    def _of_the_project(self) -> Iterator[_Dependency]:
        project = self._table_at(self.data, "project")
        if "dependencies" in self._texts(project, "dynamic"):
            message = "dependencies that a build backend finds out are not read; conda-lock leaves them out, too"
            self.gathered.find("LOCK014", "warning", "dependencies left out", message, self._line_of_key("dynamic"))
        if "dependencies" in project:
            yield from self._standard(project)
        else:
            yield from self._poetry(self._table_at(self._table_at(self.data, "tool"), "poetry"))

    def _standard(self, project: dict[str, Any]) -> Iterator[_Dependency]:
        """PEP 621, with PDM's development dependencies."""
        extras = self._table_at(project, "optional-dependencies")
        for text in self._texts(project, "dependencies"):
            yield from self._requirement(text, "main", ())
        for extra in extras:
            for text in self._texts(extras, extra):
                yield from self._requirement(text, "dev" if extra in _DEV else extra, (extra,))
        pdm = self._table_at(self._table_at(self._table_at(self.data, "tool"), "pdm"), "dev-dependencies")
        for group in pdm:
            for text in self._texts(pdm, group):
                if not text.lstrip().startswith("-"):  # the project itself, as it is worked on
                    yield from self._requirement(text, "dev", ())

    def _requirement(self, text: str, category: str, within: tuple[str, ...]) -> Iterator[_Dependency]:
        from packaging.requirements import InvalidRequirement, Requirement

        line = self._line(text)
        try:
            parsed = Requirement(self.gathered.sayable(text, line))
        except (InvalidRequirement, RecursionError) as error:
            reason = one_line(str(error).split("\n")[0], 160)
            raise self.gathered.error(f"{one_line(text, 80)!r} is not a requirement: {reason}", line) from error
        project = self._table_at(self.data, "project")
        if self._is_own(parsed.name):
            extras = self._table_at(project, "optional-dependencies")
            for extra in sorted(parsed.extras - set(within)):
                for inner in self._texts(extras, extra):
                    yield from self._requirement(inner, category, (*within, extra))
            return
        yield _Dependency(
            name=parsed.name,
            versions=conda_versions(parsed.specifier),
            requirement=text,
            category=category,
            line=line,
            for_pip=self._for_pip(parsed.name) or parsed.url is not None,
            extras=tuple(sorted(parsed.extras)),
            marker=parsed.marker,
        )

    def _poetry(self, poetry: dict[str, Any]) -> Iterator[_Dependency]:
        """Poetry's groups are categories, and so are its extras (``dev-dependencies`` is the group ``dev``)."""
        tables = {"main": self._table_at(poetry, "dependencies"), "dev": self._table_at(poetry, "dev-dependencies")}
        groups = self._table_at(poetry, "group")
        for group in groups:
            within = self._table_at(self._table_at(groups, group), "dependencies")
            tables[group] = {**tables.get(group, {}), **within}
        extras = self._table_at(poetry, "extras")
        extra_of = {name: extra for extra in extras for name in self._texts(extras, extra)}
        for category, table in tables.items():
            for name, value in table.items():
                for one in value if isinstance(value, list) else [value]:
                    yield self._poetry_dependency(name, one, extra_of.get(name, category))

    def _poetry_dependency(self, name: str, value: Any, category: str) -> _Dependency:
        from packaging.markers import InvalidMarker, Marker

        line = self._line_of_key(name)
        given = {"version": value} if isinstance(value, str) else value
        if not isinstance(given, dict) or not all(isinstance(given.get(key, ""), str) for key in _POETRY_TEXTS):
            raise self.gathered.error(f"{one_line(name, 40)!r} is no dependency as Poetry writes them", line)
        extras = tuple(self._texts(given, "extras"))
        try:
            versions = poetry_versions(given.get("version", "*"))
            marker = Marker(given["markers"]) if "markers" in given else None
        except (InvalidMarker, RecursionError, ValueError) as error:
            reason = one_line(str(error).split("\n")[0], 160)
            raise self.gathered.error(f"{one_line(name, 40)!r}: {reason}", line) from error
        elsewhere = bool({"git", "path", "url"} & given.keys()) or given.get("source") == "pypi"
        return _Dependency(
            name=name,
            versions=versions,
            requirement=_poetry_for_pip(f"{name}[{','.join(extras)}]" if extras else name, given, versions),
            category=category,
            line=line,
            for_pip=elsewhere or self._for_pip(name),
            extras=extras,
            marker=marker,
        )

    def _keep(self, dependency: _Dependency) -> None:
        line, category = dependency.line, dependency.category
        if dependency.for_pip and dependency.name != "python":
            self.gathered.requirement(dependency.requirement, line, category=category)
            return
        platforms, always = marked_platforms(dependency.marker)
        name = conda_name(dependency.name)
        if name in self.replaced:
            return
        if not always:
            self._lost(f"{name} is taken for every Python, whatever its marker says", line)
        if dependency.extras:
            self._lost(f"conda packages have no extras: [{','.join(dependency.extras)}] of {name} is left out", line)
        self.gathered.spec(f"{name} {dependency.versions}".strip(), line, platforms, category)

    def _lost(self, message: str, line: int) -> None:
        self.gathered.find("LOCK014", "info", "a requirement in conda's words", message, line)

    def _for_pip(self, name: str) -> bool:
        source = self.table.get("default-non-conda-source", "conda")
        if source not in {"conda", "pip"}:
            line = self._line_of_key("default-non-conda-source")
            raise self.gathered.error("default-non-conda-source is neither 'conda' nor 'pip'", line)
        return source == "pip" or bool({name.lower(), conda_name(name)} & self.forced)

    def _is_own(self, name: str) -> bool:
        own = self._table_at(self.data, "project").get("name")
        return isinstance(own, str) and re.sub(r"[-_.]+", "-", own).lower() == re.sub(r"[-_.]+", "-", name).lower()

    def _table_at(self, table: dict[str, Any], key: str) -> dict[str, Any]:
        value = table.get(key, {})
        if not isinstance(value, dict):
            raise self.gathered.error(f"{key} must be a table", self._line_of_key(key))
        return value

    def _texts(self, table: dict[str, Any], key: str) -> list[str]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.gathered.error(f"{one_line(key, 40)} must be a list of strings", self._line_of_key(key))
        return value

    def _flag(self, key: str, *, default: bool) -> bool:
        value = self.table.get(key, default)
        if not isinstance(value, bool):
            raise self.gathered.error(f"{key} must be true or false", self._line_of_key(key))
        return value

    def _line(self, text: str) -> int:
        """The first line that holds a text in quotes: TOML's readers give no positions. 0 where none does."""
        lines = self.source.splitlines()
        forms = (f'"{text}"', f"'{text}'", '"' + text.replace('"', '\\"') + '"')
        return next((number for number, line in enumerate(lines, 1) if any(form in line for form in forms)), 0)

    def _line_of_key(self, key: str) -> int:
        """The first line that gives a value to a key, or is the header of its table; 0 where none is."""
        named = rf"[\"']?{re.escape(key)}[\"']?"
        value, header = rf"(?:^|[{{,.])[ \t]*{named}[ \t]*=", rf"^[ \t]*\[(?:[^\]\n]*\.)?{named}\]"
        found = re.search(f"{value}|{header}", self.source, re.MULTILINE)
        return self.source.count("\n", 0, found.start()) + 1 if found else 0


_POETRY_TEXTS = ("version", "markers", "git", "branch", "tag", "rev", "subdirectory", "path", "url", "source")


def _poetry_for_pip(wanted: str, given: dict[str, Any], versions: str) -> str:
    """What one of Poetry's dependencies is below ``pip:``."""
    behind = f" ; {given['markers']}" if "markers" in given else ""
    if "path" in given:
        path = given["path"] if given["path"].startswith((".", "/")) else f"./{given['path']}"
        return f"-e {path}" if given.get("develop") is True else path
    if "git" in given:
        revision = given.get("branch") or given.get("tag") or given.get("rev")
        folder = f"#subdirectory={given['subdirectory']}" if "subdirectory" in given else ""
        return f"{wanted} @ git+{given['git']}{f'@{revision}' if revision else ''}{folder}{behind}"
    if "url" in given:
        return f"{wanted} @ {given['url']}{behind}"
    for_pip = re.sub("(^|,)(?=[0-9])", r"\g<1>==", versions)
    return f"{wanted}{for_pip}{behind}"


def _at(data: dict[str, Any], *keys: str) -> Any:
    value: Any = data
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
