"""Where buildx is looked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ci_envs.containers.buildx import Buildx, find_buildx, plugin_folders
from ci_envs.errors import ToolMissing


def _program(folder: Path, name: str = "docker-buildx") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n", "utf-8")
    path.chmod(0o755)
    return path


def test_the_users_plugins_come_before_the_systems(tmp_path: Path) -> None:
    config = tmp_path / "docker"
    config.mkdir()
    (config / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": ["/extra/one"], "auths": {}}), "utf-8")
    folders = [str(folder) for folder in plugin_folders({"DOCKER_CONFIG": str(config), "HOME": "/home/x"})]
    assert folders[:3] == ["/extra/one", str(config / "cli-plugins"), "/usr/local/lib/docker/cli-plugins"]
    assert "/usr/libexec/docker/cli-plugins" in folders


def test_without_a_configuration_of_its_own_it_is_the_homes() -> None:
    assert plugin_folders({"HOME": "/home/x"})[0] == Path("/home/x/.docker/cli-plugins")


@pytest.mark.parametrize("text", ["", "no JSON", '{"cliPluginsExtraDirs": 3}', "[]"])
def test_a_configuration_that_cannot_be_read_is_not_ours_to_judge(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, "utf-8")
    assert plugin_folders({"DOCKER_CONFIG": str(tmp_path)})[0] == tmp_path / "cli-plugins"


def test_the_first_that_answers_is_taken(tmp_path: Path) -> None:
    silent, good = _program(tmp_path / "a"), _program(tmp_path / "b")
    found = find_buildx(
        {"PATH": ""},
        folders=[tmp_path / "none", tmp_path / "a", tmp_path / "b"],
        version_of=lambda program: "" if program == silent else "0.13.1",
    )
    assert found == Buildx(good, "0.13.1")
    assert found.title == "docker-buildx 0.13.1"


@pytest.mark.parametrize("name", ["docker-buildx", "buildx"])
def test_one_on_path_is_taken_where_no_plugin_is(tmp_path: Path, name: str) -> None:
    program = _program(tmp_path, name)
    assert find_buildx({"PATH": str(tmp_path)}, folders=[], version_of=lambda _: "0.12.0").program == program


def test_what_is_missing_is_said_with_every_place(tmp_path: Path) -> None:
    broken = _program(tmp_path / "a")
    with pytest.raises(ToolMissing) as caught:
        find_buildx({"PATH": ""}, folders=[tmp_path / "a", tmp_path / "b"], version_of=lambda _: "")
    assert caught.value.exit_code == 4
    assert f"{tmp_path / 'a'}, {tmp_path / 'b'}" in str(caught.value)
    assert f"{broken} did not say which version it is" in str(caught.value)
    assert "install docker-buildx" in caught.value.hint


def test_a_file_that_cannot_be_run_is_no_program(tmp_path: Path) -> None:
    _program(tmp_path).chmod(0o644)
    with pytest.raises(ToolMissing):
        find_buildx({"PATH": ""}, folders=[tmp_path], version_of=lambda _: "0.13.1")


@pytest.mark.parametrize(
    ("version", "rawjson"), [("0.13.1+ds1", True), ("v0.13.0", True), ("0.9.1", False), ("0.20", True), ("1.0.0", True)]
)
def test_releases_are_compared_as_numbers(version: str, rawjson: bool) -> None:
    assert Buildx(Path("x"), version).at_least(0, 13) is rawjson
