"""What is said of a shell that works where it was made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.support.work import a_leg, a_work

from ci_envs.model.shell import Shell
from ci_envs.nix.shell import tell_findings

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.model.record import Finding

pytestmark = pytest.mark.skipif(os.name == "nt", reason="nix is not for Windows")

HOME = "/home/me"


def told(folder: Path, *, home: str = HOME, python: str = "", **variables: str) -> list[Finding]:
    work = a_work(folder, leg=a_leg(pattern="nix"), environ={"HOME": home})
    shell = Shell(variables=variables, path=(), python=python, top="/nix/store/0-shell-env")
    tell_findings(work, shell, "shell.nix")
    return work.findings


@pytest.mark.parametrize("value", [HOME, f"{HOME}/.cache", f"/a:{HOME}/bin:/b", f'"{HOME}"', f"-I{HOME}/include"])
def test_a_value_that_holds_the_home_folder_is_told_of(tmp_path: Path, value: str) -> None:
    (finding,) = told(tmp_path, CACHE=value)

    assert (finding.code, finding.severity, finding.file) == ("NIX020", "warning", "shell.nix")
    assert finding.message.startswith(f"CACHE holds your HOME, {HOME}: whoever has another one gets another shell")


@pytest.mark.parametrize("value", ["/home/meadow", f"/nix/store/x{HOME}/y", "me", ""])
def test_a_value_that_only_looks_like_it_is_not(tmp_path: Path, value: str) -> None:
    assert told(tmp_path, CACHE=value) == []


def test_the_project_may_lie_in_the_home_folder(tmp_path: Path) -> None:
    inside, outside = f"{tmp_path}/.venv", f"{tmp_path}/.venv:{tmp_path.parent}/.cache"

    assert told(tmp_path, home=str(tmp_path.parent), VIRTUAL_ENV=inside) == []
    assert [each.code for each in told(tmp_path, home=str(tmp_path.parent), BOTH=outside)] == ["NIX020"]


@pytest.mark.parametrize("home", ["", "/"])
def test_without_a_home_nothing_depends_on_it(tmp_path: Path, home: str) -> None:
    assert told(tmp_path, home=home, A="/home/me") == []


def test_a_python_beside_the_store_is_told_of(tmp_path: Path) -> None:
    assert told(tmp_path, python="/nix/store/0-python3/bin/python3") == []

    (finding,) = told(tmp_path, python=str(tmp_path.resolve() / ".venv/bin/python3"))
    assert (finding.code, finding.severity) == ("NIX022", "info")
    assert "the shell's Python is .venv/bin/python3" in finding.message
