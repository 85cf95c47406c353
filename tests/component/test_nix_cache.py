"""A binary cache in a folder: what it saves a machine whose store is empty, and what of it is never used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.component.program import Done, Program
from tests.support.nix_projects import SHELL

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.component.nix_fixtures import MakeNix
    from tests.support.nix_store import Nix

pytestmark = pytest.mark.component

#: Runs what follows where the store is another folder, as on a machine that has never built anything.
ELSEWHERE = ("unshare", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$0" /nix && exec "$@"')


@pytest.fixture
def program(make_nix_program: MakeNix) -> Program:
    """A shell with a binary cache, in the project's folder, which a run has filled."""
    made = make_nix_program("project", SHELL, nix={"cache": "kept/nix"})
    done = made.run("--stages=lock,build")
    assert done.code == 0, done.said
    return made


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[..., Program]:
    """The same project, cache and key on a machine whose store is empty."""

    def made(program: Program, name: str = "elsewhere", **more: str) -> Program:
        store = tmp_path / name / "nix"
        store.mkdir(parents=True)
        env = {**program.env, "CI_ENVS_STATE_DIR": str(tmp_path / name / "state"), **more}
        return replace(program, env=env, through=(*ELSEWHERE, str(store)))

    return made


def cache_of(program: Program) -> Path:
    return program.root / "kept/nix"


def told(program: Program) -> str:
    """What the commands of the build stage have said."""
    return (program.state / "logs" / program.leg / "build.log").read_text("utf-8")


def built(program: Program) -> list[str]:
    return [line for line in told(program).splitlines() if line.startswith("building '")]


def info_of(program: Program, name: str) -> Path:
    """What the cache says of the path whose name begins so."""
    texts = {file: file.read_text() for file in cache_of(program).glob("*.narinfo")}
    return next(file for file, text in texts.items() if f"-{name}" in text.splitlines()[0])


def field_of(info: Path, name: str) -> str:
    return next(line for line in info.read_text().splitlines() if line.startswith(f"{name}: ")).partition(": ")[2]


def offline(program: Program, *words: str) -> Done:
    return program.run("--stages=lock,build", "--offline", *words)


# What it saves.


def test_a_machine_with_an_empty_store_needs_the_cache_alone(program: Program, elsewhere: Callable[..., Program]) -> None:
    other = elsewhere(program)

    done = program.run("--offline"), offline(other)

    assert [each.code for each in done] == [0, 0], done[1].said
    assert built(other) == []
    assert other.record is not None and program.record is not None
    assert other.record.environment is not None and program.record.environment is not None
    assert other.record.environment.digest == program.record.environment.digest


def test_what_was_fetched_runs(program: Program, elsewhere: Callable[..., Program]) -> None:
    other = elsewhere(program)

    done = other.run("--offline")

    assert done.code == 0, done.said
    assert other.record is not None
    assert other.record.tests is not None and other.record.tests.passed == 1
