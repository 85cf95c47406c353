"""The examples' nix files are what `ci-envs init` makes, over the nixpkgs that it pins."""

from __future__ import annotations

import json
from pathlib import Path

from ci_envs.locks.flake_lock import read_flake_lock
from ci_envs.model.config import Config
from ci_envs.nix.initial import plan_shell
from ci_envs.nix.nixpkgs import release
from ci_envs.nix.templates import render
from ci_envs.project import Project

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_the_flake_is_made_from_its_pyproject() -> None:
    project = Project(EXAMPLES / "nix-flake")

    assert project.text("flake.nix") == render(plan_shell(project, Config()), "flake")


def test_its_lock_is_that_release_of_nixpkgs() -> None:
    known = release()
    text = (EXAMPLES / "nix-flake/flake.lock").read_text("utf-8")
    (pin,) = read_flake_lock(text).pins
    locked = json.loads(text)["nodes"]["nixpkgs"]

    assert (pin.name, pin.version) == ("nixpkgs", known.rev)
    assert locked["locked"]["narHash"] == known.nar_hash
    assert locked["locked"]["lastModified"] == known.last_modified
    assert locked["original"]["ref"] == known.branch


def test_the_shell_pins_the_same() -> None:
    text = (EXAMPLES / "nix-shell/shell.nix").read_text("utf-8")

    assert f"archive/{release().rev}.tar.gz" in text
    assert f'sha256 = "{release().nar_hash}";' in text
    assert "<nixpkgs>" not in text
