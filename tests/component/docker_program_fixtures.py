"""Fixtures of tests that run ci-envs over projects that become images.

``pytest_plugins = ("tests.component.docker_program_fixtures",)`` brings them.
"""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Protocol

import pytest
from tests.component.program import tidy
from tests.support.docker_projects import DockerProgram, Forwarder, OwnImage, ReachableIndex, gateway_of
from tests.support.projects import private_environment
from tests.support.wheels import make_wheel

from ci_envs.containers.image_tools import requirement_lines
from ci_envs.resources import resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from subprocess import Popen

    from docker import DockerClient

__all__ = ["MakeDocker", "bridge", "docker_index", "make_docker", "own_base"]


#: Names and versions of NVIDIA's wheels; there is nothing in these.
GPU_WHEELS = (
    ("nvidia-cuda-runtime-cu12", "12.4.127"),
    ("nvidia-cublas-cu12", "12.4.5.8"),
    ("nvidia-cuda-runtime-cu11", "11.8.89"),
)


class MakeDocker(Protocol):
    """What :func:`make_docker` answers with."""

    def __call__(self, name: str, files: Mapping[str, str], *, config: str = ...) -> DockerProgram:
        """Writes a project; ``BASE`` in a file stands for the Python image, ``PYTHON`` for its series."""
        ...


@pytest.fixture(scope="session")
def bridge(engine_client: DockerClient) -> str:
    """The address by which containers, and builds, reach this machine."""
    return gateway_of(engine_client)


@pytest.fixture(scope="session")
def docker_index(
    fruit: Path,
    wheels_of_pytest: Path,
    world_wheels: Callable[..., Path],
    bridge: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """An index with the universe and the tools of generated images, which this machine and builds reach alike."""
    folder = tmp_path_factory.mktemp("docker-index")
    lock = folder.with_name("docker-tools.txt")
    lock.write_text("\n".join(requirement_lines("pip", "py-rattler", "uv")))
    pip_tools = world_wheels(lock=resource("tools/pip-tools.txt"))  # the venv pattern locks with it
    for source in (fruit, wheels_of_pytest, pip_tools, world_wheels(lock=lock)):
        shutil.copytree(source, folder, dirs_exist_ok=True)
    for name, version in GPU_WHEELS:
        make_wheel(folder, name, version, modules={f"{name.replace('-', '_')}.py": ""})
    with ReachableIndex(folder) as index, Forwarder(bridge, index.port) as forwarder:
        index.outside = forwarder.address
        yield f"{forwarder.address}/simple/"


@pytest.fixture
def own_base(registry: str, base_image: str, tmp_path: Path) -> Iterator[OwnImage]:
    """A repository of the test's own, with the Python image under the tag ``one``."""
    repository = f"own/{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    image = OwnImage(registry, repository)
    image.put(base_image.removeprefix(f"{registry}/"), "one")
    yield image
    image.remove()


@pytest.fixture
def make_docker(
    *,
    engine_host: str,
    engine_client: DockerClient,
    base_image: str,
    docker_index: str,
    bridge: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MakeDocker]:
    """Writes a project and answers with the program over it: pattern docker, the Python that runs these tests.

    What it leaves on the engine is removed at the end. The cache is the session's.
    """
    started: list[Popen[str]] = []
    made: list[DockerProgram] = []
    cache = tmp_path_factory.getbasetemp() / "docker-cache"

    def program(name: str, files: Mapping[str, str], *, config: str = "") -> DockerProgram:
        env = private_environment(docker_index, tmp_path / "home", cache)
        env |= {"DOCKER_HOST": engine_host, "PIP_TRUSTED_HOST": bridge, "PIP_DEFAULT_TIMEOUT": "30"}
        told = {**files, "ci-envs.yml": config} if config else files
        one = DockerProgram(tmp_path / name, env, files=told, started=started, client=engine_client, base=base_image)
        made.append(one)
        return one

    yield program
    tidy(started)
    for one in made:
        one.tidy()
