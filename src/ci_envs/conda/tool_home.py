"""What conda, mamba and micromamba see of the person who runs them: a home of their own, with their credentials in it.

Settings in a user's own home could name other channels, other caches, packages to add; and conda and mamba write there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.conda.addresses import secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["named_secrets", "private_home", "write_private"]

#: Where credentials are kept below a home: netrc, mamba's, and anaconda-client's tokens.
_CREDENTIALS = (".netrc", "_netrc", ".mamba/auth", ".continuum", ".local/share/binstar", ".config/binstar")


def private_home(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Makes a home with nothing in it but ways to the user's credentials; the variables that name it."""
    folder.mkdir()
    known = environ.get("HOME") or environ.get("USERPROFILE")
    for name in _CREDENTIALS if known else ():
        source, link = Path(known or "", name), folder / name
        if source.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source, target_is_directory=source.is_dir())
    places = {"XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".local/share", "XDG_CACHE_HOME": ".cache"}
    homes = {"HOME": folder, "USERPROFILE": folder, **{name: folder / place for name, place in places.items()}}
    return {name: str(path) for name, path in homes.items()}


def named_secrets(addresses: Iterable[str]) -> dict[str, str]:
    """Tokens and passwords of addresses under names that say so: what a command is given so is masked in its log."""
    found = sorted({secret for address in addresses for secret in secrets(address) if secret})
    return {f"CI_ENVS_CHANNEL_{number}_TOKEN": secret for number, secret in enumerate(found)}


def write_private(path: Path, text: str) -> None:
    """Writes a new file that nobody else may read: addresses may hold credentials."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
