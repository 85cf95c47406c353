"""An environment that a cache carries from one job to the next: proved by the package files, or refused and built anew.

    <CI_ENVS_ENVIRONMENT_DIR>/<leg>/    a copy of the prefix, made before anything inside of it has run

Only what consists of wheels of the lock and of nothing else can be proved. An environment that holds the project
itself, or what was built here from an sdist, is not kept; nor is conda's, which is linked out of its package files.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ci_envs.content import read_content
from ci_envs.layout import is_link, remove_tree
from ci_envs.packages.installing import wheels_of
from ci_envs.packages.store import PackageStore, locked_hashes, tell_refused, verified_files
from ci_envs.seal import SEAL_NAME

if TYPE_CHECKING:
    from ci_envs.content import Content
    from ci_envs.model.lock import Lock
    from ci_envs.packages.wheels import Wheel
    from ci_envs.patterns import Pattern
    from ci_envs.work import Work

__all__ = ["ENVIRONMENT_DIR", "Creates", "keep_environment", "take_environment"]

#: Names the folder; the steps of our actions set it where ``cache-environment`` is true.
ENVIRONMENT_DIR = "CI_ENVS_ENVIRONMENT_DIR"


@runtime_checkable
class Creates(Protocol):
    """A pattern whose environments begin empty, and are filled with wheels."""

    def create(self, lock: Lock, work: Work) -> None:
        """Makes an environment without any package of the lock."""
        ...


def take_environment(pattern: Pattern, lock: Lock, work: Work) -> bool:
    """Puts the environment that a cache has brought at the leg's prefix; whether there was one, and it is proved.

    What is not proved is removed, and a finding says why.
    """
    folder = _folder(work)
    if folder is None or not (folder.exists() or is_link(folder)):
        return False
    why = _why_not(pattern, lock, work, folder)
    if why:
        remove_tree(work.prefix)
        tell_refused(work, "environment", why)
    remove_tree(folder)
    return not why


def keep_environment(pattern: Pattern, lock: Lock, work: Work, content: Content) -> None:
    """Copies the environment for the next job, where that one will be able to prove it."""
    folder, store = _folder(work), PackageStore.of(work)
    if folder is None or store is None or not isinstance(pattern, Creates) or work.installs_project:
        return
    wheels = _wheels(lock, store.verified(locked_hashes(lock))[0])
    if wheels is None or len(content.installed) != len(wheels) + len(work.seeds):
        return
    remove_tree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(work.prefix, folder, symlinks=True, ignore=shutil.ignore_patterns(SEAL_NAME))


def _folder(work: Work) -> Path | None:
    named = work.environ.get(ENVIRONMENT_DIR, "").strip()
    return Path(named).expanduser().absolute() / work.leg.id if named else None


def _why_not(pattern: Pattern, lock: Lock, work: Work, folder: Path) -> list[str]:
    """Why an environment is not taken; with nothing, it lies at the prefix."""
    from ci_envs.packages.proof import unproven

    wheels = _wheels(lock, verified_files(work, lock))
    if wheels is None:
        return ["the package files that would prove it are not all there"]
    if not isinstance(pattern, Creates) or work.installs_project or is_link(folder) or not folder.is_dir():
        return ["it is none that can be proved"]
    pattern.create(lock, work)
    empty = read_content(work.prefix)
    remove_tree(work.prefix)
    shutil.move(folder, work.prefix)
    return sorted(unproven(read_content(work.prefix), empty, wheels))


def _wheels(lock: Lock, files: dict[str, Path]) -> list[Wheel] | None:
    """The one wheel of each pin; ``None`` where one has none, or several."""
    pins = lock.of("python")
    found = wheels_of(pins, files)
    wheels = [wheel for each in found.values() for wheel in each]
    return wheels if len(pins) == len(lock.pins) == len(wheels) == len(found) else None
