"""Patterns ``conda``, ``mamba`` and ``micromamba``: environment.yml, conda-lock.yml, and whoever installs it.

They share the lock and everything after it; which program links the files is a parameter.
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

__all__ = ["Conda"]


class Conda:
    """A conda environment, with no conda on the machine unless one is asked for."""

    built = True
    brings_python = True
    contained: Contained = ""

    def __init__(self, name: str) -> None:
        #: ``conda``, ``mamba`` or ``micromamba``: the last two are installed by the program of that name.
        self.name = name
        program = "" if name == "conda" else name
        self.requires = (Tool(name="py-rattler", program=program, get="pip install 'repro-envs[conda]'"),)

    def detect(self, project: Project) -> tuple[Evidence, ...]:
        """environment.yml, [tool.conda-lock], or a lock that conda's tools read."""
        return detect.evidence_for(self.name, project)

    def select(self, leg: Leg, project: Project, config: Config) -> Selection:
        """The match specs and the pip lines of the leg's categories."""
        from ci_envs.conda.asked import select_conda

        return select_conda(leg, project, config)

    def lock(self, leg: Leg, work: Work) -> Lock:
        """``conda-lock.yml``, or one lock for each Python and accelerator."""
        from ci_envs.conda.locking import lock_conda

        return lock_conda(leg, work)

    def build(self, leg: Leg, lock: Lock, work: Work) -> Environment:
        """The prefix from the lock's packages, then its ``pip:`` part, then the project itself."""
        from ci_envs.conda.prefix_build import build_prefix

        return build_prefix(leg, lock, work, pattern=self.name)
