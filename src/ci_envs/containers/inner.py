"""What is installed inside of an image: the pattern whose lock a generated Dockerfile installs, and its workbench."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ci_envs import detect, interpreters
from ci_envs.errors import UsageError
from ci_envs.model.leg import make_leg

if TYPE_CHECKING:
    from ci_envs.model.config import Config
    from ci_envs.model.leg import Leg
    from ci_envs.patterns import Pattern
    from ci_envs.project import Project
    from ci_envs.work import Work

__all__ = ["described_inside", "dockerfile_of", "inner_leg", "inner_pattern", "inner_work"]

_USUAL = ("Dockerfile", "Containerfile")


def dockerfile_of(project: Project, config: Config) -> str:
    """The project's own Dockerfile, relative to it; empty where one is to be generated.

    One is generated where there is none, and where the configuration says what a generated one is to be like.
    """
    docker = config.docker
    if docker.file:
        if not project.exists(docker.file):
            raise UsageError(f"docker.file says {docker.file!r}, and there is no such file", file=docker.file)
        return docker.file
    if docker.base_image or docker.installer != "auto":
        return ""
    return next((name for name in _USUAL if project.exists(name)), "")


def described_inside(project: Project) -> tuple[str, ...]:
    """The patterns that a project describes and that an image can be made of, the most exactly described first.

    Nix is none of them: a Dockerfile, or a command, that somebody wrote installs nothing of what it locks.
    """
    found = detect.detect(project, buildable=detect.INSTALLED_INSIDE)
    return tuple(
        one.pattern for one in found.patterns if one.pattern in detect.INSTALLED_INSIDE and one.pattern != "nix"
    )


def inner_pattern(leg: Leg, project: Project, config: Config) -> Pattern:
    """The pattern that locks and describes what the image's Python gets.

    :class:`UsageError` where the project describes nothing that could be installed.
    """
    from ci_envs.patterns.registry import ALL_PATTERNS  # it imports every pattern, this one's user among them

    asked = config.docker.installer
    if asked != "auto":
        if not detect.evidence_for(asked, project):
            raise UsageError(
                f"docker.installer is {asked!r}, and nothing in {leg.project!r} describes a {asked} environment",
                hint=f"ci-envs detect --project {leg.project} says what is described",
            )
        return ALL_PATTERNS[asked]
    if described := described_inside(project):
        return ALL_PATTERNS["conda" if described[0] == "conda" else "uv"]
    if detect.evidence_for("nix", project):
        return ALL_PATTERNS["nix"]
    raise UsageError(
        f"{leg.project!r} has no Dockerfile, and nothing that one could be generated from",
        hint=f"write one, or describe what is to be installed: {detect.RECOGNISED}",
    )


def inner_leg(leg: Leg, pattern: str) -> Leg:
    """The leg that has the same lock outside of an image."""
    return make_leg(
        pattern=pattern,
        python=leg.python,
        os=leg.os,
        arch=leg.arch,
        accelerator=leg.accelerator,
        project=leg.project,
        groups=leg.groups,
        resolution=leg.resolution,
        variables=leg.variables,
    )


def inner_work(work: Work, pattern: Pattern) -> Work:
    """A workbench for locking what is installed inside; findings, tools, log and temporary folder are those of the leg.

    The leg's Python serves where this machine has it: tools that must run under it can then build sdists, too.
    """
    leg = inner_leg(work.leg, pattern.name)
    here = (
        None
        if pattern.brings_python
        else interpreters.find_interpreter(leg.python, arch=leg.arch, environ=work.environ)
    )
    return replace(work, leg=leg, owner=work.leg.id, interpreter=here or work.interpreter)
