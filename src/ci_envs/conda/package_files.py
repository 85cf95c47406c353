"""What an unpacked conda package says it holds, and the refusal of one that reaches out of its folder.

A package is data from a channel until it is linked. rattler links what ``info/paths.json`` lists, wherever that leads
(seen with py-rattler 0.28: ``../x`` is written beside the prefix, an absolute path ends the whole process, a symbolic
link to ``/etc`` is made), and other tools have their own ideas; so each package is looked through once, when it is
unpacked, before anything links from it.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import stat
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

import msgspec

from ci_envs.decoding import decode
from ci_envs.model.conda_record import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "LINKED",
    "PackageFiles",
    "UnfitPackageError",
    "canonical_path",
    "digests",
    "executable_digest",
    "paths_digest",
    "placeholder_digest",
    "post_link_paths",
    "read_package",
]

#: What conda keeps of an environment: a package that writes there could pass for another.
_CONDA_META = re.compile(r"conda-meta/(?:[^/]*\.json|history)$", re.IGNORECASE)

_SITE_PACKAGES = re.compile(r"^(?:lib/python\d+\.\d+t?|Lib)/site-packages/")
_SCRIPTS = re.compile(r"^(?:bin|Scripts)/")

#: Kinds of rows that come out of a package; bytecode and entry points are made when it is installed.
LINKED = frozenset(("hardlink", "softlink", "directory"))


class UnfitPackageError(ValueError):
    """A package that must not be linked; the message says why, without the package's name."""


class _Path(msgspec.Struct):
    """A row of ``info/paths.json``; conda's CEP 34 has the fields."""

    path: str = msgspec.field(name="_path")
    path_type: str = "hardlink"
    sha256: str | None = None
    prefix_placeholder: str | None = None
    file_mode: str | None = None

    def claim(self) -> Claim:
        """The same, as conda-meta would have it."""
        mode = self.file_mode or ""
        return Claim(
            self.path, self.path, self.path_type, self.sha256 or "", "", self.prefix_placeholder or "", mode, ""
        )


class _Paths(msgspec.Struct):
    paths: list[_Path] = []


class _Index(msgspec.Struct):
    name: str
    version: str
    build: str
    subdir: str = ""
    noarch: str | bool | None = None


class _Noarch(msgspec.Struct, frozen=True):
    entry_points: tuple[str, ...] = ()


class _Link(msgspec.Struct):
    noarch: _Noarch = _Noarch()


class PackageFiles(msgspec.Struct, frozen=True, kw_only=True):
    """An unpacked package."""

    name: str
    version: str
    build: str
    #: The channel's folder: ``linux-64``, ``noarch``.
    subdir: str = ""
    rows: tuple[Claim, ...] = ()
    #: Symbolic links by path, with their targets.
    links: dict[str, str] = {}
    executable: frozenset[str] = frozenset()
    #: ``command = module:function``, of a noarch Python package.
    entry_points: tuple[str, ...] = ()

    @property
    def post_link(self) -> bool:
        """Whether it has a script that is to run once it is linked."""
        return any(row.path in post_link_paths(self.name) for row in self.rows)


def post_link_paths(name: str) -> tuple[str, str]:
    """Where a package's post-link script is: on POSIX, on Windows."""
    return f"bin/.{name}-post-link.sh", f"Scripts/.{name}-post-link.bat"


def read_package(folder: Path) -> PackageFiles:
    """Looks through an unpacked package. :class:`UnfitPackageError` where it is none, or reaches outside."""
    try:
        index = decode((folder / "info/index.json").read_bytes(), _Index)
        links, executable = _walk(folder)  # before anything is read: a pipe would be waited for
        rows = _rows(folder)
        points = _entry_points(folder) if index.noarch == "python" else ()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnfitPackageError(f"its metadata cannot be read: {error}") from error
    for point in points:
        _refuse_command(point)
    return PackageFiles(
        name=index.name,
        version=index.version,
        build=index.build,
        subdir=index.subdir,
        rows=rows,
        links=links,
        executable=executable,
        entry_points=points,
    )


def _rows(folder: Path) -> tuple[Claim, ...]:
    try:
        told = (folder / "info/paths.json").read_bytes()
    except FileNotFoundError:
        rows = list(_old_rows(folder))
    else:
        rows = [row.claim() for row in decode(told, _Paths).paths]
    for row in rows:
        _refuse_path(row.path)
    return tuple(row if row.sha256 or row.kind != "hardlink" else _hashed(folder, row) for row in rows)


def _old_rows(folder: Path) -> Iterator[Claim]:
    """Packages from before 2017 have ``info/files`` and ``info/has_prefix`` instead."""
    from rattler import PathsJson

    try:
        entries = PathsJson.from_deprecated_package_directory(folder).paths
    except Exception as error:  # its IoError is none of Python's
        raise UnfitPackageError(f"its list of files cannot be read: {error}") from error
    for entry in entries:
        kind = "softlink" if entry.path_type.softlink else "directory" if entry.path_type.directory else "hardlink"
        found, path = entry.prefix_placeholder, Path(entry.relative_path).as_posix()
        mode = ("binary" if found.file_mode.binary else "text") if found else ""
        yield Claim(path, path, kind, "", "", found.placeholder if found else "", mode, "")


def _hashed(folder: Path, row: Claim) -> Claim:
    with (folder / row.path).open("rb") as file:
        return row._replace(sha256=hashlib.file_digest(file, "sha256").hexdigest())


def _entry_points(folder: Path) -> tuple[str, ...]:
    path = folder / "info/link.json"
    return decode(path.read_bytes(), _Link).noarch.entry_points if path.exists() else ()


def _refuse_path(path: str) -> None:
    parts = path.split("/")
    windows = PureWindowsPath(path)
    if not path or "\0" in path or path.startswith("/") or windows.drive or windows.root:
        raise UnfitPackageError(f"it lists {path!r}, which is no path inside an environment")
    if ".." in parts or ".." in windows.parts:
        raise UnfitPackageError(f"it lists {path!r}, which leads out of the environment")
    if _CONDA_META.match(posixpath.normpath(path)):
        raise UnfitPackageError(f"it lists {path!r}, which is conda's own record of an environment")


def _refuse_command(point: str) -> None:
    command = point.partition("=")[0].strip()
    if not re.fullmatch(r"[^/\\\0\n\r]+", command) or command in (".", ".."):
        raise UnfitPackageError(f"its entry point {point!r} has no name that a program could have")


def _walk(folder: Path) -> tuple[dict[str, str], frozenset[str]]:
    """Links and executable files. Links that lead outside are refused, listed or not: files are met through them."""
    links: dict[str, str] = {}
    executable: set[str] = set()
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            full = os.path.join(top, name)  # noqa: PTH118 - a walk
            mode = os.lstat(full).st_mode
            path = os.path.relpath(full, folder).replace(os.sep, "/")
            if stat.S_ISLNK(mode):
                links[path] = os.readlink(full)  # noqa: PTH115 - a walk
                _refuse_link(folder, path, links[path])
            elif stat.S_ISREG(mode) and mode & 0o111 and not path.startswith("info/"):
                executable.add(path)
            elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise UnfitPackageError(f"its {path!r} is neither a file, nor a folder, nor a link")
    return links, frozenset(executable)


def _refuse_link(folder: Path, path: str, target: str) -> None:
    """Where a link leads is looked at as it would be followed: what lies beyond another link's end is not above it."""
    if target.startswith("/") or PureWindowsPath(target).drive or PureWindowsPath(target).root:
        raise UnfitPackageError(f"its link {path!r} leads to {target!r}, out of the environment")
    at = posixpath.dirname(path)
    for part in target.split("/"):
        # Another package may have a link at a name that this one has not: nobody knows what is above its end.
        unknown = part == ".." and at and not os.path.lexists(folder / at)
        at = posixpath.normpath(posixpath.join(at, part))
        if at == ".." or at.startswith("../") or unknown:
            raise UnfitPackageError(f"its link {path!r} leads to {target!r}, out of the environment")
    if not Path(os.path.realpath(folder / path)).is_relative_to(os.path.realpath(folder)):
        raise UnfitPackageError(f"its link {path!r} leads to {target!r}, out of the environment")


def canonical_path(path: str, subdir: str) -> str:
    """A path as a package has it, from the one that it has in an environment; the same for one that is canonical.

    A noarch Python package's ``site-packages/`` and ``python-scripts/`` go where the Python inside has them. Both are
    taken as one of every noarch package: conda-meta does not say of each which kind it is.
    """
    if subdir != "noarch":
        return path
    return _SCRIPTS.sub("python-scripts/", _SITE_PACKAGES.sub("site-packages/", path))


def paths_digest(rows: Iterable[Claim], link: Callable[[Claim], str], *, subdir: str) -> str:
    """``sha256:<hex>`` over what a package holds: of files path and hash, of links path and target.

    Every front end's conda-meta gives the digest of the package itself: placeholders are no part of it, since mamba
    does not record them. ``link`` answers with a link's target.
    """
    return _digest(
        (canonical_path(row.wanted or row.path, subdir), row.kind, *_content(row, link))
        for row in rows
        if row.kind in LINKED
    )


def _content(row: Claim, link: Callable[[Claim], str]) -> tuple[str, str]:
    if row.kind == "softlink":
        return "", link(row)
    # Where an old package has no hash, conda and mamba record the one of the file that they put there.
    return (row.sha256 or row.installed, "") if row.kind == "hardlink" else ("", "")


def placeholder_digest(rows: Iterable[Claim], *, subdir: str) -> str:
    """``sha256:<hex>`` over what is replaced in which files by the prefix, and how."""
    return _digest(
        (canonical_path(row.wanted or row.path, subdir), row.mode, row.placeholder)
        for row in rows
        if row.kind in LINKED and row.placeholder
    )


def executable_digest(paths: Iterable[str], *, subdir: str) -> str:
    """``sha256:<hex>`` over which files are executable: no hash tells of it, and a hard link shares it."""
    return _digest((canonical_path(path, subdir),) for path in paths)


def digests(files: PackageFiles) -> dict[str, str]:
    """The three digests of an unpacked package, by the names that the ledger gives them."""
    listed = {row.path for row in files.rows if row.kind == "hardlink"}
    return {
        "paths": paths_digest(files.rows, lambda row: files.links.get(row.path, ""), subdir=files.subdir),
        "placeholders": placeholder_digest(files.rows, subdir=files.subdir),
        "executable": executable_digest(files.executable & listed, subdir=files.subdir),
    }


def _digest(rows: Iterable[tuple[str, ...]]) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()
