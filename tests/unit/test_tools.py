from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from ci_envs.command import Command, Outcome
from ci_envs.errors import ToolMissing
from ci_envs.tools import find_program, tool_version, uv_program, version_in

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("uv 0.13.8 (x86_64-unknown-linux-gnu)", "0.13.8"),
        ("Docker version 28.2.2, build e6534b4", "28.2.2"),
        ("cc (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright (C) 2022", "12.2.0"),
        ("nix (Nix) 2.18.1", "2.18.1"),
        ("Poetry (version 2.1.3)", "2.1.3"),
        ("4.26.0 from somewhere/tox/__init__.py", "4.26.0"),
        ("git version 2.39.5 (Apple Git-154)", "2.39.5"),
        ("PDM, version v2.25.4", "2.25.4"),
        ("podman version 5.0.0-dev", "5.0.0-dev"),
        ("no number here", ""),
        ("", ""),
    ],
)
def test_a_version_is_read_out_of_what_programs_say(said: str, version: str) -> None:
    assert version_in(said) == version


@pytest.fixture
def program(tmp_path: Path) -> Path:
    made = tmp_path / "bin" / f"tool{'.exe' if sys.platform == 'win32' else ''}"
    made.parent.mkdir()
    made.write_text("")
    made.chmod(0o755)
    return made


def test_a_version_is_asked_for_once(program: Path, tmp_path: Path) -> None:
    asked: list[Command] = []

    def run(command: Command) -> Outcome:
        asked.append(command)
        return Outcome(argv=command.argv, returncode=0, stdout="tool 1.2.3\n")

    environ = {"CI_ENVS_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": "/x"}

    assert [tool_version(program, environ, run=run) for _ in range(2)] == ["1.2.3", "1.2.3"]
    assert len(asked) == 1
    assert asked[0].env is not None
    assert "PYTHONPATH" not in asked[0].env


@pytest.mark.parametrize("outcome", [Outcome(argv=("x",), returncode=1, stdout="tool 1.2.3"), None])
def test_a_program_that_fails_has_no_version_and_is_asked_again(program: Path, outcome: Outcome | None) -> None:
    asked: list[Command] = []

    def run(command: Command) -> Outcome:
        asked.append(command)
        if outcome is None:
            raise ToolMissing("cannot be run here")
        return outcome

    assert [tool_version(program, run=run) for _ in range(2)] == ["", ""]
    assert len(asked) == 2


def test_a_program_is_looked_up_on_the_callers_path_only(program: Path) -> None:
    assert find_program("tool", {"PATH": str(program.parent)}) == program
    assert find_program("tool", {"PATH": "/nowhere"}) is None
    assert find_program("sh", {"PATH": str(program.parent)}) is None


def test_uv_is_the_one_that_came_along(tmp_path: Path) -> None:
    found = uv_program({"PATH": ""})

    assert found.is_file()
    assert found.stem == "uv"


def test_another_uv_is_taken_where_it_is_named(program: Path) -> None:
    assert uv_program({"CI_ENVS_UV": str(program)}) == program


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
@pytest.mark.parametrize("there", [True, False])
def test_a_named_uv_that_is_no_program_is_said_and_not_replaced(program: Path, there: bool) -> None:
    program.chmod(0o644)

    with pytest.raises(ToolMissing, match="CI_ENVS_UV"):
        uv_program({"CI_ENVS_UV": str(program if there else program.parent / "gone")})
