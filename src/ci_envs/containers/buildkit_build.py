"""Images by BuildKit: the one in Docker Engine, driven by buildx.

With the containerd image store an image is exported with every time stamp set to SOURCE_DATE_EPOCH and loaded again,
which gives the same manifest digest each time. Docker's older store cannot take what was rewritten: there an image is
built as it comes, and says that it is not reproducible.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ci_envs import command
from ci_envs.containers import oci_layout
from ci_envs.containers.build_tools import Room, failed, inspected, keep, options
from ci_envs.containers.builder import BuiltImage
from ci_envs.containers.buildx import find_buildx
from ci_envs.containers.images import image_id
from ci_envs.containers.loading import engine_trouble, load_archive
from ci_envs.decoding import decode
from ci_envs.errors import BrokenError, BuildError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ci_envs.containers.build_output import Form
    from ci_envs.containers.builder import ImageBuild
    from ci_envs.containers.buildx import Buildx
    from ci_envs.containers.engine import Engine
    from ci_envs.containers.secrets import Secret
    from ci_envs.work import Work

__all__ = ["build_with_buildkit"]

#: Docker Engine 26 has BuildKit 0.13, the first that rewrites time stamps.
_REWRITES = 26

#: Linux hands a program no longer string (MAX_ARG_STRLEN); with room for its name.
_LONGEST_VARIABLE = 100_000


def build_with_buildkit(engine: Engine, request: ImageBuild, work: Work, archive: Path | None) -> BuiltImage:
    """As :func:`ci_envs.containers.builder.build_image`."""
    buildx = find_buildx(work.environ)
    work.tools["docker-buildx"] = buildx.version
    with Room.made(work) as room:
        return _Build(engine, request, work, buildx, room).run(archive)


@dataclass(frozen=True, slots=True)
class _Build:
    engine: Engine
    request: ImageBuild
    work: Work
    buildx: Buildx
    room: Room

    @property
    def why_not(self) -> str:
        """Why the time stamps cannot be rewritten; empty where they can."""
        if self.request.plain:
            return "time stamps were left as they come: only the content was asked for"
        if self.engine.store != "containerd":
            return (
                f"{self.engine.title} keeps images in its older store, which cannot take one whose time stamps were "
                'rewritten: set {"features": {"containerd-snapshotter": true}} in the daemon\'s configuration'
            )
        major = re.match(r"\d+", self.engine.version)
        if major and int(major[0]) < _REWRITES:
            return f"the BuildKit of {self.engine.title} is too old to rewrite time stamps: Docker Engine 26 can"
        return ""

    def run(self, archive: Path | None) -> BuiltImage:
        """Builds, loads, looks at the result."""
        metadata = self.room.folder / "metadata.json"
        self._build(metadata)
        told = _Metadata.read(metadata)
        exported = self._loaded(told) if not self.why_not else None
        image = self._looked_at(told)
        if archive is not None:
            keep(exported or self._saved(told), archive)
        return image

    @property
    def _folder(self) -> Path | None:
        """Where the layers are kept, as buildx can since 0.10."""
        return self.request.layers if self.buildx.at_least(0, 10) and not self.why_not else None

    @property
    def _exported(self) -> Path:
        return self.room.folder / "image.tar"

    def _build(self, metadata: Path) -> None:
        request = self.request
        secrets = (*request.secrets, *request.firewall.secrets)
        words, variables = self._secrets(secrets)
        argv = [
            *(str(self.buildx.program), "build", "--builder", "default", "--progress", self._form),
            *("--file", str(request.dockerfile), "--metadata-file", str(metadata)),
            *(("--provenance=false", "--sbom=false") if self.buildx.at_least(0, 10) else ()),
            *self._output(),
            *options(request),
            *words,
            str(request.context),
        ]
        environ = {
            # What it notes of its builds stays away from the user's own; the default builder is the engine's.
            "BUILDX_CONFIG": str(self.room.folder / "buildx"),
            **request.firewall.build_args,
            **variables,
            **self.engine.environ,
        }
        ran = self.room.run(argv, environ, self._form, epoch=request.epoch, secrets=secrets)
        if not ran.outcome:
            raise failed(ran, request, self.engine, self.work)

    @property
    def _form(self) -> Form:
        return "rawjson" if self.buildx.at_least(0, 13) else "plain"

    def _output(self) -> tuple[str, ...]:
        if self.why_not:
            return ("--load", "--tag", self.request.tag)
        where = f"dest={self._exported}"
        if self._folder is not None:
            oci_layout.begin(self._folder)
            where = f"tar=false,dest={self._folder}"
        return ("--output", f"type=oci,{where},rewrite-timestamp=true,name={self.request.tag}")

    def _secrets(self, secrets: Sequence[Secret]) -> tuple[list[str], dict[str, str]]:
        words: list[str] = []
        variables: dict[str, str] = {}
        for number, secret in enumerate(secrets):
            if secret.file is None and len(secret.value.encode()) < _LONGEST_VARIABLE and "\0" not in secret.value:
                name = f"CI_ENVS_BUILD_{number}_SECRET"
                variables[name] = secret.value
                words += ["--secret", f"id={secret.id},env={name}"]
            else:
                words += ["--secret", f"id={secret.id},src={self.room.secret_file(secret)}"]
        return words, variables

    def _loaded(self, told: _Metadata) -> Path | None:
        """The archive that the engine was given; ``None`` where it had the image, and only its name was given."""
        if self._folder is None:
            self._load(self._exported)
            return self._exported
        oci_layout.prune(self._folder, told.manifest)
        repository, _, tag = self.request.tag.rpartition(":")
        with engine_trouble(self.engine):
            if image_id(self.engine, told.manifest) == told.manifest:
                self.engine.client.api.tag(told.manifest, repository, tag)
                return None
        try:
            oci_layout.write_archive(self._folder, told.manifest, self._exported)
            self._load(self._exported)
        except BrokenError:
            shutil.rmtree(self._folder, ignore_errors=True)  # a layer may be damaged: the next build sends all of them
            raise
        return self._exported

    def _load(self, exported: Path) -> None:
        command.refuse_when_stopping("before the image was loaded")
        self.work.progress("loading the image")
        load_archive(self.engine, exported)

    def _saved(self, told: _Metadata) -> Path:
        """An archive of an image of which none was made."""
        if self._folder is not None:
            oci_layout.write_archive(self._folder, told.manifest, self._exported)
            return self._exported
        with engine_trouble(self.engine), self._exported.open("wb") as file:
            for piece in self.engine.client.api.get_image(self.request.tag):
                file.write(piece)
        return self._exported

    def _looked_at(self, told: _Metadata) -> BuiltImage:
        request, engine = self.request, self.engine
        found = inspected(engine, request.tag)
        if not self.why_not and found["Id"] != told.manifest:
            raise BrokenError(
                f"{engine.title} calls the image {found['Id']}, and its builder said {told.manifest}",
                hint="the engine's image store was changed meanwhile: run it once more",
            )
        has_manifests = engine.store == "containerd"
        return BuiltImage(
            id=found["Id"],
            manifest=found["Id"] if has_manifests else "",
            config=told.config or found["Id"],
            layers=tuple((found.get("RootFS") or {}).get("Layers") or ()),
            bytes=int(found.get("Size") or 0),
            builder=f"{self.buildx.title}, BuildKit of {engine.title}",
            reproducible=not self.why_not,
            why_not=self.why_not,
        )


class _Metadata(msgspec.Struct, frozen=True):
    """What buildx writes of its result."""

    manifest: str = msgspec.field(name="containerimage.digest", default="")
    config: str = msgspec.field(name="containerimage.config.digest", default="")

    @classmethod
    def read(cls, path: Path) -> _Metadata:
        try:
            return decode(path.read_bytes(), cls)
        except (OSError, msgspec.MsgspecError) as error:
            raise BuildError(f"buildx did not say what it has built: {error}") from error
