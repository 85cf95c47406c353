"""Patterns ``docker`` and ``podman``: an image from the project's Dockerfile, or from one generated for its lock.

They share all but the engine. What is checked and tested is a container of the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs import detect
from ci_envs.patterns import Contained, Tool

if TYPE_CHECKING:
    from ci_envs.environments import Environment
    from ci_envs.model.config import Config
    from ci_envs.model.detect import Evidence
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.project import Project
    from ci_envs.selection import Selection
    from ci_envs.work import Work

__all__ = ["Docker"]


class Docker:
    """An image, with Docker Engine and BuildKit or with Podman."""

    built = True
    brings_python = True
    contained: Contained = "image"

    def __init__(self, name: str) -> None:
        #: ``docker`` or ``podman``.
        self.name = name
        self.requires = (Tool(name="docker SDK", program=name, get="pip install 'repro-envs[docker]'"),)

    def detect(self, project: Project) -> tuple[Evidence, ...]:
        """A Dockerfile or Containerfile, else what one can be generated from."""
        return detect.evidence_for(self.name, project)

    def select(self, leg: Leg, project: Project, config: Config) -> Selection:
        """What the same leg would install outside of an image."""
        from ci_envs.containers.asked import select_container

        return select_container(leg, project, config)

    def lock(self, leg: Leg, work: Work) -> Lock:
        """The lock of what is installed inside, and ``docker.lock`` with the digests of the images it is built on."""
        from ci_envs.containers.inner import dockerfile_of
        from ci_envs.containers.locking import lock_generated, lock_written

        file = dockerfile_of(work.project, work.config)
        return lock_written(leg, work, file) if file else lock_generated(leg, work)

    def build(self, leg: Leg, lock: Lock, work: Work) -> Environment:
        """The image, and a container of it that starts when it is needed."""
        from ci_envs.containers.inner import dockerfile_of

        file = dockerfile_of(work.project, work.config)
        if file:
            from ci_envs.containers.written import build_written

            return build_written(leg, lock, work, file)
        from ci_envs.containers.base_images import is_nix

        if is_nix(lock):
            from ci_envs.containers.nix_image import build_nix_image

            return build_nix_image(leg, lock, work)
        from ci_envs.containers.generated import build_generated

        return build_generated(leg, lock, work)
