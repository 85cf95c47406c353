"""A nix shell, or a guix profile, as an environment: its variables and its closure. nix and guix are not asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from ci_envs import environ
from ci_envs.decoding import decode
from ci_envs.environments.scheme import SHELL_NAME
from ci_envs.errors import BuildError
from ci_envs.model.closure import Closure
from ci_envs.model.inventory import Distribution
from ci_envs.model.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ci_envs.model.inventory import Inventory

__all__ = [
    "CLOSURE_NAME",
    "PROFILE",
    "SHELL_NAME",
    "home_of",
    "is_in_store",
    "kept_shell",
    "read_closure",
    "read_shell",
    "shell_variables",
    "store_packages",
    "why_unfit",
    "with_closure",
    "write_shell",
]

#: Beside the shell: the store paths that it needs.
CLOSURE_NAME = "closure.json"

#: The root of the garbage collector: ``nix develop --profile`` and ``guix shell --root`` make such a one.
PROFILE = "profile"

#: What print-dev-env, too, puts before the caller's own (src/nix/develop.cc, savedVars).
_BEHIND = ("PATH", "XDG_DATA_DIRS")

#: NIX_STATE_DIR, or GUIX_STATE_DIRECTORY, moves it; whoever set that has a store that we then know nothing of.
_STATES = {"nix": Path("/nix/var/nix"), "guix": Path("/var/guix")}

_T = TypeVar("_T")


def read_shell(prefix: Path) -> Shell:
    """The shell of a prefix. :class:`BuildError` where it cannot be read."""
    return _read(prefix / SHELL_NAME, Shell)


def write_shell(prefix: Path, shell: Shell) -> None:
    """Keeps the shell in a new prefix, readable by its owner alone: a hook may have exported secrets."""
    path = prefix / SHELL_NAME
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(shell))


def kept_shell(prefix: Path, caller: Mapping[str, str]) -> Shell:
    """The shell of a prefix that is to be used.

    :class:`BuildError` where the store has lost what it needs, or where it was made for another HOME.
    """
    if not (prefix / PROFILE).exists():
        raise BuildError(f"the store no longer has the shell of {prefix.name}", hint="build it anew: add --fresh")
    shell = read_shell(prefix)
    if why := _of_another(shell, caller):
        hint = f"build it for this one with: ci-envs run --only {prefix.name}"
        raise BuildError(f"the shell of {prefix.name} is another user's: {why}", hint=hint)
    return shell


def why_unfit(prefix: Path, caller: Mapping[str, str]) -> str:
    """Why a shell that is as it was sealed has to be made anew all the same; empty where it can be kept."""
    shell = read_shell(prefix)
    is_kept = is_in_store(prefix, state=_STATES[shell.manager])
    return _of_another(shell, caller) if is_kept else "the store no longer has it"


def _of_another(shell: Shell, caller: Mapping[str, str]) -> str:
    """The hook has put its caller's HOME into variables: where that is elsewhere they would name another's files."""
    home = home_of(caller)
    return f"it holds HOME, which was {shell.home} and is {home or 'not set'}" if shell.home not in ("", home) else ""


def home_of(caller: Mapping[str, str]) -> str:
    """The caller's home folder; empty where a variable cannot be said to hold it."""
    return caller.get("HOME", "").rstrip("/")


def read_closure(prefix: Path) -> Closure:
    """Its closure, as it was when it was built. :class:`BuildError` where it cannot be read."""
    return _read(prefix / CLOSURE_NAME, Closure)


def is_in_store(prefix: Path, *, state: Path = _STATES["nix"]) -> bool:
    """Whether the store has what the shell needs, and keeps it.

    A root is a link of nix's own (``gcroots/auto``) to a link of ours. A collection that comes while ours stands aside
    removes nix's, so that the next one takes the shell away. A profile of nix's is a link to one of its generations,
    guix's root is a link into the store. ``state`` is the folder that has the links, ``/nix/var/nix``; where it cannot
    be read, another machine or user keeps the store, and nothing is known of its roots.
    https://nix.dev/manual/nix/latest/package-management/garbage-collector-roots
    """
    root = prefix / PROFILE
    if not root.exists():
        return False
    generation = str(root.parent / root.readlink()) if root.is_symlink() else str(root)
    try:
        roots = list((state / "gcroots/auto").iterdir())
    except OSError:
        return True
    return any(_target(each) in (generation, str(root)) for each in roots)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _read(path: Path, kind: type[_T]) -> _T:
    try:
        return decode(path.read_bytes(), kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise BuildError(f"{path} cannot be read: {error}", hint="build it anew: add --fresh") from error


def shell_variables(
    caller: Mapping[str, str], shell: Shell, own: Mapping[str, str], *, hide: Iterable[Path] = ()
) -> dict[str, str]:
    """What a command in the shell sees. ``own`` are the leg's variables, which have the last word.

    A shell that is not pure has the caller's PATH behind its own, as ``nix develop`` and ``nix-shell`` have it.
    """
    # What a user installed for themselves is on nix's Python's path, too, and in no closure.
    fixed = {"PYTHONNOUSERSITE": "1", **own}
    if shell.pure:
        return environ.pure_environment(caller) | shell.variables | fixed
    made = environ.project_environment(caller, path=(), variables={}, hide=hide)
    behind = {name: _joined(shell.variables.get(name, ""), made.get(name, "")) for name in _BEHIND}
    return made | shell.variables | {name: value for name, value in behind.items() if value} | fixed


def _joined(*lists: str) -> str:
    return os.pathsep.join(filter(None, lists))


def with_closure(found: Inventory, prefix: Path, manager: str = "nix") -> Inventory:
    """The inventory with the store paths that the shell needs."""
    packages = store_packages(read_closure(prefix), manager)
    return msgspec.structs.replace(found, distributions=(*found.distributions, *packages))


def store_packages(closure: Closure, manager: str = "nix") -> tuple[Distribution, ...]:
    """The store paths, each a package of nix's or of guix's."""
    paths = {
        Distribution(name=one.name, version=one.version, manager=manager, sha256=one.nar_hash.removeprefix("sha256:"))
        for one in closure.paths
    }
    return tuple(sorted(paths))
