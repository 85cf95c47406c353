"""The files of one layer of an image, read as a stream: nothing is unpacked, and no file is held as a whole.

A build or a registry may have written anything. What a layer claims costs no more than what is there: headers have
a limit, what is decompressed is counted, and both digests are compared with what was promised.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import tarfile
import zlib
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, Protocol

from ci_envs.errors import BrokenError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Blob", "Entry", "Kind", "Layer", "damaged", "read_entries"]

Kind = Literal["file", "dir", "link", "hardlink", "device", "fifo", "whiteout", "opaque", "other"]

_CHUNK = 1 << 20

# What tarfile reads to know one entry: PAX records (a path is at most 4 KiB, an extended attribute 64 KiB), maps of
# sparse files. It reads them whole, so without a limit a header that claims 10 GB would be 10 GB of memory.
_HEADER_LIMIT = 4 << 20
_GLOBAL_RECORDS = 1000

#: Larger layers, and layers of more entries, are not read: bytes as they are after decompression.
_LARGEST = 128 << 30
_MOST_ENTRIES = 2_000_000

# https://github.com/opencontainers/image-spec/blob/main/layer.md, "Whiteouts"
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"

_XATTR = "SCHILY.xattr."

# Seconds. A record may claim 1e999999, which is a number of a million digits.
_END_OF_TIME = 10**12

# PAX records that other fields of an entry hold.
_TOLD = frozenset({"path", "linkpath", "size", "uid", "gid", "uname", "gname", "mtime"})

# What tarfile and the decompressors raise over damaged bytes; their OSError is no disk's.
_DAMAGES = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError, RecursionError, IndexError)


class Layer(NamedTuple):
    """One layer as the image describes it."""

    #: From 1, the lowest first.
    number: int
    #: ``sha256:<hex>`` of the blob as it lies in the archive; empty where the archive does not say (docker-archive).
    digest: str
    #: ``sha256:<hex>`` of the tar, after decompression.
    diff_id: str
    media_type: str
    #: In the archive, in bytes.
    size: int
    #: The line of history that made it, as the builder wrote it; empty where the history does not tell.
    command: str
    #: Of its descriptor.
    annotations: dict[str, str]
    #: Where it lies in the archive.
    name: str


class Entry(NamedTuple):
    """One entry of a layer's tar."""

    #: Without a slash at its beginning. Bytes that are no UTF-8 are surrogates (PEP 383).
    path: str
    #: ``opaque`` hides what lower layers have in the folder ``path``, ``whiteout`` what they have at ``path``.
    kind: Kind
    #: Permission bits, with set-user-ID, set-group-ID and sticky.
    mode: int
    uid: int
    gid: int
    #: Nanoseconds since 1970.
    mtime: int
    size: int
    #: Hexadecimal, of a file's content; else empty.
    sha256: str
    #: Where a link leads, as written.
    target: str
    #: Extended attributes, sorted.
    xattrs: tuple[tuple[str, str], ...]
    #: What else the header says (names of owner and group, a device's numbers, access and change times), sorted.
    more: tuple[tuple[str, str], ...]


def damaged(what: str, why: str) -> BrokenError:
    """The error for an image that is not what it says."""
    return BrokenError(f"{what} cannot be read: {why}", hint="export or build the image again")


class Blob:
    """Some bytes of a file, hashed while they are read."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        file.seek(offset)
        self._file = file
        self._left = size
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes."""
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        """``sha256:<hex>`` of all of it: what was not read yet is read now."""
        while self.read(_CHUNK):
            pass
        return f"sha256:{self._hash.hexdigest()}"


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def read_entries(layer: Layer, blob: Blob, where: str) -> Iterator[Entry]:
    """The entries of a layer in their order. After the last one both digests are compared with the layer's.

    Raises :class:`BrokenError`, with ``where`` in its sentence, over anything that is not as it says.
    """
    try:
        stream = _Stream(_decompressed(blob, layer))
        yield from _entries(stream)
        diff_id = stream.digest()
    except _DAMAGES as error:
        raise damaged(where, _reason(error)) from error
    _compare(layer.diff_id, diff_id, "the files in it are not those of the image's configuration", where)
    _compare(layer.digest, blob.digest(), "its bytes are not those that the manifest names", where)


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "its headers are nested without end"
    return str(error) or type(error).__name__


def _compare(promised: str, found: str, problem: str, where: str) -> None:
    if promised and promised != found:
        raise damaged(where, f"{problem}: {found} instead of {promised}")


def _decompressed(blob: Blob, layer: Layer) -> _Readable:
    """The layer's tar. What it is compressed with is seen in its first bytes, since docker-archives do not say it."""
    ahead = _Ahead(blob)
    if ahead.first.startswith(b"\x1f\x8b"):
        source: Any = ahead  # all that is read of it is bytes
        return gzip.GzipFile(fileobj=source)
    if ahead.first == b"\x28\xb5\x2f\xfd":
        return _zstd(ahead)
    if not layer.media_type.endswith(("tar", "tar+gzip", "tar.gzip", "tar+zstd")):
        raise ValueError(f"it is of a kind that is not known: {layer.media_type}")
    return ahead


def _zstd(blob: _Ahead) -> _Readable:
    """Python 3.14 reads Zstandard itself (PEP 784); before, the library does that conda-lock brings."""
    opened: Any
    try:
        opened = importlib.import_module("compression.zstd").ZstdFile(blob, "rb")
    except ImportError:
        try:
            opened = (
                importlib.import_module("zstandard").ZstdDecompressor().stream_reader(blob, read_across_frames=True)
            )
        except ImportError:
            raise ValueError("it is compressed with Zstandard, which this Python cannot read (3.14 can)") from None
    return _Zstd(opened)


class _Zstd:
    """Of the two libraries each has an error of its own."""

    def __init__(self, opened: _Readable) -> None:
        self._opened = opened

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._opened.read(size)
        except Exception as error:
            if type(error).__name__ == "ZstdError":
                raise ValueError(str(error)) from error
            raise


class _Ahead:
    """A blob whose first bytes were looked at. It has what the decompressors ask of a file, and no way back."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self.first = self._kept = blob.read(4)

    def read(self, size: int = -1, /) -> bytes:
        if self._kept:
            kept, self._kept = (self._kept, b"") if size < 0 else (self._kept[:size], self._kept[size:])
            return kept if size >= 0 else kept + self._blob.read()
        return self._blob.read(size)

    def close(self) -> None:
        """The file is its opener's to close."""


class _Stream:
    """What tarfile reads from: forward only, with limits, hashed."""

    def __init__(self, source: _Readable) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self._position = 0
        #: How many bytes may still be read for the header at hand; ``None`` for content.
        self.allowance: int | None = _HEADER_LIMIT
        #: What was read last.
        self.last = b""

    def read(self, size: int) -> bytes:
        if self.allowance is not None:
            self.allowance -= size
            if self.allowance < 0:
                raise ValueError(f"a header in it is larger than {_HEADER_LIMIT} bytes")
        self.last = self._filled(size)
        return self.last

    def _filled(self, size: int) -> bytes:
        """As many bytes as were asked for, fewer only at the end."""
        data = self._read(size)
        while len(data) < size and (more := self._read(size - len(data))):
            data += more
        return data

    def _read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        self._position += len(data)
        if self._position > _LARGEST:
            raise ValueError(f"it holds more than {_LARGEST >> 30} GiB")
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        if position < self._position:
            raise ValueError("a header in it points back")
        while self._position < position and self._read(min(_CHUNK, position - self._position)):
            pass
        return self._position

    def digest(self) -> str:
        """``sha256:<hex>`` of all of it; what was not read yet is the tar's end and must be empty."""
        while data := self._read(_CHUNK):
            if data.count(0) != len(data):
                raise ValueError("there is something behind its end")
        return f"sha256:{self._hash.hexdigest()}"


def _entries(stream: _Stream) -> Iterator[Entry]:
    source: Any = stream  # it has the three methods that tarfile calls
    archive: Any = tarfile.open(fileobj=source, mode="r:", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115 - holds nothing
    count = 0
    while (info := archive.next()) is not None:
        archive.members.clear()  # tarfile would keep them all
        count += 1
        if count > _MOST_ENTRIES or len(archive.pax_headers) > _GLOBAL_RECORDS:
            raise ValueError(f"it has more than {_MOST_ENTRIES} entries, or {_GLOBAL_RECORDS} records for all of them")
        stream.allowance = None
        yield _entry(archive, info)
        stream.allowance = _HEADER_LIMIT
    # tarfile takes a header that it cannot read for the end.
    if stream.last.count(0) != len(stream.last):
        raise ValueError("a header in it cannot be read")


def _entry(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Entry:
    path, kind = _named(info)
    is_file = kind == "file"
    return Entry(
        path=path,
        kind=kind,
        mode=info.mode & 0o7777,
        uid=info.uid,
        gid=info.gid,
        mtime=_nanoseconds(info),
        size=info.size if is_file else 0,
        sha256=_content(archive, info) if is_file else "",
        target=info.linkname if info.issym() else _relative(info.linkname) if info.islnk() else "",
        xattrs=_records(info, xattrs=True),
        more=tuple(sorted([*_records(info, xattrs=False), *_fields(info)])),
    )


def _named(info: tarfile.TarInfo) -> tuple[str, Kind]:
    path = _relative(info.name)
    folder, _, name = path.rpartition("/")
    if name == _OPAQUE:
        return folder, "opaque"
    if name.startswith(_WHITEOUT):
        return f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/"), "whiteout"
    return path, _kind(info)


def _kind(info: tarfile.TarInfo) -> Kind:
    if info.isreg():
        return "file"
    if info.isdir():
        return "dir"
    if info.issym():
        return "link"
    if info.islnk():
        return "hardlink"
    return "fifo" if info.isfifo() else "device" if info.isdev() else "other"


def _relative(name: str) -> str:
    """A path below the root, however it is written; one that leads out of it stays as it is."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/".join(parts)


def _nanoseconds(info: tarfile.TarInfo) -> int:
    """As the PAX record has it, since a float keeps no nanoseconds; 0 for what is no time."""
    try:
        seconds = Decimal(info.pax_headers.get("mtime") or info.mtime)
    except (InvalidOperation, ValueError):
        return 0
    return int(seconds * 1_000_000_000) if seconds.is_finite() and abs(seconds) < _END_OF_TIME else 0


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> str:
    content = archive.extractfile(info)
    found = hashlib.sha256()
    left = info.size
    if info.size > _LARGEST:
        raise ValueError(f"a file in it claims {info.size} bytes")
    while content is not None and left > 0 and (data := content.read(min(_CHUNK, left))):
        found.update(data)
        left -= len(data)
    if left:
        raise EOFError("it ends within a file")
    return found.hexdigest()


def _records(info: tarfile.TarInfo, *, xattrs: bool) -> tuple[tuple[str, str], ...]:
    named = ((name, str(value)) for name, value in info.pax_headers.items() if name not in _TOLD)
    if xattrs:
        return tuple(sorted((name.removeprefix(_XATTR), value) for name, value in named if name.startswith(_XATTR)))
    return tuple((name, value) for name, value in named if not name.startswith(_XATTR))


def _fields(info: tarfile.TarInfo) -> Iterator[tuple[str, str]]:
    yield from (("uname", info.uname), ("gname", info.gname))
    if info.isdev() and not info.isfifo():
        yield "device", f"{info.devmajor}:{info.devminor}"
