"""Finds the matrix: the file that was named, else ``matrices/default.yml``, else one from what ``detect`` finds."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.detect import BUILT_PATTERNS, KNOWN_PATTERNS, RECOGNISED, detect, python_wanted, refuse_problems
from ci_envs.errors import NothingToDo, UsageError
from ci_envs.model.matrix import Entry, Matrix
from ci_envs.nearest import nearest
from ci_envs.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci_envs.documents import Document
    from ci_envs.model.detect import Detection
    from ci_envs.model.matrix import Value
    from ci_envs.model.plan import Platforms

__all__ = [
    "DEFAULT_MATRIX",
    "INTENT_FILES",
    "LOCK_FILES",
    "ad_hoc_matrix",
    "load_matrix",
    "lock_digests",
    "matrix_from",
    "matrix_of_tier",
    "platforms",
    "project_at",
]

DEFAULT_MATRIX = "matrices/default.yml"

#: What is locked from, where people keep it; some of it may be a lock, too.
INTENT_FILES = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "*requirements*.txt",
    "*requirements*.in",
    "*constraints*.txt",
    "*constraints*.in",
    "requirements/*.txt",
    "requirements/*.in",
    "environment*.yml",
    "environment*.yaml",
    "pixi.toml",
    "Pipfile",
    ".python-version",
)

#: What legs are built from, where people keep it; a cache key changes with any of them.
LOCK_FILES = ("*.lock", "pylock*.toml", "*requirements*.txt", "requirements/*.txt", "locks/*", "conda-lock.yml")


def load_matrix(root: Project, path: Path | None = None) -> Matrix:
    """The matrix for a root. ``path`` is the file that a person named, relative to where they stand.

    Raises :class:`UsageError` for a file that is not there, cannot be read or cannot be meant, for a project folder
    that is not inside the root; :class:`NothingToDo` where there is no matrix and nothing to make one from.
    """
    if path is not None:
        return _read(root, _text_of(path), path.as_posix())
    text = root.text(DEFAULT_MATRIX)
    if text is not None:
        return _read(root, text, DEFAULT_MATRIX)
    return matrix_from(detect(root, buildable=BUILT_PATTERNS), root)


def matrix_of_tier(root: Project, tier: str) -> Matrix | None:
    """``matrices/<tier>.yml`` of the root, where it has one; raises as :func:`load_matrix` does."""
    file = f"matrices/{tier}.yml"
    text = root.text(file)
    return None if text is None else _read(root, text, file)


def matrix_from(detection: Detection, project: Project) -> Matrix:
    """One leg for what ``auto`` takes (or what the project's configuration names), the others left out and named.

    Its Python is the one that the project names; where it only gives bounds, the running one if that is within them,
    else the lower bound; where it says nothing, the running one.
    """
    if detection.chosen is None:
        refuse_problems(detection)
        raise NothingToDo("no file here describes an environment", hint=f"known files are {RECOGNISED}")
    wanted = _configured_pattern(project) or detection.chosen.pattern
    others = [found for found in detection.patterns if found.pattern != wanted]
    return Matrix(
        name="detected",
        axes={"pattern": (wanted, *(found.pattern for found in others)), "python": (_python(project, wanted),)},
        exclude=tuple(Entry(values={"pattern": found.pattern}, reason=found.why) for found in others),
    )


def ad_hoc_matrix(
    root: Project, *, patterns: tuple[str, ...], pythons: tuple[str, ...], groups: tuple[str, ...]
) -> Matrix:
    """The matrix of flags: what is not named, or ``auto``, is taken as :func:`matrix_from` takes it."""
    patterns = tuple(pattern for pattern in patterns if pattern != "auto")
    for pattern in patterns:
        if pattern not in KNOWN_PATTERNS:
            raise UsageError(f"there is no pattern {pattern!r}{nearest(pattern, KNOWN_PATTERNS)}")
    found = None if patterns and pythons else matrix_from(detect(root, buildable=BUILT_PATTERNS), root)
    axes: dict[str, tuple[Value, ...]] = {
        "pattern": patterns or (found.axes["pattern"][:1] if found else ()),
        "python": pythons or (found.axes["python"] if found else ()),
    }
    if groups:
        axes["groups"] = (groups,)
    return Matrix(name="flags", axes=axes)


def project_at(root: Project, name: str) -> Project:
    """The project that a leg names, inside the root; links that lead out are a :class:`UsageError`."""
    return root if name == "." else Project(root.path(name), name)


def lock_digests(root: Project) -> Callable[[str], str]:
    """Answers, for the name of a project, with one SHA-256 over the names and bytes of its lock files.

    Each project's files are read once.
    """

    @cache
    def digest(name: str) -> str:
        project = project_at(root, name)
        total = hashlib.sha256()
        for file in sorted({file for pattern in LOCK_FILES for file in project.glob(pattern)}):
            content = hashlib.sha256(project.path(file).read_bytes()).hexdigest()
            total.update(f"{file}\0{content}\n".encode("utf-8", "surrogateescape"))
        return total.hexdigest()

    return digest


def platforms() -> Platforms:
    """What the world calls its machines, from the data that ships with the package."""
    from ci_envs.decoding import decode
    from ci_envs.model.plan import Platforms

    # The file lies beside this one; importlib.resources would cost 20 ms to say so.
    data = Path(__file__).with_name("resources").joinpath("platforms.json").read_bytes()
    return decode(data, Platforms)


def _read(root: Project, text: str, file: str) -> Matrix:
    from ci_envs.documents import load_yaml
    from ci_envs.matrix_reader import read_matrix

    document = load_yaml(text, file=file)
    matrix = read_matrix(document, KNOWN_PATTERNS)
    _refuse_projects_outside(root, document)
    return matrix


def _text_of(path: Path) -> str:
    """A file that a person named may lie anywhere, and be a link; it must be a file and UTF-8."""
    try:
        real = path.resolve()
        text = Project(real.parent).text(real.name)
    except UsageError as error:
        raise UsageError(error.message, hint=error.hint, file=path.as_posix(), line=error.line) from error
    except (OSError, RuntimeError) as error:  # a loop of links
        raise UsageError(f"cannot be read: {error}", file=path.as_posix()) from error
    if text is None:
        raise UsageError("there is no such file", file=path.as_posix(), hint="a matrix is named by its path from here")
    return text


def _refuse_projects_outside(root: Project, document: Document) -> None:
    from ci_envs.matrix_reader import project_values

    for name, where in project_values(document):
        folder = root.root / name
        try:
            inside, there = folder.resolve().is_relative_to(root.root), folder.is_dir()
        except (OSError, RuntimeError) as error:
            raise document.error(f"the project {name!r} cannot be looked at: {error}", *where) from error
        if not inside:
            raise document.error(
                f"the project {name!r} leads outside the repository through a link",
                *where,
                hint="files of a project must be inside the root, links included",
            )
        if not there:
            raise document.error(f"there is no folder {name!r}", *where, hint=f"it is looked for in {root.root}")


def _configured_pattern(project: Project) -> str:
    from ci_envs.settings import read_project_config

    layer = read_project_config(project)
    pattern = str(layer.values.get("pattern", "auto")) if layer else "auto"
    if pattern == "auto":
        return ""
    if layer is not None and pattern not in KNOWN_PATTERNS:
        raise UsageError(f"there is no pattern {pattern!r}{nearest(pattern, KNOWN_PATTERNS)}", file=layer.source)
    return pattern


def _python(project: Project, pattern: str) -> str:
    running = f"3.{sys.version_info.minor}{'t' if 't' in getattr(sys, 'abiflags', '') else ''}"
    found = python_wanted(project, pattern=pattern)
    if found is None:
        return running
    wanted, evidence = found
    bounds = project.table("project").get("requires-python")
    if evidence.key == "project.requires-python" and isinstance(bounds, str):
        from packaging.specifiers import SpecifierSet  # imported already, by python_wanted

        # The bounds parse, or python_wanted had not taken them.
        return running if f"3.{sys.version_info.minor}.{sys.version_info.micro}" in SpecifierSet(bounds) else wanted
    return wanted
