"""What nix is given of a flake that lies in no git repository.

Of a repository nix copies into its store what git tracks. Of any other folder it copies all that is there: our own
environments and images, caches, what tests have left behind. That is slow, and each run makes another store path of
it, and so another shell. There nix is given a copy that has none of these.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ci_envs.errors import BrokenError, UsageError
from ci_envs.layout import disk_is_full, remove_tree
from ci_envs.locks.flake_lock import NAME as FLAKE_LOCK
from ci_envs.sources import files_but_caches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ci_envs.nix.described import Description
    from ci_envs.nix.tool import Nix
    from ci_envs.work import Work

__all__ = ["COPY", "as_nix_copies_it"]

#: It is called as nix calls its own copies, so that its files in a message are found to be the project's
#: (:mod:`ci_envs.nix.own_files`).
COPY = f"{'0' * 32}-source"

#: The first that makes a file's path an address by encoding it: https://github.com/NixOS/nix/pull/6614
_DECODES_SINCE = (2, 19)
# What an older one takes for no address, or for the end of one.
_ODD = re.compile(r"(?!%[0-9A-Fa-f]{2})[^A-Za-z0-9/._~!$&'\"()*+,;=:@-]")


@contextlib.contextmanager
def as_nix_copies_it(work: Work, nix: Nix, described: Description) -> Iterator[Description]:
    """The description with the folder that nix is told of; the copy is there for as long as the context is.

    What is no flake is evaluated where it lies, and is left as it is. :class:`UsageError` for a repository that this
    nix cannot read.
    """
    folder = described.path.parent
    if described.kind != "flake" or any((above / ".git").exists() for above in (folder, *folder.parents)):
        if described.kind == "flake" and not nix.at_least(*_DECODES_SINCE):
            _refuse_odd(folder, nix)
        yield described
        return
    top = work.temp / COPY
    copy = top / PurePosixPath(described.file).parent
    remove_tree(top)  # of a run that was killed
    try:
        _copy(folder, copy)
        yield replace(described, source=copy)
    finally:
        remove_tree(top)


def _refuse_odd(folder: Path, nix: Nix) -> None:
    """Encoded it would be another's repository to an older nix, of which it sees the last commit and writes no lock."""
    if odd := _ODD.search(str(folder)):
        message = f"nix {nix.version} cannot read a git repository whose path has {odd[0]!r} in it: {folder}"
        newer = ".".join(map(str, _DECODES_SINCE))
        raise UsageError(message, hint=f"move it, or update nix: {newer} and later can")


def _copy(folder: Path, copy: Path) -> None:
    name, names = "", list(files_but_caches(folder))  # the copy may lie in that folder
    try:
        copy.mkdir(parents=True)
        for name in names:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            _copy_file(folder / name, copy / name)
        # Of all that is in it the newest is the flake's `lastModified`, and these folders are of this very moment.
        for below, _, _ in os.walk(copy):
            os.utime(below, (0, 0))
    except OSError as error:
        if disk_is_full(error):
            raise BrokenError("the disk is full: the flake's files could not be copied for nix") from error
        raise UsageError(f"cannot be read: {error.strerror}", file=name) from error


def _copy_file(path: Path, target: Path) -> None:
    """One more name for the file, where the disk has it; nix writes to the lock alone."""
    mode = path.lstat().st_mode
    if stat.S_ISREG(mode) and target.name != FLAKE_LOCK:
        with contextlib.suppress(OSError):  # of another disk, or of somebody whose files may not be linked to
            os.link(path, target)
            return
    if stat.S_ISREG(mode) or stat.S_ISLNK(mode):  # nix knows no sockets and pipes
        shutil.copy2(path, target, follow_symlinks=False)
