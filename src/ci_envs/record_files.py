"""Records on disk: written whole or not at all, and read as what they are, files that anybody may have written.

A record comes from another job, another machine or a download. It is decoded strictly, up to a size, and what it
names (a leg's id, paths) is made sure to be harmless before anybody builds a path of it.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import msgspec

from ci_envs.decoding import decoder
from ci_envs.errors import UsageError
from ci_envs.layout import write_atomically
from ci_envs.model.leg import MAX_ID_LENGTH
from ci_envs.model.record import SCHEMA_VERSION, RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "MAX_RECORDS",
    "MAX_RECORD_BYTES",
    "RECORD_NAME",
    "decode_record",
    "find_record",
    "is_inside",
    "is_leg_id",
    "read_record",
    "read_records",
    "read_regular",
    "record_paths",
    "write_record",
]

#: What a record is called in the artifact of its leg.
RECORD_NAME = "record.json"

#: A record of a thousand packages has about 1 MB.
MAX_RECORD_BYTES = 32 * 1024 * 1024

#: Twice as many as the legs that one workflow can run: 256 shards of 256.
MAX_RECORDS = 2 * 65_536

# A shard's artifact, in it a leg's, in it the record; one more, should a download put all of them into a folder.
_DEEPEST = 3

# Folders that are looked into. The artifact of a leg is one, and what lies beside a record is not looked into.
_MAX_FOLDERS = 2 * MAX_RECORDS

# The grammar of ``leg_id``: such a word is safe as a file name; a leading dot or hyphen never comes out of it.
_LEG_ID = re.compile(r"[a-z0-9_][a-z0-9_.-]*")


class _Version(msgspec.Struct):
    """What is read first, so that a newer record is called newer and not wrong."""

    schema_version: int


_VERSION = decoder(_Version)
_RECORD = decoder(RunRecord)


def is_leg_id(word: str) -> bool:
    """Whether a word has the grammar of a leg's id, and so is safe as a file's name."""
    return len(word) <= MAX_ID_LENGTH and _LEG_ID.fullmatch(word) is not None


def is_inside(path: str) -> bool:
    """Whether a path stays inside the folder that it is relative to, on every OS."""
    pure = PurePosixPath(path)
    drive = PureWindowsPath(path)
    return not (pure.is_absolute() or drive.anchor or ".." in (*pure.parts, *drive.parts) or "\0" in path)


def write_record(path: Path, record: RunRecord) -> None:
    """Replaces the file with the record, whole: a reader sees the old one or the new one."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def read_record(path: Path) -> RunRecord:
    """The record in a file; :class:`UsageError` names the file and the place in it that is wrong."""
    return decode_record(read_regular(path, MAX_RECORD_BYTES, "record"), path.as_posix())


def read_regular(path: Path, limit: int, what: str) -> bytes:
    """The bytes of a regular file; :class:`UsageError` where there is none, or one of more than ``limit`` bytes."""
    name = path.as_posix()
    try:
        if not path.is_file():
            raise UsageError("is not a regular file" if path.exists() else f"there is no such {what}", file=name)
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", file=name) from error
    if len(data) > limit:
        raise UsageError(f"is larger than {limit // 2**20} MiB: no {what} is", file=name)
    return data


def decode_record(data: bytes, name: str = "") -> RunRecord:
    """The record in some bytes; ``name`` is the file that an error speaks of."""
    if len(data) > MAX_RECORD_BYTES:
        raise UsageError(f"is larger than {MAX_RECORD_BYTES // 2**20} MiB: no record is", file=name)
    try:
        version = _VERSION.decode(data).schema_version
        if version > SCHEMA_VERSION:
            raise UsageError(
                f"has schema_version {version}; this ci-envs reads {SCHEMA_VERSION}",
                file=name,
                hint="a newer ci-envs wrote it: use that one",
            )
        record = _RECORD.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # ``ValidationError`` is a ``DecodeError``; its sentence ends with the place: ``at `$.leg.id` ``.
        raise UsageError(f"is not a record: {error}", file=name) from error
    for where, problem in _harms(record):
        raise UsageError(f"is not a record that can be trusted: {problem} at `$.{where}`", file=name)
    return record


def find_record(path: Path) -> RunRecord | None:
    """The record in a file, or ``None`` where there is none that can be read: for what is done again then."""
    try:
        return read_record(path)
    except UsageError:
        return None


def read_records(paths: Iterable[Path]) -> list[RunRecord]:
    """The records in files and in folders of files (``*.json``, sorted by name, not below)."""
    return [read_record(path) for given in paths for path in _files(given)]


def record_paths(folder: Path) -> Iterator[Path]:
    """Every ``record.json`` in a folder that artifacts were downloaded into, at most three folders below it.

    Links are not followed, and what lies beside a record is not looked into. In the order of names. A folder that is
    not there has none; :class:`UsageError` where it cannot be read, or has more than any run of a workflow leaves.
    """
    found = looked = 0
    waiting = [(folder, 0)] if folder.is_dir() and not folder.is_symlink() else []
    while waiting:
        place, depth = waiting.pop()
        looked += 1
        names = _names(place)
        if stat.S_ISREG(names.get(RECORD_NAME, 0)):
            found += 1
            yield place / RECORD_NAME
        elif depth < _DEEPEST:
            below = sorted((name for name, mode in names.items() if stat.S_ISDIR(mode)), reverse=True)
            waiting += [(place / name, depth + 1) for name in below]
        if found > MAX_RECORDS or looked + len(waiting) > _MAX_FOLDERS:
            raise UsageError(f"{folder} holds more than the artifacts of {MAX_RECORDS} legs")


def _names(folder: Path) -> dict[str, int]:
    """What is in a folder, with the kind of each as lstat(2) has it."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.stat(follow_symlinks=False).st_mode for entry in entries}
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", file=folder.as_posix()) from error


def _files(given: Path) -> list[Path]:
    return sorted(given.glob("*.json")) if given.is_dir() else [given]


def _harms(record: RunRecord) -> Iterator[tuple[str, str]]:
    """What in a record would lead a reader astray: where, and what is wrong with it."""
    if not is_leg_id(record.leg.id):
        yield "leg.id", f"{record.leg.id[:MAX_ID_LENGTH]!r} is no leg id"
    paths = (
        ("leg.project", record.leg.project),
        ("lock.path", record.lock.path if record.lock else ""),
        *((f"lock.more[{n}]", name) for n, name in enumerate(record.lock.more if record.lock else ())),
        ("job.root", record.job.root if record.job else ""),
    )
    for where, path in paths:
        if not is_inside(path):
            yield where, f"{path!r} leads out of the project"
