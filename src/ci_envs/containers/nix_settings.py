"""What the user's configuration of nix says about where things are fetched from: builds inside of images heed it, too.

It is handed over as a secret, since it may hold tokens. What it says of builders, sandboxes, stores and paths is this
machine's and stays here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["fetching_settings", "trusted_keys", "with_caches"]

#: https://nix.dev/manual/nix/latest/command-ref/conf-file
_ABOUT_FETCHING = frozenset(
    (
        *("substitute", "substituters", "extra-substituters", "fallback"),
        *("trusted-public-keys", "extra-trusted-public-keys"),
        *("access-tokens", "extra-access-tokens", "connect-timeout"),
    )
)
#: Of these it is a list of addresses, of which those that are folders of this machine are nothing to a build.
_ADDRESSES = frozenset(("substituters", "extra-substituters"))

_LOCAL = ("file:", "/", "local", "daemon", "auto", "unix:")


def fetching_settings(environ: Mapping[str, str], root: Path = Path("/")) -> str:
    """Lines of a ``nix.conf``, in the order in which nix reads them: the machine's, the user's, NIX_CONFIG's.

    ``root`` is the folder of the system. Files that a ``nix.conf`` includes are read, too.
    """
    lines = [line for file in _files(environ, root) for line in _lines(file)]
    found = [_setting(line) for line in (*lines, *environ.get("NIX_CONFIG", "").splitlines())]
    return "".join(f"{name} = {value}\n" for name, value in found if value and name in _ABOUT_FETCHING)


def trusted_keys(settings: str) -> list[str]:
    """Those that such settings name."""
    rows = [line.partition(" = ") for line in settings.splitlines()]
    return [key for name, _, value in rows if name.endswith("trusted-public-keys") for key in value.split()]


def with_caches(settings: str, addresses: Sequence[str], keys: Sequence[str] = ()) -> str:
    """The settings with caches of ours, and what they are signed with. Who substitutes nothing has these alone."""
    if not addresses:
        return settings
    said = [line for line in settings.splitlines() if line.startswith("substitute = ")]
    named = " ".join(addresses)
    alone = said[-1:] == ["substitute = false"]
    more = f"substitute = true\nsubstituters = {named}\n" if alone else f"extra-substituters = {named}\n"
    trusted = f"extra-trusted-public-keys = {' '.join(keys)}\n" if keys else ""
    return f"{settings}{more}{trusted}"


def _files(environ: Mapping[str, str], root: Path) -> Iterator[Path]:
    """https://nix.dev/manual/nix/latest/command-ref/conf-file#file-format"""
    told = environ.get("NIX_CONF_DIR")
    yield Path(told) / "nix.conf" if told else root / "etc/nix/nix.conf"
    if named := environ.get("NIX_USER_CONF_FILES"):
        yield from map(Path, reversed(named.split(os.pathsep)))
        return
    home = environ.get("HOME", "")
    folders = [environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")]
    folders += (environ.get("XDG_CONFIG_DIRS") or str(root / "etc/xdg")).split(os.pathsep)
    yield from (Path(folder) / "nix/nix.conf" for folder in reversed(folders) if folder)


def _lines(file: Path) -> Iterator[str]:
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return
    for line in text.splitlines():
        word, _, rest = line.partition("#")[0].strip().partition(" ")
        if word in ("include", "!include"):
            # One within another is read by nix and not here: nobody is to be led in a circle.
            included = file.parent / rest.strip()
            yield from included.read_text("utf-8", "replace").splitlines() if included.is_file() else ()
        else:
            yield line


def _setting(line: str) -> tuple[str, str]:
    name, _, value = (part.strip() for part in line.partition("#")[0].partition("="))
    if name in _ADDRESSES:
        value = " ".join(address for address in value.split() if not address.startswith(_LOCAL))
    return name, value
