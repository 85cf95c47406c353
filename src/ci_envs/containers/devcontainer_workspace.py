"""The copy of a project that a dev container has as its workspace.

What runs in it (``postCreateCommand``, tests) writes into its workspace, and a person's own folder is nobody's to
write to.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from pathlib import Path

from ci_envs.errors import UsageError
from ci_envs.sources import files_but_caches, listed_by_git

__all__ = ["stage_workspace", "workspace_path"]

_ODD = re.compile(r"[^A-Za-z0-9._-]+")


def workspace_path(prefix: Path, root: Path) -> Path:
    """Where the copy lies. It is called as the project's folder is, since the container sees that name.

    :class:`UsageError` where the path has a comma, which separates the parts of a mount.
    """
    path = prefix / "workspace" / (_ODD.sub("-", root.name).strip("-.") or "project")
    if "," in str(path):
        raise UsageError(
            f"{str(path)!r} has a comma, so that it cannot be mounted in a container",
            hint="name another folder with CI_ENVS_STATE_DIR",
        )
    return path


def stage_workspace(root: Path, target: Path) -> None:
    """Copies what a fresh clone of the project has, and what stands there uncommitted; ``target`` must not exist yet.

    Where git has nothing to say, it is every file but those of environments and caches. The history is copied with it
    where it lies in the project's folder: versions of packages are made from it.
    """
    target.mkdir(parents=True)
    for name in listed_by_git(root) or files_but_caches(root):
        _copy(root / name, target / name)
    if (root / ".git").is_dir():
        shutil.copytree(root / ".git", target / ".git", symlinks=True, ignore=_no_files)
    if sys.platform != "win32" and os.geteuid() == 0:
        _open(target)


def _open(top: Path) -> None:
    """Lets everybody inside write to the copy, since what is root's here may be used by anybody there.

    For any other user of this machine the tool gives the container's user the same number. No other user of this
    machine comes near the copy: a folder above it is closed.
    """
    for folder, _, names in os.walk(top):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            if not path.is_symlink():
                mode = stat.S_IMODE(path.stat().st_mode)
                path.chmod(mode | 0o666 | (0o111 if mode & 0o111 else 0))


def _copy(source: Path, target: Path) -> None:
    try:
        mode = source.lstat().st_mode
    except OSError:  # git knows it, and somebody has removed it
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISDIR(mode):  # a submodule
        shutil.copytree(source, target, symlinks=True, ignore=_no_files, dirs_exist_ok=True)
    elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        shutil.copy2(source, target, follow_symlinks=False)


def _no_files(folder: str, names: list[str]) -> set[str]:
    """Sockets, pipes and devices: git's own watcher of the file system leaves one."""
    return {name for name in names if not _can_be_copied(Path(folder, name))}


def _can_be_copied(path: Path) -> bool:
    mode = path.lstat().st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)
