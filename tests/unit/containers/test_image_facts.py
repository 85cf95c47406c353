"""What engines answer of an image, and what it means. The answers are real ones, without what nobody reads."""

from __future__ import annotations

from typing import Any

import pytest

from ci_envs.containers.engine import Engine
from ci_envs.containers.image_facts import facts_of
from ci_envs.model.image import ImageFacts

MANIFEST = "sha256:b4110cd911e6b38569aa9c136e91961cd4791b400dc0a217f1b93432fc3afdf7"
PUSHED = "sha256:1962201d833cb58ae19e82169a4d59c11e537632ca80ea62b71268e5cbc46bb6"
CONFIG = "sha256:d48cf9db57a75f831763726963df19724a977cb06b8255dad85de50926a98b2e"
LAYER = "sha256:679a5d46197fb0d49f22660c17ab447e169a4288acca98bb765a4ecee2c647b5"

CONTAINERD = Engine(kind="docker", address="unix:///docker.sock", version="26.1.5", store="containerd")
CLASSIC = Engine(kind="docker", address="unix:///docker.sock", version="26.1.5", store="classic")
PODMAN = Engine(kind="podman", address="unix:///podman.sock", version="4.3.1", store="podman")


def docker(**facts: Any) -> dict[str, Any]:
    """Docker 26.1.5's answer for an image that ``docker import --change`` made."""
    return {
        "Id": CONFIG,
        "RepoTags": ["made/tiny:1"],
        "RepoDigests": [],
        "Parent": "",
        "Comment": "Imported from -",
        "Created": "2026-11-21T06:01:25.507925649Z",
        "DockerVersion": "26.1.5+dfsg1",
        "Author": "",
        "Config": {
            "Hostname": "",
            "User": "1000",
            "AttachStdin": False,
            "Env": ["TOKEN=canary", "PATH=/usr/bin:/bin"],
            "Cmd": None,
            "Image": "",
            "Volumes": None,
            "WorkingDir": "",
            "Entrypoint": None,
            "OnBuild": None,
            "Labels": {"org.opencontainers.image.source": "https://me:hunter2@git.example/a", "a.b": "c"},
        },
        "Architecture": "amd64",
        "Os": "linux",
        "Size": 3,
        "GraphDriver": {"Data": {"UpperDir": "/data/overlay2/23/diff"}, "Name": "overlay2"},
        "RootFS": {"Type": "layers", "Layers": [LAYER]},
        "Metadata": {"LastTagTime": "2026-11-21T06:01:25.508977537Z"},
        **facts,
    }


def test_an_answer_becomes_facts() -> None:
    assert facts_of(docker(), "made/tiny:1", CLASSIC) == ImageFacts(
        name="made/tiny:1",
        id=CONFIG,
        config=CONFIG,
        layers=(LAYER,),
        bytes=3,
        os="linux",
        arch="x86_64",
        created="2026-11-21T06:01:25.507925649Z",
        user="1000",
        labels={"a.b": "c", "org.opencontainers.image.source": "https://***@git.example/a"},
        variables=("PATH", "TOKEN"),
        engine="docker",
        engine_version="26.1.5",
        store="classic",
    )


def test_values_of_variables_are_not_kept() -> None:
    assert "canary" not in str(facts_of(docker(), "made/tiny:1", CLASSIC))


def test_the_classic_store_has_no_manifest_until_it_was_pushed() -> None:
    pushed = docker(RepoDigests=[f"registry.example/tiny@{PUSHED}"])

    assert facts_of(docker(), "made/tiny:1", CLASSIC).manifest == ""
    assert facts_of(pushed, "registry.example/tiny:1", CLASSIC).manifest == PUSHED
    assert facts_of(docker(), "made/tiny:1", CLASSIC).digest == CONFIG


def test_of_two_registries_the_one_that_was_named_tells() -> None:
    other = PUSHED.replace("1962", "aaaa")
    answer = docker(RepoDigests=[f"registry.example/tiny@{PUSHED}", f"tiny@{other}"])

    assert facts_of(answer, "docker.io/library/tiny", CLASSIC).manifest == other
    assert facts_of(answer, "registry.example/tiny:1", CLASSIC).manifest == PUSHED
    assert facts_of(answer, "third.example/tiny:1", CLASSIC).manifest == ""
    assert facts_of(answer, CONFIG, CLASSIC).manifest == ""


def test_with_containerds_store_the_id_is_the_manifest() -> None:
    answer = docker(Id=MANIFEST, RepoTags=["t1:latest"], RepoDigests=[f"t1@{MANIFEST}"], Size=90530668)

    found = facts_of(answer, "t1:latest", CONTAINERD)

    assert (found.id, found.manifest, found.config) == (MANIFEST, MANIFEST, "")
    assert found.digest == MANIFEST


@pytest.mark.parametrize(
    ("kind", "manifest"),
    [
        ("application/vnd.oci.image.manifest.v1+json", MANIFEST),
        ("application/vnd.docker.distribution.manifest.v2+json", MANIFEST),
        ("application/vnd.oci.image.index.v1+json", ""),
        ("application/vnd.docker.distribution.manifest.list.v2+json", ""),
    ],
)
def test_an_index_is_not_taken_for_a_manifest(kind: str, manifest: str) -> None:
    answer = docker(Id=MANIFEST, Descriptor={"mediaType": kind, "digest": MANIFEST, "size": 1301})

    found = facts_of(answer, "t1:latest", CONTAINERD)

    assert (found.manifest, found.digest) == (manifest, MANIFEST)


def test_podman_keeps_a_manifest_for_every_image() -> None:
    """Podman 4.3.1, by Docker's interface."""
    identity = "sha256:7b41d32878ab3757bb8ad3f68e2a665e8567ea8a5af3b1588657ea70825a9166"
    manifest = "sha256:dae234cd88b60c42e99e7a395eb94fe53858a18f1f8731ef375ae75f8db2bea6"
    answer = {
        "Id": identity,
        "RepoTags": ["localhost/debian-python:bookworm"],
        "RepoDigests": [f"localhost/debian-python@{manifest}"],
        "Parent": "",
        "Comment": "imported from tarball",
        "Created": "2026-11-21T05:31:17.297066267Z",
        "Container": "",
        "ContainerConfig": {"Hostname": "7b41d32878a", "Env": None, "Labels": None},
        "DockerVersion": "",
        "Config": {"Hostname": "", "User": "", "Env": None, "Labels": None},
        "Architecture": "amd64",
        "Os": "linux",
        "Size": 225073739,
        "VirtualSize": 225073739,
        "RootFS": {"Type": "layers", "Layers": [LAYER]},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
    }

    found = facts_of(answer, "localhost/debian-python:bookworm", PODMAN)

    assert (found.id, found.config, found.manifest) == (identity, identity, manifest)
    assert (found.bytes, found.user, found.labels, found.variables) == (225073739, "", {}, ())


def test_an_answer_that_leaves_things_out_is_read_all_the_same() -> None:
    found = facts_of({"Id": CONFIG, "Created": "0001-01-01T00:00:00Z", "Config": None}, "x", CLASSIC)

    assert found == ImageFacts(
        name="x", id=CONFIG, config=CONFIG, engine="docker", engine_version="26.1.5", store="classic"
    )


def test_an_arm_image_has_its_variant() -> None:
    found = facts_of(docker(Architecture="arm64", Variant="v8"), "x", CLASSIC)

    assert (found.arch, found.variant) == ("aarch64", "v8")
