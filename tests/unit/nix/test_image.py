"""An image of a closure, written without nix: what is in the archive, and that it is the same each time."""

from __future__ import annotations

import hashlib
import os
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.support.nix_archive import Leaf
from tests.support.nix_trees import stored

from ci_envs import command
from ci_envs.containers.archive import Image, read_image
from ci_envs.errors import BuildError, InterruptedRun
from ci_envs.model.closure import Closure
from ci_envs.nix.image import ImagePlan, write_image

if TYPE_CHECKING:
    from pathlib import Path

LIBC, PYTHON, APPLE = (
    f"/nix/store/{letter * 32}-{name}" for letter, name in zip("abc", ("libc", "python", "apple"), strict=True)
)


def closure(root: Path) -> Closure:
    """apple needs python, and both need libc."""
    needs = {LIBC: (), PYTHON: (LIBC,), APPLE: (LIBC, PYTHON)}
    paths = (
        stored(root, {"bin/sh": Leaf(path.encode(), executable=True)}, name=path, references=references)
        for path, references in needs.items()
    )
    return Closure(paths=tuple(paths))


@pytest.fixture
def plan(tmp_path: Path) -> ImagePlan:
    return ImagePlan(
        closure=closure(tmp_path / "store"),
        arch="amd64",
        variables={"PATH": f"{PYTHON}/bin", "A": "1=2"},
        command=(f"{PYTHON}/bin/python3",),
        labels={"org.repro-envs.lock": "sha256:ab", "a": "b"},
        links={"/bin/sh": f"{LIBC}/bin/sh", "/usr/bin/env": f"{LIBC}/bin/sh"},
        epoch=1_700_000_000,
    )


def written(plan: ImagePlan, folder: Path, name: str = "localhost/ci-envs:leg", root: str = "store") -> Image:
    """The image, read back by what reads everybody's; every digest is computed."""
    folder.mkdir()
    told = write_image(plan, name, folder / "image.tar", folder / "room", root=folder.parent / root)
    image = read_image(folder / "image.tar")
    assert (told.manifest, told.config) == (image.manifest, image.config_digest)
    assert told.layers == tuple(layer.diff_id for layer in image.layers)
    return image


def test_the_most_popular_path_lies_lowest_and_what_is_ours_on_top(plan: ImagePlan, tmp_path: Path) -> None:
    image = written(plan, tmp_path / "out")
    assert [layer.command for layer in image.layers[:-1]] == [LIBC, PYTHON, APPLE]
    files = [[entry.path for entry in image.files(layer)] for layer in image.layers]
    assert files[0] == ["nix", "nix/store", LIBC[1:], f"{LIBC[1:]}/bin", f"{LIBC[1:]}/bin/sh"]
    assert files[-1] == [
        *("app", "bin", "bin/sh", "etc", "etc/group", "etc/nsswitch.conf", "etc/passwd", "root", "tmp"),
        *("usr", "usr/bin", "usr/bin/env", "var", "var/tmp"),
    ]


def test_the_configuration_says_what_engines_ask(plan: ImagePlan, tmp_path: Path) -> None:
    config = written(plan, tmp_path / "out").config
    assert {key: config[key] for key in ("os", "architecture", "created")} == {
        "os": "linux",
        "architecture": "amd64",
        "created": "2023-11-14T22:13:20Z",
    }
    assert config["config"] == {
        "Env": ["A=1=2", f"PATH={PYTHON}/bin"],
        "Cmd": [f"{PYTHON}/bin/python3"],
        "WorkingDir": "/app",
        "Labels": {"a": "b", "org.repro-envs.lock": "sha256:ab"},
        "StopSignal": "SIGINT",
    }
    assert {entry["created"] for entry in config["history"]} == {"2023-11-14T22:13:20Z"}


def test_an_entry_comes_before_the_words_of_who_runs_it(plan: ImagePlan, tmp_path: Path) -> None:
    image = written(replace(plan, entry=("python3", "-m", "app")), tmp_path / "out")
    assert image.config["config"]["Entrypoint"] == ["python3", "-m", "app"]


def test_there_are_no_more_layers_than_were_asked_for(plan: ImagePlan, tmp_path: Path) -> None:
    image = written(replace(plan, most=3), tmp_path / "out")
    assert [layer.command for layer in image.layers[:2]] == [LIBC, f"{PYTHON} {APPLE}"]
    assert len(image.layers) == 3
    assert len(written(replace(plan, most=2), tmp_path / "two").layers) == 2


def test_the_archive_is_the_same_at_another_place_under_another_umask(plan: ImagePlan, tmp_path: Path) -> None:
    written(plan, tmp_path / "one")
    before = os.umask(0o077)
    try:
        again = replace(plan, closure=closure(tmp_path / "second"))
        again = replace(again, closure=Closure(paths=tuple(reversed(again.closure.paths))))
        written(again, tmp_path / "other", root="second")
    finally:
        os.umask(before)
    digests = [hashlib.sha256((tmp_path / name / "image.tar").read_bytes()).hexdigest() for name in ("one", "other")]
    assert digests[0] == digests[1]


def test_its_name_is_no_part_of_it(plan: ImagePlan, tmp_path: Path) -> None:
    one, other = written(plan, tmp_path / "one"), written(plan, tmp_path / "other", "registry.example/app:1.0")
    assert one.manifest == other.manifest


def test_engines_that_read_no_layout_find_what_docker_save_wrote_before(plan: ImagePlan, tmp_path: Path) -> None:
    image = written(plan, tmp_path / "out", "docker.io/library/app:1.0")
    with tarfile.open(tmp_path / "out/image.tar") as tar:
        names = tar.getnames()
        document = tar.extractfile("manifest.json")
        assert document is not None
        old = document.read().decode()
    config = image.config_digest.replace(":", "/")
    assert f'"Config":"blobs/{config}","RepoTags":["app:1.0"]' in old
    assert names[:3] == ["oci-layout", "index.json", "manifest.json"]
    assert all(f"blobs/{layer.digest.replace(':', '/')}" in names for layer in image.layers)


def test_a_store_that_was_altered_gives_no_archive(plan: ImagePlan, tmp_path: Path) -> None:
    (tmp_path / "store" / PYTHON[1:] / "bin/more").touch()
    with pytest.raises(BuildError, match="python was altered"):
        written(plan, tmp_path / "out")
    assert not (tmp_path / "out/image.tar").exists()


def test_a_run_that_is_stopped_writes_no_archive(
    plan: ImagePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "stopping", lambda: True)
    with pytest.raises(InterruptedRun, match="while the image was written"):
        written(plan, tmp_path / "out")
    assert not (tmp_path / "out/image.tar").exists()
