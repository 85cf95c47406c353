"""Which Python a project asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ci_envs.errors import UsageError
from ci_envs.model.detect import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.project import Project

__all__ = ["python_wanted"]

# "3.12", "3.12.4", "3.13t", "cpython-3.12", "pypy3.10-7.3.16", "python-3.11.9" (https://github.com/pyenv/pyenv,
# https://docs.astral.sh/uv/concepts/python-versions/, https://repo2docker.readthedocs.io: runtime.txt).
_VERSION = re.compile(
    r"(?:(?:c?python|cp)[-@]?)?(?P<pypy>pypy-?)?(?P<series>\d+\.\d+)"
    r"(?:\.\d+)?(?:(?:a|b|rc)\d+)?(?P<free>t|\+freethreaded)?(?:-.*)?"
)
_LOWER = frozenset((">=", ">", "==", "===", "~="))


def python_wanted(project: Project) -> tuple[str, Evidence] | None:
    """The Python that a project asks for, as a leg spells it (``3.12``, ``3.13t``, ``pypy3.10``), and where it says so.

    The first of ``.python-version``, ``runtime.txt`` (also repo2docker's), the lower bound of ``requires-python``,
    Poetry's ``python``, ``[requires]`` of a ``Pipfile``, ``python_requires`` of ``setup.cfg``.
    """
    for wanted, evidence in _wishes(project):
        if wanted:
            return wanted, evidence
    return None


def _wishes(project: Project) -> Iterator[tuple[str, Evidence]]:
    for file in (".python-version", ".binder/runtime.txt", "binder/runtime.txt", "runtime.txt"):
        yield _named(project.text(file) or ""), Evidence(file=file)
    requires = project.table("project").get("requires-python")
    yield _lower_bound(requires), Evidence(file="pyproject.toml", key="project.requires-python")
    poetry = project.table("tool", "poetry", "dependencies").get("python")
    yield _poetry_bound(poetry), Evidence(file="pyproject.toml", key="tool.poetry.dependencies.python")
    yield _pipfile(project), Evidence(file="Pipfile", key="requires.python_version")
    yield _setup_cfg(project), Evidence(file="setup.cfg", key="[options] python_requires")


def _named(text: str) -> str:
    """The first line that says something: pyenv lets several follow, as alternatives."""
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    first = next(filter(None, lines), "")
    match = _VERSION.fullmatch(first)
    if match is None:
        return ""  # "system", the name of a virtual environment, R's runtime.txt
    return f"{'pypy' if match['pypy'] else ''}{match['series']}{'t' if match['free'] else ''}"


def _lower_bound(specifiers: Any) -> str:
    """``3.9`` for ``>=3.9,<4``; the highest of several bounds, nothing where there is none."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion, Version

    if not isinstance(specifiers, str):
        return ""
    try:
        bounds = [s.version.removesuffix(".*") for s in SpecifierSet(specifiers) if s.operator in _LOWER]
        lowest = max(map(Version, bounds), default=None)
    except (InvalidSpecifier, InvalidVersion):
        return ""
    return f"{lowest.major}.{lowest.minor}" if lowest else ""


def _poetry_bound(constraint: Any) -> str:
    """Of ``^3.9`` and ``~3.9`` the number is the lower bound (https://python-poetry.org/docs/dependency-specification/)."""
    if not isinstance(constraint, str):
        return ""
    return _named(constraint.strip().lstrip("^~")) if constraint.strip()[:1] in {"^", "~"} else _lower_bound(constraint)


def _pipfile(project: Project) -> str:
    requires = project.toml("Pipfile").get("requires")
    version = requires.get("python_version") if isinstance(requires, dict) else None
    return _named(version) if isinstance(version, str) else ""


def _setup_cfg(project: Project) -> str:
    from ci_envs.ini import read_ini  # few projects still have it

    if not project.exists("setup.cfg"):
        return ""
    try:
        return _lower_bound(read_ini(project, "setup.cfg").get("options", "python_requires", fallback=""))
    except UsageError:
        return ""  # whoever needs the rest of the file says so
