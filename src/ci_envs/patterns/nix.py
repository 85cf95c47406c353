"""Pattern ``nix``: the development shell of a flake, of ``shell.nix`` or of ``default.nix``."""

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

__all__ = ["Nix"]


class Nix:
    """A nix shell: programs of the store, with the variables that the shell sets."""

    name = "nix"
    built = True
    brings_python = True
    contained: Contained = ""
    requires = (Tool(name="nix", program="nix", get="curl -fsSL https://nixos.org/nix/install | sh -s -- --daemon"),)

    def detect(self, project: Project) -> tuple[Evidence, ...]:
        """flake.nix, shell.nix or default.nix."""
        return detect.evidence_for(self.name, project)

    def select(self, leg: Leg, project: Project, config: Config) -> Selection:
        """What the project's other files ask for: the shell is to have it, whoever brings it."""
        from ci_envs.selection import select

        return select(leg, project, config)

    def lock(self, leg: Leg, work: Work) -> Lock:
        """``flake.lock``, or the pins that the file itself, npins or niv hold."""
        from ci_envs.nix.locking import lock_nix

        return lock_nix(leg, work)

    def build(self, leg: Leg, lock: Lock, work: Work) -> Environment:
        """The shell's closure with a root that keeps it, and the variables that it sets."""
        from ci_envs.nix.building import build_shell

        return build_shell(leg, lock, work)
