"""Where the folder of a leg's binary cache is, and how nix is told of it."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.cache import cache_root
from ci_envs.errors import UsageError

if TYPE_CHECKING:
    from ci_envs.work import Work

__all__ = ["PRIORITY", "address_of", "cache_folder", "filled_cache"]

#: Caches with a lower number are asked first; cache.nixos.org has 40.
PRIORITY = 10

#: What nix takes in the address of a folder without asking whether it is to be decoded, which changed.
_PLAIN = re.compile(r"[A-Za-z0-9/._+@,=-]+")


def cache_folder(work: Work) -> Path | None:
    """``nix.cache`` of the configuration; :class:`UsageError` where a relative one lies outside of the project."""
    named = work.config.nix.cache
    if not named:
        return None
    folder = Path(named).expanduser()
    return folder if folder.is_absolute() else work.project.path(named)


def filled_cache(work: Work) -> Path | None:
    """The same where something was kept there."""
    folder = cache_folder(work)
    return folder if folder is not None and (folder / "nix-cache-info").is_file() else None


def address_of(work: Work, folder: Path) -> str:
    """The folder as nix takes it. Where its name would have to be encoded, which not every nix decodes, by a link."""
    if not _PLAIN.fullmatch(str(folder)):
        link = _folder_of_links(work) / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        if not link.is_symlink() or link.readlink() != folder:
            link.unlink(missing_ok=True)
            link.symlink_to(folder)
        folder = link
    return f"file://{folder}"


def _folder_of_links(work: Work) -> Path:
    """A folder of ours with a plain name: in our own cache folder, else among the machine's temporary ones."""
    user = os.getuid() if hasattr(os, "getuid") else 0  # Windows has no nix
    candidates = (cache_root(work.environ) / "nix" / "folders", Path(tempfile.gettempdir()) / f"ci-envs-nix-{user}")
    for folder in filter(lambda each: _PLAIN.fullmatch(str(each)), candidates):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022:
            return folder
    hint = "name a folder of plain letters with CI_ENVS_CACHE_DIR, or one for nix.cache"
    raise UsageError("nix cannot be told of a binary cache whose path has blanks or signs in it", hint=hint)
