"""Projects that nix describes. ``PYTHON`` in a file stands for the attribute of an interpreter: ``python312``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.projects import write_project

from ci_envs.command import Command, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["DEFAULT", "FLAKE", "SHELL", "commit", "write_nix_project"]

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

#: A flake whose nixpkgs is that of the world, until a setting says otherwise.
FLAKE = {
    **_FILES,
    "flake.nix": f"""\
{{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.11";

  outputs = {{ self, nixpkgs }}: {{
    devShells = nixpkgs.lib.genAttrs nixpkgs.lib.systems.flakeExposed (system:
      let pkgs = nixpkgs.legacyPackages.${{system}}; in {{
        default = {_SHELL};
      }});
  }};
}}
""",
}

#: A shell whose nixpkgs is whatever the search path has.
SHELL = {**_FILES, "shell.nix": f"{{ pkgs ? import <nixpkgs> {{ }} }}:\n\n{_SHELL}\n"}

#: Several attributes, one of which is the shell.
DEFAULT = {
    **_FILES,
    "default.nix": "{ pkgs ? import <nixpkgs> { } }:\n\n{\n  inherit (pkgs) hello;\n  shell = " + _SHELL + ";\n}\n",
}


def write_nix_project(
    folder: Path, files: Mapping[str, str], *, python: str, config: Mapping[str, Any] | None = None
) -> Path:
    """Writes the files for the Python of a series (``3.12``), with ``ci-envs.yml`` where there is a configuration."""
    attribute = f"python{python.replace('.', '')}"
    told = {name: text.replace("PYTHON", attribute) for name, text in files.items()}
    # JSON is YAML.
    return write_project(folder, told | ({"ci-envs.yml": json.dumps(config)} if config else {}))


def commit(folder: Path, env: Mapping[str, str]) -> None:
    """Makes a git repository of the folder where it is none, and commits all that is in it."""
    person = ("-c", "user.name=Tests", "-c", "user.email=tests@index.example", "-c", "init.defaultBranch=main")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "--allow-empty", "-m", "As it is")):
        outcome = run(Command(("git", *person, *words), cwd=folder, env=env, timeout=60))
        assert outcome, outcome.tail()
