"""What the tool is given in devcontainer.json's place."""

from __future__ import annotations

from pathlib import Path

from ci_envs.containers.devcontainer_config import parse_configuration
from ci_envs.containers.devcontainer_override import Pinned, override, read_variables, run_arguments
from ci_envs.containers.limits import Limits, limits_of
from ci_envs.model.config import DockerConfig

PATH = ".devcontainer/devcontainer.json"
IMAGE = "r.example/python@sha256:" + "a" * 64


def test_the_image_is_the_pinned_one_and_the_rest_stays() -> None:
    read = parse_configuration('{"image": "python:3.12", "features": {"a/b:1": {}}, "remoteUser": "me"}', PATH)
    made = override(read, Pinned(image=IMAGE))
    assert made == {"image": IMAGE, "features": {"a/b:1": {}}, "remoteUser": "me", "runArgs": []}


def test_a_build_is_of_the_pinned_file_over_the_copys_context() -> None:
    text = '{"dockerFile": "Dockerfile", "context": "..", "build": {"args": {"A": "1"}, "options": ["--pull"]}}'
    pinned = Pinned(
        dockerfile=Path("/state/Dockerfile"),
        context=Path("/state/workspace"),
        target="dev",
        args={"B": "2"},
        options=["--label", "x=y"],
    )
    made = override(parse_configuration(text, PATH), pinned)
    assert made["build"] == {
        "dockerfile": "/state/Dockerfile",
        "context": "/state/workspace",
        "target": "dev",
        "args": {"A": "1", "B": "2"},
        "options": ["--pull", "--label", "x=y"],
    }
    assert "dockerFile" not in made
    assert "context" not in made


def test_what_only_one_container_can_have_is_not_taken() -> None:
    text = """{"image": "a", "appPort": 8000,
        "runArgs": ["--name", "mine", "--init", "--restart=always", "--rm", "--name=other", "--cap-add=SYS_PTRACE"]}"""
    made = override(parse_configuration(text, PATH), Pinned(image=IMAGE), arguments=("--memory=1g",))
    assert "appPort" not in made
    assert made["runArgs"] == ["--init", "--cap-add=SYS_PTRACE", "--memory=1g"]


def test_mounts_and_variables_are_added() -> None:
    read = parse_configuration('{"image": "a", "mounts": ["x"], "containerEnv": {"A": "1", "B": "2"}}', PATH)
    made = override(read, Pinned(image=IMAGE), mounts=("y",), variables={"B": "3"})
    assert made["mounts"] == ["x", "y"]
    assert made["containerEnv"] == {"A": "1", "B": "3"}


def test_the_configuration_that_was_read_is_not_changed() -> None:
    read = parse_configuration('{"image": "a", "mounts": [], "runArgs": [], "containerEnv": {}}', PATH)
    override(read, Pinned(image=IMAGE), arguments=("--init",), mounts=("y",), variables={"B": "3"})
    assert read.table == {"image": "a", "mounts": [], "runArgs": [], "containerEnv": {}}


def test_limits_are_words_of_docker_run() -> None:
    docker = DockerConfig(
        memory="2g",
        cpus=1.5,
        shm_size="1g",
        ulimits={"nofile": 1024},
        network="none",
        volumes={"hf-cache": "/root/.cache/huggingface:ro"},
        cap_add=("SYS_PTRACE",),
        security_opt=("seccomp=unconfined", "no-new-privileges"),
        privileged=True,
    )
    assert run_arguments(limits_of(docker, {"HOME": "/home/me"}), Path("/project"), ("--gpus=all",)) == (
        "--memory=2147483648",
        "--memory-swap=2147483648",
        "--cpus=1.5",
        "--shm-size=1073741824",
        "--network=none",
        "--ulimit=nofile=1024:1024",
        "--volume=hf-cache:/root/.cache/huggingface:ro",
        "--cap-add=SYS_PTRACE",
        "--security-opt=seccomp=unconfined",
        "--security-opt=no-new-privileges",
        "--privileged",
        "--gpus=all",
    )


def test_no_limits_are_no_words() -> None:
    assert run_arguments(Limits(), Path("/project")) == ()


def test_a_profile_is_named_by_its_whole_path() -> None:
    limits = Limits(security_opt=("seccomp=docker/profile.json",))
    assert run_arguments(limits, Path("/project")) == ("--security-opt=seccomp=/project/docker/profile.json",)


def test_the_variables_of_this_machine_that_it_reads_are_found() -> None:
    table = {
        "a": ["${localEnv:HOME}/x:${localEnv:USER:nobody}"],
        "b": {"c": "${env:TOKEN}"},
        "d": 3,
        "e": "${localEnv:}",
    }
    assert read_variables(table) == {"HOME", "USER", "TOKEN"}
