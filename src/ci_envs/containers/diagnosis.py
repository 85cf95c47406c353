"""What a machine has to build and run images with."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

from ci_envs.doctor import FoundTool
from ci_envs.errors import ToolMissing
from ci_envs.tools import find_program, tool_version

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = ["container_tools"]


def container_tools(pattern: str, environ: Mapping[str, str]) -> tuple[FoundTool, ...]:
    """The engine that answers and what builds for it, for ``docker``, ``podman`` or ``devcontainer``.

    :class:`ToolMissing` says of the first that is missing what was looked for, and how to get it.
    """
    found = [_sdk()]
    # It imports the SDK, which may be the very thing that is missing.
    from ci_envs.containers.buildx import find_buildx
    from ci_envs.containers.engine import find_engine

    with find_engine(
        "podman" if pattern == "podman" else "docker" if pattern == "docker" else "auto", environ
    ) as engine:
        found.append(FoundTool(name=engine.kind, version=engine.version, path=engine.address))
        if engine.kind == "docker":
            buildx = find_buildx({**environ, **engine.environ})
            found.append(FoundTool(name="docker-buildx", version=buildx.version, path=str(buildx.program)))
        elif podman := find_program("podman", environ):
            found.append(FoundTool(name="podman", version=tool_version(podman, environ), path=str(podman)))
    return (*found, *((_devcontainer(environ),) if pattern == "devcontainer" else ()))


def _sdk() -> FoundTool:
    try:
        return FoundTool(name="docker SDK", version=importlib.metadata.version("docker"))
    except importlib.metadata.PackageNotFoundError as error:
        raise ToolMissing(
            "the extra `docker` of ci-envs is not installed", hint="python -m pip install 'repro-envs[docker]'"
        ) from error


def _devcontainer(environ: Mapping[str, str]) -> FoundTool:
    program = find_program("devcontainer", environ)
    if program is None:
        raise ToolMissing("there is no program 'devcontainer' here", hint="npm install -g @devcontainers/cli")
    return FoundTool(name="devcontainer", version=tool_version(program, environ), path=str(program))
