"""Pattern ``guix``: the profile of ``manifest.scm``, or of what ``guix.scm`` needs to be worked on."""

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

__all__ = ["Guix"]


class Guix:
    """A profile of guix's: programs of the store, with the variables that they need to find each other."""

    name = "guix"
    built = True
    brings_python = True
    contained: Contained = ""
    requires = (Tool(name="guix", program="guix", get="https://guix.gnu.org/manual/en/html_node/Installation.html"),)

    def detect(self, project: Project) -> tuple[Evidence, ...]:
        """manifest.scm or guix.scm, with or without channels.scm."""
        return detect.evidence_for(self.name, project)

    def select(self, leg: Leg, project: Project, config: Config) -> Selection:
        """What the project's other files ask for: the profile is to have it, whoever brings it."""
        from ci_envs.selection import select

        return select(leg, project, config)

    def lock(self, leg: Leg, work: Work) -> Lock:
        """``channels.scm``: the channels, each at a commit."""
        from ci_envs.guix.locking import lock_guix

        return lock_guix(leg, work)

    def build(self, leg: Leg, lock: Lock, work: Work) -> Environment:
        """The profile with a root that keeps it, its closure, and the variables that it needs."""
        from ci_envs.guix.building import build_profile

        return build_profile(leg, lock, work)
