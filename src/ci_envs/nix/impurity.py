"""Whether a description is evaluated to the same shell for another person at another time."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ci_envs.errors import LockError
from ci_envs.nix.expressions import parse_file, read_expressions
from ci_envs.nix.tool import run_classic

if TYPE_CHECKING:
    from ci_envs.nix.described import Description
    from ci_envs.nix.expressions import Expressions
    from ci_envs.nix.tool import Nix
    from ci_envs.work import Work

__all__ = ["warn_of_impurity"]

#: Somebody who is nowhere at home.
_SOMEBODY = {"HOME": "/homeless-shelter", "USER": "nobody", "LOGNAME": "nobody"}


def warn_of_impurity(work: Work, nix: Nix, described: Description) -> None:
    """Evaluates twice, the second time as somebody else; a finding where the derivations differ.

    What cannot be evaluated at all is left to whoever builds it. A flake is evaluated purely, so it is the same; where
    it asks all the same, it gets an empty answer, and nix does not say so.
    """
    if described.kind == "flake":
        with contextlib.suppress(LockError):  # of a file that it names and does not use
            _tell_empty(work, _read(work, nix, described))
        return
    found = _read(work, nix, described)
    first = _derivations(work, nix, described, {})
    if not first:
        return
    if any(name == "currentTime" for name, _, _ in found.asks):
        time.sleep(1)  # it counts seconds
    second = _derivations(work, nix, described, _SOMEBODY | _kept(work))
    if first == second:
        return
    name, file, line = next(filter(_is_answered_otherwise, found.asks), ("", described.file, 0))
    message = "is evaluated to another shell for somebody else, or at another time"
    # Without a word of it in the project's files, it is nixpkgs that reads the user's own configuration.
    message += f": {name} stands in it" if name else ": it goes by something like ~/.config/nixpkgs"
    work.find("NIX007", "warning", "impure description", message, file=file, line=line)


def _read(work: Work, nix: Nix, described: Description) -> Expressions:
    return read_expressions(work.project, described.file, partial(parse_file, work, nix))


def _tell_empty(work: Work, found: Expressions) -> None:
    for name, file, line in found.asks:
        if name.startswith("getEnv"):
            message = f"{name} is empty in a flake, whoever asks; `${{NAME}}` in shellHook is what the machine has"
            work.find("NIX023", "warning", "a flake sees no variables", message, file=file, line=line)


def _is_answered_otherwise(ask: tuple[str, str, int]) -> bool:
    name = ask[0].removeprefix("getEnv").strip(' "')
    return name in (*_SOMEBODY, "currentTime", "")


def _derivations(work: Work, nix: Nix, described: Description, env: dict[str, str]) -> str:
    outcome = run_classic(work, nix, "nix-instantiate", *described.classic_words, data=True, env=env)
    return outcome.stdout if outcome else ""


def _kept(work: Work) -> dict[str, str]:
    """Where nix keeps what it has downloaded, and what the user has told it: they say nothing of the description."""
    home = Path(work.environ.get("HOME") or "/")
    known = {"XDG_CACHE_HOME": home / ".cache", "XDG_CONFIG_HOME": home / ".config"}
    folders = {name: work.environ.get(name) or str(folder) for name, folder in known.items()}
    return {
        "XDG_CACHE_HOME": folders["XDG_CACHE_HOME"],
        "NIX_USER_CONF_FILES": work.environ.get("NIX_USER_CONF_FILES") or f"{folders['XDG_CONFIG_HOME']}/nix/nix.conf",
    }
