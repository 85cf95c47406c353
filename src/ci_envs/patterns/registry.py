"""Every pattern, by the name that a matrix gives it. A literal: to add a pattern is to add a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_envs.patterns.conda import Conda
from ci_envs.patterns.devcontainer import Devcontainer
from ci_envs.patterns.docker import Docker
from ci_envs.patterns.guix import Guix
from ci_envs.patterns.nix import Nix
from ci_envs.patterns.unbuilt import NotBuiltYet
from ci_envs.patterns.uv import Uv
from ci_envs.patterns.venv import Venv

if TYPE_CHECKING:
    from ci_envs.patterns import Pattern

__all__ = ["ALL_PATTERNS"]

ALL_PATTERNS: dict[str, Pattern] = {
    "uv": Uv(),
    "venv": Venv("venv"),
    "virtualenv": Venv("virtualenv"),
    "poetry": NotBuiltYet("poetry"),
    "pdm": NotBuiltYet("pdm"),
    "pipenv": NotBuiltYet("pipenv"),
    "hatch": NotBuiltYet("hatch"),
    "conda": Conda("conda"),
    "mamba": Conda("mamba"),
    "micromamba": Conda("micromamba"),
    "pixi": NotBuiltYet("pixi"),
    "tox": NotBuiltYet("tox"),
    "nox": NotBuiltYet("nox"),
    "docker": Docker("docker"),
    "podman": Docker("podman"),
    "devcontainer": Devcontainer(),
    "repo2docker": NotBuiltYet("repo2docker"),
    "nix": Nix(),
    "guix": Guix(),
}
