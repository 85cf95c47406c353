"""Which Python a project asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ci_envs.detectors.nix import python_named
from ci_envs.errors import UsageError
from ci_envs.model.detect import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci_envs.conda.python_series import Series
    from ci_envs.project import Project

__all__ = ["python_wanted"]

# "3.12", "3.12.4", "3.13t", "cpython-3.12", "pypy3.10-7.3.16", "python-3.11.9" (https://github.com/pyenv/pyenv,
# https://docs.astral.sh/uv/concepts/python-versions/, https://repo2docker.readthedocs.io: runtime.txt).
_VERSION = re.compile(
    r"(?:(?:c?python|cp)[-@]?)?(?P<pypy>pypy-?)?(?P<series>\d+\.\d+)"
    r"(?:\.\d+)?(?:(?:a|b|rc)\d+)?(?P<free>t|\+freethreaded)?(?:-.*)?"
)
_OF_CONDA = frozenset(("conda", "mamba", "micromamba"))
_LOWER = frozenset((">=", ">", "==", "===", "~="))


def python_wanted(project: Project, *, pattern: str = "") -> tuple[str, Evidence] | None:
    """The Python that a project asks for, as a leg spells it (``3.12``, ``3.13t``, ``pypy3.10``), and where it says so.

    The first of ``.python-version``, ``runtime.txt`` (also repo2docker's), the lower bound of ``requires-python``, the
    series that ``environment.yml`` (or ``[tool.conda-lock.dependencies]``) pins, Poetry's ``python``, ``[requires]`` of
    a ``Pipfile``, ``python_requires`` of ``setup.cfg``, and last the lower bound that ``environment.yml`` gives.

    For a pattern of conda's a series that is pinned there counts before all others: no other can be solved. So does,
    for nix, the one whose attribute its shell names: no other is in it.
    """
    for wanted, evidence in _wishes(project, pattern):
        if wanted:
            return wanted, evidence
    return None


def _wishes(project: Project, pattern: str) -> Iterator[tuple[str, Evidence]]:
    if pattern in _OF_CONDA:
        series, evidence = _conda(project)
        yield series.pinned, evidence
    if pattern == "nix":
        yield python_named(project)
    for file in (".python-version", ".binder/runtime.txt", "binder/runtime.txt", "runtime.txt"):
        yield _named(project.text(file) or ""), Evidence(file=file)
    requires = project.table("project").get("requires-python")
    yield _lower_bound(requires), Evidence(file="pyproject.toml", key="project.requires-python")
    series, in_conda = _conda(project)
    yield series.pinned, in_conda
    poetry = project.table("tool", "poetry", "dependencies").get("python")
    yield _poetry_bound(poetry), Evidence(file="pyproject.toml", key="tool.poetry.dependencies.python")
    yield _pipfile(project), Evidence(file="Pipfile", key="requires.python_version")
    yield _setup_cfg(project), Evidence(file="setup.cfg", key="[options] python_requires")
    yield series.lowest, in_conda


def _conda(project: Project) -> tuple[Series, Evidence]:
    """What the first of conda's intent files says of Python. Specs for other platforms count like all others."""
    from ci_envs.conda.python_series import series_of

    for file in ("environment.yml", "environment.yaml"):
        if project.exists(file):
            return series_of(_match_specs(project, file)), Evidence(file=file, key="dependencies")
    asked = project.table("tool", "conda-lock", "dependencies").get("python")
    evidence = Evidence(file="pyproject.toml", key="tool.conda-lock.dependencies.python")
    return series_of([f"python {asked}"] if isinstance(asked, str) else []), evidence


def _match_specs(project: Project, file: str) -> list[str]:
    """The match specs of an ``environment.yml``; none where it cannot be read: whoever needs the rest says so."""
    from ci_envs.documents import load_yaml

    try:
        text = project.text(file) or ""
        values = load_yaml(text, file=file).value("dependencies") if "py" in text.lower() else []
    except UsageError:
        return []
    items = values if isinstance(values, list) else []
    selected = [value for item in items if isinstance(item, dict) for value in item.values()]
    return [value for value in (*items, *selected) if isinstance(value, str)]


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
