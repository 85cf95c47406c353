"""Which legs a change concerns: those whose project, or what that is made from beside it, has a changed file. Pure."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ci_envs.model.leg import Leg
    from ci_envs.planning.choosing import Sieve

__all__ = ["Changes", "concerned", "concerns_all"]

#: What may lock the projects below its folder, too, as the ``uv.lock`` of a workspace does.
LOCKS_ABOVE = ("*.lock", "pylock*.toml", "conda-lock.yml")

_WORKFLOWS = ".github/workflows/"
_LONGEST = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What has changed since a commit."""

    #: Relative to the repository, with forward slashes. Names are text from outside.
    files: tuple[str, ...]
    #: The root's own path in the repository, with a slash behind it; empty where it is the repository's folder.
    prefix: str = ""
    #: What it is compared with, as messages name it, and the commit.
    base: str = ""
    revision: str = ""


def concerns_all(changes: Changes, matrix_files: Iterable[str], configuration: Iterable[str]) -> str:
    """The reason why every leg is concerned; empty where there is none.

    ``matrix_files`` (one may have made the legs before) and those of ``configuration`` are relative to the root.
    """
    named = {changes.prefix + file: f"{file} changed" for file in configuration}
    for file in matrix_files:
        said = f"{one_line(file, _LONGEST)} changed, which says what the legs are"
        named[posixpath.normpath(changes.prefix + file)] = said
    for file in changes.files:
        if file in named:
            return named[file]
        if file.startswith(_WORKFLOWS):
            return f"{one_line(file, _LONGEST)} changed"
    return ""


def concerned(
    changes: Changes, projects: Mapping[str, str], neighbours: Mapping[str, Mapping[str, str]] | None = None
) -> Sieve:
    """The sieve of what changed.

    ``projects`` has every project that a leg may have, and its folder relative to the root: where links in its name
    lead. A file belongs to the deepest folder that it is in; a link or a submodule that a folder is in belongs to it.
    ``neighbours`` has by project the folders and files that it is made from, too, and the file that names each, all
    relative to the repository.
    """
    own, locks = _by_project(changes, projects)
    beside = _beside(changes, projects, neighbours or {})

    def sieve(leg: Leg) -> tuple[bool, str]:
        if files := own.get(leg.project):
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            return True, f"{one_line(files[0], _LONGEST)}{more} changed"
        if lock := locks.get(leg.project):
            return True, f"{one_line(lock, _LONGEST)} changed, which may lock it"
        if found := beside.get(leg.project):
            file, named, by = (one_line(part, _LONGEST) for part in found)
            return True, f"{file} changed, and {by} names {named or 'the folder that it is in'}"
        whose = "the root" if leg.project == "." else one_line(leg.project, _LONGEST)
        return False, f"no file of {whose} has changed since {changes.base}"

    return sieve


def _by_project(changes: Changes, projects: Mapping[str, str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """By project: its changed files, and the first changed lock above it."""
    folders: dict[str, list[str]] = {}
    through: dict[str, list[str]] = {}
    for name, real in projects.items():
        folders.setdefault(_folder(changes.prefix, real), []).append(name)
        for place in {_folder(changes.prefix, real), _folder(changes.prefix, name)}:
            for part in (place, *_above(place)):
                through.setdefault(part, []).append(name)
    own: dict[str, list[str]] = {}
    locks: dict[str, str] = {}
    for file in changes.files:
        owner = next((folder for folder in _above(file) if folder in folders), "")
        for name in {*folders.get(owner, ()), *through.get(file, ())}:
            own.setdefault(name, []).append(file)
        if any(fnmatchcase(PurePosixPath(file).name, pattern) for pattern in LOCKS_ABOVE):
            for name in through.get(next(_above(file)), ()):
                locks.setdefault(name, file)
    return own, locks


def _beside(
    changes: Changes, projects: Mapping[str, str], neighbours: Mapping[str, Mapping[str, str]]
) -> dict[str, tuple[str, str, str]]:
    """By project: the first changed file of what it names, by what path, and where."""
    named_by: dict[str, list[str]] = {}
    for name, paths in neighbours.items():
        for path in paths:
            named_by.setdefault(path, []).append(name)
    # What is in a deeper project belongs to that, and not to a neighbour around it.
    known = {*named_by, *(_folder(changes.prefix, real) for real in projects.values())}
    found: dict[str, tuple[str, str, str]] = {}
    for file in changes.files:
        owner = next((part for part in (file, *_above(file)) if part in known), None)
        for name in named_by.get(owner, ()) if owner is not None else ():
            found.setdefault(name, (file, owner or "", neighbours[name][owner or ""]))
    return found


def _folder(prefix: str, project: str) -> str:
    return (prefix if project == "." else prefix + project).rstrip("/")


def _above(file: str) -> Iterator[str]:
    """The folders that a file is in, the deepest first; the repository itself is the empty name."""
    folder = file
    while folder:
        folder = folder.rpartition("/")[0]
        yield folder
