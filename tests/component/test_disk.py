"""Disks that are full, and folders that cannot be written to: said plainly, never a pass, and nothing is lost.

Small disks are tmpfs mounts, which only root can make: elsewhere those tests are skipped, and say so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.component.program import FRUIT, LEG, PACKAGE, Done, Program, leftovers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.component, pytest.mark.skipif(sys.platform != "linux", reason="mounts tmpfs")]


@dataclass
class Disk:
    """A small disk."""

    path: Path

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)

    @contextlib.contextmanager
    def with_room_for(self, free: int) -> Iterator[None]:
        """All but so many bytes are taken, in whole pages."""
        found = os.statvfs(self.path)
        filler = self.path / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, found.f_bavail * found.f_frsize - free))
        try:
            yield
        finally:
            filler.unlink()


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    mounted: list[Path] = []

    def make(options: str) -> Disk:
        path = tmp_path / f"disk {len(mounted)}"
        path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=False, capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        mounted.append(path)
        return Disk(path)

    yield make
    for path in mounted:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def disk(make_disk: Callable[[str], Disk]) -> Disk:
    return make_disk("size=16m")


def on(disk: Disk, where: str, make_program: Callable[..., Program], files: dict[str, str] = FRUIT) -> Program:
    """A project with one of its folders on the small disk."""
    if where == "project":
        return make_program(f"{disk.path.name}/project", files)
    program = make_program("project", files)
    program.env[{"state": "CI_ENVS_STATE_DIR", "cache": "CI_ENVS_CACHE_DIR"}[where]] = str(disk.path / where)
    return program


def assert_it_says_that_the_disk_is_full(program: Program, done: Done) -> None:
    assert done.code != 0, done.said
    assert "the disk is full" in done.said, done.said
    assert "unexpected" not in done.said, done.said
    assert "Traceback" not in done.stderr.split("  | $")[0], done.said
    record = program.record
    if record is not None and not done.stderr.startswith("error: "):
        assert record.status == "broken", done.said
        assert "the disk is full" in record.reason


def test_bytecode_that_a_full_disk_cut_short_is_met_once_at_most(make_program: Callable[..., Program]) -> None:
    """Older Pythons take a short write for a whole one, and stumble over it from then on."""
    program = make_program("project")
    assert program.run().code == 0
    (compiled,) = (program.state / "bytecode").rglob("apple/__init__*.pyc")
    compiled.write_bytes(compiled.read_bytes()[:40])
    done = program.run("--stages=build,test")
    assert done.code == 8, done.said
    assert program.run().code == 0


KB = 1024


@pytest.mark.parametrize("where", ["state", "project", "cache"])
def test_a_first_run_on_a_full_disk_is_broken_and_the_next_one_with_room_is_green(
    where: str, disk: Disk, make_program: Callable[..., Program]
) -> None:
    program = on(disk, where, make_program)
    outcomes = []
    for free in (0, 8 * KB, 20 * KB, 64 * KB, 128 * KB, 400 * KB):
        with disk.with_room_for(free):
            done = program.run()
        outcomes.append(done.code == 0)
        if done.code:
            assert_it_says_that_the_disk_is_full(program, done)
        for path in program.root.glob("locks/*"):
            assert path.read_text(encoding="utf-8").count("==") == 5, "a lock is whole, or not there"
    assert outcomes[:3] == [False] * 3, "the disk was meant to be full"
    done = program.run()
    assert done.code == 0, done.said
    assert leftovers(program.root, program.state, program.cache) == []


@pytest.mark.parametrize("where", ["state", "cache", "project"])
def test_a_full_disk_leaves_the_old_environment_and_the_lock_as_they_were(
    where: str, disk: Disk, make_program: Callable[..., Program]
) -> None:
    program = on(disk, where, make_program)
    assert program.run().code == 0
    expected = program.digest
    (lock,) = (program.root / "locks").iterdir()
    before = lock.read_bytes()
    with (program.root / "requirements.in").open("a", encoding="utf-8") as file:
        file.write("melon\ncherry\nberry\nfig\n")
    for free in (0, 12 * KB, 48 * KB):
        with disk.with_room_for(free):
            done = program.run("--fresh")
        assert_it_says_that_the_disk_is_full(program, done)
        assert program.digest == expected
        assert lock.read_bytes() == before or b"melon" in lock.read_bytes(), "the old lock or the new one, whole"
        assert leftovers(program.root, program.state, program.cache) == []
    done = program.run()
    assert done.code == 0, done.said
    assert b"melon" in lock.read_bytes()
    assert program.digest != expected
    assert len(list((program.state / "bytecode" / LEG).iterdir())) == 1, "that of the old environment is gone"


def test_a_lock_for_which_there_is_no_room_stays_what_it_was(
    disk: Disk, make_program: Callable[..., Program], tmp_path: Path
) -> None:
    """State and cache are elsewhere: only the lock file meets the full disk."""
    for number, files in enumerate((FRUIT, PACKAGE)):
        program = make_program(f"{disk.path.name}/project{number}", files)
        program.env["CI_ENVS_STATE_DIR"] = str(tmp_path / f"state{number}")
        assert program.run().code == 0
        (lock,) = (*program.root.glob("locks/*"), *program.root.glob("uv.lock"))
        before = lock.read_bytes()
        intent = program.root / ("requirements.in" if files is FRUIT else "pyproject.toml")
        text = intent.read_text(encoding="utf-8")
        intent.write_text(text.replace("pear", "plum", 1), encoding="utf-8")
        with disk.with_room_for(0):
            done = program.run("--stages=lock")
            assert lock.read_bytes() == before
        assert_it_says_that_the_disk_is_full(program, done)
        assert [path.name for path in lock.parent.iterdir() if path.name.startswith((".tmp", ".uv", ".re"))] == []
        done = program.run("--stages=lock")
        assert done.code == 0, done.said


def test_tests_that_meet_a_full_disk_are_broken_and_not_failed(
    disk: Disk, make_program: Callable[..., Program]
) -> None:
    program = on(disk, "project", make_program)
    (program.root / "fills.py").write_text("open('out', 'wb').write(bytes(64 << 20))\n", encoding="utf-8")
    (program.root / "ci-envs.yml").write_text("test: {command: python fills.py}\n", encoding="utf-8")
    done = program.run()
    assert_it_says_that_the_disk_is_full(program, done)
    (program.root / "out").unlink()
    (program.root / "fills.py").write_text("", encoding="utf-8")
    assert program.run().code == 0


def test_a_disk_without_inodes_is_full_too(
    make_disk: Callable[[str], Disk], make_program: Callable[..., Program]
) -> None:
    disk = make_disk("size=16m,nr_inodes=40")
    program = on(disk, "state", make_program)
    assert_it_says_that_the_disk_is_full(program, program.run())
    disk.remount("nr_inodes=4000")
    done = program.run()
    assert done.code == 0, done.said


@pytest.fixture
def read_only(disk: Disk, make_program: Callable[..., Program], tmp_path: Path) -> Program:
    """A project of which a lock is there, on a disk that can only be read."""
    program = make_program(f"{disk.path.name}/project", PACKAGE)
    program.env["CI_ENVS_STATE_DIR"] = str(tmp_path / "state before")
    assert program.run().code == 0
    del program.env["CI_ENVS_STATE_DIR"]
    disk.remount("ro")
    return program


def test_a_read_only_project_is_told_what_to_do(read_only: Program) -> None:
    done = read_only.run()
    assert done.code == 2, done.said
    assert "cannot write to" in done.stderr
    assert "CI_ENVS_STATE_DIR" in done.stderr
    assert "Traceback" not in done.said


def test_a_read_only_project_with_its_lock_runs_where_the_state_is_elsewhere(
    read_only: Program, tmp_path: Path
) -> None:
    read_only.env["CI_ENVS_STATE_DIR"] = str(tmp_path / "state of mine")
    done = read_only.run("--lock-mode=locked")
    assert done.code == 0, done.said
    record = read_only.record
    assert record is not None
    assert record.environment is not None
    assert record.environment.digest == read_only.digest
    done = read_only.do("exec", LEG, "--", "python", "-c", "import basket")
    assert done.code == 0, done.said


def test_a_lock_that_a_read_only_project_lacks_is_told(
    disk: Disk, make_program: Callable[..., Program], tmp_path: Path
) -> None:
    program = make_program(f"{disk.path.name}/project")
    program.env["CI_ENVS_STATE_DIR"] = str(tmp_path / "state")
    disk.remount("ro")
    done = program.run()
    assert done.code != 0
    assert "Read-only file system" in done.said
    assert "locks" in done.said
    assert "unexpected" not in done.said


@pytest.mark.parametrize("name", ["CI_ENVS_CACHE_DIR", "UV_CACHE_DIR"])
def test_a_cache_that_cannot_be_written_to_is_told(
    name: str, make_program: Callable[..., Program], tmp_path: Path
) -> None:
    """A file in its place stops root, too."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    program = make_program("project")
    program.env[name] = str(tmp_path / "file" / "cache")
    done = program.run()
    assert done.code != 0
    assert f"the cache folder {tmp_path / 'file' / 'cache'}" in done.said
    assert "cannot be written to" in done.said
    assert "unexpected" not in done.said
    record = program.record
    assert record is not None
    assert record.status == "broken"


def test_an_environment_with_closed_folders_is_built_anew_and_cleaned(make_program: Callable[..., Program]) -> None:
    """Go's module cache and some tests leave folders that nobody may write to, not even their owner."""
    program = make_program("project")
    assert program.run().code == 0
    closed = program.site / "closed" / "inner"
    closed.mkdir(parents=True)
    (closed / "file").write_text("", encoding="utf-8")
    closed.chmod(0)
    closed.parent.chmod(0o500)
    done = program.run()
    assert done.code == 0, done.said
    assert not closed.parent.exists()
    (program.prefix / "closed").mkdir(mode=0)
    assert program.do("clean").code == 0
    assert not program.state.exists()
    shutil.rmtree(program.root)
