"""The packages of real distributions, read out of containers, and what real engines tell of their images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci_envs.containers.engine import find_engine
from ci_envs.containers.image_facts import inspect_image
from ci_envs.containers.limits import limits_of
from ci_envs.containers.os_packages import os_release, read_system
from ci_envs.environments.container import ContainerEnvironment
from ci_envs.errors import BuildError
from ci_envs.model.config import DockerConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

    from ci_envs.containers.engine import Engine

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def engine(engine_host: str) -> Iterator[Engine]:
    with find_engine("docker", {"DOCKER_HOST": engine_host}) as found:
        yield found


@pytest.fixture(scope="module")
def inside(engine: Engine, engine_client: DockerClient, base_image: str) -> Iterator[ContainerEnvironment]:
    engine_client.images.pull(base_image)
    labels = {"org.repro-envs.test": "os-packages"}
    with ContainerEnvironment(engine, base_image, limits=limits_of(DockerConfig(), {}), labels=labels) as found:
        yield found


def test_every_package_that_dpkg_lists_is_read(inside: ContainerEnvironment) -> None:
    listed = inside.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version} ${Architecture}\n"])
    expected = sorted(line.split()[1:] for line in listed.stdout.splitlines() if line.startswith("installed "))

    facts, packages = read_system(inside)

    assert len(expected) > 20
    assert [[each.name, each.version, each.arch] for each in packages] == expected
    assert {each.manager for each in packages} == {"dpkg"}
    assert facts.packages == {"dpkg": len(expected)}
    assert facts.note == ""


def test_the_distribution_and_its_c_library_are_told(inside: ContainerEnvironment) -> None:
    facts, _ = read_system(inside)

    assert (facts.id, facts.version) == ("debian", "12")
    assert facts.name == "Debian GNU/Linux 12 (bookworm)"
    assert facts.libc == "glibc 2.36"
    assert os_release(inside)["VERSION_CODENAME"] == "bookworm"


def test_an_image_put_together_without_dpkg_is_read_as_well(inside: ContainerEnvironment) -> None:
    script = (
        "import pathlib; f = pathlib.Path('/var/lib/dpkg/status.d'); f.mkdir(exist_ok=True);"
        "(f / 'made').write_text('Package: made-up\\nVersion: 1.2\\nArchitecture: all\\n');"
        "(f / 'made.md5sums').write_text('0 a')"
    )
    assert inside.run(["python3", "-c", script])

    _, packages = read_system(inside)

    assert [each.version for each in packages if each.name == "made-up"] == ["1.2"]


def test_an_engine_tells_what_its_image_is(engine: Engine, base_image: str, inside: ContainerEnvironment) -> None:
    facts = inspect_image(engine, base_image)

    assert facts.name == base_image
    assert facts.digest.startswith("sha256:")
    assert facts.layers
    assert facts.bytes > 1_000_000
    assert (facts.os, facts.arch) == ("linux", engine.arch)
    assert "PATH" in facts.variables
    assert (facts.engine, facts.engine_version, facts.store) == ("docker", engine.version, engine.store)


def test_an_image_that_is_not_there_is_an_error(engine: Engine) -> None:
    with pytest.raises(BuildError, match="docker has no image localhost/nowhere:never"):
        inspect_image(engine, "localhost/nowhere:never")
