"""What a nix shell costs where it is there already: a command in it, and finding out that nothing has changed.

It needs nix, and makes the package set that the tests have, in the place of the nixpkgs that the example names.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from tests.support.channel_command import fetching
from tests.support.nix_packages import make_packages

from benchmarks.cases import ROOT
from benchmarks.measure import Row, Script, pairs
from ci_envs.environments.nix_shell import read_shell
from ci_envs.layout import Layout
from ci_envs.nix.tool import find_nix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.cases import Bench

__all__ = ["NIX_CASES"]


def nix_again(bench: Bench) -> Iterator[Row]:
    """A command in a shell that was built before, and a build of what has not changed."""
    project, packages = _project(bench)
    leg = bench.leg("nix")
    env = {**bench.environment(bench.cache), "CI_ENVS_NIX_INPUTS": f"nixpkgs={packages}"}
    ci_envs = (sys.executable, "-m", "ci_envs")
    build = Script(((*ci_envs, *bench.run("nix", "lock,build", "--lock-mode=auto")),), env, project)
    build.take()
    python = read_shell(Layout(project, project / ".ci-envs").prefix(leg)).python
    nix_shell = str(find_nix(env).sibling("nix-shell"))
    words = ("python", "-c", "pass")
    started = Script(((*ci_envs, "exec", leg, "--", *words),), env, project)
    by_nix = Script(((nix_shell, "--pure", "--arg", "nixpkgs", str(packages), "--run", " ".join(words)),), env, project)

    ours, theirs = pairs(started, Script((((python, *words[1:])),), env, project))
    yield Row("nix: a command", ours, theirs, "the interpreter", "at most 0.2 s more", ours <= theirs + 0.2)
    ours, theirs = pairs(build, by_nix)
    yield Row(
        "nix: build, nothing changed", ours, theirs, "nix-shell --run", "-", True,
        "the set here is small: evaluating all of nixpkgs, which ours leaves out, takes longer",
    )  # fmt: skip


def _project(bench: Bench) -> tuple[Path, Path]:
    folder = bench.folder / "nix-shell"
    shutil.copytree(ROOT / "examples/nix-shell", folder, ignore=shutil.ignore_patterns(".ci-envs", "__pycache__"))
    return folder, make_packages(bench.folder / "nix", fetching(bench.folder))


NIX_CASES = (nix_again,)
