"""Fixtures of tests that run containers, on each engine that there is: Docker's, and a Podman of the tests' own."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from ci_envs.containers.engine import find_engine
from ci_envs.containers.labels import leg_labels
from ci_envs.containers.limits import Limits
from ci_envs.containers.listing import listed, listed_containers
from ci_envs.environments.container import ContainerEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.component.docker_fixtures import PodmanFacts

    from ci_envs.containers.engine import Engine

__all__ = [
    "EngineFacts",
    "docker_facts",
    "engine_facts",
    "environment",
    "make_environment",
    "make_image",
    "podman_facts",
]

LEG = "docker-py311-linux-x86_64"


@dataclass(frozen=True)
class EngineFacts:
    """An engine, a Python image that it has, and the variables that lead to it."""

    engine: Engine
    image: str
    environ: dict[str, str]
    #: A state folder of the test's own, so that it meets nobody else's leftovers.
    state: str = field(default_factory=lambda: secrets.token_hex(6))

    def containers(self) -> list[str]:
        """The names of this test's containers, in whatever state they are."""
        found = listed_containers(self.engine, f"org.repro-envs.state={self.state}")
        return [told["Names"][0].lstrip("/") for told in found]

    def volumes(self) -> set[str]:
        """The names of all volumes of the engine."""
        told: dict[str, Any] = listed(self.engine.client.api.volumes)
        return {volume["Name"] for volume in told.get("Volumes") or ()}


@pytest.fixture(scope="session")
def docker_facts(engine_host: str, base_image: str) -> Iterator[tuple[Engine, str, dict[str, str]]]:
    environ = {"DOCKER_HOST": engine_host}
    with find_engine("docker", environ) as engine:
        _bring(engine, base_image)
        yield engine, base_image, environ


@pytest.fixture(scope="session")
def podman_facts(podman_env: PodmanFacts, base_image: str) -> Iterator[tuple[Engine, str, dict[str, str]]]:
    if not podman_env.runs:
        pytest.skip(f"podman starts no container here: {podman_env.why_not}")
    with find_engine("podman", podman_env.environ) as engine:
        _bring(engine, base_image)
        yield engine, base_image, podman_env.environ


def _bring(engine: Engine, image: str) -> None:
    from docker.errors import ImageNotFound

    try:
        engine.client.images.get(image)
    except ImageNotFound:
        engine.client.images.pull(image)


@pytest.fixture(params=["docker", "podman"])
def engine_facts(request: pytest.FixtureRequest) -> EngineFacts:
    """Each engine in turn."""
    engine, image, environ = request.getfixturevalue(f"{request.param}_facts")
    return EngineFacts(engine, image, environ)


@pytest.fixture
def make_environment(engine_facts: EngineFacts) -> Iterator[Callable[..., ContainerEnvironment]]:
    """Makes environments, of the Python image where no other is named; all of them are left at the end."""
    with contextlib.ExitStack() as left:

        def made(image: str = "", *, limits: Limits | None = None, **more: Any) -> ContainerEnvironment:
            return left.enter_context(
                ContainerEnvironment(
                    engine_facts.engine,
                    image or engine_facts.image,
                    limits=limits or Limits(),
                    labels=leg_labels(engine_facts.state, LEG),
                    **more,
                )
            )

        yield made
    assert engine_facts.containers() == [], "an environment that was left has no container"


@pytest.fixture
def environment(make_environment: Callable[..., ContainerEnvironment]) -> ContainerEnvironment:
    """A container of the Python image."""
    return make_environment()


@pytest.fixture
def make_image(engine_facts: EngineFacts) -> Iterator[Callable[..., str]]:
    """Makes an image of the Python image with further instructions (``ENV A=1``); it is removed at the end."""
    api, names = engine_facts.engine.client.api, []

    def made(*instructions: str, run: Sequence[str] = ("true",)) -> str:
        name = f"localhost/ci-envs-test-{secrets.token_hex(4)}"
        container: dict[str, Any] = api.create_container(engine_facts.image, entrypoint=list(run), command=[], user="0")
        try:
            api.start(container["Id"])
            assert api.wait(container["Id"])["StatusCode"] == 0
            api.commit(container["Id"], repository=name, tag="latest", changes=list(instructions), conf={})
        finally:
            api.remove_container(container["Id"], force=True, v=True)
        names.append(f"{name}:latest")
        return names[-1]

    yield made
    for name in names:
        api.remove_image(name, force=True, noprune=True)
