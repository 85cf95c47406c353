"""devcontainer.json: found where the specification puts it, read strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci_envs.containers.devcontainer_config import find_configuration, is_configuration, parse_configuration
from ci_envs.errors import BrokenError, UsageError
from ci_envs.project import Project

if TYPE_CHECKING:
    from pathlib import Path

USUAL = ".devcontainer/devcontainer.json"


def project(folder: Path, *files: str) -> Project:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"image": "debian"}')
    return Project(folder)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([USUAL], USUAL),
        ([".devcontainer.json"], ".devcontainer.json"),
        ([".devcontainer/gpu/devcontainer.json"], ".devcontainer/gpu/devcontainer.json"),
        ([".devcontainer.json", USUAL], USUAL),
        ([USUAL, ".devcontainer/gpu/devcontainer.json"], USUAL),
    ],
)
def test_the_first_place_of_the_specification_is_taken(tmp_path: Path, files: list[str], found: str) -> None:
    assert find_configuration(project(tmp_path, *files)) == found


def test_of_several_none_is_taken_by_chance(tmp_path: Path) -> None:
    here = project(tmp_path, ".devcontainer/cpu/devcontainer.json", ".devcontainer/gpu/devcontainer.json")
    with pytest.raises(UsageError, match="there are 2 dev containers here") as caught:
        find_configuration(here)
    assert "docker: {file: .devcontainer/cpu/devcontainer.json}" in caught.value.hint
    assert find_configuration(here, ".devcontainer/gpu/devcontainer.json") == ".devcontainer/gpu/devcontainer.json"


def test_one_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        find_configuration(project(tmp_path, USUAL), ".devcontainer/tpu/devcontainer.json")


def test_a_project_without_one_is_told_where_it_may_lie(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no devcontainer\.json") as caught:
        find_configuration(project(tmp_path))
    assert ".devcontainer.json" in caught.value.hint


def test_a_dockerfile_is_no_configuration() -> None:
    assert is_configuration(".devcontainer/gpu/devcontainer.json")
    assert is_configuration(".devcontainer.json")
    assert not is_configuration("docker/Dockerfile")


def test_comments_and_trailing_commas_are_read() -> None:
    text = '{ // a name\n "image": "debian:12", /* two\nlines */\n "features": {"r.example/f/git:1": {},}, }'
    read = parse_configuration(text, USUAL)
    assert read.image == "debian:12"
    assert list(read.features) == ["r.example/f/git:1"]


def test_text_with_two_slashes_is_no_comment() -> None:
    read = parse_configuration('{"image": "a", "postCreateCommand": "curl https://x.example//y"}', USUAL)
    assert read.table["postCreateCommand"] == "curl https://x.example//y"


def test_paths_are_those_of_the_project() -> None:
    build = '{"build": {"dockerfile": "Dockerfile", "context": "..", "target": "dev"}}'
    read = parse_configuration(build, USUAL)
    assert (read.dockerfile, read.context, read.target) == (".devcontainer/Dockerfile", ".", "dev")
    assert (read.image, read.lock_path) == ("", ".devcontainer/devcontainer-lock.json")


def test_the_context_is_the_dockerfiles_folder_unless_told() -> None:
    read = parse_configuration('{"build": {"dockerfile": "../docker/Dockerfile"}}', USUAL)
    assert (read.dockerfile, read.context) == ("docker/Dockerfile", "docker")


def test_the_older_names_of_a_build_are_read() -> None:
    read = parse_configuration('{"dockerFile": "Dockerfile", "context": "src"}', ".devcontainer.json")
    assert (read.dockerfile, read.context, read.lock_path) == ("Dockerfile", "src", ".devcontainer-lock.json")


def test_build_arguments_of_this_machine_are_left_out() -> None:
    args = '{"A": "1", "B": "${localEnv:HOME}", "C": 3}'
    read = parse_configuration(f'{{"build": {{"dockerfile": "Dockerfile", "args": {args}}}}}', USUAL)
    assert read.build_args == {"A": "1", "C": "3"}


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ('{\n "image": "say "x" now"\n}', "is not JSON with comments", 2),
        ('{"image": "a"', "is not JSON with comments", 1),
        ('{"image": "a", "image": "b"}', "Duplicate key", 0),
        ("", "is not JSON with comments", 0),
        ("[" * 5000, "nested too deeply", 0),
        ('{"image": "' + "a" * 300_000 + '"}', "are the most that is read", 0),
        ("[]", "must be an object", 0),
        ('{\n"image": 3}', "image must be a text", 2),
        ('{"image": "a",\n"features": []}', "features must be an object", 2),
        ('{\n"build": "Dockerfile"}', "build must be an object", 2),
        ('{"build":\n{"dockerfile": "Dockerfile",\n"args": []}}', "build.args must be an object", 3),
        ('{"name": "x"}', "names neither an image nor a Dockerfile", 0),
        ('{\n"image": "${localEnv:IMAGE}"}', "another on each machine", 2),
        ('{"build": {"dockerfile": "../../Dockerfile"}}', "lies outside of the project", 0),
        ('{"build": {"dockerfile": "/etc/Dockerfile"}}', "lies outside of the project", 0),
        ('{"build": {"dockerfile": "${localEnv:F}"}}', "another on each machine", 0),
    ],
)
def test_what_it_cannot_mean_is_refused_with_its_line(text: str, message: str, line: int) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        assert parse_configuration(text, USUAL).dockerfile == "never"
    assert (caught.value.file, caught.value.line) == (USUAL, line)


def test_compose_cannot_be_built_yet() -> None:
    with pytest.raises(BrokenError, match="Compose") as caught:
        parse_configuration('{\n"dockerComposeFile": "compose.yml", "service": "app"}', USUAL)
    assert caught.value.line == 2
