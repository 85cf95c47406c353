"""Finds what can build with BuildKit: buildx, wherever the Docker CLI would find its plugin, or on PATH.

A ``docker`` on PATH may lack the plugin that another has, so buildx is run by itself: ``docker-buildx build``. The
places are those of https://github.com/docker/cli/blob/master/cli-plugins/manager/manager_unix.go.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ci_envs.decoding import decode
from ci_envs.errors import ToolMissing
from ci_envs.tools import find_program, tool_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Buildx", "find_buildx", "plugin_folders"]

_PLUGIN = "docker-buildx.exe" if sys.platform == "win32" else "docker-buildx"


@dataclass(frozen=True, slots=True)
class Buildx:
    """A buildx that answered."""

    program: Path
    version: str

    def at_least(self, *release: int) -> bool:
        """Whether it is of this release or a later one."""
        return tuple(map(int, re.findall(r"\d+", self.version)[: len(release)])) >= release

    @property
    def title(self) -> str:
        """``docker-buildx 0.13.1``."""
        return f"docker-buildx {self.version}"


def find_buildx(
    environ: Mapping[str, str],
    *,
    folders: Iterable[Path] | None = None,
    version_of: Callable[[Path], str] | None = None,
) -> Buildx:
    """The first buildx that says which version it has. :class:`ToolMissing` names all places that were looked at."""
    ask = version_of or (lambda program: tool_version(program, environ, flag="version"))
    searched, silent = [], []
    for folder in plugin_folders(environ) if folders is None else folders:
        searched.append(str(folder))
        program = folder / _PLUGIN
        if _is_program(program):
            if version := ask(program):
                return Buildx(program, version)
            silent.append(str(program))
    for name in ("docker-buildx", "buildx"):
        if on_path := find_program(name, environ):
            if version := ask(on_path):
                return Buildx(on_path, version)
            silent.append(str(on_path))
    broken = f"; {', '.join(silent)} did not say which version it is" if silent else ""
    raise ToolMissing(
        "there is no buildx, which builds images with BuildKit: "
        f"looked for {_PLUGIN} in {', '.join(searched)}, and for docker-buildx and buildx on PATH{broken}",
        hint="install docker-buildx (Debian, Fedora) or docker-buildx-plugin (Docker's own packages): "
        "https://docs.docker.com/build/install-buildx/",
    )


def plugin_folders(environ: Mapping[str, str]) -> list[Path]:
    """The folders in which the Docker CLI looks for its plugins, in its order."""
    home = environ.get("HOME") or environ.get("USERPROFILE") or ""
    named = environ.get("DOCKER_CONFIG")
    config = Path(named) if named else Path(home) / ".docker" if home else None
    users = [*_extra_folders(config), config / "cli-plugins"] if config else []
    return [*users, *_system_folders(environ)]


def _extra_folders(config: Path) -> list[Path]:
    """``cliPluginsExtraDirs`` of config.json."""
    try:
        told = decode((config / "config.json").read_bytes(), _Config)
    except (OSError, msgspec.MsgspecError):
        return []  # whoever reads the rest of it says what is wrong
    return [Path(folder) for folder in told.folders]


class _Config(msgspec.Struct):
    folders: tuple[str, ...] = msgspec.field(name="cliPluginsExtraDirs", default=())


def _system_folders(environ: Mapping[str, str]) -> list[Path]:
    if sys.platform == "win32":
        roots = (environ.get("PROGRAMDATA", r"C:\ProgramData"), environ.get("PROGRAMFILES", r"C:\Program Files"))
        return [Path(root) / "Docker" / "cli-plugins" for root in roots]
    unix = [Path(root) / "docker" / "cli-plugins" for root in _UNIX_ROOTS]
    desktop = Path("/Applications/Docker.app/Contents/Resources/cli-plugins")
    return [*unix, desktop] if sys.platform == "darwin" else unix


_UNIX_ROOTS = ("/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec")


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
