"""Under which keys a job keeps its caches: worked out from the lock and the interpreter, before the leg runs."""

from __future__ import annotations

import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.component.running import PYTHON, run_verb, snapshot
from tests.support.action_runner import read_command_file
from tests.support.projects import private_environment, write_project

from ci_envs.action.preparing import prepare
from ci_envs.machine import arch_name, os_name
from ci_envs.model.leg import make_leg

if TYPE_CHECKING:
    from tests.support.index import Index

pytestmark = pytest.mark.component

PYPROJECT = """\
[project]
name = "basket"
version = "1"
requires-python = ">=3.11"
dependencies = ["apple<2"]

[tool.uv]
package = false
"""
TAG = f"py{PYTHON.replace('.', '')}"


@pytest.fixture
def job(fruit_index: Index, tmp_path: Path) -> dict[str, str]:
    """A job whose repository has a locked project."""
    repo = write_project(tmp_path / "repo", {"pyproject.toml": PYPROJECT})
    (tmp_path / "temp").mkdir()
    env = private_environment(fruit_index.url, tmp_path / "home", tmp_path / "cache")
    assert run_verb(["lock", "--pattern=uv", f"--python={PYTHON}", "-q"], env, repo).code == 0
    shutil.rmtree(repo / ".ci-envs", ignore_errors=True)
    return {
        **env,
        "CI": "true",
        "CI_ENVS_ACTION": "environment",
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_OUTPUT": str(tmp_path / "outputs"),
        "GITHUB_WORKSPACE": str(repo),
        "INPUT_PATTERN": "uv",
        "INPUT_PYTHON_VERSION": PYTHON,
        "INPUT_WORKING_DIRECTORY": str(repo),
        "ImageOS": "ubuntu24",
        "ImageVersion": "20261115.1.0",
        "RUNNER_ARCH": "X64",
        "RUNNER_OS": "Linux",
        "RUNNER_TEMP": str(tmp_path / "temp"),
    }


def outputs(job: dict[str, str], tmp_path: Path, **inputs: str) -> dict[str, str]:
    """What the step `prepare` tells the job."""
    (tmp_path / "outputs").unlink(missing_ok=True)
    prepare({**job, **{f"INPUT_{name.upper()}": value for name, value in inputs.items()}})
    return read_command_file(tmp_path / "outputs")


def key(job: dict[str, str], tmp_path: Path, **inputs: str) -> str:
    return outputs(job, tmp_path, **inputs)["cache-key"]


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_a_key_names_what_package_files_depend_on(job: dict[str, str], tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    before = snapshot(repo, state=True)

    told = outputs(job, tmp_path)

    version = ".".join(map(str, sys.version_info[:3]))
    parts = rf"ci-envs-packages-[\w.+]+-linux-x64-ubuntu24\.20261115\.1\.0-uv-cpython{version}\.[0-9a-f]{{8}}"
    assert re.fullmatch(rf"{parts}-[0-9a-f]{{32}}", told["cache-key"]), told
    assert told["cache"] == "true"
    assert list((tmp_path / "temp").iterdir()) == []
    assert told["cache-dir"].startswith(str(tmp_path / "temp" / "ci-envs-packages" / f"uv-{TAG}-"))
    assert snapshot(repo, state=True) == before


def test_a_key_goes_by_what_the_lock_pins_and_not_by_its_bytes(job: dict[str, str], tmp_path: Path) -> None:
    first, lock = key(job, tmp_path), tmp_path / "repo" / "uv.lock"
    (tmp_path / "repo" / "README.md").write_text("no dependency\n")
    assert key(job, tmp_path) == first

    lock.write_text(lock.read_text("utf-8") + "\n# another line\n", "utf-8")
    assert key(job, tmp_path) == first

    pinned = re.search(r"apple-1\.1-py3-none-any\.whl.*sha256:([0-9a-f]{64})", lock.read_text("utf-8"))
    assert pinned is not None
    change(lock, pinned[1], "0" * 64)
    assert key(job, tmp_path) != first


def test_a_key_of_a_leg_is_that_of_the_same_environment(job: dict[str, str], tmp_path: Path) -> None:
    told = outputs(job, tmp_path)

    assert outputs(as_leg(job), tmp_path) == told


def as_leg(job: dict[str, str]) -> dict[str, str]:
    """The same environment as a leg of a matrix."""
    matrix = f'axes:\n  pattern: [uv]\n  python: ["{PYTHON}"]\n'
    write_project(Path(job["GITHUB_WORKSPACE"]), {"matrices/default.yml": matrix})
    leg = make_leg(pattern="uv", python=PYTHON, os=os_name(), arch=arch_name()).id
    return {**job, "CI_ENVS_ACTION": "leg", "INPUT_LEG": leg}


def test_an_environment_has_a_key_of_its_own_where_that_was_asked_for(job: dict[str, str], tmp_path: Path) -> None:
    packages = outputs(as_leg(job), tmp_path)
    told = outputs(as_leg(job), tmp_path, cache_environment="true")

    assert (packages["environment-cache-key"], packages["environment-dir"]) == ("", "")
    assert told["cache-key"] == packages["cache-key"]
    assert told["environment-cache-key"].startswith("ci-envs-environment-")
    assert told["environment-dir"] != told["cache-dir"]


def test_an_environment_is_found_at_its_own_path_alone(job: dict[str, str], tmp_path: Path) -> None:
    first = outputs(as_leg(job), tmp_path, cache_environment="true")
    moved = (tmp_path / "repo").rename(tmp_path / "moved")
    there = {**job, "GITHUB_WORKSPACE": str(moved), "INPUT_WORKING_DIRECTORY": str(moved)}

    second = outputs(as_leg(there), tmp_path, cache_environment="true")

    assert second["cache-key"] == first["cache-key"]
    assert second["environment-cache-key"] not in ("", first["environment-cache-key"])


def test_what_the_next_job_could_not_prove_has_no_key(job: dict[str, str], tmp_path: Path) -> None:
    change(tmp_path / "repo" / "pyproject.toml", "package = false", "package = true")

    assert outputs(as_leg(job), tmp_path, cache_environment="true", lock_mode="frozen")["environment-cache-key"] == ""


def test_no_environment_is_kept_where_no_cache_is(job: dict[str, str], tmp_path: Path) -> None:
    told = outputs(as_leg(job), tmp_path, cache_environment="true", enable_cache="false")

    assert (told["cache"], told["environment-cache-key"]) == ("false", "")


def test_a_suffix_keeps_caches_apart(job: dict[str, str], tmp_path: Path) -> None:
    assert "-mine-" in key(job, tmp_path, cache_suffix="mine")


@pytest.mark.parametrize("mode", ["locked", "frozen"])
def test_where_there_is_no_lock_that_there_must_be_there_is_no_cache(
    job: dict[str, str], tmp_path: Path, mode: str
) -> None:
    (tmp_path / "repo" / "uv.lock").unlink()

    told = outputs(job, tmp_path, lock_mode=mode)

    assert told.pop("cache") == "false"
    assert set(told.values()) == {""}


def test_a_lock_that_is_to_be_made_is_found_by_what_it_is_made_from_and_by_the_day(
    job: dict[str, str], tmp_path: Path
) -> None:
    in_sync = key(job, tmp_path, lock_mode="auto")
    assert in_sync == key(job, tmp_path)
    renewed = key(job, tmp_path, lock_mode="update")
    (tmp_path / "repo" / "uv.lock").unlink()

    made = key(job, tmp_path, lock_mode="auto")

    assert f".unlocked{datetime.now(UTC):%Y%m%d}-" in made
    assert len({in_sync, renewed, made}) == 3
    assert key(job, tmp_path, lock_mode="auto") == made
    change(tmp_path / "repo" / "pyproject.toml", "apple<2", "apple<1.1")
    assert key(job, tmp_path, lock_mode="auto") != made


def test_a_stale_lock_that_is_to_be_renewed_is_none(job: dict[str, str], tmp_path: Path) -> None:
    change(tmp_path / "repo" / "pyproject.toml", '"apple<2"', '"apple<2", "pear"')

    assert ".unlocked" in key(job, tmp_path, lock_mode="auto")


@pytest.mark.skipif(sys.platform == "win32", reason="links are not for everybody there")
def test_a_link_out_of_the_project_is_not_read(job: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "repo" / "uv.lock").unlink()
    before = key(job, tmp_path, lock_mode="update")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "repo" / "pylock.secret.toml").symlink_to(tmp_path / "secret")

    assert key(job, tmp_path, lock_mode="update") == before


@pytest.mark.parametrize("inputs", [{"python_version": "2.7"}, {"pattern": "nix"}, {"pattern": "docker"}])
def test_what_cannot_be_built_here_or_has_no_package_files_has_no_cache(
    job: dict[str, str], tmp_path: Path, inputs: dict[str, str]
) -> None:
    (tmp_path / "repo" / "Dockerfile").write_text("FROM scratch\n")

    assert outputs(job, tmp_path, **inputs)["cache"] == "false"
