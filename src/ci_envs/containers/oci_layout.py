"""A folder of an image's layers that a builder fills, and adds to the next time: only what is new is sent again.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from typing import IO, TYPE_CHECKING, Any

import msgspec

from ci_envs.decoding import decode
from ci_envs.errors import BrokenError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["begin", "prune", "write_archive"]


def begin(folder: Path) -> None:
    """Makes room for one image: its layers may be there, an index of earlier ones may not."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.json").unlink(missing_ok=True)


def write_archive(folder: Path, manifest: str, archive: Path, more: Mapping[str, bytes] | None = None) -> None:
    """The image as one file, the same bytes each time; ``more`` are files that the archive has beside it.

    :class:`BrokenError` where the folder does not hold it, or holds other bytes than its digests say.
    """
    index = _index(folder, manifest)
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(tar, "index.json", msgspec.json.encode(index))
        for name, data in sorted((more or {}).items()):
            _add(tar, name, data)
        for digest in sorted(_digests(folder, manifest)):
            path = _blob(folder, digest)
            told = _told(f"blobs/{digest.replace(':', '/')}", path.stat().st_size)
            with path.open("rb") as stream:
                hashed = _Hashed(stream)
                tar.addfile(told, hashed)
            if hashed.digest != digest:
                raise BrokenError(f"a kept layer is altered: {path.name[:12]} in {folder.name}")


def prune(folder: Path, manifest: str) -> None:
    """Removes what this image does not need."""
    kept = {_blob(folder, digest) for digest in _digests(folder, manifest)}
    for path in (folder / "blobs" / "sha256").iterdir():
        if path not in kept:
            path.unlink()


class _Hashed(io.RawIOBase):
    """A stream that is read once, and the digest of what was read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        return data

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _index(folder: Path, manifest: str) -> dict[str, Any]:
    try:
        told = decode((folder / "index.json").read_bytes(), dict[str, Any])
        entries = [each for each in told["manifests"] if each["digest"] == manifest]
    except (OSError, msgspec.MsgspecError, KeyError, TypeError) as error:
        raise BrokenError(f"the builder did not leave an image in {folder.name}: {error}") from error
    if not entries:
        raise BrokenError(f"the builder left another image in {folder.name} than it said")
    return {**told, "manifests": entries[:1]}


def _digests(folder: Path, manifest: str) -> set[str]:
    try:
        told = decode(_blob(folder, manifest).read_bytes(), _Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise BrokenError(f"the builder did not leave an image in {folder.name}: {error}") from error
    return {manifest, told.config.digest, *(layer.digest for layer in told.layers)}


class _Descriptor(msgspec.Struct):
    digest: str


class _Manifest(msgspec.Struct):
    config: _Descriptor
    layers: tuple[_Descriptor, ...]


def _blob(folder: Path, digest: str) -> Path:
    kind, _, word = digest.partition(":")
    if kind != "sha256" or not word.isalnum():
        raise BrokenError(f"{digest!r:.80} is no digest of SHA-256")
    return folder / "blobs" / kind / word


def _told(name: str, size: int) -> tarfile.TarInfo:
    told = tarfile.TarInfo(name)
    told.size, told.mode = size, 0o444
    return told


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    tar.addfile(_told(name, len(data)), io.BytesIO(data))
