"""A folder of package files for one leg, each under its own SHA-256.

    <folder>/<leg>/<sha256>/<file name>

Whoever could write to a cache may have written anything into it: a job's tests run as the same user, before the job
saves its cache. So no note beside the files is believed, and none is kept. What counts is the lock: a file is used
where its bytes have a SHA-256 that the lock names. Everything else is removed, and told of.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.layout import remove_tree
from ci_envs.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

__all__ = [
    "PACKAGES_DIR",
    "REFUSED",
    "PackageStore",
    "hash_file",
    "locked_hashes",
    "store_root",
    "tell_refused",
    "verified_files",
]

#: Names the folder; the steps of our actions set it where the package cache is on.
PACKAGES_DIR = "CI_ENVS_PACKAGES_DIR"

REFUSED = "ENV121"

#: How many refused files a finding names.
_NAMED = 5

_UNNEEDED = "the lock does not name this SHA-256"

_SHA256 = re.compile(r"[0-9a-f]{64}")
#: A file name as the index or a channel has it: letters, digits and what stands in versions.
_FILE_NAME = re.compile(r"[A-Za-z0-9_][\w.+!~-]{0,240}\.(?:whl|conda|tar\.bz2)", re.ASCII)
_PART = re.compile(r"\.[\w-]+\.part", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Refused:
    """Something in a store that is not used, and is removed."""

    #: Relative to the store; outside text.
    path: str
    why: str
    #: Whether it is what it is called, and this lock has no use for it.
    unneeded: bool = False


class PackageStore:
    """The files of one leg."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, work: Work) -> PackageStore | None:
        """The leg's; ``None`` where nobody carries package files between jobs."""
        root = store_root(work.environ)
        return cls(root / work.leg.id) if root else None

    def verified(self, allowed: Collection[str]) -> tuple[dict[str, Path], tuple[Refused, ...]]:
        """The files by SHA-256, and what was removed.

        Every file is read. One stays where its bytes have the SHA-256 that it lies under and that is among ``allowed``
        (hexadecimal).
        """
        from concurrent.futures import ThreadPoolExecutor

        _make_folder(self.folder)
        found: dict[str, Path] = {}
        refused: list[Refused] = []
        entries = sorted(self.folder.iterdir())
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as threads:
            verdicts = list(threads.map(lambda entry: _judged(entry, allowed), entries))
        for entry, (file, why) in zip(entries, verdicts, strict=True):
            if file is not None:
                found[entry.name] = file
                continue
            if not _PART.fullmatch(entry.name):  # else a killed run has left it
                refused.append(Refused(_shown(entry), why, unneeded=why == _UNNEEDED))
            _discard(entry)
        return found, tuple(sorted(refused))

    def put(self, file: Path, sha256: str) -> None:
        """Moves a file that has this SHA-256, which its caller has compared, into the store; whole or not at all."""
        if not _FILE_NAME.fullmatch(file.name):
            raise ValueError(f"not the name of a package file: {file.name!r}")
        _make_folder(self.folder)
        part = Path(tempfile.mkdtemp(dir=self.folder, prefix=".", suffix=".part"))
        try:
            shutil.move(file, part / file.name)
            if not (self.folder / sha256).exists():
                part.rename(self.folder / sha256)
        finally:
            remove_tree(part)


def store_root(environ: Mapping[str, str]) -> Path | None:
    """The folder that all legs' stores lie in; absolute."""
    named = environ.get(PACKAGES_DIR, "").strip()
    return Path(named).expanduser().absolute() if named else None


def locked_hashes(lock: Lock) -> frozenset[str]:
    """Every SHA-256 that the lock names for a package file, in hexadecimal."""
    return frozenset(each.removeprefix("sha256:") for pin in lock.pins for each in pin.hashes if "sha256:" in each)


def verified_files(work: Work, lock: Lock) -> dict[str, Path]:
    """What the leg's store holds of the lock, by SHA-256; what does not fit is removed, and a finding names it."""
    store = PackageStore.of(work)
    if store is None:
        return {}
    found, refused = store.verified(locked_hashes(lock))
    # Where the lock may have been renewed since the cache was found, what it no longer names is no news.
    if work.policy.mode in ("auto", "update"):
        refused = tuple(one for one in refused if not one.unneeded)
    if refused:
        tell_refused(work, "package", [f"{one.path} ({one.why})" for one in refused])
    return found


def tell_refused(work: Work, what: str, rows: list[str]) -> None:
    """ENV121: what a cache brought and was not used."""
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    work.find(
        REFUSED,
        "warning",
        "cache was refused",
        f"the {what} cache held what is not the lock's: {', '.join(rows[:_NAMED])}{more}; it was removed, and fetched "
        "or made anew. Nothing takes the place of a cache under its key: delete it, or change cache-suffix",
    )


def hash_file(path: Path) -> str:
    """SHA-256 in hexadecimal. A link is not followed."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _judged(entry: Path, allowed: Collection[str]) -> tuple[Path | None, str]:
    """The file of one entry of a store, or why there is none."""
    try:
        file = _only_file(entry)
        if file is None or not _FILE_NAME.fullmatch(file.name):
            return None, "not a package file under its SHA-256"
        actual = hash_file(file)
    except OSError as error:
        return None, f"cannot be read: {error.strerror}"
    if actual != entry.name:
        return None, f"its SHA-256 is {actual}"
    return (file, "") if actual in allowed else (None, _UNNEEDED)


def _only_file(entry: Path) -> Path | None:
    """The one regular file in a folder that is named by a SHA-256; links are neither."""
    if not _SHA256.fullmatch(entry.name) or not stat.S_ISDIR(entry.lstat().st_mode):
        return None
    inside = list(_first(entry, 2))
    return inside[0] if len(inside) == 1 and stat.S_ISREG(inside[0].lstat().st_mode) else None


def _first(folder: Path, number: int) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for _, entry in zip(range(number), entries, strict=False):
            yield Path(entry.path)


def _make_folder(folder: Path) -> None:
    """A link in its place would lead what is written here elsewhere."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)


def _discard(entry: Path) -> None:
    if stat.S_ISDIR(entry.lstat().st_mode):
        remove_tree(entry)
    else:  # a link is not followed, and a pipe is no file
        entry.unlink()


def _shown(entry: Path) -> str:
    """``3f0c5a2b91de/six-1.17.0-py2.py3-none-any.whl``, as far as it is there."""
    name = entry.name[:12] if _SHA256.fullmatch(entry.name) else entry.name
    inside = ""
    if entry.is_dir() and not entry.is_symlink():
        inside = "/".join(["", *(one.name for one in _first(entry, 1))])
    return one_line(f"{name}{inside}", 120)
