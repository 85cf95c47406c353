"""An image with nix in it, and a package set that a build in such an image reaches: nothing public is asked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from tests.support.docker_registry import RegistryClient
from tests.support.work import a_leg, a_work

from ci_envs.containers.builder import ImageBuild, build_image
from ci_envs.containers.dockerfile import read_dockerfile
from ci_envs.containers.engine import find_engine
from ci_envs.containers.firewall import mounted, user_firewall
from ci_envs.containers.nix_template import INPUTS

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["made_base", "packages_inside"]

_REPOSITORY, _TAG = "own/debian-nix", "bookworm"

#: Debian's own nix, which brings no configuration: as root it looks for users to build as, and finds none.
_DOCKERFILE = """\
FROM {registry}/library/debian:bookworm-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends nix-bin && rm -rf /var/lib/apt/lists/*
"""


def made_base(host: str, client: DockerClient, registry: str, folder: Path) -> str:
    """The name of the image in the registry; the first process of a session that asks makes it, others wait."""
    name = f"{registry}/{_REPOSITORY}:{_TAG}"
    with FileLock(folder.parent / f"{folder.name}.lock"):
        if _TAG not in RegistryClient(registry).tags(_REPOSITORY):
            _make(host, client, registry, folder, name)
    return name


def _make(host: str, client: DockerClient, registry: str, folder: Path, name: str) -> None:
    folder.mkdir()
    environ = {**os.environ, "DOCKER_HOST": host}
    work = a_work(folder, stage="build", leg=a_leg(pattern="docker"), environ=environ)
    text, firewall = _DOCKERFILE.format(registry=registry), user_firewall(work)
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(mounted(text, read_dockerfile(text, file="Dockerfile"), firewall))
    request = ImageBuild(context=folder, dockerfile=dockerfile, tag=name, firewall=firewall, plain=True)
    with find_engine("docker", environ) as engine:
        build_image(engine, request, work)
    for told in client.images.push(name.rpartition(":")[0], _TAG, stream=True, decode=True):
        assert "error" not in told, told
    client.images.remove(name)


def packages_inside(nixpkgs: Path, folder: Path) -> Path:
    """A copy of the package set for builds inside of images, where it is the first input: its files lie in it."""
    packages = Path(shutil.copytree(nixpkgs, folder / nixpkgs.name))
    shutil.copytree(nixpkgs.parent / "files", packages / "files", copy_function=os.link)
    told = packages / "machine.json"
    text, there = told.read_text("utf-8"), (nixpkgs.parent / "files").resolve().as_uri()
    told.unlink()
    told.write_text(text.replace(there, f"file://{INPUTS}/0/{packages.name}/files"), encoding="utf-8")
    return packages
