"""What a leg asks to have inside of its image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs import detect
from ci_envs.containers.inner import dockerfile_of, inner_leg, inner_pattern
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
    if dockerfile_of(project, config) and not _is_described(project):
        return Selection()
    pattern = inner_pattern(leg, project, config)
    return pattern.select(inner_leg(leg, pattern.name), project, config)


def _is_described(project: Project) -> bool:
    found = detect.detect(project, buildable=detect.INSTALLED_INSIDE)
    return any(one.pattern in detect.INSTALLED_INSIDE for one in found.patterns)
