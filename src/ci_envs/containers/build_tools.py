"""What building with BuildKit and building with Podman have in common."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_envs import command
from ci_envs.containers import build_failures
from ci_envs.containers.build_output import Transcript, reader
from ci_envs.containers.secrets import masking
from ci_envs.errors import BrokenError
from ci_envs.work import network_pauses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ci_envs.containers.build_output import Form
    from ci_envs.containers.builder import ImageBuild
    from ci_envs.containers.engine import Engine
    from ci_envs.containers.secrets import Secret
    from ci_envs.errors import CiEnvsError
    from ci_envs.work import Work

__all__ = ["Ran", "Room", "client_environment", "failed", "inspected", "keep", "options"]

#: One build may take this long: CUDA code compiles for hours.
_LONGEST_SECONDS = 6 * 3600.0

# What a client of a registry or of Podman is told beside what every tool sees.
_CLIENT_VARIABLES = re.compile(r"DOCKER_CONFIG|REGISTRY_AUTH_FILE|CONTAINERS_[A-Z_]+|STORAGE_[A-Z_]+|BUILDAH_RUNTIME")


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a builder."""

    outcome: command.Outcome
    transcript: Transcript


@dataclass(frozen=True, slots=True)
class Room:
    """A private folder for one build: its archive, its metadata, secrets that are too long for a variable."""

    folder: Path
    work: Work

    @classmethod
    @contextlib.contextmanager
    def made(cls, work: Work) -> Iterator[Room]:
        """The folder, which is gone afterwards."""
        folder = Path(tempfile.mkdtemp(prefix="build-", dir=work.temp))
        try:
            yield cls(folder, work)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def secret_file(self, secret: Secret) -> Path:
        """The secret as a file that its owner alone can read."""
        if secret.file is not None and not set(',"\n') & set(str(secret.file)):
            return secret.file
        data = secret.value.encode("utf-8", "surrogateescape") if secret.file is None else secret.file.read_bytes()
        path = self.folder / f"secret-{secret.id}"
        path.touch(mode=0o600)
        path.write_bytes(data)
        return path

    def run(
        self, argv: Sequence[str], environ: Mapping[str, str], form: Form, *, epoch: int, secrets: Sequence[Secret]
    ) -> Ran:
        """Runs a builder over the project, with its words in the log and its steps told.

        Where an instruction failed over the network it is built again, as other commands are run again.
        """
        work = self.work
        # Buildah leaves folders in TMPDIR when it is stopped.
        own = {"SOURCE_DATE_EPOCH": str(epoch), "TMPDIR": str(self.folder)}
        env = {**client_environment(work), **own, **environ}
        redact = masking({**work.environ, **env}, secrets)
        pauses = network_pauses()
        while True:
            transcript = Transcript(work.progress, redact)
            request = command.Command(
                argv=tuple(argv),
                cwd=work.project.root,
                env=env,
                timeout=_LONGEST_SECONDS,
                log=work.log,
                hold=work.hold,
                as_logged=reader(form, transcript),
            )
            outcome = command.run(request)
            passing = not outcome and not outcome.timed_out and build_failures.may_pass(transcript)
            pause = next(pauses) if passing else None
            if pause is None:
                return Ran(outcome, transcript)
            work.progress("the network failed: builds again")
            time.sleep(pause)


def client_environment(work: Work) -> dict[str, str]:
    """The variables of a program that talks to an engine and to registries."""
    told = {name: value for name, value in work.environ.items() if _CLIENT_VARIABLES.fullmatch(name)}
    return {**work.tool_environment, **told}


def failed(ran: Ran, request: ImageBuild, engine: Engine, work: Work) -> CiEnvsError:
    """Why a builder failed."""
    text = ""
    with contextlib.suppress(OSError):
        text = request.dockerfile.read_text("utf-8", "replace")
    log = work.layout.shown(work.log)
    return build_failures.failure(
        ran.outcome, ran.transcript, file=request.shown_as, text=text, engine=engine.title, log=log
    )


def inspected(engine: Engine, name: str) -> dict[str, Any]:
    """What the engine says of an image. :class:`BrokenError` where it does not have it."""
    import docker

    try:
        told: dict[str, Any] = engine.client.api.inspect_image(name)  # type: ignore[no-untyped-call]  # its stubs have no types here
    except (docker.errors.DockerException, OSError) as error:
        raise BrokenError(f"{engine.title} does not have the image that it has just built: {error}") from error
    return told


def options(request: ImageBuild) -> Iterator[str]:
    """The flags that buildx and Podman call by the same names."""
    for flag, value in (("--platform", request.platform), ("--target", request.target), ("--network", request.network)):
        if value:
            yield from (flag, value)
    for name, value in request.build_args.items():
        yield from ("--build-arg", f"{name}={value}")
    for name in request.firewall.build_args:
        yield from ("--build-arg", name)  # its value comes from a variable, which no list of processes shows
    for name, value in request.labels.items():
        yield from ("--label", f"{name}={value}")
    for name, folder in request.contexts.items():
        yield from ("--build-context", f"{name}={folder}")
    if request.no_cache:
        yield "--no-cache"


def keep(exported: Path, archive: Path) -> None:
    """Moves the archive to its place, whole or not at all."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(f"{archive.name}.part")
    try:
        shutil.move(exported, part)
        part.replace(archive)
    finally:
        part.unlink(missing_ok=True)
