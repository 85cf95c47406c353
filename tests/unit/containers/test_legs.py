from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.support.work import a_leg

from ci_envs.containers.labels import image_name, state_key
from ci_envs.containers.legs import DRAFT, FORMER, LegOnEngine, build_args_of, engine_for, network_of, platform_of
from ci_envs.errors import ToolMissing
from ci_envs.layout import Layout
from ci_envs.model.config import DockerConfig

if TYPE_CHECKING:
    from pathlib import Path

LEG = a_leg(pattern="docker", accelerator="cuda12")


def a_leg_on_an_engine(folder: Path, **docker: Any) -> LegOnEngine:
    engine: Any = None  # none of what is asked for here needs one
    return LegOnEngine(engine, LEG, DockerConfig(**docker), Layout.at(folder, {}), {"HOME": str(folder)})


def test_an_image_is_named_after_its_leg_and_its_state_folder(tmp_path: Path) -> None:
    one, other = a_leg_on_an_engine(tmp_path / "a"), a_leg_on_an_engine(tmp_path / "b")
    assert one.tag == image_name(state_key(one.layout), LEG.id)
    assert one.tag.endswith(f":{LEG.id}")
    assert one.tag != other.tag


def test_no_leg_has_the_name_of_a_draft_or_of_a_former_image(tmp_path: Path) -> None:
    leg = a_leg_on_an_engine(tmp_path)
    assert len({leg.tag, leg.draft, leg.former}) == 3
    assert all("--" in ending for ending in (DRAFT, FORMER))
    assert "--" not in LEG.id


def test_containers_of_a_leg_for_cuda_ask_for_devices(tmp_path: Path) -> None:
    assert a_leg_on_an_engine(tmp_path).limits.gpus
    assert a_leg_on_an_engine(tmp_path, memory="2g").limits.memory == 2 << 30


def test_the_interpreter_that_is_meant_can_be_told(tmp_path: Path) -> None:
    leg = a_leg_on_an_engine(tmp_path, memory="1g")
    assert leg.with_python("/opt/venv/bin/python").docker == DockerConfig(memory="1g", python="/opt/venv/bin/python")


@pytest.mark.parametrize(("arch", "platform"), [("x86_64", "linux/amd64"), ("aarch64", "linux/arm64")])
def test_platforms_are_spelt_as_images_have_them(arch: str, platform: str) -> None:
    assert platform_of(a_leg(pattern="docker", arch=arch)) == platform


def test_build_arguments_may_name_what_the_leg_is() -> None:
    told = DockerConfig(build_args={"A": "python{python}-{accelerator}", "B": "{other} {}"})
    assert build_args_of(LEG, told) == {"A": "python3.12-cuda12", "B": "{other} {}"}


@pytest.mark.parametrize(
    ("configured", "network"), [("", ""), ("host", "host"), ("none", "none"), ("bridge", ""), ("own", "")]
)
def test_a_build_has_the_network_of_the_containers_where_a_builder_knows_it(configured: str, network: str) -> None:
    assert network_of(DockerConfig(network=configured)) == network


@pytest.mark.parametrize(
    ("pattern", "engine", "asked"),
    [
        ("docker", "auto", "no Docker answers"),
        ("podman", "auto", "no Podman answers"),
        ("docker", "podman", "no Podman answers"),
        ("devcontainer", "docker", "no Docker answers"),
    ],
)
def test_the_engine_is_the_one_of_the_pattern_unless_another_is_configured(
    tmp_path: Path, pattern: str, engine: Any, asked: str
) -> None:
    nowhere = f"unix://{tmp_path}/nowhere.sock"
    environ = {"DOCKER_HOST": nowhere, "CONTAINER_HOST": nowhere, "HOME": str(tmp_path), "PATH": str(tmp_path)}
    with pytest.raises(ToolMissing, match=asked):
        engine_for(a_leg(pattern=pattern), DockerConfig(engine=engine), environ)
