"""An image from the project's own Dockerfile, as it is but for the digests of what it is built on."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from ci_envs.containers.builder import ImageBuild, build_image
from ci_envs.containers.docker_lock import pinned_arguments, pinned_text
from ci_envs.containers.dockerfile import read_dockerfile
from ci_envs.containers.firewall import mounted, user_firewall
from ci_envs.containers.generated import refuse_to_overwrite, told
from ci_envs.containers.legs import build_args_of, network_of, on_engine, platform_of
from ci_envs.containers.locking import images_in, locked_images, refuse_other_local
from ci_envs.containers.revision import revision_of
from ci_envs.containers.secrets import parse_secret
from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.environments.container import ContainerEnvironment
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.work import Work

__all__ = ["build_written"]


def build_written(leg: Leg, lock: Lock, work: Work, file: str) -> ContainerEnvironment:
    """The image under the leg's name, and a container of it. :class:`BuildError` where it cannot be built.

    Labels are the file's own: what `docker build` makes of it has the same digest.
    """
    refuse_to_overwrite(work, file)
    docker, here = work.config.docker, on_engine(leg, work)
    images = images_in(leg, work, file)
    digests = locked_images(work).digests(local=here.engine.kind == "podman")
    refuse_other_local(here.engine, images, work)
    firewall = user_firewall(work, network=docker.network)
    text = pinned_text(work.project.text(file) or "", images, digests)
    text = mounted(text, read_dockerfile(text, file=file), firewall)
    request = ImageBuild(
        context=_context(work),
        dockerfile=_copied(work, file, text),
        tag=here.tag,
        target=docker.target,
        build_args=pinned_arguments(build_args_of(leg, docker), images, digests),
        secrets=tuple(parse_secret(one, work.project.root, work.environ) for one in docker.secrets),
        firewall=firewall,
        platform=platform_of(leg),
        epoch=revision_of(work.project.root, work.environ).epoch,
        no_cache=work.anew,
        network=network_of(docker),
        shown_as=file,
        layers=work.layout.layers(leg.id),
    )
    built = build_image(here.engine, request, work, archive=work.archive)
    work.image = told(here, lock, built)
    return here.container(built.id)


def _context(work: Work) -> Path:
    """The folder that the build sees. :class:`UsageError` where there is none of that name."""
    folder = work.project.path(work.config.docker.context)
    if not folder.is_dir():
        raise UsageError(f"docker.context says {work.config.docker.context!r}, and there is no such folder")
    return folder


def _copied(work: Work, file: str, text: str) -> Path:
    """The file that is built, with what it alone has the context leave out (``Dockerfile.dockerignore``).

    https://docs.docker.com/build/concepts/context/#filename-and-location
    """
    folder = work.temp / "image"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "Dockerfile"
    target.write_text(text, encoding="utf-8", newline="")
    beside = work.project.path(f"{file}.dockerignore")
    if beside.is_file():
        shutil.copyfile(beside, folder / "Dockerfile.dockerignore")
    return target
