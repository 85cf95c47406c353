"""The build stage of a guix profile: guix makes it and keeps it, and says which variables it needs.

The prefix is that of a nix shell: a root of the garbage collector (``profile``), the variables, and the closure with
its hashes. A profile has no hook, and guix evaluates nothing of what it prints.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import msgspec

from ci_envs.building import host
from ci_envs.environments.nix_shell import CLOSURE_NAME, PROFILE, write_shell
from ci_envs.errors import BuildError, LockError
from ci_envs.guix.closure import read_closure
from ci_envs.guix.failures import build_error, failure_of
from ci_envs.guix.tool import find_guix, run_guix
from ci_envs.layout import write_atomically
from ci_envs.model.shell import Shell

if TYPE_CHECKING:
    from ci_envs.environments.host import HostEnvironment
    from ci_envs.model.config import GuixConfig
    from ci_envs.model.leg import Leg
    from ci_envs.model.lock import Lock
    from ci_envs.project import Project
    from ci_envs.work import Work

__all__ = ["build_profile", "manifest_file", "manifest_words", "read_search_paths"]

#: The two that `guix shell` looks for by itself, in its order:
#: https://guix.gnu.org/manual/en/html_node/Invoking-guix-shell.html
MANIFESTS = ("manifest.scm", "guix.scm")

#: What PATH is where a profile has no program at all: an empty one means the current folder.
_NO_PATH = "/path-not-set"

# With --pure a definition has the value alone, and not what the caller has behind it (guix/search-paths.scm).
_DEFINITION = re.compile(r'export (?P<name>[A-Za-z_]\w*)="(?P<value>[^"$`\\]*)"')


def build_profile(leg: Leg, lock: Lock, work: Work) -> HostEnvironment:
    """The profile at the leg's prefix. :class:`BuildError` where it cannot be evaluated or built."""
    guix, root = find_guix(work.environ), work.prefix / PROFILE
    work.tools["guix"] = guix.version
    work.prefix.mkdir(parents=True, exist_ok=True)
    if work.policy.offline:
        message = "guix has no offline mode: it was told to take no substitutes, and may fetch channels and sources"
        work.find("GUIX003", "info", "offline as far as guix can be", message)
    words = ("--rebuild-cache", "--pure", "--search-paths", f"--root={root}")
    outcome = run_guix(work, guix, "shell", *words, *manifest_words(work.project, work.config.guix), at=lock.path)
    if not outcome:
        raise build_error(failure_of(outcome, work))
    if not root.is_symlink():
        raise BuildError(f"guix shell made no profile at {work.layout.shown(root)}")
    top = str(root.readlink())
    shell = _shell(read_search_paths(outcome.stdout), top, pure=work.config.guix.pure)
    closure = read_closure(work, guix, top)
    write_atomically(work.prefix / CLOSURE_NAME, msgspec.json.encode(closure))
    write_shell(work.prefix, shell)
    return host(work.layout, leg, work.environ, "", None)


def manifest_words(project: Project, config: GuixConfig) -> tuple[str, ...]:
    """What names the profile to ``guix shell``: a file of packages, or one whose package's inputs are wanted.

    ``--rebuild-cache`` stands beside it since guix's own cache goes by the time of that file alone, and not of what it
    loads.
    """
    file = manifest_file(project, config)
    package = file.rpartition("/")[2] == MANIFESTS[1]
    return ("--development", f"--file={file}") if package else (f"--manifest={file}",)


def manifest_file(project: Project, config: GuixConfig) -> str:
    """The file that describes the profile. :class:`LockError` where there is none."""
    names = (config.manifest,) if config.manifest else MANIFESTS
    found = next((name for name in names if project.exists(name)), "")
    if not found:
        raise LockError(f"there is no {' or '.join(names)}", hint="guix.manifest names another")
    return found


def read_search_paths(text: str) -> dict[str, str]:
    """The variables of ``guix shell --pure --search-paths``. :class:`BuildError` where a line is something else."""
    made = {}
    for line in filter(None, text.splitlines()):
        found = _DEFINITION.fullmatch(line)
        if found is None:
            raise BuildError(f"what guix shell --search-paths said cannot be read: {line[:200]}")
        made[found["name"]] = found["value"]
    return made


def _shell(variables: dict[str, str], top: str, *, pure: bool) -> Shell:
    """What a command sees; GUIX_ENVIRONMENT, which `guix shell` sets for whoever wants to know, is not in its words."""
    folders = variables.get("PATH", "")
    python = shutil.which("python3", path=folders) or shutil.which("python", path=folders) if folders else ""
    return Shell(
        variables={**variables, "PATH": folders or _NO_PATH, "GUIX_ENVIRONMENT": top},
        path=tuple(filter(None, folders.split(os.pathsep))),
        python=python or "",
        top=top,
        pure=pure,
        manager="guix",
    )
