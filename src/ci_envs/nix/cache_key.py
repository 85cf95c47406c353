"""The key that signs what is put into binary caches of ours."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_envs.cache import cache_root, usable_folder
from ci_envs.errors import BrokenError
from ci_envs.layout import held, remove_tree
from ci_envs.nix.failures import build_error, failure_of
from ci_envs.nix.tool import run_classic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ci_envs.nix.tool import Nix
    from ci_envs.work import Work

__all__ = ["Key", "found_key", "own_key"]


@dataclass(frozen=True, slots=True)
class Key:
    """What signs."""

    #: The file that holds ``NAME:BASE64``; nobody but its owner may read it.
    secret: Path
    #: ``NAME:BASE64``; a signature begins with the name.
    public: str


def found_key(environ: Mapping[str, str]) -> Key | None:
    """The key where there is one. Its public half alone is enough to trust what it has signed."""
    folder = _folder(environ)
    try:
        return Key(folder / "key", (folder / "key.pub").read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None


def own_key(work: Work, nix: Nix) -> Key:
    """The key, made at its first use. No other has its name, since nix goes by the names of keys.

    :class:`BrokenError` where it cannot be written or read.
    """
    usable_folder(cache_root(work.environ))
    folder = _folder(work.environ)
    folder.mkdir(exist_ok=True)
    with held(folder / "key.lock", "another run makes the key of binary caches"):
        found = found_key(work.environ)
        if found is None or not found.secret.is_file():
            _make(work, nix, folder)
            found = found_key(work.environ)
    if found is None:
        raise BrokenError(f"the key in {folder} cannot be read")
    return found


def _folder(environ: Mapping[str, str]) -> Path:
    return cache_root(environ) / "nix"


def _make(work: Work, nix: Nix, folder: Path) -> None:
    made = folder / "new"
    remove_tree(made)
    made.mkdir(mode=0o700)
    secret, public = made / "key", made / "key.pub"
    try:
        words = ("--generate-binary-cache-key", f"ci-envs-{secrets.token_hex(4)}", str(secret), str(public))
        outcome = run_classic(work, nix, "nix-store", *words, network=False)
        if not outcome:
            raise build_error(failure_of(outcome, work))
        secret.chmod(0o600)
        for file in (secret, public):  # who finds the second finds both
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(made, ignore_errors=True)
