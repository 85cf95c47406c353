from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.projects import write_project

from ci_envs.neighbours import neighbours

if TYPE_CHECKING:
    from pathlib import Path

OTHERS = {
    "lib/pyproject.toml": '[project]\nname = "Big_Lib"\n',
    "lib/x.py": "",
    "old/setup.py": "",
    "plain/x.py": "",
    "base.txt": "six\n",
    "wheels/one-1.0-py3-none-any.whl": "",
}


def named(tmp_path: Path, files: dict[str, str], project: str = "app") -> dict[str, str]:
    top = write_project(tmp_path / "repository", {**OTHERS, **files}).resolve()
    found = neighbours(top / project, top)
    return {path.relative_to(top).as_posix(): by.relative_to(top).as_posix() for path, by in found.items()}


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("pyproject.toml", '[tool.uv.sources]\nbig-lib = { path = "../lib", editable = true }\n', "lib"),
        ("pyproject.toml", '[tool.poetry.dependencies]\nold = {path="../old/"}\n', "old"),
        ("pyproject.toml", '[tool.pdm.dev-dependencies]\nd = ["-e file:///${PROJECT_ROOT}/../lib#egg=x"]\n', ""),
        ("requirements.in", "-e ../lib[extra]\n", "lib"),
        ("requirements.in", "../old; python_version > '3'\n", "old"),
        ("requirements.in", "-r ../base.txt\n", "base.txt"),
        ("requirements/dev.txt", "-r../../base.txt\n", ""),
        ("requirements/dev.txt", "-c ../../base.txt\n", "base.txt"),
        ("requirements.txt", "one @ file:../wheels/one-1.0-py3-none-any.whl\n", "wheels/one-1.0-py3-none-any.whl"),
        ("environment.yml", "dependencies:\n  - pip:\n      - -e ../lib\n", "lib"),
        ("Pipfile", '[packages]\nlib = {path = "./../lib", editable = true}\n', "lib"),
        # What no installer takes, what is not there, what is elsewhere.
        ("requirements.in", "../plain\n../none\n/etc/hosts\nhttps://x.example/../lib\n../../outside\n", ""),
        ("notes.txt", "../lib\n", ""),
        ("pyproject.toml", "[broken\n", ""),
        ("requirements.in", f"{'x' * 5000}\n../\0\n", ""),
    ],
)
def test_what_a_project_names_by_a_path_is_found(tmp_path: Path, file: str, text: str, found: str) -> None:
    write_project(tmp_path / "outside", {"pyproject.toml": ""})
    assert named(tmp_path, {f"app/{file}": text}) == ({found: f"app/{file}"} if found else {})


def test_what_a_neighbour_names_is_one_too_and_a_ring_ends(tmp_path: Path) -> None:
    files = {
        "app/requirements.in": "../lib\n",
        "lib/pyproject.toml": '[tool.uv.sources]\nold = {path = "../old"}\n',
        "old/requirements.txt": "../lib\n../app\n-r ../base.txt\n",
        "app/pyproject.toml": "",
    }
    assert named(tmp_path, files) == {
        "lib": "app/requirements.in",
        "old": "lib/pyproject.toml",
        "base.txt": "old/requirements.txt",
    }


def test_a_folder_of_the_project_and_the_one_around_it_may_be_projects(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": '[tool.uv.sources]\napp = { path = "app" }\n',
        "app/pyproject.toml": '[tool.uv.sources]\nwhole = { path = ".." }\n',
        "app/requirements.in": "-r more.in\n.\n",
        "app/more.in": "six\n",
    }
    assert named(tmp_path, files) == {".": "app/pyproject.toml"}
    assert named(tmp_path, files, project=".") == {"app": "pyproject.toml"}


def test_the_members_of_a_workspace_that_are_asked_for_are_found_by_their_names(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": '[project]\nname = "whole"\n[tool.uv.workspace]\nmembers = ["app", "l*", "../*", "/", ""]\n',
        "app/pyproject.toml": "[tool.uv.sources]\nbig-lib = { workspace = true }\n"
        "whole = [{ workspace = true, marker = 'x' }]\n",
        "least/pyproject.toml": '[project]\nname = "least"\n',
    }
    assert named(tmp_path, files) == {"lib": "app/pyproject.toml", ".": "app/pyproject.toml"}
