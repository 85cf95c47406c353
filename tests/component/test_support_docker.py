"""The tests' engine, registry, podman and base images are real ones, and leave nothing behind, whoever is killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest
from docker.errors import APIError
from tests.component.program import wait_for
from tests.support import docker_command
from tests.support.channel_forge import SERIES
from tests.support.docker_bases import can_be_made, stored_bases
from tests.support.docker_engine import DockerEngine, clean, engine_at
from tests.support.docker_images import EPOCH, Image, file_layer, make_layer, oci_arch
from tests.support.docker_leftovers import left_by_us
from tests.support.docker_network import bridges
from tests.support.docker_registry import Registry, RegistryClient

from ci_envs.command import Command, run
from ci_envs.containers.labels import LABEL_STATE
from ci_envs.machine import arch_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient
    from tests.component.docker_fixtures import PodmanFacts

pytestmark = pytest.mark.component

ROOT = Path(__file__).parents[2]
SERIES_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
BASE = f"library/python:{SERIES_HERE}-slim-bookworm"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a dockerd")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for an engine, with a path that is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="ci-envs-"))
    yield folder
    docker_command.stop(folder)


def connect(host: str) -> contextlib.closing[DockerClient]:
    return contextlib.closing(docker.DockerClient(base_url=host, version="auto", timeout=120))


def pulled(client: DockerClient, registry: str, name: str) -> str:
    """The image's name in the registry, when the engine has it: what the SDK raises where it has not holds a socket."""
    repository, _, tag = name.partition(":")
    client.images.pull(f"{registry}/{repository}", tag or "latest")
    return f"{registry}/{name}"


def traces(folder: Path) -> list[str]:
    """What a machine knows of an engine: files, mounts, processes and its bridge."""
    found = [str(folder)] if folder.exists() else []
    found += [line for line in Path("/proc/self/mountinfo").read_text("utf-8").splitlines() if f"{folder}/" in line]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            argv = path.read_bytes().decode("utf-8", "replace").split("\0")
            found += [" ".join(argv)] if any(word.startswith(f"{folder}/") for word in argv) else []
    return found + [f"bridge {one.name}" for one in bridges() if one.owner == str(folder)]


def gone(folder: Path, seconds: float = 30) -> list[str]:
    """The traces that are still there when the time is over."""
    deadline = time.monotonic() + seconds
    while (left := traces(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


# What the engine is.


def test_the_engine_answers_and_is_recent(engine_client: DockerClient) -> None:
    version = engine_client.version()

    assert int(version["Version"].partition(".")[0]) >= 26
    assert version["Os"] == "linux"


def test_the_registry_takes_and_gives_images(registry: str) -> None:
    client = RegistryClient(registry)
    image = Image((file_layer({"word": b"spoken\n"}),), oci_arch(arch_name()))

    digest = client.push(image, "support/spoken", "1", "latest")

    assert client.digest("support/spoken", "1") == digest
    assert client.tags("support/spoken") == ["1", "latest"]
    client.delete("support/spoken", "1")
    assert client.digest("support/spoken", "latest") == ""


def test_an_image_that_was_pushed_can_be_pulled_by_its_digest(registry: str, engine_client: DockerClient) -> None:
    client = RegistryClient(registry)
    layer = file_layer({"word": b"by digest\n"}, made_by="a test")
    digest = client.push(Image((layer,), oci_arch(arch_name()), {"Labels": {"a": "b"}}), "support/pulled", "1")

    image = engine_client.images.pull(client.name("support/pulled", digest))

    assert image.labels == {"a": "b"}
    engine_client.images.remove(client.name("support/pulled", digest))


# Base images.


def bases(registry: str) -> list[str]:
    return [tag for tag in RegistryClient(registry).tags("library/python") if tag.endswith("-slim-bookworm")]


def test_there_is_a_base_image_for_the_python_that_runs_these_tests(registry: str) -> None:
    assert f"{SERIES_HERE}-slim-bookworm" in bases(registry)
    assert RegistryClient(registry).digest("library/debian", "bookworm-slim")


@pytest.mark.parametrize("series", SERIES)
def test_a_base_image_has_what_the_public_one_has(series: str, registry: str, engine_client: DockerClient) -> None:
    if f"{series}-slim-bookworm" not in bases(registry):
        assert series != SERIES_HERE
        return
    questions = """\
import bz2, ctypes, curses, ensurepip, lzma, readline, sqlite3, ssl, subprocess, sys, uuid, venv, zlib
print(*sys.version_info[:2], sep=".")
def said(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
assert said("pip", "--version")[0] == "pip"
assert said("python3", "-c", "import sys; print(sys.executable)") == ["/usr/local/bin/python3"]
said("python", "-m", "venv", "/tmp/made")
assert said("/tmp/made/bin/pip", "--version")[-1] == f"{sys.version_info[0]}.{sys.version_info[1]})"
assert said("sh", "-c", "find /usr/local -name '*.so' | xargs ldd | grep 'not found' || echo whole") == ["whole"]
"""
    name = pulled(engine_client, registry, f"library/python:{series}-slim")

    answer = engine_client.containers.run(name, ["python", "-c", questions], remove=True, environment={"LC_ALL": "C"})

    assert answer.decode().split() == [series]
    assert engine_client.images.get(name).attrs["Size"] < 200e6


@pytest.mark.skipif(not can_be_made(), reason="elsewhere than on Debian they come from Docker Hub")
def test_the_base_images_are_made_once(registry: str) -> None:
    began = time.monotonic()

    first, second = stored_bases(), stored_bases()

    assert first == second
    assert time.monotonic() - began < 20


def test_a_layer_is_the_same_bytes_whenever_its_files_were_written(tmp_path: Path) -> None:
    digests = []
    for number, name in enumerate(("first", "second")):
        root = tmp_path / name
        (root / "opt").mkdir(parents=True)
        for file in ("b", "a") if number else ("a", "b"):
            (root / "opt" / file).write_text(file)
        (root / "opt" / "link").symlink_to("a")
        os.utime(root / "opt" / "a", (EPOCH + 100 * number + 1,) * 2)
        digests.append(make_layer(root, ("opt",), tmp_path / f"{name}.tar.gz", without=("etc/gone",)).blob.digest)

    assert digests[0] == digests[1]


# Our own dockerd.


@as_root
def test_names_of_docker_hub_come_from_our_registry(place: Path) -> None:
    with Registry(place / "registry") as registry, DockerEngine(place, mirror=registry.address) as engine:
        image = Image((file_layer({"word": b"of the hub\n"}),), oci_arch(arch_name()))
        digest = registry.push(image, "library/of-the-hub", "1")
        with connect(engine.host) as client:
            assert client.images.pull("of-the-hub", "1").attrs["RepoDigests"] == [f"of-the-hub@{digest}"]
        for name in ("of-the-hub:1", "docker.io/library/of-the-hub:1", f"of-the-hub:1@{digest}"):
            built = build(place, engine.host, f"FROM {name}\nCOPY word /again\n")
            assert built.returncode == 0, built.stderr


def build(folder: Path, host: str, text: str) -> subprocess.CompletedProcess[str]:
    context = folder / "context"
    context.mkdir(exist_ok=True)
    (context / "word").write_text("copied\n")
    (context / "Dockerfile").write_text(text)
    argv = ("docker", "buildx", "build", "--progress=plain", "--no-cache", str(context))
    env = {**os.environ, "DOCKER_HOST": host}
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=env, timeout=100)


def inner_networks() -> list[str]:
    return [path.name for path in Path("/sys/class/net").iterdir()]


@as_root
def test_two_engines_run_side_by_side_and_leave_nothing(place: Path) -> None:
    first, second = place / "first", place / "second"
    started = [
        subprocess.Popen([sys.executable, "-m", "tests.support.docker_engine", "start", str(folder), "--own"], cwd=ROOT)
        for folder in (first, second)
    ]
    assert [process.wait(100) for process in started] == [0, 0]

    told = [docker_command.read_env(folder) for folder in (first, second)]
    networks = []
    for world in told:
        with connect(world["CI_ENVS_TEST_DOCKER_HOST"]) as client:
            network = client.networks.create("inner")
            networks.append(f"br-{str(network.id)[:12]}")
            name = pulled(client, world["CI_ENVS_TEST_REGISTRY"], "tiny")
            asked = client.containers.run(name, ["cat", "/etc/hosts"], network=network.name, remove=True)
            assert b"10.2" in asked
            assert networks[-1] in inner_networks()
    assert len({world["CI_ENVS_TEST_REGISTRY"] for world in told}) == 2
    docker_command.stop(first)
    assert gone(first, 5) == []
    assert engine_at(told[1]["DOCKER_HOST"])
    docker_command.stop(second)
    assert gone(second, 5) == []
    assert not [net for net in inner_networks() if net in networks]


@as_root
def test_an_engine_that_is_killed_is_started_again_with_its_images_and_told_of(place: Path) -> None:
    world = docker_command.start(place, own=True)
    run_something(world)

    os.kill(int((place / "docker.pid").read_text("ascii")), signal.SIGKILL)

    wait_for((place / "falls").exists, 60)
    wait_for(lambda: engine_at(world["CI_ENVS_TEST_DOCKER_HOST"]), 60)
    assert (place / "falls").read_text("utf-8").startswith("DockerEngine ended by itself: ")
    with connect(world["CI_ENVS_TEST_DOCKER_HOST"]) as client:
        client.images.get(f"{world['CI_ENVS_TEST_REGISTRY']}/tiny")
    run_something(world)
    assert RegistryClient(world["CI_ENVS_TEST_REGISTRY"]).answers()


@as_root
def test_a_registry_that_ends_is_started_again_at_its_address(place: Path) -> None:
    with Registry(place / "registry") as registry:
        registry.push(Image((file_layer({"word": b"kept\n"}),), oci_arch(arch_name())), "support/kept", "1")
        assert registry._process is not None
        registry._process.kill()
        registry._process.wait()
        assert not registry.alive()

        registry.again()

        assert registry.tags("support/kept") == ["1"]


FALLING = """\
import os, pathlib, pytest
tries = []

@pytest.fixture(scope="module")
def engine():
    tries.append("fixture")
    if len(tries) == 1:
        with open(os.environ["CI_ENVS_TEST_FALLS"], "a") as file:
            file.write("it ended\\n")
        raise RuntimeError("no engine")

def test_it_fell(engine):
    tries.append("test")
    assert tries == ["fixture", "fixture", "test"]

def test_it_has_a_fault(engine):
    tries.append("faulty")
    assert tries.count("faulty") == 2
"""


def test_a_test_beneath_which_the_engine_ended_is_run_again_and_any_other_fails(tmp_path: Path) -> None:
    (tmp_path / "test_falling.py").write_text(FALLING)
    env = {**os.environ, "CI_ENVS_TEST_FALLS": str(tmp_path / "falls")}
    words = ["-m", "pytest", "-q", "-p", "tests.support.docker_falls", "-p", "no:cacheprovider", str(tmp_path)]

    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "test_it_has_a_fault" in done.stdout
    assert (tmp_path / "falls.tests").read_text("utf-8").count("test_falling.py::test_it_fell failed meanwhile") == 1


@as_root
@pytest.mark.parametrize("how", ["stop", "the next start"])
def test_what_nobody_was_left_to_clean_up_is_cleaned_up_later(how: str, place: Path) -> None:
    folder, other = place / "killed", place / "other"
    world = docker_command.start(folder, own=True)
    run_something(world)
    keeper, daemon = (int((folder / name).read_text("ascii")) for name in ("serve.pid", "docker.pid"))
    for pid in (keeper, daemon):
        os.kill(pid, signal.SIGKILL)
    assert traces(folder)

    if how == "stop":
        docker_command.stop(folder)
    else:
        docker_command.start(other, own=True)
        docker_command.stop(other)

    assert gone(folder, 1) == []


def run_something(world: dict[str, str]) -> None:
    """A container that ignores a polite end, with a volume and a published port."""
    with connect(world["CI_ENVS_TEST_DOCKER_HOST"]) as client:
        client.containers.run(
            pulled(client, world["CI_ENVS_TEST_REGISTRY"], "tiny"),
            ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
            detach=True,
            volumes={"kept": {"bind": "/kept"}},
            ports={"80/tcp": 0},
        )


@as_root
def test_an_engine_ends_with_the_process_that_it_was_started_for(place: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as watched:
        docker_command.start(place, watch=watched.pid, own=True)
        watched.kill()

    assert gone(place) == []


@as_root
def test_who_asks_again_gets_the_same_engine(place: Path) -> None:
    first = docker_command.join(place, watch=os.getpid())
    second = docker_command.join(place, watch=os.getpid())

    assert first == second


def test_an_engine_that_runs_already_is_used_and_left_alone(
    engine_host: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine_host)

    world = docker_command.start(place)
    docker_command.stop(place)

    assert world["CI_ENVS_TEST_DOCKER_HOST"] == engine_host
    assert engine_at(engine_host)


def test_an_engine_that_cannot_start_says_why(place: Path) -> None:
    (place / "registry").write_text("in the way of a folder")

    with pytest.raises(RuntimeError, match=r"(?s)no engine and no registry:.*registry"):
        docker_command.start(place)

    assert not place.exists()


@as_root
def test_cleaning_what_was_never_there_is_no_error(place: Path) -> None:
    clean(place)
    docker_command.stop(place)

    assert traces(place) == []


# Podman.


def test_podman_runs_containers_or_says_why_not(podman_env: PodmanFacts, registry: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {registry}/tiny\nRUN true\n")
    bud = ("buildah", "bud", "--isolation", "chroot", str(tmp_path))
    built = run(Command(bud, env=podman_env.environ, timeout=100))
    assert built, built.tail()
    if podman_env.runs:
        with connect(podman_env.environ["CONTAINER_HOST"]) as client:
            assert client.containers.run(pulled(client, registry, "tiny"), ["env"], remove=True)
    else:
        assert podman_env.why_not.strip()


# Leftovers.


def test_what_a_run_leaves_is_found(engine_client: DockerClient, engine_host: str) -> None:
    volume = engine_client.volumes.create("ci-envs-left-behind", labels={LABEL_STATE: "0" * 12})
    try:
        assert "volume ci-envs-left-behind" in left_by_us(engine_host)
    finally:
        volume.remove()
    assert "volume ci-envs-left-behind" not in left_by_us(engine_host)


@pytest.mark.parametrize("tidy", [True, False])
def test_a_session_that_leaves_something_in_the_engine_fails(
    tidy: bool, container_world: dict[str, str], engine_host: str, registry: str, tmp_path: Path
) -> None:
    name = f"ci-envs-left-{os.getpid()}"
    (tmp_path / "test_untidy.py").write_text(
        f"""\
def test_untidy(engine_client):
    volume = engine_client.volumes.create({name!r}, labels={{{LABEL_STATE!r}: "0" * 12}})
    if {tidy}:
        volume.remove()
"""
    )
    words = ("-p", "tests.component.docker_fixtures", "-p", "no:cacheprovider", "-c", os.devnull, "-q")
    argv = (sys.executable, "-m", "pytest", *words, f"--rootdir={tmp_path}", str(tmp_path))
    env = {**container_world, "PYTHONPATH": str(ROOT), "CI": "true", "PYTEST_ADDOPTS": ""}
    env |= {"CI_ENVS_TEST_DOCKER_HOST": engine_host, "CI_ENVS_TEST_REGISTRY": registry}
    for own in [key for key in env if key.startswith("PYTEST_XDIST")]:
        del env[own]

    outcome = run(Command(argv, env=env, cwd=tmp_path, timeout=60))

    with contextlib.suppress(APIError), connect(engine_host) as client:
        client.volumes.get(name).remove()
    told = f"volume {name}" in outcome.output
    assert (outcome.returncode, told) == ((0, False) if tidy else (1, True)), outcome.output


# All of it.


def test_every_part_that_a_base_needs_is_here() -> None:
    missing = [name for name in ("docker-registry", "docker", "podman", "buildah") if shutil.which(name) is None]

    assert not missing, "run .ci/engine install"
