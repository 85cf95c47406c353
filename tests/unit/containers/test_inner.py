from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.projects import write_project
from tests.support.work import a_leg, a_work

from ci_envs import interpreters
from ci_envs.containers.asked import select_container
from ci_envs.containers.inner import described_inside, dockerfile_of, inner_leg, inner_pattern, inner_work
from ci_envs.errors import UsageError
from ci_envs.model.config import Config, DockerConfig
from ci_envs.patterns.registry import ALL_PATTERNS
from ci_envs.project import Project

if TYPE_CHECKING:
    from pathlib import Path

LEG = a_leg(pattern="docker", accelerator="cuda12", groups=("dev",), variables={"a": "1"})
REQUIREMENTS = {"requirements.in": "apple\n"}
CONDA = {"environment.yml": "dependencies: [python]\n"}
#: A lock that is committed, which beats whatever is none.
NIX = {"flake.nix": "{ }\n", "flake.lock": "{ }\n"}


def a_project(folder: Path, *names: str, **files: str) -> Project:
    return Project(write_project(folder, {**dict.fromkeys(names, "FROM x:1\n"), **files}))


def configured(**docker: Any) -> Config:
    return Config(docker=DockerConfig(**docker))


@pytest.mark.parametrize(
    ("names", "docker", "found"),
    [
        ((), {}, ""),
        (("Dockerfile",), {}, "Dockerfile"),
        (("Containerfile",), {}, "Containerfile"),
        (("Containerfile", "Dockerfile"), {}, "Dockerfile"),
        (("Dockerfile", "docker/cpu.Dockerfile"), {"file": "docker/cpu.Dockerfile"}, "docker/cpu.Dockerfile"),
        (("Dockerfile",), {"base_image": "python:3.12"}, ""),
        (("Dockerfile",), {"installer": "venv"}, ""),
        (("Dockerfile",), {"base_image": "python:3.12", "file": "Dockerfile"}, "Dockerfile"),
    ],
)
def test_a_dockerfile_is_the_projects_own_unless_what_a_generated_one_is_like_is_said(
    tmp_path: Path, names: tuple[str, ...], docker: dict[str, str], found: str
) -> None:
    assert dockerfile_of(a_project(tmp_path, *names), configured(**docker)) == found


def test_a_dockerfile_that_is_asked_for_and_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"docker\.file says 'a', and there is no such file"):
        dockerfile_of(a_project(tmp_path, "Dockerfile"), configured(file="a"))


@pytest.mark.parametrize(
    ("files", "installer", "pattern"),
    [
        (REQUIREMENTS, "auto", "uv"),
        (CONDA, "auto", "conda"),
        (REQUIREMENTS, "venv", "venv"),
        ({**REQUIREMENTS, **CONDA}, "conda", "conda"),
        (NIX, "auto", "nix"),
        ({**REQUIREMENTS, **NIX}, "auto", "uv"),
        ({**REQUIREMENTS, **NIX}, "nix", "nix"),
    ],
)
def test_what_is_installed_inside_is_what_the_project_describes(
    tmp_path: Path, files: dict[str, str], installer: str, pattern: str
) -> None:
    project = a_project(tmp_path, **files)
    assert inner_pattern(LEG, project, configured(installer=installer)).name == pattern


def test_an_installer_of_what_the_project_does_not_describe_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"docker\.installer is 'conda'"):
        inner_pattern(LEG, a_project(tmp_path, **REQUIREMENTS), configured(installer="conda"))


def test_a_project_without_anything_to_install_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no Dockerfile, and nothing that one could be generated from"):
        inner_pattern(LEG, a_project(tmp_path), Config())


def test_the_leg_with_the_same_lock_differs_by_its_pattern_alone() -> None:
    inner = inner_leg(LEG, "uv")
    assert inner.pattern == "uv"
    assert inner.id == LEG.id.replace("docker-", "uv-")
    assert (inner.python, inner.platform, inner.groups, inner.variables) == (
        LEG.python,
        LEG.platform,
        LEG.groups,
        LEG.variables,
    )


def test_a_dockerfile_alone_asks_for_nothing_that_is_known(tmp_path: Path) -> None:
    selection = select_container(a_leg(pattern="docker"), a_project(tmp_path, "Dockerfile"), Config())
    assert (selection.groups, selection.files) == ((), ())


def test_a_dockerfile_of_the_projects_own_installs_nothing_of_a_flake(tmp_path: Path) -> None:
    assert described_inside(a_project(tmp_path, "Dockerfile", **NIX)) == ()
    assert described_inside(a_project(tmp_path, **REQUIREMENTS)) == ("venv",)


def test_a_leg_in_an_image_asks_for_what_it_asks_for_outside(tmp_path: Path) -> None:
    project = a_project(tmp_path, "Dockerfile", **REQUIREMENTS)
    assert select_container(a_leg(pattern="docker"), project, Config()).files == ("requirements.in",)


@pytest.mark.parametrize("pattern", ["uv", "venv", "conda"])
def test_the_lock_of_what_is_inside_is_made_with_the_legs_own_log_and_temporary_folder(
    tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leg of the same lock outside of an image may be running meanwhile, and removes its own."""
    monkeypatch.setattr(interpreters, "find_interpreter", lambda *_, **__: None)  # it would start interpreters
    work = a_work(tmp_path, leg=a_leg(pattern="docker"))
    inner = inner_work(work, ALL_PATTERNS[pattern])
    assert inner.leg.pattern == pattern
    assert (inner.log, inner.temp) == (work.log, work.temp)
    assert inner.findings is work.findings
    assert inner.tools is work.tools
