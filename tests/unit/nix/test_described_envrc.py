"""Which shell is meant: the configuration's, else the one that ``.envrc`` names, else the first usual file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.projects import write_project
from tests.support.work import a_leg

from ci_envs.model.config import NixConfig
from ci_envs.nix.described import describe
from ci_envs.project import Project

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"flake.nix": "{ }\n", "shell.nix": "{ }\n", "nix/flake.nix": "{ }\n"}


@pytest.mark.parametrize(
    ("envrc", "config", "file", "attribute"),
    [
        ("", NixConfig(), "flake.nix", ""),
        ("use nix\n", NixConfig(), "shell.nix", ""),
        ("use flake .#ci\n", NixConfig(), "flake.nix", "ci"),
        ("use flake ./nix\n", NixConfig(), "nix/flake.nix", ""),
        ("use flake github:numtide/devshell\n", NixConfig(), "flake.nix", ""),
        ("use nix gone.nix\n", NixConfig(), "flake.nix", ""),
        ("use nix\n", NixConfig(file="nix/flake.nix"), "nix/flake.nix", ""),
        ("use nix\n", NixConfig(attribute="{python-tag}"), "flake.nix", "py312"),
    ],
)
def test_the_nearest_word_counts(tmp_path: Path, envrc: str, config: NixConfig, file: str, attribute: str) -> None:
    write_project(tmp_path, FILES | ({".envrc": envrc} if envrc else {}))

    described = describe(a_leg(pattern="nix"), Project(tmp_path), config)
    assert (described.file, described.attribute) == (file, attribute)
