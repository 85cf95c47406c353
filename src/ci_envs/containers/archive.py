"""An image in one file: an OCI archive, or what ``docker save`` writes. Read, and never unpacked.

``buildx build --output type=oci`` and ``podman save --format oci-archive`` write the former
(https://github.com/opencontainers/image-spec/blob/main/image-layout.md), ``podman save`` by default the latter;
``docker save`` has written both into one file since version 25. Whoever wrote it, every digest is computed.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ci_envs.containers.layer import Blob, Layer, damaged, read_entries
from ci_envs.decoding import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ci_envs.containers.layer import Entry

__all__ = ["Image", "instruction", "read_image"]

#: Manifests and configurations that are larger are not read. Registries take manifests of 4 MiB.
_LARGEST_DOCUMENT = 8 << 20
_MOST_FILES = 100_000
_MOST_LAYERS = 1000

# An index may name indexes.
_DEEPEST = 4

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

# BuildKit marks what is no image of a platform, its attestations, so.
_REFERENCE = "vnd.docker.reference.type"


class Place(NamedTuple):
    """Where a file of the archive lies in it."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Image:
    """One image of one platform. Nothing of its layers has been read yet."""

    #: The archive.
    path: Path
    #: ``sha256:<hex>`` of the manifest's bytes; empty where the archive has none (docker-archive).
    manifest: str
    #: ``sha256:<hex>`` of the configuration's bytes: the image's id in many engines.
    config_digest: str
    #: The manifest as it stands; empty where the archive has none.
    described: Mapping[str, Any]
    #: https://github.com/opencontainers/image-spec/blob/main/config.md
    config: Mapping[str, Any]
    layers: tuple[Layer, ...]
    places: Mapping[str, Place]

    def files(self, layer: Layer) -> Iterator[Entry]:
        """The entries of a layer, read while they are asked for.

        Raises :class:`BrokenError`, after the last entry at the latest, where the layer is not what the image says.
        """
        where = f"layer {layer.number} in {self.path.name}"
        with self.path.open("rb") as file:
            yield from read_entries(layer, Blob(file, *self.places[layer.name]), where)


def read_image(path: Path, platform: str = "") -> Image:
    """The image in an archive. ``platform`` (``linux/amd64``, ``linux/arm64/v8``) is asked for where it holds several.

    Raises :class:`BrokenError` with the reason where the file is no such archive, is cut, or holds something else
    than its digests say.
    """
    try:
        return _read(path, platform)
    except OSError as error:
        raise damaged(path.name, error.strerror or str(error)) from error
    except (
        msgspec.MsgspecError,
        tarfile.TarError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
    ) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise damaged(path.name, why) from error


def _read(path: Path, platform: str) -> Image:
    with path.open("rb") as file:
        archive = _Archive(file, path)
        if "oci-layout" in archive.places:
            return _oci(archive, platform)
        if "manifest.json" in archive.places:
            return _docker(archive)
    raise ValueError("it holds neither an OCI layout nor a manifest.json: it is no archive of an image")


class _Archive:
    """The files of the outer tar."""

    def __init__(self, file: Any, path: Path) -> None:
        self._file = file
        self.path = path
        self.places = self._index(path.stat().st_size)

    def _index(self, end: int) -> dict[str, Place]:
        """Every file that the outer tar holds, those that links lead to under the link's name as well."""
        places: dict[str, Place] = {}
        links: dict[str, str] = {}
        source: Any = _Outer(self._file)  # it has the three methods that tarfile calls
        outer: Any
        with tarfile.open(fileobj=source, mode="r:") as outer:
            while (info := outer.next()) is not None:
                outer.members.clear()
                source.allowance = _LARGEST_DOCUMENT
                name = _normal(info.name)
                if info.isreg() and not info.issparse():
                    if info.offset_data + info.size > end:
                        raise ValueError(f"it ends within {name}")
                    places[name] = Place(info.offset_data, info.size)
                elif info.issym() or info.islnk():  # the old format names each layer twice
                    links[name] = _normal(info.linkname if info.islnk() else f"{name}/../{info.linkname}")
                if len(places) + len(links) > _MOST_FILES:
                    raise ValueError(f"it holds more than {_MOST_FILES} files")
        return {**{name: places[target] for name, target in links.items() if target in places}, **places}

    def read(self, name: str, *, digest: str = "", size: int | None = None) -> bytes:
        """A document. What a descriptor says of it is compared."""
        place = self.places.get(name)
        if place is None:
            raise ValueError(f"it lacks {name}")
        if place.size > _LARGEST_DOCUMENT:
            raise ValueError(f"{name} has {place.size} bytes, which no such document has")
        blob = Blob(self._file, *place)
        data = blob.read()
        if size is not None and len(data) != size:
            raise ValueError(f"{name} has {len(data)} bytes instead of {size}")
        if digest and blob.digest() != digest:
            raise ValueError(f"{name} is altered: its digest is {blob.digest()}")
        return data


class _Outer:
    """A file whose headers have a limit: tarfile reads what a header claims as a whole."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.allowance = _LARGEST_DOCUMENT
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        self.allowance -= size
        if self.allowance < 0:
            raise ValueError("a header in it claims to be larger than any is")
        data: bytes = self._file.read(size)
        return data


def _normal(name: str) -> str:
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


# --- an OCI layout


def _oci(archive: _Archive, platform: str) -> Image:
    index = _decoded(archive.read("index.json"))
    chosen = _chosen(list(_manifests(archive, index, _DEEPEST)), platform)
    digest, described = chosen.digest, chosen.document
    config_digest, config = _described_document(archive, described["config"])
    promised = _list(described, "layers")
    layers = _layers(config, len(promised))
    return Image(
        path=archive.path,
        manifest=digest,
        config_digest=config_digest,
        described=described,
        config=config,
        layers=tuple(_oci_layer(archive, layer, blob) for layer, blob in zip(layers, promised, strict=True)),
        places=archive.places,
    )


class _Manifest(NamedTuple):
    digest: str
    document: dict[str, Any]
    #: ``linux/amd64``; empty where neither the index nor the configuration says.
    platform: str


def _manifests(archive: _Archive, index: dict[str, Any], depth: int) -> Iterator[_Manifest]:
    """The image manifests below an index, without attestations."""
    if depth == 0:
        raise ValueError("its indexes are nested without end")
    for descriptor in _list(index, "manifests"):
        if _REFERENCE in (descriptor.get("annotations") or {}) or _name(descriptor) not in archive.places:
            continue  # an archive of one platform keeps the index of all of them
        digest, document = _described_document(archive, descriptor)
        if "manifests" in document:
            yield from _manifests(archive, document, depth - 1)
        elif "layers" in document:
            told = descriptor.get("platform") or _described_document(archive, document["config"])[1]
            yield _Manifest(digest, document, _platform(told))


def _chosen(manifests: list[_Manifest], platform: str) -> _Manifest:
    found = list({manifest.digest: manifest for manifest in manifests}.values())
    if platform:
        found = [each for each in found if _fits(each.platform, platform)] or (found if len(found) == 1 else [])
    if len(found) == 1:
        return found[0]
    held = ", ".join(sorted({manifest.platform or "unknown" for manifest in manifests})) or "none"
    if found:
        raise ValueError(f"it holds images of several platforms, and one must be asked for: {held}")
    raise ValueError(f"it holds no image of {platform or 'any platform'}; those in it: {held}")


def _platform(told: Mapping[str, Any]) -> str:
    return "/".join(str(told[key]) for key in ("os", "architecture", "variant") if told.get(key))


def _fits(found: str, asked: str) -> bool:
    """A variant that only one of the two names is none (``linux/arm64`` is ``linux/arm64/v8``)."""
    ours, theirs = found.split("/"), asked.split("/")
    return all(one == other for one, other in zip(ours, theirs, strict=False)) and min(len(ours), len(theirs)) > 1


def _described_document(archive: _Archive, descriptor: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    data = archive.read(_name(descriptor), digest=descriptor["digest"], size=descriptor.get("size"))
    return descriptor["digest"], _decoded(data)


def _name(descriptor: Mapping[str, Any]) -> str:
    digest = descriptor["digest"]
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r:.100} is no digest of SHA-256")
    return f"blobs/{digest.replace(':', '/')}"


def _oci_layer(archive: _Archive, layer: Layer, descriptor: Mapping[str, Any]) -> Layer:
    name = _name(descriptor)
    if name not in archive.places:
        raise ValueError(f"it lacks {name}, which is layer {layer.number}")
    size = archive.places[name].size
    if size != descriptor.get("size", size):
        raise ValueError(f"layer {layer.number} has {size} bytes instead of {descriptor['size']}")
    return layer._replace(
        digest=descriptor["digest"],
        media_type=str(descriptor.get("mediaType", "")),
        size=size,
        annotations={str(key): str(value) for key, value in (descriptor.get("annotations") or {}).items()},
        name=name,
    )


# --- a docker-archive


def _docker(archive: _Archive) -> Image:
    documents = decode(archive.read("manifest.json"), list[dict[str, Any]])
    if len(documents) != 1:
        raise ValueError(f"it holds {len(documents)} images instead of one")
    data = archive.read(_normal(documents[0]["Config"]))
    config = _decoded(data)
    names = [_normal(name) for name in _list(documents[0], "Layers")]
    layers = _layers(config, len(names))
    for name in names:
        if name not in archive.places:
            raise ValueError(f"it lacks {name}, which is a layer")
    return Image(
        path=archive.path,
        manifest="",
        config_digest=f"sha256:{hashlib.sha256(data).hexdigest()}",
        described={},
        config=config,
        layers=tuple(
            layer._replace(name=name, size=archive.places[name].size) for layer, name in zip(layers, names, strict=True)
        ),
        places=archive.places,
    )


# --- the configuration


def _layers(config: Mapping[str, Any], count: int) -> list[Layer]:
    """The layers as the configuration describes them; the rest is the archive's to say."""
    diff_ids = _list(config["rootfs"], "diff_ids")
    if len(diff_ids) != count or count > _MOST_LAYERS:
        raise ValueError(f"its manifest has {count} layers, its configuration {len(diff_ids)}")
    for diff_id in diff_ids:
        if not isinstance(diff_id, str) or not _DIGEST.fullmatch(diff_id):
            raise ValueError(f"{diff_id!r:.100} is no digest of SHA-256")
    commands = [
        str(entry.get("created_by") or "") for entry in config.get("history") or () if not entry.get("empty_layer")
    ]
    if len(commands) != count:  # squashed, or made by something that writes no history
        commands = [""] * count
    return [
        Layer(number, "", diff_id, "application/vnd.oci.image.layer.v1.tar", 0, command, {}, "")
        for number, (diff_id, command) in enumerate(zip(diff_ids, commands, strict=True), 1)
    ]


def _decoded(data: bytes) -> dict[str, Any]:
    return decode(data, dict[str, Any])


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key) or []
    if not isinstance(value, list):
        raise TypeError(f"{key} is no list")
    return value


# BuildKit: "RUN |2 A=1 B=2 /bin/sh -c make # buildkit"; builders before it, and Buildah: "/bin/sh -c make",
# "/bin/sh -c #(nop) CMD".
_BUILDKIT = re.compile(r"\s+# buildkit$")
_NOT_RUN = re.compile(r"^/bin/sh -c #\(nop\)\s*")
_SHELL = re.compile(r"^(?:RUN )?(?:\|\d+ .*?)?(?:/(?:usr/)?bin/)?(?:ba|da|a)?sh(?: -\w+| pipefail)*? -\w*c ", re.DOTALL)


def instruction(command: str) -> str:
    """A line of history as its Dockerfile had it, as far as can be told: ``RUN make``, ``COPY a /srv/``.

    The values of build arguments, which stand before a command, are left out: people hand secrets over in them.
    """
    told = _BUILDKIT.sub("", command.strip())
    if _NOT_RUN.match(told):
        return _NOT_RUN.sub("", told)
    if shell := _SHELL.match(told):
        return f"RUN {told[shell.end() :]}"
    return re.sub(r"^RUN \|\d+ .*", "RUN ...", told, flags=re.DOTALL)
