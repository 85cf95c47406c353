"""Whose lock the commands of a dev container install."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.work import a_leg

from ci_envs.containers.devcontainer_lock import configuration_of, select_devcontainer, who_locks
from ci_envs.errors import UsageError
from ci_envs.model.config import Config, DockerConfig
from ci_envs.project import Project

if TYPE_CHECKING:
    from pathlib import Path

LEG = a_leg(pattern="devcontainer")
CONFIG = ".devcontainer/devcontainer.json"


def project(folder: Path, post_create: Any, **files: str) -> Project:
    written = {CONFIG: json.dumps({"image": "debian", "postCreateCommand": post_create}), **files}
    for name, text in written.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Project(folder)


def locker(found: Project, **docker: Any) -> str:
    config = Config(docker=DockerConfig(**docker))
    return who_locks(LEG, configuration_of(found, config), found, config)


@pytest.mark.parametrize(
    ("command", "pattern"),
    [
        ("uv sync --frozen", "uv"),
        (["uv", "sync"], "uv"),
        ({"a": "true", "b": "pip-sync locks/venv-py312-linux-x86_64.txt"}, "venv"),
        ("pip install -r locks/venv-py312-linux-x86_64.txt", "venv"),
        ("pip install -r locks/uv-py312-linux-x86_64.txt", "uv"),
        ("pip install -r requirements.txt", "uv"),
    ],
)
def test_a_command_says_whose_lock_it_installs(tmp_path: Path, command: Any, pattern: str) -> None:
    assert locker(project(tmp_path, command, **{"requirements.in": "numpy\n"})) == pattern


def test_a_makefile_and_a_script_are_read(tmp_path: Path) -> None:
    made = {"requirements.in": "numpy\n", "Makefile": "bootstrap:\n\tpip-sync $(LOCK)\n"}
    assert locker(project(tmp_path / "a", "make bootstrap", **made)) == "venv"
    script = {"requirements.in": "numpy\n", ".devcontainer/setup.sh": "uv \\\n  sync\n"}
    assert locker(project(tmp_path / "b", "bash .devcontainer/setup.sh", **script)) == "uv"
    assert locker(project(tmp_path / "c", "true", **made)) == "uv"


def test_the_configuration_has_the_last_word(tmp_path: Path) -> None:
    found = project(tmp_path, "uv sync", **{"requirements.in": "numpy\n"})
    assert locker(found, installer="venv") == "venv"


def test_conda_is_meant_only_where_it_is_described(tmp_path: Path) -> None:
    command = "micromamba install -f conda-lock.yml"
    described = {"environment.yml": "name: x\ndependencies: [python]\n"}
    assert locker(project(tmp_path / "a", command, **described)) == "conda"
    assert locker(project(tmp_path / "b", command, **{"requirements.in": "numpy\n"})) == "uv"


def test_a_project_that_describes_nothing_has_no_lock(tmp_path: Path) -> None:
    found = project(tmp_path, "uv sync")
    assert locker(found) == ""
    assert select_devcontainer(LEG, found, Config()).direct == ()


def test_what_is_selected_is_what_uv_sync_installs(tmp_path: Path) -> None:
    pyproject = """\
[project]
name = "demo"
version = "1"
dependencies = ["numpy"]
[dependency-groups]
dev = ["pytest"]
docs = ["sphinx"]
"""
    found = project(tmp_path, "uv sync --group docs --no-dev", **{"pyproject.toml": pyproject, "uv.lock": ""})
    assert select_devcontainer(LEG, found, Config()).groups == ("docs",)


def test_the_configuration_names_one_of_several_and_a_dockerfile_is_none_of_them(tmp_path: Path) -> None:
    found = project(tmp_path, "true", **{".devcontainer/gpu/devcontainer.json": '{"image": "cuda"}'})
    named = DockerConfig(file=".devcontainer/gpu/devcontainer.json")
    assert configuration_of(found, Config(docker=named)).image == "cuda"
    assert configuration_of(found, Config(docker=DockerConfig(file="docker/Dockerfile"))).image == "debian"
    with pytest.raises(UsageError, match="there is no such file"):
        configuration_of(found, Config(docker=DockerConfig(file=".devcontainer/tpu/devcontainer.json")))
