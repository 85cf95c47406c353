"""What the files in an environment's ``conda-meta`` say of the packages that are installed. No I/O.

conda, mamba and rattler write one JSON file for each package, with every file that they have put into the prefix.
Anybody may have written what is read here: a record that is none is told of, and a path that leads outside is no path.
"""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ENTRY_POINTS", "BrokenRecord", "Claim", "CondaRecord", "is_record", "read_record", "read_records"]

#: The kinds of claims that an installer makes of launchers that it has written itself.
ENTRY_POINTS = frozenset(
    ("unix_python_entry_point", "windows_python_entry_point_script", "windows_python_entry_point_exe")
)

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")
# Names, versions and builds are parts of file names.
_WORD = re.compile(r"[^\s/\\\x00-\x1f\x7f]{1,255}")


class Claim(NamedTuple):
    """One file that a record says its package has brought."""

    #: Relative to the prefix; empty where it leads outside.
    path: str
    #: As the record has it.
    written: str
    #: conda's word: ``hardlink``, ``softlink``, ``directory``, ``pyc_file``, ``unix_python_entry_point``, ...
    kind: str
    #: As the package has it, and as it was installed: hexadecimal, empty where the record does not tell.
    sha256: str
    installed: str
    #: What the prefix stands in place of, and how it was put there (``text`` or ``binary``); else empty.
    placeholder: str
    mode: str
    #: Where the package has it, if another package's file is there and rattler has put this one aside.
    wanted: str


class BrokenRecord(NamedTuple):
    """A record that cannot be read."""

    #: Relative to the prefix.
    path: str
    why: str


@dataclass(frozen=True, slots=True)
class CondaRecord:
    """One installed package."""

    #: The record's own path, relative to the prefix.
    path: str
    #: In lower case.
    name: str
    version: str
    build: str
    #: The channel's folder: ``linux-64``, ``noarch``.
    subdir: str
    build_number: int
    #: As the record has them: they may hold credentials.
    channel: str
    url: str
    #: Of the archive, hexadecimal; empty where the record does not tell.
    sha256: str
    md5: str
    #: Match specs.
    depends: tuple[str, ...]
    claims: tuple[Claim, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class _Path(msgspec.Struct):
    """An entry of ``paths_data.paths``."""

    path: str = msgspec.field(name="_path")
    path_type: str | None = None
    sha256: str | None = None
    sha256_in_prefix: str | None = None
    prefix_placeholder: str | None = None
    file_mode: str | None = None
    original_path: str | None = None


class _Paths(msgspec.Struct):
    paths: tuple[_Path, ...] = ()


class _Record(msgspec.Struct):
    """The keys that are used; a record has many more."""

    name: str
    version: str
    build: str
    build_number: int = 0
    subdir: str | None = None
    channel: str | None = None
    url: str | None = None
    sha256: str | None = None
    md5: str | None = None
    depends: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    paths_data: _Paths | None = None


_RECORD = msgspec.json.Decoder(_Record)


def is_record(path: str) -> bool:
    """Whether a path, relative to a prefix, is where a record lies."""
    return path.startswith("conda-meta/") and path.endswith(".json") and path.count("/") == 1


def read_records(
    data: Mapping[str, bytes], *, windows: bool = False
) -> tuple[tuple[CondaRecord, ...], tuple[BrokenRecord, ...]]:
    """The records among some files, sorted by name, and those that cannot be read."""
    records: list[CondaRecord] = []
    broken: list[BrokenRecord] = []
    for path in sorted(filter(is_record, data)):
        try:
            records.append(read_record(path, data[path], windows=windows))
        except ValueError as error:
            broken.append(BrokenRecord(path, str(error)))
    return tuple(sorted(records, key=lambda record: (record.name, record.path))), tuple(broken)


def read_record(path: str, data: bytes, *, windows: bool = False) -> CondaRecord:
    """One record; ``ValueError`` with the reason where it is none."""
    try:
        told = _decoded(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error
    for word in (told.name, told.version, told.build):
        if not _WORD.fullmatch(word) or not word.isprintable():
            raise ValueError(f"{word[:80]!r} is no name, version or build of a package")
    return CondaRecord(
        path=path,
        name=told.name.lower(),
        version=told.version,
        build=told.build,
        subdir=told.subdir or "",
        build_number=told.build_number,
        channel=told.channel or "",
        url=told.url or "",
        sha256=_fitting(_SHA256, told.sha256),
        md5=_fitting(_MD5, told.md5),
        depends=told.depends,
        claims=tuple(_claims(told, windows)),
    )


def _decoded(data: bytes) -> _Record:
    try:
        return _RECORD.decode(data)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:  # slower, and can read the half surrogates of undecodable file names
        return msgspec.convert(json.loads(data), _Record)


def _fitting(pattern: re.Pattern[str], text: str | None) -> str:
    lower = (text or "").lower()
    return lower if pattern.fullmatch(lower) else ""


def _claims(told: _Record, windows: bool) -> Iterable[Claim]:
    """Records of the oldest conda have a list of names alone."""
    paths = told.paths_data.paths if told.paths_data is not None else ()
    for each in paths:
        yield Claim(
            path=_inside(each.path, windows),
            written=each.path,
            kind=each.path_type or "hardlink",
            sha256=_fitting(_SHA256, each.sha256),
            installed=_fitting(_SHA256, each.sha256_in_prefix),
            placeholder=each.prefix_placeholder or "",
            mode=each.file_mode or "",
            wanted=_inside(each.original_path or "", windows),
        )
    for written in () if paths else told.files:
        yield Claim(_inside(written, windows), written, "hardlink", "", "", "", "", "")


def _inside(written: str, windows: bool) -> str:
    """Relative to the prefix; empty where it is nothing inside."""
    path = written.replace("\\", "/") if windows else written
    if path.startswith("/") or "\0" in path or re.match(r"[A-Za-z]:/", path):
        return ""
    if path.startswith(".") or "/." in path or "//" in path or path.endswith("/"):
        path = posixpath.normpath(path)
    return "" if path in ("", ".", "..") or path.startswith("../") else path
