"""Pattern ``devcontainer``: devcontainer.json, brought up by the tool that editors use, ``@devcontainers/cli``."""

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

__all__ = ["Devcontainer"]


class Devcontainer:
    """A container with its features, after its lifecycle commands have run in it."""

    name = "devcontainer"
    built = True
    brings_python = True
    contained: Contained = "container"
    requires = (Tool(name="devcontainer", program="devcontainer", get="npm install -g @devcontainers/cli"),)

    def detect(self, project: Project) -> tuple[Evidence, ...]:
        """The three places of the specification."""
        return detect.evidence_for(self.name, project)

    def select(self, leg: Leg, project: Project, config: Config) -> Selection:
        """What the same leg would install outside of a container."""
        from ci_envs.containers.devcontainer_lock import select_devcontainer

        return select_devcontainer(leg, project, config)

    def lock(self, leg: Leg, work: Work) -> Lock:
        """``docker.lock``, ``devcontainer-lock.json``, and the lock that the lifecycle commands install."""
        from ci_envs.containers.devcontainer_lock import lock_devcontainer

        return lock_devcontainer(leg, work)

    def build(self, leg: Leg, lock: Lock, work: Work) -> Environment:
        """The container, as the tool has brought it up over a copy of the project."""
        from ci_envs.containers.devcontainer_up import bring_up

        return bring_up(leg, lock, work)
