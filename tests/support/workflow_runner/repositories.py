"""What is on the server: git repositories by their full names, and files of them at a commit."""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_envs.command import Command, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Repository", "git"]

#: Commits of one content are one commit, whoever makes them when: nothing of the machine's git is in them.
_PERSON = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Test"), ("EMAIL", "test@example.invalid"), ("DATE", "2026-01-01T00:00:00Z"))
}

#: Jobs of one matrix want the same action at once.
_EXPORTING = threading.Lock()


def git(folder: Path, *words: str) -> str:
    """What git says, in that folder and without anybody's configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env = {**kept, **_PERSON, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    outcome = run(Command(("git", *words), cwd=folder, env=env, timeout=120))
    if not outcome:
        raise RuntimeError(f"git {' '.join(words)} failed in {folder}:\n{outcome.tail()}")
    return outcome.stdout.strip()


@dataclass(frozen=True)
class Repository:
    """A repository that the server has; its folder is a work tree in which a test may commit."""

    name: str
    folder: Path
    default_branch: str = "main"

    @classmethod
    def make(cls, name: str, folder: Path, files: Mapping[str, str | bytes] | None = None) -> Repository:
        """A new one, whose first commit holds what is in the folder and these files."""
        folder.mkdir(parents=True, exist_ok=True)
        git(folder, "init", "-q", "-b", "main")
        # Any commit may be fetched by its id, as it may from the service.
        git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
        made = cls(name, folder)
        made.commit("first", files or {})
        return made

    def commit(self, message: str, files: Mapping[str, str | bytes | None]) -> str:
        """Writes the files, removes those that are None, commits all there is; answers with the commit's id."""
        for relative, content in files.items():
            path = self.folder / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "-q", "--allow-empty", "-m", message)
        return self.sha("HEAD")

    def sha(self, ref: str) -> str:
        """The commit that a branch, a tag or an id names."""
        return git(self.folder, "rev-parse", "--verify", f"{ref}^{{commit}}")

    def read(self, sha: str, path: str) -> str:
        """A file at a commit; :class:`FileNotFoundError` where there is none."""
        try:
            return git(self.folder, "show", f"{sha}:{path}") + "\n"
        except RuntimeError as error:
            raise FileNotFoundError(f"{self.name} has no {path} at {sha}") from error

    def has(self, sha: str, path: str) -> bool:
        """Whether there is such a file at a commit."""
        return bool(git(self.folder, "ls-tree", sha, "--", path))

    def clone(self, sha: str, target: Path, depth: int) -> None:
        """What ``actions/checkout`` leaves: that commit, detached, with as much history as was asked for (0: all)."""
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            for child in target.iterdir():
                shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        git(target, "init", "-q")
        git(target, "remote", "add", "origin", self.folder.as_uri())
        words = [f"--depth={depth}", "origin"] if depth else ["origin", "+refs/heads/*:refs/remotes/origin/*"]
        git(target, "fetch", "-q", "--no-tags", *words, sha)
        git(target, "checkout", "-q", "--detach", sha)

    def export(self, sha: str, target: Path) -> Path:
        """The files of a commit without its history, as the runner brings actions; made once."""
        with _EXPORTING:
            return self._export(sha, target)

    def _export(self, sha: str, target: Path) -> Path:
        if not target.is_dir():
            part = target.with_name(f"{target.name}.part")
            self.clone(sha, part, 1)
            shutil.rmtree(part / ".git")
            part.rename(target)
        return target
