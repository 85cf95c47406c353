"""Patterns that are detected and named, and cannot be built yet by this version."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from ci_envs import detect
from ci_envs.errors import BrokenError

if TYPE_CHECKING:
    from ci_envs.model.config import Config
    from ci_envs.model.detect import Evidence
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.patterns import Contained, Tool
    from ci_envs.project import Project
    from ci_envs.work import Work

__all__ = ["NotBuiltYet"]


class NotBuiltYet:
    """Says what a project describes; asked for by name it is ``broken: not built yet``."""

    built = False
    brings_python = False
    contained: Contained = ""
    requires: tuple[Tool, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name

    def detect(self, project: Project) -> tuple[Evidence, ...]:
        """The files and keys that describe this pattern."""
        return detect.evidence_for(self.name, project)

    def select(self, leg: Leg, project: Project, config: Config) -> NoReturn:  # noqa: ARG002
        """Not built yet."""
        self._refuse()

    def lock(self, leg: Leg, work: Work) -> Lock:  # noqa: ARG002 - the protocol's signature
        """Not built yet."""
        self._refuse()

    def build(self, leg: Leg, lock: Lock, work: Work) -> NoReturn:  # noqa: ARG002
        """Not built yet."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise BrokenError(f"pattern {self.name} is not built yet by this version of ci-envs")
