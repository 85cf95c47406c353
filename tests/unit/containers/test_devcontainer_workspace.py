"""The copy of a project that a dev container works in; where git has nothing to say (no process runs here)."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ci_envs import command
from ci_envs.containers.devcontainer_workspace import stage_workspace, workspace_path
from ci_envs.errors import ToolMissing, UsageError

_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture(autouse=True)
def no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: command.Command) -> command.Outcome:
        raise ToolMissing("there is no git")

    monkeypatch.setattr(command, "run", refuse)


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def listed(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir())


def test_everything_but_environments_and_caches_is_copied(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    kept = (".devcontainer/devcontainer.json", "locks/uv.txt", "src/demo.py", "Makefile")
    left = (
        ".venv/pyvenv.cfg",
        ".venv/bin/python",
        ".ci-envs/CACHEDIR.TAG",
        "src/__pycache__/demo.pyc",
        "node_modules/a",
    )
    write(root, *kept, *left)
    stage_workspace(root, tmp_path / "copy")
    assert listed(tmp_path / "copy") == sorted(kept)


def test_the_history_is_copied_and_no_socket_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "demo"
    write(root, ".git/HEAD", ".git/objects/aa/bb", "a.py")
    monkeypatch.chdir(root / ".git")  # a socket's path may have 107 bytes, and pytest's folders are deep
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("fsmonitor")
        stage_workspace(root, tmp_path / "copy")
    assert listed(tmp_path / "copy") == [".git/HEAD", ".git/objects/aa/bb", "a.py"]


def test_links_stay_links_and_pipes_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    write(root, "a.py")
    write(tmp_path, "outside")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "nowhere").symlink_to("missing")
    os.mkfifo(root / "pipe")
    stage_workspace(root, tmp_path / "copy")
    assert listed(tmp_path / "copy") == ["a.py", "nowhere", "out"]
    assert (tmp_path / "copy" / "out").readlink() == tmp_path / "outside"


def test_modes_are_kept(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    write(root, "run.sh")
    (root / "run.sh").chmod(0o755)
    stage_workspace(root, tmp_path / "copy")
    assert (tmp_path / "copy" / "run.sh").stat().st_mode & 0o777 == (0o777 if _ROOT else 0o755)


@pytest.mark.skipif(not _ROOT, reason="the tool gives the container's user the number of any other user")
def test_what_is_roots_here_can_be_written_by_whoever_is_inside(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    write(root, "src/a.py")
    (root / "link").symlink_to("/etc/passwd")
    mode = Path("/etc/passwd").stat().st_mode
    stage_workspace(root, tmp_path / "copy")
    modes = {path.name: path.lstat().st_mode & 0o777 for path in (tmp_path / "copy").rglob("*")}
    assert modes == {"src": 0o777, "a.py": 0o666, "link": 0o777}
    assert Path("/etc/passwd").stat().st_mode == mode


def test_the_copy_is_called_as_the_project_is() -> None:
    assert workspace_path(Path("/state/leg"), Path("/home/me/demo")) == Path("/state/leg/workspace/demo")
    assert workspace_path(Path("/state/leg"), Path("/home/me/my demo, 2")).name == "my-demo-2"
    assert workspace_path(Path("/state/leg"), Path("/")).name == "project"


def test_a_path_that_cannot_be_mounted_is_refused() -> None:
    with pytest.raises(UsageError, match="has a comma"):
        workspace_path(Path("/a,b/leg"), Path("/home/me/demo"))
