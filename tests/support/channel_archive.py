"""conda packages as files: what one is made of, and the archive that holds it, byte for byte the same each time.

A ``.conda`` file is a stored zip of ``metadata.json``, ``pkg-<stem>.tar.zst`` and ``info-<stem>.tar.zst``; a
``.tar.bz2`` is one tar of both (conda's CEP 35 and CEP 34 say what is in ``info/``). They are written here and not with
a builder, since tests need what no builder would write: members that lead outside, placeholders that are too short.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import posixpath
import tarfile
import zipfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["PLACEHOLDER", "TIMESTAMP", "Member", "Package", "pack", "text_member", "unpack", "write_package"]

#: What stands in a package for the prefix that nobody knows yet; 255 bytes, as conda's builders make it.
PLACEHOLDER = ("/build/_h_env" + "_placehold" * 26)[:255]

#: When every package was built: milliseconds since the epoch, 2025-01-01.
TIMESTAMP = 1_735_689_600_000

_ZIP_TIME = (2025, 1, 1, 0, 0, 0)
_ARCHES = {"64": "x86_64", "aarch64": "aarch64", "arm64": "arm64", "ppc64le": "ppc64le", "32": "x86"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a package."""

    path: str
    data: bytes = b""
    mode: int = 0o644
    #: The target of a symbolic link, or, with :attr:`hard`, the member that it is another name of.
    link: str = ""
    hard: bool = False
    #: The prefix that is in the data, to be replaced on installation.
    placeholder: str = ""
    file_mode: Literal["text", "binary"] = "text"
    no_link: bool = False
    #: What ``paths.json`` says instead of the hash of the content.
    told_sha256: str = ""
    #: Whether it is in the archive, and whether ``info/`` tells of it: a sound package has both.
    archived: bool = True
    told: bool = True

    def entry(self, content: bytes) -> dict[str, Any]:
        """What ``info/paths.json`` says of it; ``content`` is what reading it gives, through a link too."""
        told: dict[str, Any] = {"_path": self.path, "path_type": "softlink" if self.link else "hardlink"}
        if self.no_link:
            told["no_link"] = True
        if self.placeholder:
            told |= {"file_mode": self.file_mode, "prefix_placeholder": self.placeholder}
        sha256 = self.told_sha256 or hashlib.sha256(content).hexdigest()
        return told | {"sha256": sha256, "size_in_bytes": len(content)}


def text_member(path: str, text: str, *, mode: int = 0o644, placeholder: str = PLACEHOLDER) -> Member:
    """A text file, whose placeholder is told where it has one."""
    return Member(path=path, data=text.encode(), mode=mode, placeholder=placeholder if placeholder in text else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package, whole: what its index record says and what is in it."""

    name: str
    version: str
    build: str = "0"
    build_number: int = 0
    #: The subdir of a package for one platform; see :attr:`subdir`.
    platform: str = "linux-64"
    noarch: Literal["", "python", "generic"] = ""
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    track_features: str = ""
    license: str = "MIT"
    #: Milliseconds since the epoch.
    timestamp: int = TIMESTAMP
    #: Of a noarch Python package: ``pytest = pytest:console_main``.
    entry_points: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()
    #: More keys of ``info/index.json``.
    more: Mapping[str, Any] = field(default_factory=dict)
    #: The archive's format.
    suffix: Literal[".conda", ".tar.bz2"] = ".conda"

    @property
    def subdir(self) -> str:
        """The folder of a channel that it belongs into."""
        return "noarch" if self.noarch else self.platform

    @property
    def stem(self) -> str:
        """``six-1.17.0-pyhd8ed1ab_0``."""
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def filename(self) -> str:
        """``six-1.17.0-pyhd8ed1ab_0.conda``."""
        return self.stem + self.suffix

    @property
    def spec(self) -> str:
        """The match spec that only this build meets."""
        return f"{self.name} =={self.version} {self.build}"

    def having(self, *members: Member) -> Package:
        """The same package with more members."""
        return replace(self, members=(*self.members, *members))

    def index(self) -> dict[str, Any]:
        """``info/index.json``."""
        told: dict[str, Any] = {
            "arch": None,
            "build": self.build,
            "build_number": self.build_number,
            "depends": list(self.depends),
            "license": self.license,
            "name": self.name,
            "platform": None,
            "subdir": self.subdir,
            "timestamp": self.timestamp,
            "version": self.version,
        }
        if self.noarch:
            told["noarch"] = self.noarch
        else:
            system, _, arch = self.platform.partition("-")
            told |= {"platform": system, "arch": _ARCHES.get(arch, arch)}
        if self.constrains:
            told["constrains"] = list(self.constrains)
        if self.track_features:
            told["track_features"] = self.track_features
        return told | dict(self.more)


def write_package(folder: Path, package: Package) -> Path:
    """Writes the archive into the folder and returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / package.filename
    path.unlink(missing_ok=True)  # it may be a link to another channel's
    path.write_bytes(pack(package))
    return path


def pack(package: Package) -> bytes:
    """The bytes of the package's archive."""
    seconds = package.timestamp // 1000
    told = [Member(path=f"info/{name}", data=data) for name, data in _info(package).items()]
    if package.suffix == ".tar.bz2":
        return bz2.compress(_tarred((*told, *package.members), seconds), 1)
    compressed = {
        f"pkg-{package.stem}.tar.zst": _tarred(package.members, seconds),
        f"info-{package.stem}.tar.zst": _tarred(told, seconds),
    }
    parts = {"metadata.json": b'{"conda_pkg_format_version": 2}'}
    parts |= {name: zstandard.ZstdCompressor(level=1).compress(data) for name, data in compressed.items()}
    return _stored(parts)


def unpack(archive: bytes) -> dict[str, bytes]:
    """The files of an archive of either format by path, ``info/`` among them; links are left out."""
    if archive.startswith(b"BZh"):
        return _untarred(bz2.decompress(archive))
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(archive)) as parts:
        for name in parts.namelist():
            if name.endswith(".tar.zst"):
                found |= _untarred(zstandard.ZstdDecompressor().decompress(parts.read(name)))
    return found


def _info(package: Package) -> dict[str, bytes]:
    members = [member for member in package.members if member.told]
    files = "".join(f"{member.path}\n" for member in members)
    about = {"license": package.license, "summary": f"{package.name}, packed for tests."}
    told: dict[str, bytes] = {
        "about.json": _json(about),
        "files": files.encode(),
        "index.json": _json(package.index()),
        "paths.json": _json({"paths": _entries(members), "paths_version": 1}),
    }
    replaced = [f"{one.placeholder} {one.file_mode} {one.path}\n" for one in members if one.placeholder]
    if replaced:
        told["has_prefix"] = "".join(replaced).encode()
    if package.noarch == "python":
        points = {"entry_points": list(package.entry_points)} if package.entry_points else {}
        told["link.json"] = _json({"noarch": {"type": "python", **points}, "package_metadata_version": 1})
    return told


def _entries(members: Sequence[Member]) -> list[dict[str, Any]]:
    """What paths.json says of the members: a link has the hash of what it leads to within the package."""
    by_path = {member.path: member for member in members}

    def content(member: Member, depth: int = 8) -> bytes:
        if not member.link or not depth:
            return member.data
        start = "" if member.hard else posixpath.dirname(member.path)
        target = by_path.get(posixpath.normpath(posixpath.join(start, member.link)))
        return content(target, depth - 1) if target else b""

    return [member.entry(content(member)) for member in members]


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode()


def _tarred(members: Iterable[Member], seconds: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for member in (one for one in members if one.archived):
            told = tarfile.TarInfo(member.path)
            told.mode, told.mtime = member.mode, seconds
            if member.link:
                told.type, told.linkname = tarfile.LNKTYPE if member.hard else tarfile.SYMTYPE, member.link
                archive.addfile(told)
            else:
                told.size = len(member.data)
                archive.addfile(told, io.BytesIO(member.data))
    return buffer.getvalue()


def _untarred(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = ((told.name, archive.extractfile(told)) for told in archive.getmembers() if told.isreg())
        return {name: file.read() for name, file in files if file is not None}


def _stored(parts: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), data)
    return buffer.getvalue()
