"""Records on disk: written whole or not at all, and read as what they are, files that anybody may have written.

A record comes from another job, another machine or a download. It is decoded strictly, up to a size, and what it
names (a leg's id, paths) is made sure to be harmless before anybody builds a path of it.
"""

from __future__ import annotations

import re
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
    "MAX_RECORD_BYTES",
    "decode_record",
    "find_record",
    "is_leg_id",
    "read_record",
    "read_records",
    "write_record",
]

#: A record of a thousand packages has about 1 MB.
MAX_RECORD_BYTES = 32 * 1024 * 1024

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


def write_record(path: Path, record: RunRecord) -> None:
    """Replaces the file with the record, whole: a reader sees the old one or the new one."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def read_record(path: Path) -> RunRecord:
    """The record in a file; :class:`UsageError` names the file and the place in it that is wrong."""
    name = path.as_posix()
    try:
        if not path.is_file():
            raise UsageError("is not a regular file" if path.exists() else "there is no such record", file=name)
        with path.open("rb") as stream:
            data = stream.read(MAX_RECORD_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", file=name) from error
    return decode_record(data, name)


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


def _files(given: Path) -> list[Path]:
    return sorted(given.glob("*.json")) if given.is_dir() else [given]


def _harms(record: RunRecord) -> Iterator[tuple[str, str]]:
    """What in a record would lead a reader astray: where, and what is wrong with it."""
    if not is_leg_id(record.leg.id):
        yield "leg.id", f"{record.leg.id[:MAX_ID_LENGTH]!r} is no leg id"
    for where, path in (("leg.project", record.leg.project), ("lock.path", record.lock.path if record.lock else "")):
        if not _inside(path):
            yield where, f"{path!r} leads out of the project"


def _inside(path: str) -> bool:
    """Whether a path stays inside the folder that it is relative to, on every OS."""
    pure = PurePosixPath(path)
    drive = PureWindowsPath(path)
    return not (pure.is_absolute() or drive.anchor or ".." in (*pure.parts, *drive.parts) or "\0" in path)
