"""Which files have changed, as git says: between a commit that is known to be the base and the one that is checked out.

Where that cannot be known for sure, it is not guessed: a shallow clone, another commit than the event's, no git.
"""

from __future__ import annotations

import os
import re
import tomllib
from typing import TYPE_CHECKING, Any

from ci_envs import command
from ci_envs.errors import ToolMissing, UsageError
from ci_envs.github.event import Base
from ci_envs.planning.changes import Changes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["changed_configuration", "changes_since", "named_base"]

#: Seconds.
_PATIENCE = 120.0

_REVISION = re.compile(r"[\w@][\w./@{}~^+-]*")

# Plumbing, which no setting of a user changes but those that are named here (git-diff-tree(1), git-config(1)).
_DIFF = (
    "diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-relative", "--no-ext-diff", "--no-textconv",
    "--ignore-submodules=none", "--no-commit-id",
)  # fmt: skip


def named_base(revision: str) -> Base:
    """The base that a person named; :class:`UsageError` where it cannot be a revision."""
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise UsageError(f"--base {revision!r} is no revision", hint="for example origin/main, or HEAD~1")
    return Base("HEAD", revision, revision)


def changes_since(bases: Sequence[Base], root: Path, environ: Mapping[str, str]) -> tuple[Changes | None, str]:
    """What has changed between the first of the bases that can be had and the checked-out commit, else why not."""
    if not bases:
        return None, "nothing says what it could be compared with"
    git = _Git(root, environ)
    try:
        prefix = git("rev-parse", "--show-prefix")
        head = git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if prefix is None or head is None:
            return None, "this is no checkout of git, or git cannot read it"
        head = head.strip()
        for base in bases:
            if base.head not in ("HEAD", head) or (base.of_merge and git.commit("HEAD^2") is None):
                continue
            revision = git.commit(base.revision)
            listed = git(*_DIFF, revision, head, "--") if revision else None
            if revision and listed is not None:
                files = tuple(name for name in listed.split("\0") if name)
                name = f"{base.name} ({revision[:12]})"
                return Changes(files=files, prefix=prefix.removesuffix("\n"), base=name, revision=revision), ""
    except ToolMissing as error:
        return None, error.message
    return None, f"{bases[0].name} is not in this clone (a deeper one, fetch-depth, may have it)"


def changed_configuration(changes: Changes, root: Path, environ: Mapping[str, str]) -> list[str]:
    """The root's files of configuration that say something else now, relative to it."""
    found = [name for name in ("ci-envs.yml",) if changes.prefix + name in changes.files]
    if f"{changes.prefix}pyproject.toml" in changes.files:
        git = _Git(root, environ)
        before, now = (_table(git("cat-file", "blob", f"{at}:./pyproject.toml")) for at in (changes.revision, "HEAD"))
        found += ["pyproject.toml"] if before != now else []
    return found


def _table(text: str | None) -> Any:
    """``[tool.ci-envs]`` of a ``pyproject.toml``; what cannot be read is not the same as anything else."""
    try:
        tool = tomllib.loads(text or "").get("tool", {})
        return tool.get("ci-envs", {}) if isinstance(tool, dict) else object()
    except (tomllib.TOMLDecodeError, RecursionError):
        return object()


class _Git:
    """Asks git in one folder."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self._root = root
        # A hook's GIT_DIR would be another repository. GIT_CONFIG_* may say that the folder's owner is to be trusted.
        kept = {n: v for n, v in environ.items() if not n.upper().startswith("GIT_") or n.startswith("GIT_CONFIG")}
        own = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
        self._env = {**kept, **own}

    def __call__(self, *words: str) -> str | None:
        """What it prints; ``None`` where it fails, or says more than is kept."""
        argv = ("git", "-C", os.fspath(self._root), *words)
        # Raw: a password that is an ordinary word must not hide a file of that name.
        outcome = command.run(command.Command(argv, env=self._env, timeout=_PATIENCE, raw=True))
        whole = len(outcome.stdout) < command.CAPTURE_LIMIT // 4  # in characters, of four bytes at most
        return outcome.stdout if outcome and whole else None

    def commit(self, revision: str) -> str | None:
        """The commit that a revision means, where this clone has it."""
        found = self("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        return found.strip() if found else None
