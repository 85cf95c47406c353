"""Images of real builders, exported and compared: what differs is found where it was made."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from ci_envs.command import Command, run
from ci_envs.containers.archive import read_image
from ci_envs.containers.buildx import find_buildx
from ci_envs.containers.image_difference import compare

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.component

EPOCH = "1700000000"

DIFFERING = """\
FROM {base}
ARG TOKEN
RUN echo same > /same
RUN date +%s%N > /stamp && mkdir -p /srv/a
RUN mkdir -p /var/log/apt && date +%N >> /var/log/dpkg.log && date +%N > /var/log/apt/history.log \\
 && date +%N > /usr/local/lib/x.pyc
RUN rm -f /same && touch "/srv/a/$(cat /proc/sys/kernel/random/uuid)"
"""

EQUAL = """\
FROM {base}
RUN date && echo same > /same && ln -s same /link && ln /same /hard && mkdir -p /srv/a && chmod 1777 /srv/a
COPY file /srv/
"""


def built(folder: Path, name: str, text: str, host: str, *options: str) -> Path:
    """The OCI archive of a build that took nothing from a cache."""
    context = folder / f"{name}-context"
    context.mkdir()
    (context / "Dockerfile").write_text(text)
    (context / "file").write_text("content\n")
    archive = folder / f"{name}.tar"
    outcome = run(
        Command(
            (
                *(str(find_buildx(os.environ).program), "build", "--no-cache", "--provenance=false", "--sbom=false"),
                *(f"--output=type=oci,dest={archive}{''.join(options)}", str(context)),
                *("--build-arg", f"TOKEN=canary-{name}"),
            ),
            env={
                **os.environ,
                "DOCKER_HOST": host,
                "SOURCE_DATE_EPOCH": EPOCH,
                "BUILDX_CONFIG": str(folder / "buildx"),
            },
            timeout=300,
        )
    )
    assert outcome, outcome.tail()
    return archive


@pytest.fixture(scope="module")
def folder(short_folder: Path) -> Path:
    return short_folder


def test_two_builds_of_an_image_that_writes_no_time_are_the_same(
    folder: Path, engine_host: str, base_image: str
) -> None:
    text = EQUAL.format(base=base_image)
    first, second = (built(folder, f"equal-{n}", text, engine_host, ",rewrite-timestamp=true") for n in (1, 2))

    found = compare(first, second)

    assert found.same, found.differences()
    assert found.first == read_image(first).manifest


def test_without_rewritten_times_only_times_differ(folder: Path, engine_host: str, base_image: str) -> None:
    text = EQUAL.format(base=base_image)
    first, second = (built(folder, f"times-{n}", text, engine_host) for n in (1, 2))

    found = compare(first, second)

    assert not found.same
    assert {row.kind for row in found.differences()} == {"time"}
    assert all(row.reason.startswith("rewrite-timestamp=true") for row in found.differences())
    assert [layer.kind for layer in found.layers] == ["files"] * len(found.layers)


def test_what_differs_is_named_with_its_layer_and_reason(folder: Path, engine_host: str, base_image: str) -> None:
    text = DIFFERING.format(base=base_image)
    first, second = (built(folder, f"differing-{n}", text, engine_host, ",rewrite-timestamp=true") for n in (1, 2))
    bottom = len(read_image(first).layers) - 4

    found = compare(first, second)

    kinds = {row.path: row.kind for row in found.differences() if row.path.startswith("layer")}
    stamp, logs = f"layer {bottom + 2} (RUN date +%s%N > /stamp && mkdir -p /srv/a)", f"layer {bottom + 3} (RUN mkdir"
    assert kinds.pop(f"{stamp}: /stamp") == "content"
    in_logs = {path.rpartition(": ")[2]: kinds.pop(path) for path in list(kinds) if path.startswith(logs)}
    assert in_logs == dict.fromkeys(
        ("/usr/local/lib/x.pyc", "/var/log/apt/history.log", "/var/log/dpkg.log"), "content"
    )
    assert sorted(kinds.values()) == ["only-in-a", "only-in-b"]
    assert all(path.startswith(f"layer {bottom + 4} (RUN rm") and "/srv/a/" in path for path in kinds)
    reasons = {row.path.rpartition("/")[2]: row.reason for row in found.differences()}
    assert reasons["dpkg.log"].startswith("a log of the package manager")
    assert reasons["x.pyc"].startswith("bytecode")
    assert reasons["stamp"] == ""
    assert "canary" not in str(found)  # a build argument; that the steps differ in it is told


def test_podman_writes_the_same_image_twice_with_a_timestamp(folder: Path) -> None:
    first, second = (saved_by_podman(folder, name, "--timestamp", EPOCH) for name in ("one", "two"))

    assert compare(first, second).same


def test_without_a_timestamp_podmans_images_differ_in_times_alone(folder: Path) -> None:
    first = saved_by_podman(folder, "three")
    time.sleep(1.1)  # Podman writes whole seconds
    second = saved_by_podman(folder, "four")

    found = compare(first, second)

    assert not found.same
    rows = {row.path: row for row in found.differences()}
    assert rows["config: created"].reason.startswith("the time of the build: SOURCE_DATE_EPOCH, or Buildah's")
    assert {row.kind for path, row in rows.items() if path.startswith("layer")} <= {"time"}


def saved_by_podman(folder: Path, name: str, *options: str) -> Path:
    """The OCI archive of a build by Podman, in a store of its own."""
    program = shutil.which("podman")
    if program is None:
        pytest.fail("this test needs podman, which is not there")
    context = folder / f"{name}-context"
    context.mkdir()
    (context / "file").write_text("content\n")
    (context / "Containerfile").write_text("FROM scratch\nCOPY file /srv/\nCOPY file /srv/more\n")
    store = (f"--root={folder}/podman", f"--runroot={folder}/podman-run", "--storage-driver=vfs")
    archive = folder / f"{name}.tar"
    for argv in (
        ("build", "--no-cache", "--isolation=chroot", "-t", name, *options, str(context)),
        ("save", "--format=oci-archive", "-o", str(archive), name),
    ):
        outcome = run(
            Command(
                (program, *store, *argv),
                env={k: v for k, v in os.environ.items() if k != "CONTAINER_HOST"},
                timeout=120,
            )
        )
        assert outcome, outcome.tail()
    return archive
