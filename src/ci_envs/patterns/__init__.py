"""Patterns: the documented ways to make an environment. A small protocol and a registry that can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from ci_envs.environments import Environment
    from ci_envs.model.config import Config
    from ci_envs.model.detect import Evidence
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.project import Project
    from ci_envs.selection import Selection
    from ci_envs.work import Work

__all__ = ["Contained", "Pattern", "Tool"]


#: An image starts any number of containers; what set up a container has to be done again for the next one.
Contained = Literal["", "image", "container"]


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must be on the machine, and how to get it."""

    name: str
    #: The program that is looked for on PATH; empty where it is bundled with ci-envs.
    program: str = ""
    #: The one command that brings it.
    get: str = ""


class Pattern(Protocol):
    """Four verbs and four facts; nothing after ``build``."""

    @property
    def name(self) -> str:
        """As a matrix spells it."""

    @property
    def requires(self) -> tuple[Tool, ...]:
        """What must be on the machine, and how to get it."""

    @property
    def built(self) -> bool:
        """Whether this version can build it; if not, it is detected and named only."""

    @property
    def brings_python(self) -> bool:
        """Whether the lock names the interpreter, so that none of this machine's is needed."""

    @property
    def contained(self) -> Contained:
        """What takes the place of a prefix: an image, or one container that was set up; empty where nothing does."""

    def detect(self, project: Project) -> tuple[Evidence, ...]:
        """The files and keys that say this pattern is meant; none where it is not."""

    def select(self, leg: Leg, project: Project, config: Config) -> Selection:
        """What the leg asks for, each with its place. Nothing is run."""

    def lock(self, leg: Leg, work: Work) -> Lock:
        """The lock for a leg, in sync with the intent as the policy asks; made first where it may be."""

    def build(self, leg: Leg, lock: Lock, work: Work) -> Environment:
        """The environment, from the lock alone: at ``work.prefix``, where nothing is beforehand, or an image."""
