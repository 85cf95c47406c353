"""Images made without an engine: layers, a configuration and a manifest, byte for byte the same for the same content.

The formats are OCI's: https://github.com/opencontainers/image-spec/blob/v1.1.0/spec.md
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["EPOCH", "Blob", "Image", "Layer", "add_tree", "file_layer", "layer_of_tar", "make_layer", "oci_arch"]

#: When everything in these images was made: 2025-01-01, in seconds since the epoch.
EPOCH = 1_735_689_600

_MEDIA = "application/vnd.oci.image"
_ARCHES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def oci_arch(machine: str) -> str:
    """A machine's name (``x86_64``) as images have it (``amd64``)."""
    return _ARCHES.get(machine, machine)


@dataclass(frozen=True, slots=True)
class Blob:
    """What a registry keeps under its digest: bytes in memory, or a file."""

    digest: str
    size: int
    data: bytes = b""
    path: Path | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Blob:
        """A JSON document."""
        data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
        return cls(_digest(io.BytesIO(data)), len(data), data)

    def open(self) -> IO[bytes]:
        """Its bytes, to be read."""
        return io.BytesIO(self.data) if self.path is None else self.path.open("rb")

    def entry(self, kind: str) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"mediaType": f"{_MEDIA}.{kind}", "digest": self.digest, "size": self.size}


@dataclass(frozen=True, slots=True)
class Layer:
    """A compressed tar, and the digest of what is in it."""

    blob: Blob
    diff_id: str
    #: The line of the image's history.
    made_by: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """Layers with a configuration, for one platform."""

    layers: tuple[Layer, ...]
    arch: str
    #: ``Env``, ``Cmd``, ``Labels``, ... as an image's configuration has them.
    config: Mapping[str, Any] = field(default_factory=dict)
    os: str = "linux"

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """All that a registry must have before the manifests."""
        return (*(layer.blob for layer in self.layers), self.config_blob)

    @property
    def config_blob(self) -> Blob:
        """The configuration."""
        when = "2025-01-01T00:00:00Z"
        return Blob.of(
            {
                "architecture": self.arch,
                "os": self.os,
                "created": when,
                "config": dict(self.config),
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]},
                "history": [{"created": when, "created_by": layer.made_by} for layer in self.layers],
            }
        )

    @property
    def manifest(self) -> Blob:
        """The manifest, whose digest is the image's."""
        layers = [layer.blob.entry("layer.v1.tar+gzip") for layer in self.layers]
        config = self.config_blob.entry("config.v1+json")
        return Blob.of({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})


MANIFEST = f"{_MEDIA}.manifest.v1+json"
INDEX = f"{_MEDIA}.index.v1+json"


def index_of(images: Iterable[Image]) -> Blob:
    """The list that a tag of a public image names: one manifest for each platform."""
    entries = [
        image.manifest.entry("manifest.v1+json") | {"platform": {"architecture": image.arch, "os": image.os}}
        for image in images
    ]
    return Blob.of({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})


# Layers.


def make_layer(
    root: Path, paths: Iterable[str], target: Path, *, without: Iterable[str] = (), made_by: str = ""
) -> Layer:
    """A layer of these files and folders below ``root``, with what is in them; owned by root, sorted, dated.

    ``without`` are files that the layers below have and this one takes away.
    """
    tar = target.with_name(f"{target.name}.tar")
    with tarfile.open(tar, "w", format=tarfile.GNU_FORMAT) as archive:
        for path in paths:
            add_tree(archive, root, path)
        for path in without:
            folder, _, name = path.rpartition("/")
            archive.addfile(_dated(tarfile.TarInfo(f"{folder}/.wh.{name}")))
    made = layer_of_tar(tar, target, made_by=made_by)
    tar.unlink()
    return made


def add_tree(archive: tarfile.TarFile, root: Path, path: str) -> None:
    """Adds a file, or a folder with all that is in it, under its path relative to ``root``."""
    archive.add(root / path, path, recursive=False, filter=_dated)
    if (root / path).is_dir() and not (root / path).is_symlink():
        for name in sorted(child.name for child in (root / path).iterdir()):
            add_tree(archive, root, f"{path}/{name}")


def _dated(told: tarfile.TarInfo) -> tarfile.TarInfo:
    told.uid = told.gid = 0
    told.uname = told.gname = ""
    told.mtime = min(int(told.mtime), EPOCH) or EPOCH
    return told


def layer_of_tar(tar: Path, target: Path, *, made_by: str = "") -> Layer:
    """Compresses a tar into ``target``; the same tar gives the same bytes."""
    with (
        tar.open("rb") as plain,
        target.open("wb") as written,
        gzip.GzipFile("", "wb", compresslevel=3, fileobj=written, mtime=0) as packing,
    ):
        shutil.copyfileobj(plain, packing, 1 << 20)
    with tar.open("rb") as plain, target.open("rb") as packed:
        blob = Blob(_digest(packed), target.stat().st_size, path=target)
        return Layer(blob, _digest(plain), made_by)


def file_layer(files: Mapping[str, bytes], *, made_by: str = "", mode: int = 0o755) -> Layer:
    """A small layer in memory, of files by their paths."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(files):
            told = _dated(tarfile.TarInfo(path))
            told.size, told.mode = len(files[path]), mode
            archive.addfile(told, io.BytesIO(files[path]))
    packed = gzip.compress(plain.getvalue(), mtime=0)
    plain.seek(0)
    return Layer(Blob(_digest(io.BytesIO(packed)), len(packed), packed), _digest(plain), made_by)


def _digest(stream: IO[bytes]) -> str:
    return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"  # type: ignore[arg-type]  # a reader of bytes
