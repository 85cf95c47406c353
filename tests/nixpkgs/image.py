"""Writes a docker archive, the same bytes each time: what a file of JSON tells, with the store paths that it needs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def read_graph(graph: Path) -> Iterator[Path]:
    """The paths of a graph (exportReferencesGraph): each is followed by its deriver, a count, as many references."""
    lines = iter(graph.read_text().splitlines())
    for path in lines:
        next(lines)
        for _ in range(int(next(lines))):
            next(lines)
        yield Path(path)


def tar_of(trees: Iterable[tuple[Path, str]]) -> bytes:
    """A layer: each tree under its name in the image; a tree with an empty name is the image's root."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for tree, name in trees:
            below = sorted(tree.rglob("*")) if tree.is_dir() and not tree.is_symlink() else []
            if name:
                below.insert(0, tree)
            for path in below:
                add(archive, path, str(Path(name, path.relative_to(tree))))
    return layer.getvalue()


def add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """One entry, without its time and owner; a file that an optimised store has under several names is itself."""
    archive.inodes = {}  # type: ignore[attr-defined]  # tarfile's memory of hard links
    info = archive.gettarinfo(path, name)
    info.mtime, info.uid, info.gid, info.uname, info.gname = 1, 0, 0, "", ""
    with io.BytesIO(path.read_bytes() if info.isfile() else b"") as content:
        archive.addfile(info, content)


def layers_of(paths: list[Path], root: Path, most: int) -> Iterator[bytes]:
    """A layer for each path while there are some left, one for the other paths and the image's root."""
    named = [(path, str(path)[1:]) for path in paths]
    for one in named[: most - 1]:
        yield tar_of([one])
    yield tar_of([*named[most - 1 :], (root, "")])


def main(told: Path, graph: Path, out: Path) -> None:
    """Writes ``out``."""
    image: dict[str, Any] = json.loads(told.read_text())
    paths = sorted(path for path in read_graph(graph) if path != told)
    layers = {
        hashlib.sha256(layer).hexdigest(): layer for layer in layers_of(paths, Path(image["root"]), image["maxLayers"])
    }
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "config": image["config"],
        "created": image["created"],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in layers]},
    }
    encoded = json.dumps(config, sort_keys=True).encode()
    name = f"{hashlib.sha256(encoded).hexdigest()}.json"
    files = {f"{digest}/layer.tar": layer for digest, layer in layers.items()}
    manifest = [{"Config": name, "RepoTags": [image["name"]], "Layers": list(files)}]
    write_archive(out, {**files, name: encoded, "manifest.json": json.dumps(manifest).encode()})


def write_archive(out: Path, files: dict[str, bytes]) -> None:
    """A compressed tar of files, with no time in it."""
    with (
        out.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, filename="", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), 1, 0o444
            archive.addfile(info, io.BytesIO(data))


main(*map(Path, sys.argv[1:]))
