"""What belongs to a leg on an engine: its images by their names, and containers of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from ci_envs.containers.engine import find_engine
from ci_envs.containers.labels import image_name, leg_labels, state_key
from ci_envs.containers.limits import limits_of
from ci_envs.environ import leg_variables
from ci_envs.environments.container import ContainerEnvironment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_envs.containers.engine import Engine
    from ci_envs.containers.limits import Limits
    from ci_envs.containers.session import ProjectFiles
    from ci_envs.layout import Layout
    from ci_envs.model.closure import Closure
    from ci_envs.model.config import DockerConfig
    from ci_envs.model.leg import Leg
    from ci_envs.work import Work

__all__ = ["DRAFT", "FORMER", "LegOnEngine", "build_args_of", "engine_for", "network_of", "on_engine", "platform_of"]

#: Behind a leg's id in the name of an image that is only looked at: no leg has an id with two hyphens in a row.
DRAFT = "--draft"
#: The same for the image that a new one is about to replace.
FORMER = "--former"

# As OCI's image specification spells architectures (its config.md goes by Go's GOARCH).
_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class LegOnEngine:
    """A leg, the engine that has its images, and how containers of them are run."""

    engine: Engine
    leg: Leg
    docker: DockerConfig
    layout: Layout
    environ: Mapping[str, str]

    @property
    def state(self) -> str:
        """Stands for the state folder that the leg's images belong to."""
        return state_key(self.layout)

    @property
    def tag(self) -> str:
        """The name of the leg's image: the same for each of its builds, another for another checkout."""
        return image_name(self.state, self.leg.id)

    @property
    def draft(self) -> str:
        """The name of one that is only looked at."""
        return image_name(self.state, f"{self.leg.id}{DRAFT}")

    @property
    def former(self) -> str:
        """The name of the last one while its successor is loaded.

        Both may share every layer, and containerd may take those of an image that has lost its name away in between.
        """
        return image_name(self.state, f"{self.leg.id}{FORMER}")

    @property
    def folder(self) -> Path:
        """Of the leg's project."""
        return self.layout.root / self.leg.project

    @property
    def limits(self) -> Limits:
        """What its containers may take."""
        return limits_of(self.docker, self.environ, folder=self.folder, gpus=self.leg.accelerator.startswith("cuda"))

    def with_python(self, path: str) -> LegOnEngine:
        """The same where it is known which interpreter inside is meant."""
        return replace(self, docker=msgspec.structs.replace(self.docker, python=path))

    def container(
        self,
        image: str,
        *,
        project: ProjectFiles | None = None,
        draft: bool = False,
        closure: Closure | None = None,
    ) -> ContainerEnvironment:
        """A container of an image, which starts when it is used; one that is only looked at keeps no bytecode."""
        return ContainerEnvironment(
            self.engine,
            image,
            limits=self.limits,
            labels=leg_labels(self.state, self.leg.id),
            project=project,
            variables={"CI_ENVS_LEG": self.leg.id, **leg_variables(self.leg.variables)},
            python=self.docker.python,
            bytecode=None if draft else self.layout.bytecode(self.leg.id, image),
            closure=closure,
        )


def on_engine(leg: Leg, work: Work) -> LegOnEngine:
    """The leg with its engine. :class:`ToolMissing` where that is not to be had."""
    docker = work.config.docker
    return LegOnEngine(engine_for(leg, docker, work.environ), leg, docker, work.layout, work.environ)


def engine_for(leg: Leg, docker: DockerConfig, environ: Mapping[str, str]) -> Engine:
    """The leg's engine: of ``podman`` and ``docker`` the one that the pattern names, unless another is configured."""
    named = "podman" if leg.pattern == "podman" else docker.engine
    return find_engine("docker" if named == "auto" and leg.pattern == "docker" else named, environ)


def platform_of(leg: Leg) -> str:
    """``linux/amd64``."""
    return f"{leg.os}/{_ARCHES.get(leg.arch, leg.arch)}"


def network_of(docker: DockerConfig) -> str:
    """The network of a build; empty for the builder's own. BuildKit knows no other networks than these two."""
    return docker.network if docker.network in ("host", "none") else ""


def build_args_of(leg: Leg, docker: DockerConfig) -> dict[str, str]:
    """The build arguments of a leg; ``{python}`` in one stands for ``3.12``, ``{accelerator}`` for ``cuda12``."""
    return {
        name: value.replace("{python}", leg.python).replace("{accelerator}", leg.accelerator)
        for name, value in docker.build_args.items()
    }
