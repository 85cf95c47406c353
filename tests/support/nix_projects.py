"""Projects that nix describes.

``PYTHON`` in a file stands for the attribute of an interpreter (``python312``), ``NIXPKGS`` for the folder of the set.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tests.support.projects import write_project

from ci_envs.command import Command, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["DEFAULT", "FLAKE", "SHELL", "WORLD", "commit", "write_nix_project"]

#: What each of these projects holds beside its description.
_FILES = {
    "tests/test_fruit.py": """\
import apple
import pear


def test_the_shell_has_fruit():
    assert apple.__version__ == pear.__version__ == "1.1"
"""
}

_SHELL = """\
pkgs.mkShell {
  packages = [ (pkgs.PYTHON.withPackages (ps: [ ps.apple ps.pear ps.pytest ])) pkgs.hello ];
  GREETING = "good morning";
  shellHook = "export HOOKED=yes";
}"""

#: A flake over the package set; its lock has to be made.
FLAKE = {
    **_FILES,
    "flake.nix": f"""\
{{
  inputs.nixpkgs.url = "path:NIXPKGS";

  outputs = {{ self, nixpkgs }}: {{
    devShells = nixpkgs.lib.genAttrs nixpkgs.lib.systems.flakeExposed (system:
      let pkgs = nixpkgs.legacyPackages.${{system}}; in {{
        default = {_SHELL};
      }});
  }};
}}
""",
}

_COMMIT = {
    "lastModified": 1778430510,
    "narHash": "sha256-Ti+ZBvW6yrWWAg2szExVTwCd4qOJ3KlVr1tFHfyfi8Q=",
    "owner": "NixOS",
    "repo": "nixpkgs",
    "rev": "8fd9daa3db09ced9700431c5b7ad0e8ba199b575",
    "type": "github",
}
_BRANCH = {"owner": "NixOS", "ref": "nixos-25.11", "repo": "nixpkgs", "type": "github"}

#: A flake over the nixpkgs of the world, locked; only a setting can make the package set of it.
WORLD = {
    **FLAKE,
    "flake.nix": FLAKE["flake.nix"].replace("path:NIXPKGS", "github:NixOS/nixpkgs/nixos-25.11"),
    "flake.lock": json.dumps(
        {
            "nodes": {"nixpkgs": {"locked": _COMMIT, "original": _BRANCH}, "root": {"inputs": {"nixpkgs": "nixpkgs"}}},
            "root": "root",
            "version": 7,
        },
        indent=2,
    ),
}

#: A shell whose nixpkgs is whatever the search path has.
SHELL = {**_FILES, "shell.nix": f"{{ pkgs ? import <nixpkgs> {{ }} }}:\n\n{_SHELL}\n"}

#: Several attributes, one of which is the shell.
DEFAULT = {
    **_FILES,
    "default.nix": "{ pkgs ? import <nixpkgs> { } }:\n\n{\n  inherit (pkgs) hello;\n  shell = " + _SHELL + ";\n}\n",
}


def write_nix_project(
    folder: Path, files: Mapping[str, str], *, python: str, nixpkgs: Path, config: Mapping[str, Any] | None = None
) -> Path:
    """Writes the files for the Python of a series (``3.12``), with ``ci-envs.yml`` where there is a configuration."""
    places = {"PYTHON": f"python{python.replace('.', '')}", "NIXPKGS": str(nixpkgs)}
    told = {name: re.sub("|".join(places), lambda found: places[found[0]], text) for name, text in files.items()}
    # JSON is YAML.
    return write_project(folder, told | ({"ci-envs.yml": json.dumps(config)} if config else {}))


def commit(folder: Path, env: Mapping[str, str]) -> None:
    """Makes a git repository of the folder where it is none, and commits all that is in it."""
    person = ("-c", "user.name=Tests", "-c", "user.email=tests@index.example", "-c", "init.defaultBranch=main")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "--allow-empty", "-m", "As it is")):
        outcome = run(Command(("git", *person, *words), cwd=folder, env=env, timeout=60))
        assert outcome, outcome.tail()
