"""Conda's package files, carried from job to job, and the wheels of a ``pip:`` part beside them."""

from __future__ import annotations

import hashlib
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from tests.component.conda_programs import finding, record_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.component.conda_program_fixtures import MakeConda
    from tests.component.program import Program
    from tests.support.channel_server import ChannelServer
    from tests.support.index import Index

pytestmark = [pytest.mark.component, pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")]
pytest_plugins = ("tests.component.conda_program_fixtures",)


@pytest.fixture
def job(make_conda: MakeConda, stood: Program, fruit: Path, tmp_path: Path) -> Program:
    """A project with its lock, whose first job has filled the cache.

    The channel's Python has too little of a standard library to run pip, which would keep the wheel.
    """
    program = make_conda("project")
    shutil.copytree(stood.root, program.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".ci-envs"))
    program.env |= {"CI": "true", "CI_ENVS_PACKAGES_DIR": str(tmp_path / "carried")}
    again(program)
    (wheel,) = fruit.glob("plum-*.whl")
    (leg,) = (tmp_path / "carried").iterdir()
    folder = leg / hashlib.sha256(wheel.read_bytes()).hexdigest()
    folder.mkdir()
    shutil.copy(wheel, folder)
    return program


def again(program: Program) -> None:
    """A job on a new machine, which has nothing but what a cache carries."""
    for path in (program.state, program.cache):
        shutil.rmtree(path, ignore_errors=True)
    done = program.run()
    assert done.code == 0, done.said


def carried(program: Program) -> list[Path]:
    (leg,) = (program.root.parent / "carried").iterdir()
    return sorted(leg.glob("*/*"))


def test_a_good_cache_asks_neither_channel_nor_index(
    job: Program, stood: Program, lean_server: ChannelServer, fruit_index: Index
) -> None:
    assert {path.name.partition("-")[0] for path in carried(job)} >= {"python", "hello", "apple", "plum"}
    lean_server.heal()
    before = len(fruit_index.requests)

    again(job)

    assert (lean_server.downloads, len(fruit_index.requests)) == ([], before)
    assert job.digest == stood.digest
    assert not record_of(job).findings
    recorded = (path.read_text("utf-8") for path in job.prefix.glob("conda-meta/*.json"))
    assert all("carried" not in text and '"file:' not in text for text in recorded)


def alter(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def another_package(path: Path) -> None:
    """The channel's own file of another package."""
    other = next(one for one in path.parents[1].glob("*/*") if one.suffix == path.suffix and one != path)
    path.unlink()
    shutil.copy(other, path)


def a_link(path: Path) -> None:
    path.symlink_to(path.rename(path.parents[3] / path.name))


@pytest.mark.parametrize("poison", [alter, another_package, a_link])
def test_a_poisoned_cache_is_refused_and_what_is_built_is_clean(
    job: Program, stood: Program, lean_server: ChannelServer, poison: Callable[[Path], None]
) -> None:
    (path,) = (path for path in carried(job) if path.name.startswith("hello-native"))
    poison(path)
    lean_server.heal()

    again(job)

    found = finding(job, "ENV121")
    assert found.severity == "warning"
    assert "hello-native" in found.message
    assert [name for name in lean_server.downloads if "hello-native" in name]
    assert job.digest == stood.digest
    again(job)
    assert not record_of(job).findings
