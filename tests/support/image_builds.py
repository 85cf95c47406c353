"""Builds of small images on a real engine, and a search through everything that such a build leaves."""

from __future__ import annotations

import gzip
import io
import os
import secrets
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.work import a_work

from ci_envs.containers.builder import ImageBuild, build_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ci_envs.containers.builder import BuiltImage
    from ci_envs.containers.engine import Engine
    from ci_envs.work import Work

__all__ = ["Builds", "everything_in"]


@dataclass
class Builds:
    """Builds in a folder; what they make is removed by :meth:`clean`."""

    engine: Engine
    base: str
    folder: Path
    environ: Mapping[str, str]
    tag: str = field(default_factory=lambda: f"localhost/ci-envs-test-{secrets.token_hex(4)}:latest")
    steps: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)

    def work(self, **more: str) -> Work:
        """The workbench of a leg in that folder."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder.parent), **self.environ, **more}
        work = a_work(self.folder, stage="build", environ=environ)
        work.progress = self.steps.append
        return work

    def build(
        self, dockerfile: str, *, work: Work | None = None, archive: Path | None = None, **asked: Any
    ) -> BuiltImage:
        """Builds ``dockerfile``, in which ``BASE`` is the Python image."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / "Dockerfile"
        path.write_text(dockerfile.replace("BASE", self.base), "utf-8")
        usual: dict[str, Any] = {"context": self.folder, "dockerfile": path, "tag": self.tag, "epoch": 1_700_000_000}
        image = build_image(self.engine, ImageBuild(**{**usual, **asked}), work or self.work(), archive=archive)
        self.made.append(image.id)
        return image

    def log(self) -> str:
        """The log of all builds."""
        return self.work().log.read_text("utf-8")

    def clean(self) -> None:
        """Removes the images."""
        from docker.errors import APIError

        for name in dict.fromkeys([self.tag, *self.made]):
            try:
                self.engine.client.api.remove_image(name, force=True, noprune=False)
            except APIError:
                continue  # it went with its name


def everything_in(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Each file of an image's archive and of its layers, unpacked, by a name that says where it is."""
    with tarfile.open(archive) as outer:
        for member in outer:
            if not member.isfile():
                continue
            stream = outer.extractfile(member)
            assert stream is not None
            data = stream.read()
            plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            yield member.name, plain
            yield from _files(member.name, plain)


def _files(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as layer:
            yield from ((f"{name}:{member.name}", b"") for member in layer)
    except tarfile.TarError:
        return  # a manifest or a configuration
