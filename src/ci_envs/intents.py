"""Direct dependencies: what a person wrote, with file and line, and never what a tool made of it.

They stand in ``[project]`` (https://packaging.python.org/en/latest/specifications/pyproject-toml/), in
``[dependency-groups]`` (PEP 735), in the tables of Poetry, PDM and uv, in ``setup.cfg`` and in requirement files. A
group or extra that several of them name is what all of them say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed
from packaging.utils import canonicalize_name

from ci_envs.errors import UsageError
from ci_envs.ini import lines_of, read_ini
from ci_envs.model.detect import Evidence
from ci_envs.model.lock import Requirement
from ci_envs.nearest import nearest
from ci_envs.plain import one_line
from ci_envs.requirement_files import parse_requirement, read_requirements
from ci_envs.toml_places import toml_places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ci_envs.project import Project

    Requirements = tuple[Requirement, ...]

__all__ = ["Listing", "direct_requirements", "extras_of", "groups_of", "own_name", "runtime_requirements"]

_PYPROJECT = "pyproject.toml"


@dataclass(frozen=True, slots=True)
class Listing:
    """A dependency group or an extra: its name as written, where it stands, and how its requirements are read."""

    name: str
    evidence: Evidence
    read: Callable[[], Requirements]


def direct_requirements(
    project: Project,
    *,
    groups: Iterable[str] = (),
    extras: Iterable[str] = (),
    files: Iterable[str] = (),
    runtime: bool = True,
) -> Requirements:
    """The runtime dependencies (unless not wanted), then those of the groups, extras and requirement files named.

    A requirement on the project itself (``-e .[test]``, ``name[test]``) stands for its own dependencies and those
    extras. :class:`UsageError` for a group, an extra or a file that is not there, and for what is no requirement.
    """
    found = list(runtime_requirements(project)) if runtime else []
    for name in groups:
        found += _named(name, groups_of(project), "dependency group")
    for name in extras:
        found += _named(name, extras_of(project), "extra")
    for file in files:
        content = read_requirements(project, file)
        found += content.requirements
        for reference in content.references:
            if reference.target == ".":
                found += runtime_requirements(project)
                for name in reference.extras:
                    found += _named(name, extras_of(project), "extra")
    return tuple(dict.fromkeys(_without_self(project, found)))


def own_name(project: Project) -> str:
    """The project's normalised name; empty where it says none."""
    for table in (project.table("project"), project.table("tool", "poetry")):
        if isinstance(name := table.get("name"), str):
            return canonicalize_name(name)
    return canonicalize_name(read_ini(project, "setup.cfg").get("metadata", "name", fallback=""))


def runtime_requirements(project: Project) -> Requirements:
    """What the project itself needs, by the first of ``[project]``, Poetry's table and ``setup.cfg`` that says so."""
    table = project.table("project")
    if "dependencies" in table:
        return _strings(project, table["dependencies"], "project.dependencies")
    dynamic = table.get("dynamic")
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        return _dynamic(project, project.table("tool", "setuptools", "dynamic").get("dependencies"), "")
    if poetry := project.table("tool", "poetry", "dependencies"):
        return _poetry(project, poetry, "tool.poetry.dependencies")
    return _setup_cfg(project, "options", "install_requires", "")


def groups_of(project: Project) -> tuple[Listing, ...]:
    """Every dependency group that the project has, those of the standard first."""
    return tuple(_groups(project))


def extras_of(project: Project) -> tuple[Listing, ...]:
    """Every extra that the project has."""
    return tuple(_extras(project))


def _groups(project: Project) -> Iterator[Listing]:
    standard = project.table("dependency-groups")
    for name in standard:
        yield _listing(name, f"dependency-groups.{name}", _standard_group, project, standard, name)
    uv = project.table("tool", "uv")
    if "dev-dependencies" in uv:
        key = "tool.uv.dev-dependencies"
        yield _listing("dev", key, _strings, project, uv["dev-dependencies"], key, "dev")
    for name, values in project.table("tool", "pdm", "dev-dependencies").items():
        key = f"tool.pdm.dev-dependencies.{name}"
        yield _listing(name, key, _strings, project, values, key, name)
    for name in project.table("tool", "poetry", "group"):
        table = project.table("tool", "poetry", "group", name, "dependencies")
        key = f"tool.poetry.group.{name}.dependencies"
        yield _listing(name, key, _poetry, project, table, key, name)
    if legacy := project.table("tool", "poetry", "dev-dependencies"):
        key = "tool.poetry.dev-dependencies"
        yield _listing("dev", key, _poetry, project, legacy, key, "dev")


def _extras(project: Project) -> Iterator[Listing]:
    for name, values in project.table("project", "optional-dependencies").items():
        key = f"project.optional-dependencies.{name}"
        yield _listing(name, key, _strings, project, values, key, name)
    for name, value in project.table("tool", "setuptools", "dynamic", "optional-dependencies").items():
        key = f"tool.setuptools.dynamic.optional-dependencies.{name}"
        yield _listing(name, key, _dynamic, project, value, name)
    for name, values in project.table("tool", "poetry", "extras").items():
        key = f"tool.poetry.extras.{name}"
        yield _listing(name, key, _poetry_extra, project, values, key, name)
    section = "options.extras_require"
    parser = read_ini(project, "setup.cfg")
    for name in parser.options(section) if parser.has_section(section) else ():
        evidence = Evidence(file="setup.cfg", key=f"[{section}] {name}")
        yield Listing(name, evidence, partial(_setup_cfg, project, section, name, name))


def _listing(name: str, key: str, read: Callable[..., Requirements], *values: Any) -> Listing:
    return Listing(name, Evidence(file=_PYPROJECT, key=key), partial(read, *values))


def _named(name: str, listings: tuple[Listing, ...], kind: str) -> list[Requirement]:
    wanted = canonicalize_name(name)
    matching = [listing for listing in listings if canonicalize_name(listing.name) == wanted]
    if not matching:
        known = sorted({listing.name for listing in listings})
        hint = f"there are: {', '.join(known)}" if known else f"the project has no {kind} at all"
        raise UsageError(f"there is no {kind} {one_line(name, 60)!r}{nearest(name, known)}", file=_PYPROJECT, hint=hint)
    return [requirement for listing in matching for requirement in listing.read()]


def _without_self(project: Project, requirements: list[Requirement]) -> Iterator[Requirement]:
    """Puts the project's own extras in the place of ``name[extra]``, each once however they refer to each other."""
    own = own_name(project)
    if not any(requirement.name == own for requirement in requirements):
        yield from requirements
        return
    opened: set[str] = set()
    waiting = list(reversed(requirements))
    while waiting:
        requirement = waiting.pop()
        if requirement.name != own:
            yield requirement
            continue
        asked = Parsed(requirement.text).extras if requirement.dialect == "pep508" else set()
        new = sorted(set(map(canonicalize_name, asked)) - opened)
        opened.update(new)
        for extra in reversed(new):
            waiting += reversed(_named(extra, extras_of(project), "extra"))


def _strings(project: Project, values: Any, key: str, group: str = "") -> Requirements:
    """A list of requirements in ``pyproject.toml``."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UsageError(f"{key} must be a list of strings", file=_PYPROJECT)
    # PDM's groups may hold "-e file:...": what is worked on, beside what it needs.
    written = [value for value in values if not value.lstrip().startswith("-")]
    return tuple(_requirement(project, value, key, group) for value in written)


def _requirement(project: Project, text: str, key: str, group: str) -> Requirement:
    return parse_requirement(project, text, file=_PYPROJECT, line=_line_of(project, text, key), group=group)


def _standard_group(project: Project, table: dict[str, Any], name: str) -> Requirements:
    from packaging.dependency_groups import DependencyGroupResolver  # only a project that has groups pays for it

    try:
        resolved = DependencyGroupResolver(table).resolve(name)
    except (ExceptionGroup, LookupError, RecursionError, TypeError, ValueError) as error:
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        reason = one_line(str(cause).split("\n")[0], 200)
        raise UsageError(f"dependency group {one_line(name, 60)!r}: {reason}", file=_PYPROJECT) from error
    written = _as_written(table)
    texts = [written.get(str(requirement), str(requirement)) for requirement in resolved]
    return tuple(_requirement(project, text, f"dependency-groups.{name}", name) for text in texts)


def _as_written(table: dict[str, Any]) -> dict[str, str]:
    """The resolver gives normalised text; this leads back to the text of the file."""
    written: dict[str, str] = {}
    for values in table.values():
        for value in values if isinstance(values, list) else ():
            if isinstance(value, str):
                try:
                    written.setdefault(str(Parsed(value)), value)
                except InvalidRequirement:  # of a group that was not asked for
                    continue
    return written


def _dynamic(project: Project, value: Any, group: str) -> Requirements:
    """``{file = ...}`` of setuptools (https://setuptools.pypa.io/en/latest/userguide/pyproject_config.html)."""
    files = value.get("file") if isinstance(value, dict) else None
    names = [files] if isinstance(files, str) else files if isinstance(files, list) else []
    return tuple(
        requirement
        for name in names
        if isinstance(name, str)
        for requirement in read_requirements(project, name, group=group).requirements
    )


def _poetry(project: Project, table: dict[str, Any], key: str, group: str = "") -> Requirements:
    """Poetry's own notation, kept as written; optional ones belong to extras."""
    return tuple(
        _poetry_requirement(project, name, value, key, group)
        for name, value in table.items()
        if name != "python" and not (isinstance(value, dict) and value.get("optional"))
    )


def _poetry_requirement(project: Project, name: str, value: Any, key: str, group: str) -> Requirement:
    choices = value if isinstance(value, list) else [value]  # a list holds one constraint for each platform or Python
    first = choices[0] if choices else ""
    constraint = first.get("version", "") if isinstance(first, dict) else first
    text = f"{name} {constraint}".strip() if isinstance(constraint, str) else name
    line = _line_matching(project, rf"[\"']?{re.escape(name)}[\"']?\s*=", key)
    return Requirement(
        text=text, name=canonicalize_name(name), file=_PYPROJECT, line=line, group=group, dialect="poetry"
    )


def _poetry_extra(project: Project, values: Any, key: str, group: str) -> Requirements:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UsageError(f"{key} must be a list of names", file=_PYPROJECT)
    table = project.table("tool", "poetry", "dependencies")
    known = {canonicalize_name(name): (name, value) for name, value in table.items()}
    wanted = [known.get(canonicalize_name(value), (value, "")) for value in values]
    return tuple(_poetry_requirement(project, name, value, "tool.poetry.dependencies", group) for name, value in wanted)


def _setup_cfg(project: Project, section: str, key: str, group: str) -> Requirements:
    """Lines of ``setup.cfg``; ``file:`` leads to requirement files."""
    lines = lines_of(read_ini(project, "setup.cfg"), section, key)
    if len(lines) == 1 and lines[0].startswith("file:"):
        names = (name.strip() for name in lines[0].removeprefix("file:").split(","))
        return _dynamic(project, {"file": [name for name in names if name]}, group)
    return tuple(
        parse_requirement(project, text, file="setup.cfg", line=_line_with(project, text), group=group)
        for line in lines
        for text in line.split(" #", maxsplit=1)[:1]
    )


def _line_of(project: Project, text: str, key: str) -> int:
    """The line of a requirement in ``pyproject.toml``: below the key, else below the table that it is in; 0 for none.

    A group that includes another has requirements that stand below the other's key.
    """
    places = toml_places(project.text(_PYPROJECT) or "")
    parts = tuple(key.split("."))
    for length in range(len(parts), 0, -1):
        below = (line for path, (line, value) in places.items() if path[:length] == parts[:length] and value == text)
        if line := next(below, 0):
            return line
    return 0


def _line_matching(project: Project, expression: str, key: str) -> int:
    """The first line that begins so behind the table that holds the key, else the first anywhere; 0 where none does."""
    source = project.text(_PYPROJECT) or ""
    found = re.compile(rf"^[ \t]*{expression}", re.MULTILINE)
    match = found.search(source, _table_start(source, key)) or found.search(source)
    return source.count("\n", 0, match.start()) + 1 if match else 0


def _table_start(source: str, key: str) -> int:
    """Where the innermost table of a dotted key begins; 0 where no header says so."""
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        start = source.find(f"[{'.'.join(parts[:length])}]")
        if start >= 0:
            return start
    return 0


def _line_with(project: Project, text: str) -> int:
    lines = (project.text("setup.cfg") or "").splitlines()
    return next((number for number, line in enumerate(lines, start=1) if text in line), 0)
