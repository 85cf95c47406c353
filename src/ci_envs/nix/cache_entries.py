"""What is in the folder of a binary cache, read without nix: a ``.narinfo`` for each path, and the archive it names.

The format: https://nix.dev/manual/nix/latest/protocols/binary-cache/narinfo. Nothing here proves a signature, which is
nix's; what is damaged is found before nix ends over it with an error that names no path.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ci_envs.errors import BrokenError
from ci_envs.locks.nix_sources import nix_sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Entry", "forget_unfinished", "info_file", "read_entries", "take_out"]

#: No .narinfo is longer.
_LONGEST_INFO = 1024 * 1024
#: Where nix puts archives; any other place is not ours to remove from.
_ARCHIVE = re.compile(r"nar/[^/\\]+")
_NEEDED = frozenset(("StorePath", "URL", "NarHash", "NarSize"))

#: Files that a killed copy has left (LocalBinaryCacheStore::upsertFile), once nobody can be writing them.
_UNFINISHED = "*.tmp.*"
_UNFINISHED_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Entry:
    """What the cache says of one path, whether or not it is true."""

    #: The ``.narinfo``.
    file: Path
    fields: dict[str, str] = field(default_factory=dict)
    #: Names of the keys that it is signed with.
    keys: frozenset[str] = frozenset()

    @property
    def path(self) -> str:
        """``/nix/store/<hash>-<name>``; empty where it says none, or another one than its own name does."""
        path = self.fields.get("StorePath", "")
        return path if path.rpartition("/")[2].startswith(f"{self.file.stem}-") else ""

    @property
    def name(self) -> str:
        """What a person knows it by."""
        return self.path.rpartition("/")[2].partition("-")[2] or self.file.name

    @property
    def nar_hash(self) -> str:
        """``sha256:<hex>``; empty where it is none."""
        return nix_sha256(self.fields.get("NarHash", ""))

    @property
    def archive(self) -> Path | None:
        """``None`` where it does not lie where nix puts archives."""
        url = self.fields.get("URL", "")
        return self.file.parent / url if _ARCHIVE.fullmatch(url) else None

    @property
    def needs_signature(self) -> bool:
        """Whether its name does not follow from its content."""
        return not self.fields.get("CA")

    @property
    def is_whole(self) -> bool:
        """Whether it says all that it must of this path, and its archive is as long as it says."""
        if not self.path or not self.fields.keys() >= _NEEDED or self.archive is None:
            return False
        try:
            size = self.archive.stat().st_size
        except (OSError, ValueError):
            return False
        return str(size) == self.fields.get("FileSize", str(size))

    @property
    def is_intact(self) -> bool:
        """Whether its archive has the bytes that it had when it was written; all of them are read."""
        wanted = nix_sha256(self.fields.get("FileHash", ""))
        if not self.is_whole or self.archive is None:
            return False
        with self.archive.open("rb") as opened:
            return not wanted or f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}" == wanted


def info_file(folder: Path, path: str) -> Path:
    """Where the cache says what it knows of a store path."""
    return folder / f"{path.rpartition('/')[2].partition('-')[0]}.narinfo"


def read_entries(folder: Path) -> Iterator[Entry]:
    """Every entry, sorted by name; what cannot be read says nothing."""
    for file in sorted(folder.glob("*.narinfo")):
        try:
            with file.open("rb") as opened:
                text = opened.read(_LONGEST_INFO).decode("utf-8", "replace")
        except OSError:
            yield Entry(file)
            continue
        rows = [(name, value) for name, _, value in (line.partition(": ") for line in text.splitlines())]
        yield Entry(file, dict(rows), frozenset(value.partition(":")[0] for name, value in rows if name == "Sig"))


def take_out(entries: Iterable[Entry], others: Iterable[Entry]) -> None:
    """Removes entries, and their archives but those that ``others`` have, too: nix writes none that is there.

    :class:`BrokenError` where they cannot be removed.
    """
    needed = {entry.archive for entry in others}
    for entry in entries:
        try:
            entry.file.unlink(missing_ok=True)
            if entry.archive is not None and entry.archive not in needed:
                entry.archive.unlink(missing_ok=True)
        except OSError as error:
            raise BrokenError(f"{entry.file} cannot be used, and not be removed: {error.strerror}") from error


def forget_unfinished(folder: Path) -> None:
    """Removes what a killed copy has left."""
    for file in (*folder.glob(_UNFINISHED), *folder.glob(f"nar/{_UNFINISHED}")):
        with contextlib.suppress(OSError):
            if time.time() - file.lstat().st_mtime > _UNFINISHED_SECONDS:
                file.unlink()
