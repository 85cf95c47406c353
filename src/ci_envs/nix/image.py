"""A nix shell as an OCI image: its closure in layers, its variables in the configuration. Nothing is run for it.

One closure has one image, wherever and whenever it is written: the layers are made of what the closure's hashes name
(image_layers.py), the instant is the commit's, and what would tell of this machine is left out. What a layer is
compressed to is zlib's to say; a digest is the same with the same zlib.

https://github.com/opencontainers/image-spec/blob/main/spec.md
"""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ci_envs import command
from ci_envs.containers import oci_layout
from ci_envs.containers.references import parse_reference
from ci_envs.errors import InterruptedRun
from ci_envs.nix.image_layers import Item, pack_items, pack_paths
from ci_envs.nix.layers import grouped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci_envs.model.closure import Closure
    from ci_envs.nix.image_layers import PackedLayer

__all__ = ["MOST_LAYERS", "ImagePlan", "WrittenImage", "write_image"]

#: Engines on overlay file systems mount 127 layers at most; whoever builds on the image needs some of them.
MOST_LAYERS = 100

#: Where commands begin; a project's files may be mounted there.
_FOLDER = "/app"

_MEDIA = "application/vnd.oci.image"
_MOST_THREADS = 8

# What programs look up of users and hosts: passwd(5), group(5), nsswitch.conf(5).
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
_GROUP = b"root:x:0:\nnobody:x:65534:\n"
_NSSWITCH = b"passwd: files\ngroup: files\nhosts: files dns\n"


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """All that an image is made of."""

    #: What is in it; no reference leads out of it but to what is not wanted.
    closure: Closure
    #: As OCI calls it: ``amd64``, ``arm64``.
    arch: str
    variables: Mapping[str, str] = field(default_factory=dict)
    #: What always begins, before the words of `docker run`; empty: those words are the command.
    entry: tuple[str, ...] = ()
    #: What runs where `docker run` names no command.
    command: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Links from where scripts look for a program: ``{"/bin/sh": "/nix/store/...-bash-5.2/bin/sh"}``.
    links: Mapping[str, str] = field(default_factory=dict)
    #: Seconds since 1970.
    epoch: int = 0
    #: How many layers there may be in all, at least two.
    most: int = MOST_LAYERS


class WrittenImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image in an archive. Digests are ``sha256:<hex>``."""

    manifest: str
    config: str
    #: Of the layers as tars, the lowest first.
    layers: tuple[str, ...]


def write_image(plan: ImagePlan, name: str, archive: Path, room: Path, *, root: Path = Path("/")) -> WrittenImage:
    """Writes the image to ``archive``: an OCI layout, and for engines that read none what ``docker save`` wrote before.

    ``name`` is what engines call it when they load it; no digest but the archive's own depends on it. ``room`` is an
    empty folder for the layers. ``root`` is where the store lies. Raises :class:`BuildError` where the store does not
    have what the closure lists, :class:`OSError` where the disk takes no more.
    """
    blobs = room / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers = _packed(plan, blobs, root)
    config = _kept(blobs, "config.v1+json", _config(plan, layers))
    manifest = _kept(blobs, "manifest.v1+json", _manifest(config, layers))
    (room / "index.json").write_bytes(msgspec.json.encode(_index(plan, manifest, name)))
    old = msgspec.json.encode(_old_manifest(config, layers, name))
    oci_layout.write_archive(room, manifest["digest"], archive, more={"manifest.json": old})
    return WrittenImage(
        manifest=manifest["digest"],
        config=config["digest"],
        layers=tuple(layer.diff_id for layer in layers),
    )


# --- the layers


def _packed(plan: ImagePlan, blobs: Path, root: Path) -> list[PackedLayer]:
    """All layers, several at a time: compressing and hashing leave Python to other threads."""
    ended = threading.Event()

    def go_on() -> None:
        if ended.is_set() or command.stopping():
            raise InterruptedRun("stopped while the image was written")

    groups = grouped(plan.closure, plan.most - 1)
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        try:
            # The last one is the largest where there are many.
            asked = [pool.submit(pack_paths, group, blobs, root=root, check=go_on) for group in reversed(groups)]
            packed = [one.result() for one in reversed(asked)]
        except BaseException:
            ended.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [*packed, pack_items(_own(plan), blobs, "ci-envs: users, folders and links of an image")]


def _own(plan: ImagePlan) -> list[Item]:
    """What a system has beside its programs."""
    links = [Item(place.lstrip("/"), target=target) for place, target in plan.links.items()]
    folders = {str(up) for link in links for up in Path(link.path).parents} - {"."}
    return [
        *(Item(folder) for folder in sorted(folders | {"etc", "var", _FOLDER.lstrip("/")})),
        Item("etc/group", 0o644, _GROUP),
        Item("etc/nsswitch.conf", 0o644, _NSSWITCH),
        Item("etc/passwd", 0o644, _PASSWD),
        Item("root", 0o700),
        Item("tmp", 0o1777),
        Item("var/tmp", 0o1777),
        *links,
    ]


# --- the documents


def _config(plan: ImagePlan, layers: list[PackedLayer]) -> dict[str, Any]:
    """https://github.com/opencontainers/image-spec/blob/main/config.md"""
    created = datetime.fromtimestamp(plan.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    settings = {
        "Env": [f"{name}={value}" for name, value in sorted(plan.variables.items())],
        "Entrypoint": list(plan.entry),
        "Cmd": list(plan.command),
        "WorkingDir": _FOLDER,
        "Labels": dict(sorted(plan.labels.items())),
        # The signal that Python ends by even as the first process of a container: SIGTERM is not heeded there.
        "StopSignal": "SIGINT",
    }
    return {
        "created": created,
        "architecture": plan.arch,
        "os": "linux",
        "config": {name: value for name, value in settings.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": created, "created_by": layer.made_of} for layer in layers],
    }


def _manifest(config: dict[str, Any], layers: list[PackedLayer]) -> dict[str, Any]:
    """https://github.com/opencontainers/image-spec/blob/main/manifest.md"""
    return {
        "schemaVersion": 2,
        "mediaType": f"{_MEDIA}.manifest.v1+json",
        "config": config,
        "layers": [_descriptor("layer.v1.tar+gzip", layer.digest, layer.size) for layer in layers],
    }


def _index(plan: ImagePlan, manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """What an OCI layout holds. containerd reads the one name, Podman and Skopeo the other."""
    reference = parse_reference(name)
    names = {"io.containerd.image.name": str(reference), "org.opencontainers.image.ref.name": str(reference)}
    entry = {**manifest, "platform": {"architecture": plan.arch, "os": "linux"}, "annotations": names}
    return {"schemaVersion": 2, "mediaType": f"{_MEDIA}.index.v1+json", "manifests": [entry]}


def _old_manifest(config: dict[str, Any], layers: list[PackedLayer], name: str) -> list[dict[str, Any]]:
    """What Docker's older store reads: https://github.com/moby/docker-image-spec/blob/main/v1.2.md"""
    return [
        {
            "Config": _place(config["digest"]),
            "RepoTags": [parse_reference(name).familiar],
            "Layers": [_place(layer.digest) for layer in layers],
        }
    ]


def _kept(blobs: Path, kind: str, document: dict[str, Any]) -> dict[str, Any]:
    """A document among the blobs, and what others say of it."""
    data = msgspec.json.encode(document)
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return _descriptor(kind, f"sha256:{digest}", len(data))


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": f"{_MEDIA}.{kind}", "digest": digest, "size": size}


def _place(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
