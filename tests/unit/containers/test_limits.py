from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ci_envs.containers.engine import Engine
from ci_envs.containers.limits import Limits, Volume, limits_of
from ci_envs.errors import UsageError
from ci_envs.model.config import DockerConfig

PLAIN = Engine("docker", "unix:///docker.sock", version="26.1.5")
NVIDIA = Engine("docker", "unix:///docker.sock", runtimes=frozenset({"runc", "nvidia"}))
CDI = Engine("podman", "unix:///podman.sock", runtimes=frozenset({"cdi"}))


def limits(**config: Any) -> Limits:
    return limits_of(DockerConfig(**config), {"HOME": "/home/me"}, folder=Path("/project"))


def test_nothing_is_limited_or_relaxed_where_nothing_is_asked() -> None:
    assert limits().host_config(PLAIN) == {}
    assert limits().relaxed() == ()
    assert limits().notes(PLAIN) == ()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64m", 64 << 20),
        ("64MB", 64 << 20),
        ("64 MiB", 64 << 20),
        ("1.5g", 3 << 29),
        ("4096", 4096),
        ("2t", 2 << 40),
        ("8b", 8),
    ],
)
def test_sizes_are_those_of_docker(text: str, size: int) -> None:
    found = limits(memory=text, shm_size=text)

    assert (found.memory, found.shm_size, found.memory_text) == (size, size, text)
    assert found.host_config(PLAIN) == {"mem_limit": size, "memswap_limit": size, "shm_size": size}


@pytest.mark.parametrize("text", ["much", "-1", "0", "64x", "64 m m", "0.1"])
def test_what_is_no_size_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(UsageError, match=r"docker\.memory: "):
        limits(memory=text)
    with pytest.raises(UsageError, match=r"docker\.shm-size: "):
        limits(shm_size=text)


@pytest.mark.parametrize(("asked", "nano"), [(2, 2 * 10**9), ("1.5", 15 * 10**8), (0.25, 25 * 10**7)])
def test_processors_may_be_parts(asked: float | str, nano: int) -> None:
    assert limits(cpus=asked).host_config(PLAIN) == {"nano_cpus": nano}


@pytest.mark.parametrize("asked", [0, -1, "all", "nan", "inf"])
def test_what_is_no_number_of_processors_is_refused(asked: float | str) -> None:
    with pytest.raises(UsageError, match=r"docker\.cpus"):
        limits(cpus=asked)


def test_ulimits_have_a_soft_and_a_hard_part() -> None:
    found = limits(ulimits={"nofile": 1024, "nproc": "512:1024", "memlock": "-1", "stack": "unlimited"})

    assert found.ulimits == {"nofile": (1024, 1024), "nproc": (512, 1024), "memlock": (-1, -1), "stack": (-1, -1)}
    assert {"Name": "nproc", "Soft": 512, "Hard": 1024} in found.host_config(PLAIN)["ulimits"]


@pytest.mark.parametrize(
    ("asked", "why"), [({"nofiles": 1}, "did you mean 'nofile'"), ({"nofile": "many"}, "'many' is no limit")]
)
def test_what_is_no_ulimit_is_refused(asked: dict[str, int | str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        limits(ulimits=asked)


def test_volumes_are_folders_of_the_users_or_names() -> None:
    found = limits(
        volumes={"~/.cache/hf": "/cache/hf", "torch": "/cache/torch:ro", "./data": "/data", "/srv": "/srv:ro,z"}
    )

    assert found.volumes == (
        Volume("/home/me/.cache/hf", "/cache/hf"),
        Volume("torch", "/cache/torch", "ro"),
        Volume("/project/data", "/data"),
        Volume("/srv", "/srv", "ro,z"),
    )
    assert found.host_config(PLAIN)["binds"][1] == "torch:/cache/torch:ro"
    assert [volume.is_folder for volume in found.volumes] == [True, False, True, True]


@pytest.mark.parametrize("target", ["cache", "", "/cache:rx", "/cache:ro:rw", "../cache"])
def test_a_place_that_a_container_does_not_have_is_refused(target: str) -> None:
    with pytest.raises(UsageError, match=r"docker\.volumes: data"):
        limits(volumes={"data": target})


@pytest.mark.parametrize("source", ["/a:b", "./x:y"])
def test_a_path_that_the_engine_would_take_apart_is_refused(source: str) -> None:
    with pytest.raises(UsageError, match="colons"):
        limits(volumes={source: "/data"})


def test_folders_that_are_mounted_are_made_and_names_are_not(tmp_path: Path) -> None:
    found = limits(volumes={str(tmp_path / "a" / "b"): "/b", "name": "/name"})

    found.make_folders()

    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b"]


def test_every_relaxation_is_named() -> None:
    found = limits(
        privileged=True,
        cap_add=("SYS_PTRACE",),
        security_opt=("seccomp=unconfined", "no-new-privileges:true"),
        network="host",
        volumes={"/var/run/docker.sock": "/var/run/docker.sock"},
        memory="1g",
    )

    assert found.relaxed() == (
        "privileged",
        "capability SYS_PTRACE",
        "seccomp=unconfined",
        "the network of the host",
        "the engine's socket, /var/run/docker.sock",
    )
    asked = found.host_config(PLAIN)
    assert (asked["privileged"], asked["cap_add"], asked["network_mode"]) == (True, ["SYS_PTRACE"], "host")
    assert asked["security_opt"] == ["seccomp=unconfined", "no-new-privileges:true"]


def test_a_seccomp_profile_is_handed_on_by_its_text(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW"}))
    config = DockerConfig(security_opt=("seccomp=own.json",))

    found = limits_of(config, {}, folder=tmp_path)

    assert found.relaxed() == ("seccomp=own.json",)
    assert found.host_config(PLAIN)["security_opt"] == ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']


def test_a_seccomp_profile_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the profile gone\.json cannot be read"):
        limits_of(DockerConfig(security_opt=("seccomp=gone.json",)), {}, folder=tmp_path)


@pytest.mark.parametrize("name", ["sys_ptrace", "SYS PTRACE", "", "ALL;"])
def test_what_is_no_capability_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"docker\.cap-add"):
        limits(cap_add=(name,))


def test_gpus_are_asked_for_where_the_engine_has_them() -> None:
    asked = Limits(gpus=True)

    assert asked.host_config(NVIDIA)["device_requests"][0]["Count"] == -1
    assert asked.host_config(NVIDIA)["device_requests"][0]["Capabilities"] == [["gpu"]]
    assert asked.host_config(CDI)["device_requests"][0]["DeviceIDs"] == ["nvidia.com/gpu=all"]
    assert asked.notes(NVIDIA) == asked.notes(CDI) == ()


def test_an_engine_without_gpus_is_told_and_not_asked() -> None:
    assert Limits(gpus=True).host_config(PLAIN) == {}
    assert Limits(gpus=True).notes(PLAIN) == ("docker 26.1.5 has no NVIDIA runtime, so no GPU is seen inside",)
