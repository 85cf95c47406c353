"""The hash of a path as a store knows it: of its serialisation as a normalised archive, a "nar" of nix or guix.

``nix-hash`` takes whole folders alone, ``guix hash --serializer=nar`` says nothing of the size; tests compare with
``nix-hash``. The format is that of E. Dolstra's thesis, "The purely functional software deployment model", figure 5.2:
https://nix.dev/manual/nix/latest/protocols/nix-archive
"""

from __future__ import annotations

import hashlib
import os
import stat
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

__all__ = ["Nar", "read_nar", "words"]

_CHUNK = 1 << 20


class Nar(NamedTuple):
    """What is to be known of one archive."""

    #: ``sha256:<hex>``.
    sha256: str
    #: Bytes.
    size: int


def read_nar(path: Path, *, but: Collection[str] = ()) -> Nar:
    """Reads every byte of a file, a link or a folder. ``OSError`` where it is gone, or is something else.

    ``but`` are names in the folder, and not below, that are left out.
    """
    digest, size = hashlib.sha256(), 0
    for piece in chain(words(b"nix-archive-1"), _node(path, but)):
        digest.update(piece)
        size += len(piece)
    return Nar(f"sha256:{digest.hexdigest()}", size)


def _node(path: Path, but: Collection[str] = ()) -> Iterator[bytes]:
    found = path.lstat()
    yield from words(b"(", b"type")
    if stat.S_ISLNK(found.st_mode):
        yield from words(b"symlink", b"target", os.fsencode(path.readlink()))
    elif stat.S_ISREG(found.st_mode):
        yield from words(b"regular", *((b"executable", b"") if found.st_mode & stat.S_IXUSR else ()), b"contents")
        yield from _contents(path, found.st_size)
    elif stat.S_ISDIR(found.st_mode):
        yield from words(b"directory")
        kept = (one for one in path.iterdir() if one.name not in but)
        for inside in sorted(kept, key=lambda one: os.fsencode(one.name)):
            yield from words(b"entry", b"(", b"name", os.fsencode(inside.name), b"node")
            yield from _node(inside)
            yield from words(b")")
    else:
        raise OSError(f"{path} is no file, link or folder")
    yield from words(b")")


def _contents(path: Path, size: int) -> Iterator[bytes]:
    yield size.to_bytes(8, "little")
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece
        if file.tell() != size:
            raise OSError(f"{path} changed while it was read")
    yield bytes(-size % 8)


def words(*said: bytes) -> Iterator[bytes]:
    """Texts as they stand in such an archive: each with its length, and filled up to eight bytes."""
    for word in said:
        yield len(word).to_bytes(8, "little") + word + bytes(-len(word) % 8)
