"""The variables of a shell that make sense in an image of it. Pure.

Left out is what a shell has of the machine and the build in which it was made, and what may be a secret: whoever has
an image can read its variables.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ci_envs.redact import Redactor, is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci_envs.model.shell import Shell

__all__ = ["ImageVariables", "image_variables"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Who and where one is, which the engine tells in an image; what a build is told of its machine, and what only building
# the shell's derivation has a use for. The rest of what a build sets is in no shell (shell.py).
_NOT_THE_IMAGES = frozenset(
    (
        *("HOME", "USER", "LOGNAME", "TERM", "DISPLAY", "PWD", "OLDPWD", "SHLVL", "TMPDIR", "TMP", "TEMP", "TEMPDIR"),
        *("NIX_BUILD_CORES", "NIX_BUILD_TOP", "builder", "out", "outputs", "shellHook"),
    )
)


class ImageVariables(NamedTuple):
    """What an image sets, and the names of those that a person may miss."""

    kept: dict[str, str]
    #: They name folders of this machine.
    of_the_machine: tuple[str, ...]
    #: They are called as secrets are, or hold a password.
    secret: tuple[str, ...]


def image_variables(shell: Shell, store: str, folders: Iterable[str]) -> ImageVariables:
    """The shell's variables without what is private. ``store`` is ``/nix/store``; ``folders`` are this machine's own.

    Of a list of folders (PATH and others) those entries go that are in one of ``folders``; a variable that names one
    in another way goes altogether. PATH has the store's folders alone.
    """
    redact = Redactor.from_environment(shell.variables)
    own = _below(folders)
    kept: dict[str, str] = {}
    of_the_machine: list[str] = []
    secret: list[str] = []
    for name, value in sorted(shell.variables.items()):
        if name in _NOT_THE_IMAGES or not _NAME.fullmatch(name):
            continue
        if value and (is_secret_name(name) or redact(value) != value):
            secret.append(name)
            continue
        fitting = value if own is None else _without(value, own)
        if name == "PATH":
            fitting = ":".join(folder for folder in shell.path if folder.startswith(f"{store}/"))
        elif fitting != value:
            of_the_machine.append(name)
        if fitting or not value:
            kept[name] = fitting
    # What a user of the image installs for themselves is in no closure.
    return ImageVariables({**kept, "PYTHONNOUSERSITE": "1"}, tuple(of_the_machine), tuple(secret))


def _below(folders: Iterable[str]) -> re.Pattern[str] | None:
    """Finds the folders, and what is in them, in a text."""
    words = sorted({folder.rstrip("/") for folder in folders} - {""}, key=len, reverse=True)
    return re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, words))})(?![\w.-])") if words else None


def _without(value: str, own: re.Pattern[str]) -> str:
    """A list of folders without those that are private; empty where it is another text that names one."""
    if not own.search(value):
        return value
    parts = value.split(":")
    is_list = all(part.startswith("/") or not part for part in parts)
    return ":".join(part for part in parts if not own.search(part)) if is_list else ""
