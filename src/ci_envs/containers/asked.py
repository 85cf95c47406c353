"""What a leg asks to have inside of its image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.containers.inner import described_inside, dockerfile_of, inner_leg, inner_pattern
from ci_envs.selection import Selection

if TYPE_CHECKING:
    from ci_envs.model.config import Config
    from ci_envs.model.leg import Leg
    from ci_envs.project import Project

__all__ = ["select_container"]


def select_container(leg: Leg, project: Project, config: Config) -> Selection:
    """What the same leg would install outside of an image.

    A Dockerfile may install what nothing else describes: then nothing is known to be asked for.
    """
    if dockerfile_of(project, config) and not described_inside(project):
        return Selection()
    pattern = inner_pattern(leg, project, config)
    return pattern.select(inner_leg(leg, pattern.name), project, config)
