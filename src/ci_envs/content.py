"""Reads every file of an environment once, with its SHA-256.

The walk and the hashing are the probe's (``resources/probe.py``), so that a prefix on this machine and one inside a
container are read by the same code. Links are not followed.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any

from ci_envs.errors import CheckError
from ci_envs.model.content import Content, Entry
from ci_envs.resources import probe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Content", "HashCache", "content_from_probe", "read_content"]

#: Past this number threads wait for each other more than they gain: opening a file holds the interpreter's lock.
MAX_WORKERS = 8


class HashCache(dict[tuple[int, int, int, int], str]):
    """(device, inode, size, mtime_ns) -> SHA-256, shared by the legs of one run.

    Legs that uv has hard-linked from one cache share their inodes: a later leg costs a stat for each file. It is
    never kept beyond a run: a write that restores size and time would go unseen.
    """


def read_content(prefix: Path, *, cache: HashCache | None = None, workers: int | None = None) -> Content:
    """Every file below a prefix. ``workers`` threads hash (default: one a core).

    A file that cannot be read, or is gone when its turn comes, is an entry of the kind ``unreadable``.
    Raises :class:`CheckError` where there is no such folder.
    """
    given = os.path.abspath(prefix)  # noqa: PTH100 - absolute, but with links as they are: launchers name it so
    if not prefix.is_dir():
        raise CheckError(f"there is no environment at {given}", hint="build it again with `ci-envs run`")
    count = workers or min(MAX_WORKERS, os.cpu_count() or 1)
    found = probe.scan(given, count, cache if cache is not None else HashCache())
    return _content(
        given,
        (given, os.path.realpath(given)),
        found.rows,
        found.data,
        originals=found.originals,
        masked=found.masked,
        folds_case=_folds_case(given, found.rows),
    )


def _folds_case(prefix: str, rows: list[list[Any]]) -> bool:
    """Whether the file system of a prefix answers to a name that nobody has given: one of its files, spelled otherwise.

    Asked of the disk: a folder of Windows' may tell the cases apart, a disk of macOS' may have been made to.
    """
    names = {path for row in rows if "/" not in (path := _path(row))}
    name = next((name for name in sorted(names) if name.swapcase() not in names), "")
    try:
        own, other = (os.lstat(os.path.join(prefix, each)) for each in (name, name.swapcase()))  # noqa: PTH118 - names of any bytes
    except OSError:
        return False
    return bool(name) and os.path.samestat(own, other)


def content_from_probe(answer: Mapping[str, Any]) -> Content:
    """What ``probe.py content PREFIX`` said, decoded from its JSON."""
    data = {path: base64.b64decode(text) for path, text in answer["data"].items()}
    return _content(
        answer["prefix"],
        tuple(answer["roots"]),
        answer["entries"],
        data,
        originals=answer["originals"],
        masked=answer["masked"],
    )


def _content(
    prefix: str,
    roots: tuple[str, ...],
    rows: list[list[Any]],
    data: dict[str, bytes],
    *,
    originals: dict[str, str],
    masked: dict[str, str],
    folds_case: bool = False,
) -> Content:
    _sort(rows)
    return Content(
        prefix=prefix,
        roots=tuple(dict.fromkeys(root.replace(os.sep, "/") for root in roots)),
        entries=tuple(map(Entry._make, rows)),
        data=data,
        originals=originals,
        masked=masked,
        folds_case=folds_case,
    )


def _sort(rows: list[list[Any]]) -> None:
    """By the bytes of their paths. Code points sort as their UTF-8 does, but for surrogates that stand for bytes."""
    rows.sort(key=_path)
    try:
        "".join(map(_path, rows)).encode()
    except UnicodeEncodeError:
        rows.sort(key=lambda row: _path(row).encode("utf-8", "surrogateescape"))


def _path(row: list[Any]) -> str:
    path: str = row[0]
    return path
