"""A requirement of the Python world in conda's words: another name, the same versions, the platforms of its marker.

conda-lock downloads a table of names. Nothing is downloaded to read an intent: a package has the same name on conda's
side, but for those of ``resources/conda-names.yml``.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from ci_envs.model.conda import PLATFORMS
from ci_envs.resources import resource

if TYPE_CHECKING:
    from packaging.markers import Marker
    from packaging.specifiers import SpecifierSet

__all__ = ["conda_name", "conda_versions", "marked_platforms", "poetry_versions"]

#: The Pythons that a marker may be about: which one it will be is not known when an intent is read.
_MINORS = range(8, 16)

_POETRY_CLAUSE = re.compile(r"(?P<op>\^|~=|~|===?|!=|>=?|<=?)?\s*(?P<version>[0-9][\w.*+!-]*|\*)")


@cache
def _names() -> dict[str, str]:
    from ci_envs.documents import load_yaml

    names: dict[str, str] = load_yaml(resource("conda-names.yml").read_text("utf-8"), file="conda-names.yml").data
    return names


def conda_name(name: str) -> str:
    """What a distribution of PyPI is called on conda-forge, as far as that is known here."""
    from packaging.utils import canonicalize_name

    normalised = canonicalize_name(name)
    return _names().get(normalised, normalised)


def conda_versions(specifiers: SpecifierSet) -> str:
    """``<2,>=1`` for ``>=1, <2``: PEP 440's operators mean the same to conda, but for two.

    It has no ``===``, and conda itself (unlike rattler) takes ``==1.2.*`` for ``==1.2``.
    """
    return ",".join(sorted(_conda_version(one.operator, one.version) for one in specifiers))


def _conda_version(operator: str, version: str) -> str:
    plain = operator.replace("===", "==")
    return version if plain == "==" and version.endswith(".*") else f"{plain}{version}"


def marked_platforms(marker: Marker | None) -> tuple[tuple[str, ...], bool]:
    """The platforms where a marker may hold for some Python, and whether it holds there for every Python.

    conda-lock, too, takes what a marker says of the Python for true.
    """
    from ci_envs.conda.targets import target

    if marker is None:
        return PLATFORMS, True
    held = {
        platform: [marker.evaluate(target(platform, f"3.{minor}.0").markers) for minor in _MINORS]
        for platform in PLATFORMS
    }
    found = tuple(platform for platform, results in held.items() if any(results))
    return found, all(all(held[platform]) for platform in found)


def poetry_versions(constraint: str) -> str:
    """Poetry's notation in conda's, empty for any version: ``>=1.2,<2`` for ``^1.2``. ``ValueError`` for nonsense.

    https://python-poetry.org/docs/dependency-specification/#version-constraints
    """
    return "|".join(filter(None, (_poetry_alternative(part) for part in re.split(r"\|\|?", constraint))))


def _poetry_alternative(text: str) -> str:
    clauses = [part for piece in text.split(",") for part in _poetry_clauses(piece.strip())]
    return ",".join(filter(None, clauses))


def _poetry_clauses(text: str) -> list[str]:
    """The clauses of a piece without commas: blanks may stand between them, and behind an operator."""
    if _POETRY_CLAUSE.sub("", text).strip():
        raise ValueError(f"{text!r} is no version constraint")
    return [_poetry_clause(match["op"] or "", match["version"]) for match in _POETRY_CLAUSE.finditer(text)]


def _poetry_clause(operator: str, version: str) -> str:
    from packaging.version import Version

    if version == "*":
        return ""
    if operator in {"^", "~"}:
        release = Version(version).release
        return f">={version},<{_bumped(release, _caret(release) if operator == '^' else min(1, len(release) - 1))}"
    return _conda_version(operator or "==", version)


def _caret(release: tuple[int, ...]) -> int:
    """Which part may not change: the first that is not 0, else the last that is written."""
    return next((index for index, part in enumerate(release) if part), len(release) - 1)


def _bumped(release: tuple[int, ...], index: int) -> str:
    return ".".join(map(str, (*release[:index], release[index] + 1)))
