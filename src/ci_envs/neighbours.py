"""What else in a repository a project is made from: the folders and files that its own files name by a path.

``path = "../lib"``, ``-e ../lib``, ``-r ../base.txt``, a member of the same workspace: whoever writes them, they are
words in the files that environments are locked from. So each word is tried as a path, in whatever format it stands: one
that is meant otherwise costs a leg too many, one that is missed would leave out a leg that a change concerns.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import deque
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from ci_envs.errors import UsageError
from ci_envs.matrices import INTENT_FILES
from ci_envs.project import Project

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["neighbours"]

#: What an installer takes for a project.
_MADE_WITH = ("pyproject.toml", "setup.py", "setup.cfg")

#: ``lib``, ``../lib``, ``file:../lib[extra]``: up to what ends a path in TOML, YAML and requirements alike.
_WORD = re.compile(r"[^\s\"'`,;=<>()\[\]{}#@|]+")

_MOST_WORDS = 20_000
_MOST_FOLDERS = 1000


def neighbours(root: Path, top: Path, gone: Collection[Path] = ()) -> dict[Path, Path]:
    """By path, absolute: each file outside of ``root``, and each project's folder but ``root``, and who names it.

    What a neighbour names is one, too. Both folders are resolved; a path that leads out of ``top`` is none of ours, and
    one that is not there only where it is among those that are ``gone``.
    """
    found: dict[Path, Path] = {}
    waiting = deque([root])
    while waiting and len(found) < _MOST_FOLDERS:
        folder = waiting.popleft()
        for path, by in _named(folder, top, gone):
            is_folder = path.is_dir()
            if path in found or path == root or (path.is_relative_to(root) and not is_folder):
                continue
            found[path] = by
            if is_folder:
                waiting.append(path)
    return found


def _named(folder: Path, top: Path, gone: Collection[Path]) -> Iterator[tuple[Path, Path]]:
    project = Project(folder)
    for name in dict.fromkeys(file for pattern in INTENT_FILES for file in project.glob(pattern)):
        try:
            text = project.text(name) or ""
        except UsageError:  # who builds it says so
            continue
        place = folder / name
        for word in _words(text):
            path = _path(place.parent, word, gone)
            if path is not None and path.is_relative_to(top) and (path in gone or _is_taken(path)):
                yield path, place
    yield from ((path, folder / "pyproject.toml") for path in _members(project, top))


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(_WORD.findall(text)))[:_MOST_WORDS]


def _path(folder: Path, word: str, gone: Collection[Path]) -> Path | None:
    """Where a word leads, if anywhere: a lock has thousands that do not."""
    plain = re.sub(r"^file:(?://)?", "", word).rstrip("/")
    named = folder / plain
    try:
        there = plain and (named.exists() or (gone and Path(os.path.normpath(named)) in gone))
        return named.resolve() if there else None
    except (OSError, RuntimeError, ValueError):  # too long a name, a loop of links, a NUL
        return None


def _is_taken(path: Path) -> bool:
    """Whether it is what an installer takes: a file, or the folder of a project."""
    try:
        return path.is_file() or (path.is_dir() and any((path / name).is_file() for name in _MADE_WITH))
    except OSError:
        return False


def _members(project: Project, top: Path) -> Iterator[Path]:
    """The members of uv's workspace that a project takes from there, and their folders.

    https://docs.astral.sh/uv/concepts/projects/workspaces/
    """
    try:
        sources = project.table("tool", "uv", "sources")
    except UsageError:
        return
    wanted = {canonicalize_name(name) for name, source in sources.items() if _is_of_workspace(source)}
    if not wanted:
        return
    for folder in (project.root, *project.root.parents):
        if not folder.is_relative_to(top):
            return
        above = Project(folder)
        if members := _patterns(above):
            for path in sorted({path for pattern in members for path in _matching(folder, pattern)}):
                if _name(path) in wanted:
                    yield path
            if _name(folder) in wanted:
                yield folder
            return


def _is_of_workspace(source: Any) -> bool:
    rows = source if isinstance(source, list) else [source]
    return any(isinstance(row, dict) and row.get("workspace") is True for row in rows)


def _patterns(project: Project) -> list[str]:
    try:
        members = project.table("tool", "uv", "workspace").get("members")
    except UsageError:
        return []
    return [pattern for pattern in members if isinstance(pattern, str)] if isinstance(members, list) else []


def _matching(folder: Path, pattern: str) -> list[Path]:
    """The folders of a pattern, up to as many as a workspace may have; one that leads out of it has none."""
    if ".." in PurePosixPath(pattern).parts:
        return []
    try:
        paths = itertools.islice(folder.glob(pattern), _MOST_FOLDERS)
        return [path.resolve() for path in paths if path.is_dir() and path.resolve().is_relative_to(folder)]
    except (OSError, ValueError, NotImplementedError):  # an absolute pattern, an empty one
        return []


def _name(folder: Path) -> str:
    try:
        name = Project(folder).table("project").get("name")
    except UsageError:
        return ""
    return canonicalize_name(name) if isinstance(name, str) else ""
