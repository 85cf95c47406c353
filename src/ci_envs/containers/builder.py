"""The one place that builds images: BuildKit by buildx for Docker, Podman by itself."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from ci_envs.containers.dockerfile import read_dockerfile
from ci_envs.containers.firewall import Firewall, fitted
from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_envs.containers.engine import Engine
    from ci_envs.containers.secrets import Secret
    from ci_envs.work import Work

__all__ = ["BuiltImage", "ImageBuild", "build_image"]


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """What is to be built, and how."""

    context: Path
    dockerfile: Path
    #: The name that the image gets.
    tag: str
    target: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()
    firewall: Firewall = field(default_factory=Firewall)
    labels: Mapping[str, str] = field(default_factory=dict)
    #: ``linux/amd64``; empty for the engine's own.
    platform: str = ""
    #: SOURCE_DATE_EPOCH, in seconds.
    epoch: int = 0
    no_cache: bool = False
    contexts: Mapping[str, Path] = field(default_factory=dict)
    #: ``host``, ``none``, or the engine's default.
    network: str = ""
    #: Only its content is of interest: no archive, and time stamps as they come.
    plain: bool = False
    #: A folder that keeps the layers for the next build, which then has less to fetch. BuildKit alone fills it.
    layers: Path | None = None
    #: The user's name of the Dockerfile, for messages.
    shown_as: str = "Dockerfile"


class BuiltImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image in the engine's store. Digests are ``sha256:<hex>``."""

    id: str
    #: Empty with Docker's older store, which has no manifests.
    manifest: str
    config: str
    #: Of the layers as tars, the base's first.
    layers: tuple[str, ...]
    bytes: int
    #: ``docker-buildx 0.13.1, BuildKit of docker 26.1.5``.
    builder: str
    #: Whether the same build gives the same bytes each time, as far as the builder is concerned.
    reproducible: bool
    why_not: str = ""


def build_image(engine: Engine, request: ImageBuild, work: Work, *, archive: Path | None = None) -> BuiltImage:
    """Builds an image into the engine's store, under ``request.tag``; ``archive`` keeps it as an OCI archive, too.

    The log has what the builder says, ``work.progress`` is told of each step.

    Raises :class:`BuildError` where the Dockerfile is to blame, with its line; :class:`BrokenError` where the registry,
    the disk or the engine is; :class:`ToolMissing` where nothing can build.
    """
    request = replace(request, firewall=_fitting(request))
    for note in request.firewall.notes:
        _log(work, f"{note}\n")
    if engine.kind == "podman":
        from ci_envs.containers.podman_build import build_with_podman

        return build_with_podman(engine, request, work, archive)
    from ci_envs.containers.buildkit_build import build_with_buildkit

    return build_with_buildkit(engine, request, work, archive)


def _fitting(request: ImageBuild) -> Firewall:
    """The firewall less what this Dockerfile would put into its history."""
    with contextlib.suppress(UsageError, OSError):  # a file that cannot be read is the builder's to judge
        text = request.dockerfile.read_text("utf-8", "replace")
        return fitted(request.firewall, read_dockerfile(text, file=request.shown_as))
    return request.firewall


def _log(work: Work, text: str) -> None:
    work.log.parent.mkdir(parents=True, exist_ok=True)
    with work.log.open("a", encoding="utf-8") as log:
        log.write(text)
