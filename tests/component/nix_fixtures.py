"""Fixtures of tests that run the real nix, over a package set of nixpkgs' shape that is made of this machine.

The store is the machine's own. Its paths may stay; roots, which keep them from the garbage collector, may not. A test
never collects garbage: other tests build in the same store at the same time.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from tests.component.program import Program, tidy
from tests.support.nix_packages import shared_packages
from tests.support.nix_projects import FLAKE, commit, write_nix_project
from tests.support.nix_store import Nix, drop_roots, find_nix, nix_variables
from tests.support.projects import private_environment

from ci_envs.machine import arch_name, os_name
from ci_envs.model.leg import make_leg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from subprocess import Popen

    from tests.support.index import Index

__all__ = [
    "MakeNix",
    "make_nix_program",
    "nix",
    "nix_env",
    "nix_program",
    "nix_python",
    "nix_store",
    "nixpkgs",
]


class MakeNix(Protocol):
    """What :func:`make_nix_program` answers with."""

    def __call__(
        self,
        name: str,
        files: Mapping[str, str] = ...,
        *,
        nix: Mapping[str, Any] | None = ...,
        config: Mapping[str, Any] | None = ...,
        git: bool = ...,
    ) -> Program:
        """Writes a project of :mod:`tests.support.nix_projects`, or one like it."""
        ...


@pytest.fixture(scope="session")
def nix() -> Path:
    """The program; its absence fails the test."""
    found = find_nix()
    if found is None:
        pytest.fail("this test needs nix, which is not on PATH: .ci/nix install brings it")
    return found


@pytest.fixture(scope="session")
def nixpkgs(tmp_path_factory: pytest.TempPathFactory, world_wheels: Callable[..., Path], nix: Path) -> Path:
    """The package set of :mod:`tests.support.nix_packages`, made once for all workers. Not to be changed.

    What most tests ask for is in the store already: no test is slow for having come first.
    """
    base = tmp_path_factory.getbasetemp()
    # pytest-xdist gives each worker a folder below the session's.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    packages = shared_packages(shared / "nix", world_wheels)
    Nix(nix, packages).build("pkgs.python3.withPackages (ps: [ ps.apple ps.pear ps.pytest ])")
    return packages


@pytest.fixture(scope="session")
def nix_python(nixpkgs: Path) -> str:
    """The series of the set's ``python3``."""
    series: str = json.loads((nixpkgs / "machine.json").read_text("utf-8"))["python"]
    return series


@pytest.fixture
def nix_env(nix: Path, fruit_index: Index, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables of somebody who has nix and nothing else: no configuration, no channel, an empty cache."""
    yield nix_variables(private_environment(fruit_index.url, tmp_path / "home", tmp_path / "cache"), nix)
    drop_roots(tmp_path)


@pytest.fixture
def nix_store(nix: Path, nixpkgs: Path, nix_env: dict[str, str]) -> Nix:
    """nix itself, with the package set."""
    return Nix(nix, nixpkgs, nix_env)


@pytest.fixture
def make_nix_program(nixpkgs: Path, nix_env: dict[str, str], nix_python: str, tmp_path: Path) -> Iterator[MakeNix]:
    """Writes a project and answers with the program over it: pattern nix, a cache of its own.

    The package set is its nixpkgs, by a setting where no file names it. ``nix`` and ``config`` are more of its
    configuration; with ``git`` all of it is committed.
    """
    started: list[Popen[str]] = []
    leg = make_leg(pattern="nix", python=nix_python, os=os_name(), arch=arch_name()).id

    def made(
        name: str,
        files: Mapping[str, str] = FLAKE,
        *,
        nix: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        git: bool = False,
    ) -> Program:
        named = any("NIXPKGS" in text for text in files.values())
        told = {} if named else {"inputs": {"nixpkgs": str(nixpkgs)}}
        settings = {"nix": {**told, **(nix or {})}, **(config or {})}
        root = write_nix_project(tmp_path / name, files, python=nix_python, nixpkgs=nixpkgs, config=settings)
        if git:
            commit(root, nix_env)
        words = ("--pattern=nix", f"--python={nix_python}")
        env = {**nix_env, "CI_ENVS_CACHE_DIR": str(tmp_path / f"cache of {name}")}
        return Program(root, env, words=words, leg=leg, started=started)

    yield made
    tidy(started)


@pytest.fixture
def nix_program(make_nix_program: MakeNix) -> Program:
    """A flake."""
    return make_nix_program("project")
