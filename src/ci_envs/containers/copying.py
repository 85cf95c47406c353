"""Files into a container and out of it, as the tar archives that engines speak."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from ci_envs.errors import BrokenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Owner", "files_in", "folders", "one_file", "owner_of", "pack", "text_file"]


_GONE = "gone"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a file is inside."""

    uid: int = 0
    gid: int = 0


def owner_of(user: str, passwd: bytes | None) -> Owner:
    """The owner for the ``USER`` of an image (``app``, ``1000``, ``1000:1000``), by its /etc/passwd where there is one.

    An unknown one is root, as it is for an image without ``USER``.
    """
    name, _, group = user.partition(":")
    rows = [line.split(":") for line in (passwd or b"").decode("utf-8", "replace").splitlines()]
    found = [row for row in rows if len(row) > 3 and name in (row[0], row[2]) and row[2].isdigit() and row[3].isdigit()]
    uid = int(name) if name.isdigit() else int(found[0][2]) if found else 0
    gid = int(group) if group.isdigit() else int(found[0][3]) if found else 0
    return Owner(uid, gid)


def folders(modes: Iterable[tuple[str, int]], owner: Owner) -> bytes:
    """An archive of empty folders; each with its mode."""
    made = io.BytesIO()
    with _writing(made) as archive:
        for path, mode in modes:
            archive.addfile(_entry(path, owner, tarfile.DIRTYPE, mode))
    return made.getvalue()


def text_file(path: str, data: bytes, owner: Owner) -> bytes:
    """An archive of one file."""
    made = io.BytesIO()
    with _writing(made) as archive:
        entry = _entry(path, owner, tarfile.REGTYPE, 0o600)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def _writing(target: IO[bytes]) -> tarfile.TarFile:
    # The format whose names are bytes: those that are no UTF-8 come through.
    return tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape")


def _entry(path: str, owner: Owner, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.type, entry.mode, entry.uid, entry.gid = kind, mode & 0o7777, owner.uid, owner.gid
    return entry


def pack(
    root: Path, names: Sequence[str], inside: str, owner: Owner, target: IO[bytes], *, own_folder: bool = True
) -> tuple[str, ...]:
    """Writes an archive of files of a project, to be unpacked at ``/``; they come to lie below ``inside``.

    Regular files and links that lead to another place in the project; whatever else there is stays outside, and is
    answered as ``name (why)``. A file that is gone is passed over: git lists it until its removal is committed.
    ``own_folder`` is whether the folder itself is made; one that the image has is left as it is.
    """
    packer = _Packer(root, inside, owner)
    with _writing(target) as archive:
        if own_folder:
            packer.add_folder("", archive)
        for name in names:
            packer.add(name, archive)
    return tuple(packer.left_out)


class _Packer:
    def __init__(self, root: Path, inside: str, owner: Owner) -> None:
        self._root = os.fspath(root)
        self._inside = inside
        self._owner = owner
        #: Relative name of a folder -> why it is none; empty where it is one.
        self._folders: dict[str, str] = {}
        self.left_out: list[str] = []

    def add(self, name: str, archive: tarfile.TarFile) -> None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            self.left_out.append(f"{name} (not below the project)")
            return
        parents = [str(parent) for parent in path.parents if str(parent) != "."]
        why = next((why for parent in reversed(parents) if (why := self.add_folder(parent, archive))), "")
        why = why or self._add_file(name, archive)
        if why and why != _GONE:
            self.left_out.append(f"{name} ({why})")

    def add_folder(self, name: str, archive: tarfile.TarFile) -> str:
        """Why it is no folder of the project; empty where it is one."""
        known = self._folders.get(name)
        if known is None:
            try:
                told = os.lstat(self._at(name)) if name else os.stat(self._root)  # noqa: PTH116 - names of any bytes
                known = "" if stat.S_ISDIR(told.st_mode) else "behind a link"
            except OSError:
                known = _GONE
            else:
                if not known:
                    path = f"{self._inside}/{name}".rstrip("/")
                    archive.addfile(_entry(path, self._owner, tarfile.DIRTYPE, told.st_mode | 0o700))
            self._folders[name] = known
        return known

    def _at(self, name: str) -> str:
        return os.path.join(self._root, name)  # noqa: PTH118 - names of any bytes

    def _add_file(self, name: str, archive: tarfile.TarFile) -> str:
        """Why it is left out; empty where it is not."""
        try:
            told = os.lstat(self._at(name))
            if stat.S_ISLNK(told.st_mode):
                return self._add_link(name, archive)
            if not stat.S_ISREG(told.st_mode):
                return "no file"
            # What has become a pipe since then must not be waited for.
            flags = (
                os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            )
            with os.fdopen(os.open(self._at(name), flags), "rb") as file:
                told = os.fstat(file.fileno())
                entry = _entry(f"{self._inside}/{name}", self._owner, tarfile.REGTYPE, told.st_mode & 0o777)
                entry.size, entry.mtime = told.st_size, int(told.st_mtime)
                archive.addfile(entry, file)
        except FileNotFoundError:
            return _GONE
        except PermissionError:
            return "it cannot be read"
        return ""

    def _add_link(self, name: str, archive: tarfile.TarFile) -> str:
        target = os.readlink(self._at(name))  # noqa: PTH115 - names of any bytes
        there = os.path.normpath(os.path.join(os.path.dirname(name), target))  # noqa: PTH118, PTH120 - no Path and back
        if os.path.isabs(target) or there == ".." or there.startswith(("../", "..\\")):  # noqa: PTH117 - as above
            return "a link out of the project"
        entry = _entry(f"{self._inside}/{name}", self._owner, tarfile.SYMTYPE, 0o777)
        entry.linkname = target
        archive.addfile(entry)
        return ""


class _Chunks(io.RawIOBase):
    """The pieces of an answer as one stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the caller always hands a memoryview
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _members(pieces: Iterator[bytes]) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    with tarfile.open(fileobj=io.BufferedReader(_Chunks(pieces)), mode="r|") as archive:
        for entry in archive:
            yield entry, archive.extractfile(entry) if entry.isreg() else None


def one_file(pieces: Iterator[bytes], shown: str, limit: int) -> bytes | None:
    """The only file of an archive; ``None`` where its first entry is none.

    :class:`BrokenError` where it has more than ``limit`` bytes. Nothing is unpacked anywhere.
    """
    for entry, file in _members(pieces):
        if file is None:
            return None
        if entry.size > limit:
            raise BrokenError(f"{shown} has more than {limit >> 20} MiB")
        return file.read()
    return None


def files_in(pieces: Iterator[bytes], suffix: str) -> Iterator[tuple[str, bytes]]:
    """The files of an archive whose names end so, each by the last part of its name."""
    for entry, file in _members(pieces):
        if file is not None and entry.name.endswith(suffix):
            yield PurePosixPath(entry.name).name, file.read()
