from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci_envs.conda.frontends import TOOLS, choose, tool_program
from ci_envs.conda.tool_frontend import ToolFrontend
from ci_envs.errors import ToolMissing
from ci_envs.model.config import CondaConfig

if TYPE_CHECKING:
    from collections.abc import Callable

EXE = ".exe" if sys.platform == "win32" else ""


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Variables of a machine that has these programs on PATH."""

    def make(*programs: str) -> dict[str, str]:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name in programs:
            (folder / f"{name}{EXE}").write_text("#!/bin/sh\nexit 1\n")
            (folder / f"{name}{EXE}").chmod(0o755)
        return {"PATH": str(folder)}

    return make


def chosen(frontend: str, pattern: str, environ: dict[str, str]) -> str:
    config = CondaConfig(frontend=frontend)  # type: ignore[arg-type]  # the values are the test's own
    return choose(config, pattern, environ).name


@pytest.mark.parametrize(
    ("frontend", "pattern", "there", "name"),
    [
        ("rattler", "conda", "conda mamba micromamba", "rattler"),
        ("rattler", "mamba", "conda mamba micromamba", "mamba"),
        ("rattler", "micromamba", "conda mamba micromamba", "micromamba"),
        ("conda", "conda", "conda mamba", "conda"),
        ("conda", "mamba", "conda mamba", "conda"),
        ("auto", "conda", "conda mamba micromamba", "micromamba"),
        ("auto", "conda", "conda mamba", "mamba"),
        ("auto", "conda", "conda", "conda"),
        ("auto", "conda", "", "rattler"),
        ("auto", "mamba", "conda mamba micromamba", "mamba"),
        ("auto", "mamba", "conda", "conda"),
        ("auto", "micromamba", "", "rattler"),
    ],
)
def test_who_installs(
    machine: Callable[..., dict[str, str]], frontend: str, pattern: str, there: str, name: str
) -> None:
    assert chosen(frontend, pattern, machine(*there.split())) == name


@pytest.mark.parametrize(
    ("frontend", "pattern", "name"),
    [("conda", "conda", "conda"), ("rattler", "mamba", "mamba"), ("micromamba", "conda", "micromamba")],
)
def test_a_tool_that_was_asked_for_and_is_not_there_is_missing(
    machine: Callable[..., dict[str, str]], frontend: str, pattern: str, name: str
) -> None:
    with pytest.raises(ToolMissing) as caught:
        chosen(frontend, pattern, machine())
    assert caught.value.message == f"{name} is not on PATH"
    assert TOOLS[name] in caught.value.hint
    assert "frontend: rattler" in caught.value.hint


def test_a_shells_own_variable_names_a_tool_that_is_not_on_path(
    machine: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    program = tmp_path / "base" / f"conda{EXE}"
    program.parent.mkdir()
    program.touch()
    environ = machine() | {"CONDA_EXE": str(program), "MAMBA_EXE": str(program)}
    assert tool_program("conda", environ) == program
    assert tool_program("mamba", environ) is None, "it names another program"
    assert tool_program("conda", machine("conda") | environ) == tmp_path / "bin" / f"conda{EXE}"


def test_conda_cannot_be_told_to_leave_scripts_alone() -> None:
    assert ToolFrontend("conda", Path(os.devnull)).runs_scripts
