"""Images by Podman, whose builder is Buildah: ``--timestamp`` makes their bytes the same each time.

Buildah's RUN mounts leave traces that BuildKit's do not (seen with 1.28): history shows the flags, folders that were
made for a mount stay, and a file that a secret was mounted over is deleted from the image. So the user's certificates
and index settings are volumes of the build here, and the mounts of ``firewall.py`` are taken out of the Dockerfile.
A Podman that is asked through its socket passes over volumes without a word (seen with 4.3): where the socket belongs
to the Podman of this machine and user, that is run itself.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ci_envs import command
from ci_envs.containers.build_output import without_our_mounts
from ci_envs.containers.build_tools import (
    Ran,
    Room,
    client_environment,
    failed,
    inspected,
    keep,
    options,
)
from ci_envs.containers.builder import BuiltImage
from ci_envs.containers.dockerfile import read_dockerfile
from ci_envs.containers.firewall import BUNDLE, CA, PIP, UV, replaces_bundle
from ci_envs.decoding import decode
from ci_envs.errors import BrokenError, ToolMissing, UsageError
from ci_envs.tools import find_program, tool_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ci_envs.containers.builder import ImageBuild
    from ci_envs.containers.engine import Engine
    from ci_envs.containers.firewall import Firewall
    from ci_envs.work import Work

__all__ = ["build_with_podman"]

#: In the file system that a container has for its devices: nothing of it is part of an image.
_CA_FILE = f"/dev/{CA}"

# Saving an image may take this long.
_LONGEST_SECONDS = 1800.0

# What a runtime says that may start no container here; a program that is not in the image is the Dockerfile's fault.
_CANNOT_START = re.compile(
    r"error running container|setrlimit|error setting rlimit|cannot clone|unable to start container process",
    re.IGNORECASE,
)
_NO_PROGRAM = re.compile(r'exec: "|executable file')


def build_with_podman(engine: Engine, request: ImageBuild, work: Work, archive: Path | None) -> BuiltImage:
    """As :func:`ci_envs.containers.builder.build_image`."""
    program = find_program("podman", work.environ) or find_program("podman-remote", work.environ)
    if program is None:
        raise ToolMissing(
            f"{engine.title} answers, and there is no podman on PATH to build with",
            hint="install podman (Linux) or podman-remote",
        )
    version = tool_version(program, work.environ)
    work.tools["podman"] = version
    with Room.made(work) as room:
        return _Build(engine, request, work, program, version, room).run(archive)


@dataclass(frozen=True)
class _Build:
    engine: Engine
    request: ImageBuild
    work: Work
    program: Path
    version: str
    room: Room

    def run(self, archive: Path | None) -> BuiltImage:
        """Builds; where no container can be started for a RUN, once more without one."""
        try:
            return self._run(archive)
        finally:
            end_left(self.room.folder, self.engine)

    def _run(self, archive: Path | None) -> BuiltImage:
        isolation = ""
        ran = self._build(isolation)
        if not ran.outcome and _cannot_start(ran):
            isolation = "chroot"
            ran = self._build(isolation)
        if not ran.outcome:
            raise failed(ran, self.request, self.engine, self.work)
        image = (self.room.folder / "image-id").read_text("utf-8").strip()
        image = image if image.startswith("sha256:") else f"sha256:{image}"
        if archive is not None:
            exported = self.room.folder / "image.tar"
            self._podman("save", "--format", "oci-archive", "--output", str(exported), image)
            keep(exported, archive)
        return self._looked_at(image, isolation)

    def _build(self, isolation: str) -> Ran:
        request = self.request
        secrets = (*request.secrets, *request.firewall.secrets)
        argv = [
            *(str(self.program), "build", "--format", "oci", "--timestamp", str(request.epoch)),
            *("--file", str(self._dockerfile()), "--tag", request.tag),
            *("--iidfile", str(self.room.folder / "image-id")),
            *(("--isolation", isolation) if isolation else ()),
            *options(request),
            *self._secrets(),
            *self._volumes(request.firewall),
            str(request.context),
        ]
        environ = {**request.firewall.build_args, **self.environ}
        return self.room.run(argv, environ, "podman", epoch=request.epoch, secrets=secrets)

    @cached_property
    def environ(self) -> dict[str, str]:
        """What tells the program which Podman is meant: nothing, where it is the one behind the socket."""
        if not self.engine.socket or self.program.name != "podman":
            return self.engine.environ
        own = self._asked("info", "--format", "{{.Store.GraphRoot}}", environ={})
        there = self.engine.client.info().get("DockerRootDir")
        return {} if own and own.stdout.strip() == there else self.engine.environ

    @cached_property
    def text(self) -> str:
        """The Dockerfile without our mounts; its lines stay where they are."""
        return without_our_mounts(self._written)

    @cached_property
    def _written(self) -> str:
        with contextlib.suppress(OSError):  # Podman will say so
            return self.request.dockerfile.read_text("utf-8", "surrogateescape")
        return ""

    def _dockerfile(self) -> Path:
        written = self.request.dockerfile
        if self.text == self._written:
            return written
        path = self.room.folder / "Dockerfile"
        path.write_text(self.text, "utf-8", "surrogateescape")
        ignored = written.with_name(f"{written.name}.dockerignore")
        if ignored.is_file():
            shutil.copy(ignored, f"{path}.dockerignore")
        return path

    def _secrets(self) -> Iterator[str]:
        """Always as files: a Podman that is asked from afar gives an empty file for a variable (seen with 4.3)."""
        for secret in self.request.secrets:
            yield from ("--secret", f"id={secret.id},src={self.room.secret_file(secret)}")

    def _volumes(self, firewall: Firewall) -> Iterator[str]:
        """The user's settings where pip, uv and OpenSSL look for them.

        A file that an image has not is an empty one in it afterwards. So uv's is there only for a Dockerfile that
        speaks of uv, and the bundle of certificates only where no RUN may want to replace it.
        """
        for secret in firewall.secrets:
            file = self.room.secret_file(secret)
            if secret.id == PIP:
                # What a container's root may not be (rootless, USER), may read it all the same: the folder is private.
                file.write_text(secret.value.replace(f"/run/secrets/{CA}", _CA_FILE), "utf-8")
            file.chmod(0o644)
            targets = {PIP: ("/etc/pip.conf",), UV: ("/etc/uv/uv.toml",), CA: (_CA_FILE,)}.get(secret.id, ())
            if secret.id == UV and not re.search(r"\buvx?\b", self.text):
                continue
            if secret.id == CA and not self._replaces_bundle():
                targets = (*targets, BUNDLE)
            for target in targets:
                yield from ("--volume", f"{file}:{target}:ro")

    def _replaces_bundle(self) -> bool:
        try:
            instructions = read_dockerfile(self.text, file=self.request.shown_as).instructions
        except UsageError:
            return True
        return any(replaces_bundle(one) for one in instructions if one.name == "RUN")

    def _looked_at(self, image: str, isolation: str) -> BuiltImage:
        found = inspected(self.engine, image)
        manifest = self._podman("image", "inspect", "--format", "{{.Digest}}", image).strip()
        without = f", each RUN in a {isolation} since no container could be started" if isolation else ""
        return BuiltImage(
            id=image,
            manifest=manifest,
            config=image,
            layers=tuple((found.get("RootFS") or {}).get("Layers") or ()),
            bytes=int(found.get("Size") or 0),
            builder=f"podman {self.version}{without}",
            reproducible=True,
        )

    def _asked(self, *words: str, environ: Mapping[str, str]) -> command.Outcome:
        return command.run(
            command.Command(
                argv=(str(self.program), *words),
                env={**client_environment(self.work), **environ},
                timeout=_LONGEST_SECONDS,
                hold=self.work.hold,
            )
        )

    def _podman(self, *words: str) -> str:
        outcome = self._asked(*words, environ=self.environ)
        if not outcome:
            raise BrokenError(f"podman {words[0]} failed: {outcome.tail(3)}")
        return outcome.stdout


def end_left(folder: Path, engine: Engine) -> None:
    """Ends the container of a RUN that was under way when Podman was stopped, which leaves it running (seen with 4.3).

    Buildah keeps what it told the runtime in TMPDIR while a RUN goes on, with the process that the container began
    with, and the container's id as its host name.
    """
    from docker.errors import DockerException

    if sys.platform == "win32":
        return  # where buildah runs in a machine of its own
    for bundle in folder.glob("buildah*"):
        with contextlib.suppress(OSError, ValueError):
            process = int((bundle / "pid").read_text("ascii"))
            if _begins_a_container(process):
                os.kill(process, signal.SIGKILL)
        with contextlib.suppress(OSError, msgspec.MsgspecError, DockerException):
            container = decode((bundle / "config.json").read_bytes(), _Bundle).hostname
            if container:
                engine.client.api.remove_container(container, force=True)


class _Bundle(msgspec.Struct):
    """https://github.com/opencontainers/runtime-spec/blob/main/config.md"""

    hostname: str = ""


def _begins_a_container(process: int) -> bool:
    """Whether it is the first process of a namespace: a number may have been given to another one since."""
    status = Path(f"/proc/{process}/status").read_text("utf-8")
    found = re.search(r"^NSpid:\s+\d+(?:\s+\d+)*\s+1$", status, re.MULTILINE)
    return found is not None


def _cannot_start(ran: Ran) -> bool:
    said = "\n".join([*ran.transcript.said, *(line for step in ran.transcript.steps.values() for line in step.lines)])
    return bool(_CANNOT_START.search(said)) and not _NO_PROGRAM.search(said)
