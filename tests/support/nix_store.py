"""The nix of this machine, for tests: what it builds from a package set, and what its store then holds."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.command import Command, Outcome, run

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FLAKES", "Nix", "drop_roots", "find_nix", "nix_variables"]

#: For this call alone: no configuration of the user's enables them.
FLAKES = ("--extra-experimental-features", "nix-command flakes")

#: Where its installer puts it, for shells that were open before.
_INSTALLED = Path("/nix/var/nix/profiles/default/bin")

#: Links to what nobody may collect, which nix-build and profiles have made (``nix-store --add-root``).
_ROOTS = Path("/nix/var/nix/gcroots/auto")


def find_nix() -> Path | None:
    """The program ``nix``."""
    found = shutil.which("nix") or shutil.which("nix", path=str(_INSTALLED))
    return Path(found) if found else None


def nix_variables(variables: Mapping[str, str], program: Path) -> dict[str, str]:
    """The variables without those by which a user sets nix up; ``program`` is on PATH, and no name is searched for."""
    kept = {name: value for name, value in variables.items() if not name.startswith(("NIX_", "IN_NIX_"))}
    return {**kept, "NIX_PATH": "", "PATH": f"{program.parent}{os.pathsep}{variables['PATH']}"}


@dataclass(frozen=True)
class Nix:
    """nix with one package set. A method whose command fails is a failure of the test."""

    program: Path
    packages: Path
    #: None hands on this process's own.
    env: Mapping[str, str] | None = field(default=None, repr=False)

    def run(self, name: str, *words: str, cwd: Path | None = None) -> Outcome:
        """``nix`` with the features that it needs, or one of the programs beside it; whatever comes of it."""
        features = FLAKES if name == "nix" else ()
        argv = (str(self.program.with_name(name)), *features, *words)
        return run(Command(argv, cwd=cwd, env=self.env, timeout=100))

    def said(self, name: str, *words: str, cwd: Path | None = None) -> str:
        """What it printed, without the line's end."""
        outcome = self.run(name, *words, cwd=cwd)
        assert outcome, outcome.tail()
        return outcome.stdout.strip()

    def build(self, expression: str, *words: str) -> Path:
        """The store path of an expression in which ``pkgs`` is the package set; nothing keeps it from collection."""
        given = f"let pkgs = import <nixpkgs> {{ }}; in {expression}"
        found = self.said("nix-build", "--no-out-link", "-I", f"nixpkgs={self.packages}", "-E", given, *words)
        return Path(found.splitlines()[-1])

    def closure(self, *paths: Path) -> list[Path]:
        """The store paths that these need, themselves among them."""
        return [Path(line) for line in self.said("nix-store", "--query", "--requisites", *map(str, paths)).split()]


def drop_roots(folder: Path) -> None:
    """Forgets the garbage collector's roots that lead into a folder, which is to be removed."""
    for root in _ROOTS.iterdir() if _ROOTS.is_dir() else ():
        # Another process may do the same, and a daemon's roots are not ours to remove.
        with contextlib.suppress(OSError):
            if root.readlink().is_relative_to(folder):
                root.unlink()
