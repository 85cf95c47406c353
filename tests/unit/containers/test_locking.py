from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.support.projects import write_project
from tests.support.work import a_leg, a_work

from ci_envs.containers.base_images import BaseImage as KnownBase
from ci_envs.containers.dockerfile import BaseImage
from ci_envs.containers.locking import (
    images_for,
    images_in,
    known_bases,
    lock_images,
    lock_written,
    locked_images,
    together,
)
from ci_envs.containers.references import parse_reference
from ci_envs.errors import BrokenError, LockError
from ci_envs.model.config import Config, DockerConfig
from ci_envs.model.lock import Lock, Pin
from ci_envs.work import LockPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from ci_envs.work import Work

LEG = a_leg(pattern="docker")
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
IMAGE = "registry.example/python"
LOCKED = {"image": IMAGE, "tag": "3.12", "digest": A, "platforms": ["linux/amd64"], "when": "2026-11-21T00:00:00Z"}


def locks(*images: dict[str, Any]) -> str:
    return json.dumps({"version": 1, "images": list(images)})


def at(folder: Path, files: dict[str, str], mode: Any = "locked", **docker: Any) -> Work:
    work = a_work(write_project(folder, files), leg=LEG, config=Config(docker=DockerConfig(**docker)))
    work.policy = LockPolicy(mode=mode)
    return work


def named(name: str, line: int = 1) -> BaseImage:
    return BaseImage(line=line, text=name, reference=parse_reference(name), kind="FROM")


@pytest.mark.parametrize("mode", ["locked", "frozen"])
def test_an_image_that_is_not_locked_is_said_with_its_line_and_the_command(tmp_path: Path, mode: str) -> None:
    work = at(tmp_path, {"Dockerfile": f"ARG A\nFROM {IMAGE}:3.12\n"}, mode)
    with pytest.raises(LockError) as caught:
        lock_written(LEG, work, "Dockerfile")
    assert (caught.value.file, caught.value.line) == ("Dockerfile", 2)
    assert f"{IMAGE}:3.12" in caught.value.message
    assert "ci-envs lock" in caught.value.hint
    assert not (tmp_path / "docker.lock").exists()


def test_an_image_of_a_generated_dockerfile_that_is_not_locked_is_said_of_the_lock(tmp_path: Path) -> None:
    images = images_for([KnownBase(image=f"{IMAGE}:3.12")])
    with pytest.raises(LockError) as caught:
        lock_images(LEG, at(tmp_path, {}), images, {}, "")
    assert (caught.value.file, caught.value.line) == ("docker.lock", 0)


@pytest.mark.parametrize("mode", ["locked", "frozen", "auto"])
def test_a_lock_that_is_in_sync_needs_no_engine(tmp_path: Path, mode: str) -> None:
    work = at(tmp_path, {"Dockerfile": f"FROM {IMAGE}:3.12\n", "docker.lock": locks(LOCKED)}, mode)
    lock = lock_written(LEG, work, "Dockerfile")
    assert (lock.path, lock.format, lock.more, lock.covers) == ("Dockerfile", "docker", ("docker.lock",), ("image",))
    assert [(pin.name, pin.version, pin.hashes) for pin in lock.of("image")] == [(IMAGE, "3.12", (A,))]
    (finding,) = work.findings
    assert (finding.code, finding.severity, finding.line) == ("IMG001", "info", 1)
    assert f"{IMAGE}:3.12@{A}" in finding.message


def test_a_platform_that_the_lock_does_not_hold_for_is_missing(tmp_path: Path) -> None:
    files = {"Dockerfile": f"FROM {IMAGE}:3.12\n", "docker.lock": locks(LOCKED)}
    with pytest.raises(LockError, match="linux/arm64"):
        lock_written(LEG, at(tmp_path, files, platforms=("linux/arm64",)), "Dockerfile")


@pytest.mark.parametrize("line", [f"FROM {IMAGE}:3.12@{A}", f"FROM {IMAGE}@{A}", "FROM scratch"])
def test_what_carries_its_digest_needs_no_lock(tmp_path: Path, line: str) -> None:
    lock = lock_written(LEG, at(tmp_path, {"Dockerfile": f"{line}\n"}), "Dockerfile")
    assert lock.more == ()


def test_a_stage_that_the_target_does_not_need_needs_no_lock_either(tmp_path: Path) -> None:
    text = f"FROM {IMAGE}:3.12 AS one\nFROM registry.example/other:1 AS two\n"
    work = at(tmp_path, {"Dockerfile": text, "docker.lock": locks(LOCKED)}, target="one")
    assert lock_written(LEG, work, "Dockerfile").of("image")
    assert [image.needed for image in images_in(LEG, work, "Dockerfile")] == [True, False]


def test_nothing_is_looked_up_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = at(tmp_path, {"Dockerfile": f"FROM {IMAGE}:3.12\n"}, "auto")
    work.policy = LockPolicy(mode="auto", offline=True)
    monkeypatch.setattr("ci_envs.containers.locking.engine_for", lambda *_: None)  # nobody is asked anything
    with pytest.raises(BrokenError, match="cannot be looked up offline"):
        lock_written(LEG, work, "Dockerfile")
    lock_images(LEG, work, images_for([KnownBase(image=f"{IMAGE}:3.12")]), {f"{IMAGE}:3.12": B}, "")
    assert locked_images(work).by_key()[f"{IMAGE}:3.12"].digest == B
    assert {finding.code for finding in work.findings} >= {"IMG009", "LOCK003"}


def test_a_secret_in_the_dockerfile_is_found(tmp_path: Path) -> None:
    work = at(tmp_path, {"Dockerfile": "FROM scratch\nENV API_TOKEN=abc\n"})
    lock_written(LEG, work, "Dockerfile")
    assert [(finding.code, finding.line) for finding in work.findings] == [("IMG005", 2)]


def test_one_lock_of_both_covers_what_the_inner_one_does(tmp_path: Path) -> None:
    inner = Lock(path="requirements.txt", format="requirements", sha256="1", pins=(Pin(name="apple", version="1"),))
    without = together(at(tmp_path / "a", {}), inner, [])
    assert (without.more, without.pins, without.covers) == ((), inner.pins, inner.covers)
    one = together(at(tmp_path / "b", {"docker.lock": locks(LOCKED)}), inner, [named(f"{IMAGE}:3.12")])
    other = together(
        at(tmp_path / "c", {"docker.lock": locks(LOCKED | {"digest": B})}), inner, [named(f"{IMAGE}:3.12")]
    )
    assert one.more == ("docker.lock",)
    assert [pin.name for pin in one.pins] == ["apple", IMAGE]
    assert len({inner.sha256, without.sha256, one.sha256, other.sha256}) == 4
    assert len({without.digest, one.digest, other.digest}) == 3


def test_conda_packages_are_put_together_on_an_image_with_tools(tmp_path: Path) -> None:
    work = at(tmp_path, {}, base_image=f"{IMAGE}:3.12")
    inner = Lock(path="conda-lock.yml", format="conda-lock", sha256="1")
    both = known_bases(LEG, work, inner)
    assert both[0].image == f"{IMAGE}:3.12"
    assert len(known_bases(LEG, work, msgspec.structs.replace(inner, format="requirements"))) == 1
