"""The build context of a generated Dockerfile: lock files and sources, and nothing else that lies in a project.

A copy, since the same sources must make the same layers: modes are 644 or 755 whatever the umask was, and times are
those of no day, while a hard link would have the mode and time of the user's own file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.errors import BrokenError, UsageError
from ci_envs.layout import disk_is_full, remove_tree
from ci_envs.model.record import Finding
from ci_envs.plain import one_line
from ci_envs.work import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

__all__ = ["Staged", "dockerignored", "ignore_text", "stage_context"]

IGNORE_FILE = ".dockerignore"

#: What no image needs, whether or not a .dockerignore says so: our state, version control, environments, caches.
_NEVER = (
    *(".ci-envs", ".git", ".hg", ".svn", ".venv", ".tox", ".nox", ".pixi", "node_modules"),
    *("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".DS_Store"),
)

#: The files by which a folder is an environment, whatever its name.
_OF_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta/history")

#: How many names a finding tells.
_NAMED = 5
_TIMES = (int(EPOCH), int(EPOCH))
_BLOCK = 1 << 20
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_AS_IT_IS = _BINARY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class Staged:
    """A context that is ready."""

    folder: Path
    #: ``sha256:<hex>`` over path, mode and content of all that is in it.
    fingerprint: str
    files: int
    bytes: int
    findings: tuple[Finding, ...] = ()


@dataclass(slots=True)
class _Left:
    """What was left out, and why."""

    outside: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)

    def findings(self) -> tuple[Finding, ...]:
        found = []
        if self.outside:
            message = f"{_shown(self.outside)}: what lies outside of the project is not part of an image"
            found.append(
                Finding(code="IMG201", severity="warning", title="links lead out of the project", message=message)
            )
        if self.special:
            message = f"{_shown(self.special)}: sockets, pipes and devices are not put into an image"
            found.append(Finding(code="IMG202", severity="info", title="left out of the context", message=message))
        return tuple(found)


def stage_context(
    root: Path,
    names: Iterable[str],
    folder: Path,
    *,
    files: Mapping[str, bytes] | None = None,
    locks: Sequence[str] = (),
) -> Staged:
    """Copies ``names`` of the project at ``root`` into ``folder``, which is made anew.

    ``names`` are the project's sources, relative, with forward slashes; those that ``.dockerignore`` names are left
    out. ``locks`` and ``files`` (path -> content) are there whatever it says. Raises :class:`BrokenError` for a disk
    without room, :class:`UsageError` for a file that cannot be read or a path that leads outside.
    """
    remove_tree(folder)
    folder.mkdir(parents=True)
    left = _Left()
    wanted = sorted({*_sources(root, names), *locks} - set(files or ()))
    try:
        copier = _Copier(root, folder, left)
        rows = copier.copy(wanted, needed=frozenset(locks))
        rows += [copier.write(name, data) for name, data in sorted((files or {}).items())]
        copier.finish()
    except OSError as error:
        raise _failed(error, root) from error
    rows.sort()
    total = hashlib.sha256(b"".join(_row_bytes(row) for row in rows)).hexdigest()
    return Staged(folder, f"sha256:{total}", len(rows), sum(row[3] for row in rows), left.findings())


def _sources(root: Path, names: Iterable[str]) -> list[str]:
    ignored, listed = dockerignored(root), list(names)
    environments = tuple(
        name.removesuffix(mark) for name in listed for mark in _OF_ENVIRONMENTS if name.endswith(f"/{mark}")
    )
    return [name for name in listed if not ignored(name) and not name.startswith(environments)]


def dockerignored(root: Path) -> Callable[[str], bool]:
    """Whether a project's file is kept from images: by its ``.dockerignore``, or since no image needs such a thing.

    The last line that matches decides, and one that matches a folder matches all that is in it:
    https://docs.docker.com/build/concepts/context/#dockerignore-files. Docker's SDK reads the patterns; which lines
    match is decided here, since its own matcher does not tell upper from lower case, and BuildKit does.
    """
    rules = list(_rules(_patterns(root / IGNORE_FILE)))

    def ignored(name: str) -> bool:
        parts = name.split("/")
        if name == IGNORE_FILE or any(part in _NEVER for part in parts):
            return True
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        return next((leaves for leaves, rule in rules if any(map(rule.fullmatch, above))), False)

    return ignored


def _rules(patterns: Iterable[str]) -> Iterator[tuple[bool, re.Pattern[str]]]:
    """The last line first: whether what it matches is left out, and what it matches."""
    from docker.utils.build import Pattern
    from docker.utils.fnmatch import translate

    for read in reversed([Pattern(text) for text in patterns]):
        if read.dirs:
            yield not read.exclusion, re.compile(translate(read.cleaned_pattern), re.DOTALL)


def ignore_text(root: Path, *, also: Iterable[str] = (), needed: Iterable[str] = ()) -> str:
    """What to keep beside a Dockerfile that the user adopts, as ``Dockerfile.dockerignore``: the same context.

    BuildKit reads it in place of ``.dockerignore``, so what that one says is part of it. ``also`` is left out too (the
    Dockerfile itself), ``needed`` is there in any case: the last line that matches decides.
    """
    never = [f"**/{name}" for name in _NEVER]
    lines = [*_patterns(root / IGNORE_FILE), *never, IGNORE_FILE, *also, *(f"!{name}" for name in needed)]
    return "\n".join(["# What ci-envs leaves out of an image.", *lines]) + "\n"


def _patterns(path: Path) -> list[str]:
    """The lines that mean something, as BuildKit reads them: no comments, no blanks around them."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read: {error}", file=IGNORE_FILE) from error
    lines = (line.strip() for line in text.splitlines() if not line.startswith("#"))
    return [line for line in lines if line and line != "."]


_Row = tuple[str, str, str, int]


class _Copier:
    """Files and links into one folder."""

    def __init__(self, root: Path, folder: Path, left: _Left) -> None:
        self._root = os.path.realpath(root)
        self._folder = str(folder)
        self._left = left
        self._folders: set[str] = {""}
        self._inside: dict[str, bool] = {}

    def copy(self, names: Sequence[str], needed: frozenset[str]) -> list[_Row]:
        """Copies what there is of these; what is ``needed`` has to be there."""
        for name in names:
            if name.startswith("/") or ".." in name.split("/"):
                raise UsageError(f"{one_line(name)!r} lies outside the project", file=one_line(name))
        for parent in sorted({posixpath.dirname(name) for name in names}):
            self._make(parent)
        # One after another: with threads, files of a few bytes take longer (Python 3.11, two processors).
        rows = (self._one(name, is_needed=name in needed) for name in names)
        return [row for row in rows if row is not None]

    def write(self, name: str, data: bytes) -> _Row:
        """A file that the project has not."""
        self._make(posixpath.dirname(name))
        target = Path(self._target(name))
        target.write_bytes(data)
        target.chmod(0o644)
        os.utime(target, _TIMES)
        return name, "644", hashlib.sha256(data).hexdigest(), len(data)

    def finish(self) -> None:
        """Gives the folders their mode and time, after all is in them."""
        for folder in sorted(self._folders, reverse=True):
            os.utime(self._target(folder), _TIMES)

    def _one(self, name: str, *, is_needed: bool) -> _Row | None:
        source = f"{self._root}/{name}"
        try:
            mode = os.lstat(source).st_mode
        except FileNotFoundError:
            if is_needed:
                raise UsageError("is not there", file=one_line(name)) from None
            return None  # tracked, and deleted since
        if stat.S_ISLNK(mode):
            return self._link(name, source)
        if stat.S_ISDIR(mode):
            return None  # a repository within the repository
        if not stat.S_ISREG(mode):
            self._left.special.append(name)
            return None
        return self._file(name, source)

    def _file(self, name: str, source: str) -> _Row | None:
        if not self._is_inside(posixpath.dirname(name)):
            self._left.outside.append(name)  # a folder above it is a link
            return None
        total, size = hashlib.sha256(), 0
        # What it is may have changed since it was looked at: a pipe would be waited for.
        source_file = os.open(source, os.O_RDONLY | _AS_IT_IS)
        with os.fdopen(source_file, "rb", buffering=0) as reader:
            mode = 0o755 if os.fstat(source_file).st_mode & 0o111 else 0o644
            target = os.open(self._target(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode)
            with os.fdopen(target, "wb") as writer:
                while block := reader.read(_BLOCK):
                    total.update(block)
                    writer.write(block)
                    size += len(block)
                writer.flush()
                if hasattr(os, "fchmod"):
                    os.fchmod(target, mode)
            os.utime(self._target(name), _TIMES)
        return name, f"{mode:o}", total.hexdigest(), size

    def _link(self, name: str, source: str) -> _Row | None:
        leads = str(Path(source).readlink())
        at = posixpath.normpath(posixpath.join(posixpath.dirname(name), leads))
        if leads.startswith("/") or at.startswith("../") or at == ".." or not self._is_inside(name):
            self._left.outside.append(name)
            return None
        target = Path(self._target(name))
        target.symlink_to(leads)
        os.utime(target, _TIMES, follow_symlinks=False)
        return name, "link", leads, 0

    def _is_inside(self, name: str) -> bool:
        """Whether it still lies in the project when all links are followed."""
        if name not in self._inside:
            self._inside[name] = f"{os.path.realpath(f'{self._root}/{name}')}/".startswith(f"{self._root}/")
        return self._inside[name]

    def _make(self, folder: str) -> None:
        if folder in self._folders:
            return
        self._make(posixpath.dirname(folder))
        target = Path(self._target(folder))
        target.mkdir()
        target.chmod(0o755)  # mkdir's mode goes by the umask
        self._folders.add(folder)

    def _target(self, name: str) -> str:
        return f"{self._folder}/{name}" if name else self._folder


def _row_bytes(row: _Row) -> bytes:
    return f"{row[0]}\0{row[1]}\0{row[2]}\n".encode("utf-8", "surrogateescape")


def _shown(names: list[str]) -> str:
    names = sorted(names)
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(one_line(name, 100) for name in names[:_NAMED]) + rest


def _failed(error: OSError, root: Path) -> Exception:
    if disk_is_full(error):
        return BrokenError("the disk is full: the project's files could not be copied for the build of an image")
    where = str(error.filename or "")
    name = one_line(os.path.relpath(where, root)) if where else ""
    if error.errno == errno.EEXIST:
        return UsageError("is both a folder and a file for the build of an image", file=name)
    return UsageError(f"cannot be read: {error.strerror}", file=name)
