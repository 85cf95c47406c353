"""Two trees that one derivation made: what differs in them, and why, where that can be told. Links are not followed."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from typing import TYPE_CHECKING

from ci_envs.containers.image_difference import known_reason
from ci_envs.content import read_content
from ci_envs.digest import Difference, Digest, Item, differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["tree_differences"]

#: Paths of one tree that differ in one way and for one reason: a build that writes the time writes it everywhere.
SHOWN = 20

#: Larger files are not looked into for a reason, bytes.
_READ = 1024 * 1024

# Where nix builds without a sandbox: below TMPDIR, or in its own folder.
_BUILD_FOLDER = re.compile(
    rb"[^\s\"':;=\0]{0,200}/(?:nix-build-[^/\s\"':;\0]{1,200}\.drv-\d+|nix/var/nix/builds/nix-[-\d]+)"
)
_GZIP = b"\x1f\x8b"
_GZIP_TIME = slice(4, 8)  # RFC 1952, 2.3.1


def tree_differences(first: Path, second: Path, name: str) -> list[Difference]:
    """What differs between two files or folders, with paths that begin with ``name``; at least one where they do."""
    items = [Digest(value="", files=0, bytes=0, entries=tuple(_items(path))) for path in (first, second)]
    rows = [_explained(row, first, second) for row in differences(*items)]
    shown = [row._replace(path=f"{name}/{row.path}" if row.path else name) for row in _limited(rows)]
    return shown or [Difference(name, "different", "something that neither names, contents nor marks of files tell")]


def _items(top: Path) -> Iterator[Item]:
    """Every file as it is, and folders that have none: what a NAR holds of a tree."""
    if not top.is_dir() or top.is_symlink():
        data = os.readlink(top) if top.is_symlink() else hashlib.sha256(top.read_bytes()).hexdigest()  # noqa: PTH115 - as it is written
        yield Item("", "link" if top.is_symlink() else "file", os.access(top, os.X_OK), data)
        return
    for entry in read_content(top).entries:
        yield Item(entry.path, entry.kind, entry.executable, entry.sha256 if entry.kind == "file" else entry.target)
    for folder, folders, files in os.walk(top):
        if not folders and not files and folder != str(top):
            yield Item(os.path.relpath(folder, top), "empty folder", False, "")


def _explained(row: Difference, first: Path, second: Path) -> Difference:
    if row.kind != "different" or row.reason.startswith(("a ", "only one")):
        return row
    return row._replace(
        reason=known_reason(row.path) or row.reason or _told_by_bytes(first / row.path, second / row.path)
    )


def _told_by_bytes(first: Path, second: Path) -> str:
    """Why two files differ, as far as their bytes tell."""
    if any(not path.is_file() or path.is_symlink() or path.stat().st_size > _READ for path in (first, second)):
        return ""
    ours, theirs = first.read_bytes(), second.read_bytes()
    if ours.startswith(_GZIP) and _without(ours, _GZIP_TIME) == _without(theirs, _GZIP_TIME):
        return "gzip writes the time into its header. Cure: `gzip -n`"
    if b"/nix-" in ours and _BUILD_FOLDER.sub(b"", ours) == _BUILD_FOLDER.sub(b"", theirs):
        return "it holds the folder that it was built in. Cure: a sandbox (`sandbox = true`) gives that one name"
    if re.sub(rb"\d+", b"0", ours) == re.sub(rb"\d+", b"0", theirs):
        return "only numbers differ: a time, a port or a process's. Cure of a time: SOURCE_DATE_EPOCH"
    if Counter(re.findall(rb"\w+", ours)) == Counter(re.findall(rb"\w+", theirs)):
        return "the same words in another order, as hash tables and folders give them. Cure: sort, or PYTHONHASHSEED=0"
    return ""


def _without(data: bytes, part: slice) -> bytes:
    return data[: part.start] + data[part.stop :]


def _limited(rows: list[Difference]) -> Iterator[Difference]:
    told: Counter[tuple[str, str]] = Counter()
    for row in rows:
        told[row.kind, row.reason] += 1
        if told[row.kind, row.reason] <= SHOWN:
            yield row
    for (kind, reason), count in told.items():
        if count > SHOWN:
            yield Difference(f"{count - SHOWN} more paths", kind, reason)
