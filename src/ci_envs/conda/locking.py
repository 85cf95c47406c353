"""The lock of a conda leg: where it lies, whether it is in sync, and making it anew.

A project has one ``conda-lock.yml`` where its intent says which Python; else each Python has a lock of its own, and so
has each accelerator. All front ends share them: a lock is made for platforms, and not for a tool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ci_envs.conda.asked import MAIN, Asked, read_asked
from ci_envs.conda.comparing import changes
from ci_envs.conda.lock_pins import to_pins
from ci_envs.conda.lock_reading import findings_of, read_lock
from ci_envs.conda.lock_rules import need
from ci_envs.conda.making import left_out, new_lock, platforms_for
from ci_envs.conda.targets import platform_of
from ci_envs.errors import LockError, UsageError
from ci_envs.model.lock import Lock
from ci_envs.nearest import nearest
from ci_envs.patterns.requirement_locks import not_solved, refuse_changes, stale_error

if TYPE_CHECKING:
    from ci_envs.locks.insync import Stale
    from ci_envs.model.conda import CondaLock, LockedPackage
    from ci_envs.model.leg import Leg
    from ci_envs.work import Work

__all__ = ["installed_packages", "lock_conda", "lock_path", "read"]

#: Where conda-lock writes, and where the tools that read its format look.
PROJECT_LOCK = "conda-lock.yml"


def lock_path(leg: Leg) -> str:
    """``locks/conda-py312-cuda12.conda-lock.yml``: one for each Python, accelerator and resolution.

    micromamba takes a file for a lock by the end of its name, ``-lock.yml``.
    """
    words = ["conda", leg.python_tag]
    words += [leg.accelerator] if leg.accelerator != "cpu" else []
    words += [leg.resolution] if leg.resolution != "highest" else []
    return f"locks/{'-'.join(words)}.conda-lock.yml"


def lock_conda(leg: Leg, work: Work) -> Lock:
    """The leg's lock as the policy asks: checked, made, renewed or taken as it is."""
    asked, mode = read_asked(leg, work), work.policy.mode
    path = _existing(leg, work, asked)
    if not path and mode in ("locked", "frozen"):
        raise _missing(leg, work, asked)
    with work.alone(f"project-{work.project_key}"):
        path = path or _existing(leg, work, asked)  # another leg may have made it by now
        lock = read(work, path) if path else None
        stale = [] if lock is None or mode in ("frozen", "update") else judge(asked, lock, platform_of(leg))
        if stale and mode == "locked":
            raise stale_error(work, stale)
        if lock is None or stale or mode == "update":
            path = _make(leg, work, asked, lock)
            lock = read(work, path)
            if stale := judge(asked, lock, platform_of(leg)):
                raise stale_error(work, stale)
        elif work.policy.solve:
            _refuse_what_a_solve_changes(work, asked, lock)
    _refuse_unknown_categories(asked, lock)
    work.findings += [*asked.intent.findings, *findings_of(lock)]
    return Lock(
        path=path,
        format=lock.format,
        sha256=work.file_digest(path),
        pins=to_pins(lock, platform_of(leg), asked.categories),
        direct=work.direct,
    )


def read(work: Work, path: str) -> CondaLock:
    """A lock file of the project; read once for each text that it has had."""
    text = work.project.text(path)
    if text is None:
        raise LockError("there is no such lock", file=path)
    known = work.conda_locks.get(path)
    if known is None or known[0] != text:
        known = text, read_lock(text, path=path)
        work.conda_locks[path] = known
    return known[1]


def installed_packages(leg: Leg, work: Work, lock: Lock) -> tuple[LockedPackage, ...]:
    """What a build installs: the packages of the leg's platform and categories, in the lock's order."""
    return read(work, lock.path).of(platform_of(leg), read_asked(leg, work).categories)


def judge(asked: Asked, lock: CondaLock, here: str) -> list[Stale]:
    """What of the intent a lock does not satisfy; nothing is solved and nobody is asked.

    The leg's own platform comes first, whole and then for those who install ``main`` alone and for the leg. A file that
    is ours to renew is judged for every platform that it is to have: else nobody would renew what only the legs of
    another platform find stale.
    """
    for categories in _views(asked, lock, here):
        if found := _judged(asked, lock, here, categories):
            return found
    if lock.format != "conda-lock" or not asked.intent.files:
        return []
    found = []
    for platform in platforms_for(asked.work, asked, lock):
        if platform != here:
            found += [_elsewhere(one, platform) for one in _judged(asked, lock, platform) if _counts(asked, one)]
    return found


def _views(asked: Asked, lock: CondaLock, platform: str) -> list[tuple[str, ...] | None]:
    """The sets of categories to judge: a package that is there for tests alone is none that the project has."""
    there = {category for package in lock.of(platform) for category in package.categories} - {MAIN}
    if not there and set(asked.categories) == {MAIN}:
        return [None]
    return [None, *dict.fromkeys([(MAIN,), asked.categories])]


def _judged(asked: Asked, lock: CondaLock, platform: str, categories: tuple[str, ...] | None = None) -> list[Stale]:
    from ci_envs.conda.staleness import stale

    found = stale(
        lock,
        specs=asked.specs(platform),
        pip=asked.pip(platform),
        platform=platform,
        categories=categories,
        virtual=asked.virtual(platform),
        channels=asked.channel_names if asked.intent.files else None,
    )
    # Where the lock is all there is, whoever made it knows what it is for.
    return [one for one in found if one.code != "unneeded" or asked.intent.files]


def _counts(asked: Asked, stale: Stale) -> bool:
    """Whether another platform's part has to be renewed for it: which Python stands there is its own legs' affair."""
    return stale.code != "other-python" or asked.pins_python


def _elsewhere(stale: Stale, platform: str) -> Stale:
    if platform in stale.message:
        return stale
    return msgspec.structs.replace(stale, message=f"{stale.message} ({platform})")


def _existing(leg: Leg, work: Work, asked: Asked) -> str:
    """The lock that the leg goes by: its own, else the project's where that is for it; empty for none."""
    own = lock_path(leg)
    if work.project.exists(own):
        return own
    if leg.resolution != "highest":
        return ""
    return next((name for name in _of_project(leg, work) if _fits(read(work, name), leg, asked)), "")


def _of_project(leg: Leg, work: Work) -> list[str]:
    """The locks that a project may have for everybody."""
    names = (PROJECT_LOCK, "conda-lock.yaml", f"conda-{platform_of(leg)}.lock", "pixi.lock")
    return [name for name in names if work.project.exists(name)]


def _fits(lock: CondaLock, leg: Leg, asked: Asked) -> bool:
    """Whether a lock is for the leg: its accelerator, and its Python, or no packages yet for this platform."""
    if _needs_cuda(lock, platform_of(leg)) != (leg.accelerator != "cpu"):
        return False
    return asked.pins_python or all(_is_of(version, leg) for version in _pythons(lock, platform_of(leg)))


def _needs_cuda(lock: CondaLock, platform: str) -> bool:
    """Whether a lock was made for a GPU. conda-lock puts a ``__cuda`` into every solve unless it is told not to."""
    return any(need(text)[0] == "__cuda" for package in lock.of(platform) for text in package.depends)


def _pythons(lock: CondaLock, platform: str) -> list[str]:
    """The versions of Python that a lock has: for a platform, else for any."""
    of_this = [p.version for p in lock.of(platform) if p.name == "python" and p.manager == "conda"]
    return of_this or [p.version for p in lock.packages if p.name == "python" and p.manager == "conda"]


def _is_of(version: str, leg: Leg) -> bool:
    return f"{version}.".startswith(f"{leg.python.removesuffix('t')}.")


def _missing(leg: Leg, work: Work, asked: Asked) -> LockError:
    """Why there is no lock; where the project has one, why that is not the leg's."""
    for name in [] if leg.resolution != "highest" else _of_project(leg, work):
        lock, platform = read(work, name), platform_of(leg)
        if strange := [version for version in _pythons(lock, platform) if not _is_of(version, leg)]:
            why = f"; {name} has Python {strange[0]}"
        else:
            why = f"; {name} was made {'for a GPU' if _needs_cuda(lock, platform) else 'without a GPU'}"
        hint = f"make it with: {work.lock_command()}"
        if not asked.intent.files:
            hint = "no environment.yml says what another lock could be made from"
        return LockError(f"there is no lock for {leg.id}{why}", file=_new(leg, work, asked), hint=hint)
    hint = f"make it with: {work.lock_command()}"
    return LockError(f"there is no lock for {leg.id}", file=_new(leg, work, asked), hint=hint)


def _new(leg: Leg, work: Work, asked: Asked) -> str:
    """Where a lock is made. One that is there, and is not this leg's, is not written over."""
    is_the_projects = asked.pins_python and leg.accelerator == "cpu" and leg.resolution == "highest"
    return PROJECT_LOCK if is_the_projects and not work.project.exists(PROJECT_LOCK) else lock_path(leg)


def _make(leg: Leg, work: Work, asked: Asked, old: CondaLock | None) -> str:
    """Locks every platform that the file is for, and writes it; its path."""
    if not asked.intent.files:
        raise LockError(
            f"there is nothing that {old.path if old else 'a lock'} could be made from: no environment.yml",
            file=old.path if old else "",
            hint="write an environment.yml, or let the tool that made the lock renew it",
        )
    work.begins()
    path = old.path if old is not None and old.format == "conda-lock" else _new(leg, work, asked)
    new = new_lock(work, asked, old, path)
    from ci_envs.conda.lock_writing import write_conda_lock

    work.keep_lock(path, write_conda_lock(new))
    if gone := left_out(old):
        message = f"no lock is made for {', '.join(gone)}: what {path} had for it was left out"
        work.find("LOCK012", "warning", "platform not known", message, file=path)
    return path


def _refuse_unknown_categories(asked: Asked, lock: CondaLock) -> None:
    """Where the lock is all there is, its categories are the groups that there are."""
    if asked.intent.files:
        return
    there = {category for package in lock.packages for category in package.categories}
    for name in asked.categories:
        if name not in {*there, MAIN}:
            raise UsageError(
                f"{lock.path} has no category {name!r}{nearest(name, there)}", hint=f"it has {', '.join(sorted(there))}"
            )


def _refuse_what_a_solve_changes(work: Work, asked: Asked, lock: CondaLock) -> None:
    """:class:`LockError` where a solve of today that keeps every pin that it can keep comes to another lock.

    It sees what judging cannot: packages that forbid each other, a package that left its channel or was uploaded
    again, dependencies that a channel has corrected. Platforms whose part another tool made stay out.
    """
    if not asked.intent.files:
        not_solved(work, lock.path)
        return
    platforms = platforms_for(work, asked, lock)
    if lock.format != "conda-lock":
        platforms = tuple(name for name in platforms if name in lock.platforms)
    new = new_lock(work, asked, lock, lock.path, platforms=platforms, bare=False)
    refuse_changes(work, lock.path, changes(lock, new))
