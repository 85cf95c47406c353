"""A fingerprint of a project's own sources: whether its wheel has to be built again."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from typing import TYPE_CHECKING

from ci_envs import command
from ci_envs.errors import ToolMissing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["files_but_caches", "fingerprint", "listed_by_git", "source_files"]

# Folders that hold no sources, where no git says so.
_NO_SOURCES = frozenset({"__pycache__", "node_modules", "build", "dist", "htmlcov", "locks"})

# What a project's folder holds that can be made anew, or is another program's own.
_NOT_OURS = frozenset({"__pycache__", "node_modules", ".git", ".hg", ".svn", ".jj", ".direnv"})
# The second marks a folder that is no source of anything, our own state among them: https://bford.info/cachedir/
_MARKS = ("pyvenv.cfg", "CACHEDIR.TAG")

# What hatch-vcs, setuptools-scm and their like write anew at each build, the same bytes for the same version.
_VERSION_FILES = frozenset({"_version.py", "_version.pyi", "_version_info.py", "version.py", "__version__.py"})

#: What stands in an outcome for bytes that are not UTF-8: such names can only be had by walking.
_UNDECODABLE = "\ufffd"


@cache
def fingerprint(root: Path) -> str:
    """Over path, size and modification time of every source file; taken once a run.

    Which files these are, git says (tracked, and untracked but not ignored): what a test run leaves behind is
    ignored by nearly every project. Without git it is every file outside of hidden folders and environments. A
    touched file costs a needless build and nothing else; of a version file, which a build touches, it is the content.
    """
    total = hashlib.sha256()
    for name in source_files(root):
        try:
            found = os.lstat(root / name)
        except OSError:
            continue
        state = _content(root / name) if name.rpartition("/")[2] in _VERSION_FILES else str(found.st_mtime_ns)
        total.update(f"{name}\0{found.st_size}\0{state}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()[:32]


def source_files(root: Path) -> list[str]:
    """The files that a person has written, relative to the project, sorted; see :func:`fingerprint`."""
    return sorted(listed_by_git(root) or _walked(root))


def files_but_caches(root: Path) -> Iterator[str]:
    """All that lies in a folder but environments, caches and histories, relative to it: files and links, as they are.

    For a copy that is to work as the folder itself does, where no git says what belongs to it.
    """
    for folder, folders, names in os.walk(root):
        links = [name for name in folders if name not in _NOT_OURS and os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118 - a walk
        folders[:] = sorted(name for name in folders if name not in _NOT_OURS and not _is_marked(folder, name))
        yield from _relative_to(root, folder, (*names, *links))


def _is_marked(folder: str, name: str) -> bool:
    return any(os.path.exists(os.path.join(folder, name, mark)) for mark in _MARKS)  # noqa: PTH110, PTH118 - a walk


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def listed_by_git(root: Path) -> list[str]:
    """What git says that a fresh clone has, and what is not ignored beside it; empty where it has nothing to say."""
    words = ("git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    try:
        # Raw: a password that is an ordinary word must not hide a file of that name.
        outcome = command.run(command.Command(words, timeout=60, raw=True))
    except ToolMissing:
        return []
    if not outcome or _UNDECODABLE in outcome.stdout:
        return []
    return [name for name in outcome.stdout.split("\0") if name]


def _walked(root: Path) -> Iterable[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if _may_hold_sources(folder, name))
        yield from _relative(root, folder, names)


def _may_hold_sources(folder: str, name: str) -> bool:
    if name.startswith(".") or name in _NO_SOURCES or name.endswith(".egg-info"):
        return False
    return not _is_marked(folder, name)


def _relative(root: Path, folder: str, names: list[str]) -> Iterator[str]:
    sources = [name for name in names if not name.startswith(".") and not name.endswith((".pyc", ".log"))]
    yield from _relative_to(root, folder, sources)


def _relative_to(root: Path, folder: str, names: Iterable[str]) -> Iterator[str]:
    """Paths as git tells them: relative, with forward slashes."""
    for name in names:
        yield os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")  # noqa: PTH118 - a walk
