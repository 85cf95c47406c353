"""Pattern podman, from end to end on a real Podman; and ten builds of one image on each engine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import docker
import pytest
from tests.component.running import PYTHON
from tests.support.docker_projects import IMPORTS, outside_leg

from ci_envs.containers.listing import listed
from ci_envs.machine import arch_name
from ci_envs.model.leg import make_leg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.component.docker_fixtures import PodmanFacts
    from tests.component.docker_program_fixtures import MakeDocker
    from tests.support.docker_projects import DockerProgram

pytestmark = [pytest.mark.component, pytest.mark.timeout(900)]
pytest_plugins = ("tests.component.docker_program_fixtures",)

REQUIREMENTS = {"requirements.in": "apple\npear\nplum[jam]\n"}
GENERATED = f"docker: {{base-image: BASE}}\n{IMPORTS}"
BUILDS = 10


@pytest.fixture
def podman(make_docker: MakeDocker, podman_env: PodmanFacts) -> Iterator[DockerProgram]:
    """ci-envs over a project, pattern podman."""
    assert podman_env.runs, podman_env.why_not
    made = make_docker("podman", REQUIREMENTS, config=GENERATED)
    told = {name: value for name, value in podman_env.environ.items() if name.startswith(("CONTAINER", "STORAGE"))}
    leg = make_leg(pattern="podman", python=PYTHON, os="linux", arch=arch_name()).id
    client = docker.DockerClient(base_url=podman_env.environ["CONTAINER_HOST"])
    words = ("--pattern=podman", f"--python={PYTHON}")
    program = replace(made, env={**made.env, **told}, words=words, leg=leg, client=client)
    yield program
    program.tidy()
    client.close()


def test_podmans_image_is_kept_verified_and_cleaned_and_is_the_environment_of_the_host(podman: DockerProgram) -> None:
    podman.green()
    record = podman.told()
    assert record.image is not None
    assert record.environment is not None
    assert (record.image.engine, record.image.reproducible) == ("podman", True)
    outside = replace(podman, words=("--pattern=uv", f"--python={PYTHON}"), leg=outside_leg("uv"))
    outside.green()
    theirs = outside.told().environment
    assert theirs is not None
    assert theirs.digest == record.environment.digest

    podman.green()
    assert "kept: nothing it depends on has changed" in podman.stage("build").reason

    done = podman.do("verify", podman.leg, timeout=280)
    assert done.code == 0, done.said
    assert "two builds, one digest" in done.stdout

    names = [name for image in listed(podman.client.api.images) for name in image["RepoTags"] or ()]
    assert podman.image in names
    done = podman.do("clean")
    assert f"podman: image {podman.image}" in done.stdout
    assert podman.image not in [name for image in listed(podman.client.api.images) for name in image["RepoTags"] or ()]


def test_ten_builds_past_every_cache_have_one_manifest_digest(make_docker: MakeDocker) -> None:
    program = make_docker("ten", REQUIREMENTS, config=GENERATED)
    found = []
    for _ in range(BUILDS):
        program.green("--fresh", "--stages=lock,build")
        record = program.told()
        assert record.image is not None
        assert record.image.reproducible, record.image.why_not
        found.append(record.image.digest)
    assert len(found) == BUILDS
    assert len(set(found)) == 1, found
