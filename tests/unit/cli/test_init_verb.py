"""``ci-envs init``: what it writes and says, and what it refuses."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.projects import write_project

from ci_envs.__main__ import main
from ci_envs.nix import templates

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_project(tmp_path, {"requirements.in": "requests>=2\nenum34\n"})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_flake_is_written_and_what_to_do_is_on_standard_output(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--python", "3.12"]) == 0
    said = capfd.readouterr()

    assert "ps.requests # requests>=2 (requirements.in:1)" in (project / "flake.nix").read_text()
    assert said.out.splitlines() == [
        "ci-envs lock --pattern nix --python 3.12",
        "ci-envs run --pattern nix --python 3.12",
    ]
    assert "flake.nix is written" in said.err
    assert "to check: enum34 (requirements.in:2): not in nixpkgs: Python has it" in said.err


def test_json_says_the_same(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--form", "shell", "--direnv", "--json"]) == 0
    said = json.loads(capfd.readouterr().out)

    assert said["written"] == ["shell.nix", ".envrc"]
    assert len(said["to_check"]) == 1
    assert said["next"][-1] == "direnv allow"


def test_a_second_time_nothing_is_changed(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    before = (project / "flake.nix").read_bytes()

    assert main(["init", "--python", "3.11"]) == 2
    assert "flake.nix: is there already" in capfd.readouterr().err
    assert (project / "flake.nix").read_bytes() == before


@pytest.mark.parametrize("pattern", ["uv", "conda", "nixx"])
def test_another_pattern_is_refused(project: Path, pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--pattern", pattern]) == 2
    assert "writes files for nix" in capfd.readouterr().err
    assert sorted(path.name for path in project.iterdir()) == ["requirements.in"]


def test_the_project_may_be_elsewhere(project: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()

    assert main(["init", "--project", "other"]) == 0
    assert (tmp_path / "other" / "flake.nix").exists()
    assert not (project / "flake.nix").exists()


def test_without_jinja2_the_extra_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    templates._template.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)

    assert main(["init"]) == 4
    assert "repro-envs[nix]" in capfd.readouterr().err
    assert not (project / "flake.nix").exists()
