"""One layer of an image: store paths as a tar whose bytes depend on nothing but what is in them.

What a store keeps of a file is its content and whether it may run; owner, times and links between files are no part
of its hash (https://nix.dev/manual/nix/latest/store/file-system-object). So the tar says of each the same: owner 0:0,
the first second of 1970, and the modes that a store has. A path is hashed as nix hashes it while it is read: what is
in the layer is what the closure lists, or there is no layer.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar

from ci_envs.errors import BuildError
from ci_envs.nar import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ci_envs.model.closure import StorePath

__all__ = ["Item", "PackedLayer", "pack_items", "pack_paths"]

#: Seconds since 1970: what nix sets the times in a store to.
_WHEN = 1

_CHUNK = 1 << 20

#: zlib's own default, said here so that no version of Python may think otherwise.
_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Item:
    """One entry that is no store path's: a folder, a file with this content, or a link."""

    #: Relative to the root.
    path: str
    mode: int = 0o755
    content: bytes | None = None
    target: str = ""


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A layer as it lies among the blobs, which are named by their digests."""

    #: ``sha256:<hex>`` of the compressed bytes, and of the tar.
    digest: str
    diff_id: str
    #: Compressed.
    size: int
    #: What it was made of, for the image's history.
    made_of: str


def pack_paths(
    paths: Iterable[StorePath], blobs: Path, *, root: Path = Path("/"), check: Callable[[], object] = lambda: None
) -> PackedLayer:
    """The layer of some store paths, in their order, written to ``blobs``.

    ``root`` is where the store's folders lie, which is elsewhere in a store that has a root of its own. ``check`` is
    called before each file, and may raise. Raises :class:`BuildError` where a path is gone, cannot be read, or is not
    what its hash says; :class:`OSError` where ``blobs`` cannot be written to.
    """
    chosen = tuple(paths)
    with _layer(blobs, " ".join(one.path for one in chosen)) as made:
        for folder in sorted({str(up) for one in chosen for up in list(Path(one.path).parents)[:-1]}):
            made.add(tarfile.TarInfo(folder.strip("/")), tarfile.DIRTYPE, 0o755)
        for one in chosen:
            _Packer(made, one, check).pack(root / one.path.lstrip("/"))
    return made.packed()


def pack_items(items: Iterable[Item], blobs: Path, made_of: str) -> PackedLayer:
    """The layer of some entries, sorted by their paths."""
    with _layer(blobs, made_of) as made:
        for item in sorted(items, key=lambda item: item.path):
            info = tarfile.TarInfo(item.path)
            if item.target:
                info.linkname = item.target
                made.add(info, tarfile.SYMTYPE, 0o777)
            elif item.content is None:
                made.add(info, tarfile.DIRTYPE, item.mode)
            else:
                info.size = len(item.content)
                made.add(info, tarfile.REGTYPE, item.mode, io.BytesIO(item.content))
    return made.packed()


# --- the tar


class _Tar:
    """A tar that is being written, compressed and hashed on its way."""

    def __init__(self, part: IO[bytes], made_of: str) -> None:
        self._made_of = made_of
        self._blob = _Hashed(part.write)
        # 31: with a header and an end as gzip has them. There is neither a name nor a time in it (RFC 1952, 2.3).
        self._zlib = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
        self._plain = _Hashed(lambda data: self._blob.write(self._zlib.compress(data)))
        sink: Any = self._plain  # it has the two methods that tarfile calls
        tar: Any = tarfile.open(  # noqa: SIM115 - it holds nothing, and its end is written where it is whole
            fileobj=sink, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
        )
        tar.copybufsize = _CHUNK
        self._tar = tar

    def add(self, info: tarfile.TarInfo, kind: bytes, mode: int, source: _Readable | None = None) -> None:
        """One entry."""
        info.type, info.mode, info.mtime = kind, mode, _WHEN
        self._tar.addfile(info, source)
        self._tar.members.clear()  # tarfile would keep them all

    def close(self) -> None:
        """Writes what ends it."""
        self._tar.close()
        self._blob.write(self._zlib.flush())

    def packed(self) -> PackedLayer:
        """What came of it."""
        return PackedLayer(self._blob.digest, self._plain.digest, self._blob.size, self._made_of)


@contextmanager
def _layer(blobs: Path, made_of: str) -> Iterator[_Tar]:
    """A tar whose file gets its digest's name once it is whole; nothing is left of one that is not."""
    part = blobs / f".{os.urandom(8).hex()}.part"
    try:
        with part.open("wb") as file:
            made = _Tar(file, made_of)
            yield made
            made.close()
        part.replace(blobs / made.packed().digest.removeprefix("sha256:"))
    finally:
        part.unlink(missing_ok=True)


class _Hashed:
    """Hands on what is written to it, and has its digest."""

    def __init__(self, hand_on: Callable[[bytes], object]) -> None:
        self._hand_on = hand_on
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        self._hand_on(data)
        return len(data)

    def tell(self) -> int:
        return self.size

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


# --- store paths


class _Unreadable(Exception):  # noqa: N818 - reads as the sentence it is
    """What should be in the store cannot be read."""


class _Packer:
    """Adds one store path to a tar, and serialises it as a NAR beside it, of which the hash alone is kept.

    https://nix.dev/manual/nix/latest/protocols/nix-archive
    """

    def __init__(self, made: _Tar, path: StorePath, check: Callable[[], object]) -> None:
        self._made = made
        self._path = path
        self._check = check
        self._hash = hashlib.sha256()

    def pack(self, source: Path) -> None:
        try:
            self._say(b"nix-archive-1")
            self._node(os.fsencode(source), self._path.path.lstrip("/"))
        except _Unreadable as error:
            raise BuildError(
                f"{self._path.path} cannot be read from the store: {error}", hint="build the leg anew with --fresh"
            ) from error
        if f"sha256:{self._hash.hexdigest()}" != self._path.nar_hash:
            raise BuildError(
                f"{self._path.path} was altered in the store: it is not what its hash says",
                hint="`nix-store --verify --check-contents --repair` mends a store",
            )

    def _node(self, source: bytes, name: str) -> None:
        self._check()
        info = tarfile.TarInfo(name)
        mode = _asked(os.lstat, source).st_mode
        self._say(b"(", b"type")
        if stat.S_ISLNK(mode):
            self._link(info, _asked(os.readlink, source))
        elif stat.S_ISDIR(mode):
            self._folder(info, source)
        elif stat.S_ISREG(mode):
            self._file(info, source, runs=bool(mode & stat.S_IXUSR))
        else:
            raise _Unreadable(f"/{name} is neither a file, a folder nor a link")
        self._say(b")")

    def _link(self, info: tarfile.TarInfo, target: bytes) -> None:
        self._say(b"symlink", b"target", target)
        info.linkname = os.fsdecode(target)
        self._made.add(info, tarfile.SYMTYPE, 0o777)

    def _folder(self, info: tarfile.TarInfo, source: bytes) -> None:
        self._say(b"directory")
        self._made.add(info, tarfile.DIRTYPE, 0o555)
        for entry in sorted(_asked(os.listdir, source)):
            self._say(b"entry", b"(", b"name", entry, b"node")
            self._node(os.path.join(source, entry), f"{info.name}/{os.fsdecode(entry)}")  # noqa: PTH118 - bytes
            self._say(b")")

    def _file(self, info: tarfile.TarInfo, source: bytes, *, runs: bool) -> None:
        self._say(b"regular", *((b"executable", b"") if runs else ()), b"contents")
        with _asked(_opened, source) as file:
            info.size = os.fstat(file.fileno()).st_size
            self._hash.update(info.size.to_bytes(8, "little"))
            self._made.add(info, tarfile.REGTYPE, 0o555 if runs else 0o444, _Read(file, self._hash.update))
        self._hash.update(bytes(-info.size % 8))

    def _say(self, *said: bytes) -> None:
        for piece in words(*said):
            self._hash.update(piece)


class _Read:
    """A file of the store; whoever listens is told what is read of it."""

    def __init__(self, file: IO[bytes], listen: Callable[[bytes], object]) -> None:
        self._file = file
        self._listen = listen

    def read(self, size: int) -> bytes:
        data = _asked(self._file.read, size)
        if len(data) < size:
            raise _Unreadable("a file in it became shorter while it was read")
        self._listen(data)
        return data


_A = TypeVar("_A")
_B = TypeVar("_B")


def _asked(question: Callable[[_A], _B], of: _A) -> _B:
    """What the store answers. Where it does not, that is no fault of the disk that is written to."""
    try:
        return question(of)
    except OSError as error:
        raise _Unreadable(error.strerror or str(error)) from error


def _opened(path: bytes) -> IO[bytes]:
    return open(path, "rb")  # noqa: PTH123 - bytes; the caller closes it
