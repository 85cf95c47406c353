"""Images made by hand: layers of a few entries, packed as builders and engines pack them, or damaged on purpose."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = [
    "Item",
    "MadeImage",
    "MadeLayer",
    "digest_of",
    "layer_tar",
    "pack",
    "write_docker_archive",
    "write_oci_archive",
]

MEDIA = "application/vnd.oci.image"
WHEN = "2024-01-02T03:04:05Z"
KINDS = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "link": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "device": tarfile.CHRTYPE,
}


@dataclass(frozen=True)
class Item:
    """One entry of a layer."""

    path: str
    data: bytes = b""
    kind: str = "file"
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = 1_700_000_000
    target: str = ""
    #: PAX records: ``{"SCHILY.xattr.user.a": "b"}``.
    records: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MadeLayer:
    """A layer's tar, and the line of history that made it."""

    tar: bytes
    command: str = ""
    #: ``gzip``, ``none``, or the bytes of the blob themselves.
    packed: str | bytes = "gzip"
    kind: str = ""


@dataclass(frozen=True)
class MadeImage:
    """What is written into an archive."""

    layers: Sequence[MadeLayer]
    config: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    created: str = WHEN
    architecture: str = "amd64"
    #: More lines of history, which made no layer; they come first.
    empty_steps: Sequence[str] = ()

    @property
    def config_bytes(self) -> bytes:
        """The configuration as builders write it."""
        empty = [{"created": self.created, "created_by": each, "empty_layer": True} for each in self.empty_steps]
        made = [{"created": self.created, "created_by": layer.command} for layer in self.layers]
        return _json(
            {
                "architecture": self.architecture,
                "os": "linux",
                "created": self.created,
                "config": self.config,
                "history": [*empty, *made],
                "rootfs": {"type": "layers", "diff_ids": [digest_of(layer.tar) for layer in self.layers]},
            }
        )


def layer_tar(*items: Item) -> bytes:
    """The entries as a tar, in their order."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for item in items:
            info = tarfile.TarInfo(item.path)
            info.type = KINDS[item.kind]
            info.mode, info.uid, info.gid, info.mtime = item.mode, item.uid, item.gid, item.mtime
            info.linkname = item.target
            info.size = len(item.data)
            info.pax_headers = dict(item.records)
            archive.addfile(info, io.BytesIO(item.data))
    return made.getvalue()


def digest_of(data: bytes) -> str:
    """``sha256:<hex>``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def write_oci_archive(path: Path, *images: MadeImage, index: bytes | None = None, nested: bool = False) -> Path:
    """An OCI archive of some images; with ``nested`` they lie behind an index that the outer one names."""
    blobs: dict[str, bytes] = {}
    descriptors = [_manifest(image, blobs) for image in images]
    if nested:
        inner = _json({"schemaVersion": 2, "manifests": descriptors})
        descriptors = [_kept(inner, f"{MEDIA}.index.v1+json", blobs)]
    outer = index if index is not None else _json({"schemaVersion": 2, "manifests": descriptors})
    named = {f"blobs/{digest.replace(':', '/')}": data for digest, data in blobs.items()}
    return pack(path, {**named, "index.json": outer, "oci-layout": _json({"imageLayoutVersion": "1.0.0"})})


def write_docker_archive(path: Path, image: MadeImage) -> Path:
    """What ``podman save`` writes by default: layers that are not compressed, named by a manifest.json."""
    names = [f"{digest_of(layer.tar).removeprefix('sha256:')}.tar" for layer in image.layers]
    manifest = [{"Config": "config.json", "RepoTags": ["made:latest"], "Layers": names}]
    tars = {name: layer.tar for name, layer in zip(names, image.layers, strict=True)}
    return pack(path, {**tars, "config.json": image.config_bytes, "manifest.json": _json(manifest)})


def pack(path: Path, files: dict[str, bytes]) -> Path:
    """Files as a tar."""
    path.write_bytes(layer_tar(*(Item(name, data) for name, data in files.items())))
    return path


def _manifest(image: MadeImage, blobs: dict[str, bytes]) -> dict[str, Any]:
    config = _kept(image.config_bytes, f"{MEDIA}.config.v1+json", blobs)
    layers = []
    for layer in image.layers:
        data = layer.packed if isinstance(layer.packed, bytes) else _packed(layer)
        kind = layer.kind or f"{MEDIA}.layer.v1.tar{'' if layer.packed == 'none' else '+gzip'}"
        layers.append(_kept(data, kind, blobs))
    document = {"schemaVersion": 2, "config": config, "layers": layers}
    if image.annotations:
        document["annotations"] = image.annotations
    platform = {"os": "linux", "architecture": image.architecture}
    return {**_kept(_json(document), f"{MEDIA}.manifest.v1+json", blobs), "platform": platform}


def _packed(layer: MadeLayer) -> bytes:
    return gzip.compress(layer.tar, mtime=0) if layer.packed == "gzip" else layer.tar


def _kept(data: bytes, kind: str, blobs: dict[str, bytes]) -> dict[str, Any]:
    digest = digest_of(data)
    blobs[digest] = data
    return {"mediaType": kind, "digest": digest, "size": len(data)}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
