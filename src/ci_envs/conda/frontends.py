"""What installs: py-rattler in this process, or a tool of the user's. They share lock, checks and digest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ci_envs.conda.rattler_frontend import RattlerFrontend
from ci_envs.conda.tool_frontend import ToolFrontend
from ci_envs.errors import ToolMissing
from ci_envs.tools import find_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci_envs.conda.package_cache import Download
    from ci_envs.model.conda import LockedPackage
    from ci_envs.model.config import CondaConfig
    from ci_envs.work import Work

__all__ = ["TOOLS", "Frontend", "choose", "tool_program"]

#: In the order in which ``auto`` looks for them, each with where its makers say how to get it.
TOOLS = {
    "micromamba": "https://mamba.readthedocs.io/en/latest/installation/micromamba-installation.html",
    "mamba": "https://mamba.readthedocs.io/en/latest/installation/mamba-installation.html",
    "conda": "https://docs.conda.io/projects/conda/en/stable/user-guide/install/index.html",
}

# Where a shell's set-up has made a function of it, the program need not be on PATH.
_NAMED_BY = {"conda": "CONDA_EXE", "mamba": "MAMBA_EXE", "micromamba": "MAMBA_EXE"}


class Frontend(Protocol):
    """Makes a prefix from locked packages, and says what it does of its own accord."""

    @property
    def name(self) -> str:
        """``rattler``, ``micromamba``, ``mamba``, ``conda``."""

    @property
    def runs_scripts(self) -> bool:
        """Whether it has run every post-link script, since it cannot be told not to."""

    def install(self, work: Work, packages: Sequence[LockedPackage], download: Download) -> None:
        """Makes ``work.prefix``; :class:`BuildError` where a package is at fault, else :class:`BrokenError`."""

    def forget(self, work: Work, packages: Sequence[LockedPackage]) -> None:
        """Takes packages out of its cache, so that they are downloaded anew."""


def choose(config: CondaConfig, pattern: str, environ: Mapping[str, str]) -> Frontend:
    """The front end of a leg: the tool that its configuration or else its pattern names, rattler where neither does.

    ``auto`` is the pattern's own tool, else the first of micromamba, mamba and conda that is there, else rattler.
    Raises :class:`ToolMissing` where a tool that was asked for is not there.
    """
    own = pattern if pattern in ("mamba", "micromamba") else ""
    if config.frontend == "auto":
        names = dict.fromkeys((*filter(None, (own,)), *TOOLS))
        found = ((name, tool_program(name, environ)) for name in names)
        return next((ToolFrontend(name, program) for name, program in found if program), None) or RattlerFrontend()
    name = own if config.frontend == "rattler" else config.frontend
    if not name:
        return RattlerFrontend()
    program = tool_program(name, environ)
    if program is None:
        raise ToolMissing(
            f"{name} is not on PATH",
            hint=f"get it as {TOOLS[name]} says, or let the embedded one do it: pattern conda, `frontend: rattler`",
        )
    return ToolFrontend(name, program)


def tool_program(name: str, environ: Mapping[str, str]) -> Path | None:
    """The tool's program: on PATH, or where its own shell set-up says that it is."""
    if found := find_program(name, environ):
        return found
    named = Path(environ.get(_NAMED_BY[name], ""))
    return named.absolute() if named.stem == name and named.is_file() else None
